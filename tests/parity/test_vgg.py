"""The features of VGG16."""

import jax
import numpy as np
import pytest

from parity import goldens
from vidprior.model import vgg


@pytest.mark.parametrize("fewer_products", [False, True])
def test_features(compare, fewer_products):
    golden = goldens.load("vgg16.npz")
    # The file's images are shown as they are, in whatever order their channels come.
    params = vgg.make_params(goldens.vgg_arrays(), flip_channels=False)
    image = golden["input"].transpose(0, 2, 3, 1)
    features = jax.jit(vgg.Vgg16(fewer_products=fewer_products).apply)({"params": params}, image)
    for name, layer in zip(("relu1_2", "relu2_2", "relu3_3"), features, strict=True):
        expected = golden[f"{name}_sub"]
        ours = np.asarray(layer).transpose(0, 3, 1, 2)[:, ::4, ::3, ::3]
        compare(
            f"vgg16, fewer products {fewer_products}: {name}",
            ours,
            expected,
            1e-5 * np.abs(expected).max(),
        )
