"""Video inpainting by internal learning."""

__version__ = "0.1.0"
