"""Operations on pictures: crop and resize, Laplace fill, compositing, cuts. NumPy and OpenCV."""
