"""What several tests lean on."""

import os
import pathlib

import cv2
import hypothesis
from PIL import Image

from vidprior import configuration

# Set by `make test-all`: all examples, a start of its own for every command, all threads, and
# XLA's optimised code, as users have it.
EVERYTHING = os.environ.get("VIDPRIOR_TEST_EVERYTHING") == "1"

SHIPPED = sorted(
    path.stem for path in (pathlib.Path(__file__).parents[1] / "configs").glob("[a-z]*.py")
)


def configured(name="flow", **changes):
    """A shipped configuration with fields changed; `__` stands for the dot."""
    config = configuration.load(name)
    config.update_from_flattened_dict(
        {field.replace("__", "."): value for field, value in changes.items()}
    )
    return config


def examples(number):
    """Settings of a test that is slower than others: so many examples, or a quarter of them."""
    return hypothesis.settings(
        max_examples=number if EVERYTHING else -(-number // 4), deadline=None
    )


def assert_each(check, cases, *, name=str):
    """Calls `check(case)` for every case, and fails with the names of all for which it does."""
    failed = []
    for case in cases:
        try:
            check(case)
        except Exception as error:  # whatever it is, the other cases are told too
            failed.append(f"{name(case)}: {type(error).__name__}: {error}")
    if failed:
        raise AssertionError(f"{len(failed)} of {len(cases)} fail\n" + "\n".join(failed))
    assert cases, "nothing was checked"


def double_and_row_means(image):
    """Stands for VGG16: two layers, the second of another size."""
    return 2 * image, image.mean(axis=2, keepdims=True)


class Traced:
    """A function that counts how often JAX traces it: once for each compilation."""

    def __init__(self, inner):
        self.inner, self.count = inner, 0

    def __call__(self, *arguments):
        self.count += 1
        return self.inner(*arguments)


def save_image(path, pixels):
    """Writes OpenCV's order (BGR, BGRA), 8 or 16 bits."""
    assert cv2.imwrite(str(path), pixels)
    return path


def save_palette(path, indices, palette, **options):
    image = Image.fromarray(indices)
    image = Image.frombytes("P", image.size, indices.tobytes())
    image.putpalette([value for colour in palette for value in colour])
    image.save(path, **options)
    return path
