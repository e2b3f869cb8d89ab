"""Features of a clip's frames, computed when they are first asked for."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import Traced, double_and_row_means, examples
from hypothesis import given
from hypothesis import strategies as st

from vidprior.training.feature_cache import FeatureCache
from vidprior.types import DeviceClip

pytestmark = pytest.mark.slow  # compiles

FRAMES = np.random.default_rng(0).integers(0, 256, (6, 4, 8, 3), np.uint8)


def test_what_was_asked_for_is_there_and_the_rest_is_not():
    store = FeatureCache(double_and_row_means, FRAMES)
    expected = double_and_row_means(FRAMES.astype(np.float32) / 255)
    for asked, known in ([], []), ([4, 1, 4], [1, 4]), ([1, 2], [1, 2, 4]):
        for ours, theirs in zip(store.require(asked), expected, strict=True):
            there = np.zeros_like(theirs)
            there[known] = theirs[known]
            assert ours.shape == theirs.shape
            assert np.allclose(ours, there, atol=1e-6)


@examples(20)
@given(st.lists(st.lists(st.integers(0, 5), max_size=5), max_size=4))
def test_the_bits_do_not_depend_on_the_order(asked):
    store, whole = (FeatureCache(double_and_row_means, FRAMES) for _ in range(2))
    for frames in [*asked, range(6)]:
        found = store.require(frames)
    for ours, theirs in zip(found, whole.require(range(6)), strict=True):
        assert np.array_equal(ours, theirs)


def test_one_compilation_serves_every_frame():
    features = Traced(double_and_row_means)
    store = FeatureCache(features, FRAMES)
    before = features.count  # the shapes were asked for
    store.require([0, 5])
    store.require([3])
    assert features.count == before + 1


def test_a_clip_is_filled_for_windows_in_any_shape():
    clip = DeviceClip(
        jnp.asarray(FRAMES), np.zeros(FRAMES.shape[:3], bool), np.zeros(1, np.float32)
    )
    store = FeatureCache(double_and_row_means, FRAMES)
    filled = store.fill(clip, np.array([[0, 1], [1, 2]]))
    assert filled.frames is clip.frames
    assert np.asarray(filled.features[0]).any(axis=(1, 2, 3)).tolist() == 3 * [True] + 3 * [False]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_features_keep_their_dtype(dtype):
    store = FeatureCache(lambda image: (image.astype(dtype),), FRAMES)
    assert store.require([2])[0].dtype == dtype
