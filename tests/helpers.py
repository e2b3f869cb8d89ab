"""What several tests lean on."""

import pathlib

from vidprior import configuration

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
