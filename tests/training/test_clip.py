"""Noise, flow scales, and the masks derived from holes and flow."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import double_and_row_means

from vidprior.flow.warp import flow_hole
from vidprior.model.vgg import feature_holes
from vidprior.training import clip
from vidprior.types import OFFSETS, Propagated

SIZE = (8, 10)


def test_noise_is_uniform_and_follows_from_the_seed():
    noise = clip.make_noise(0, 5, (16, 24), high=0.1)
    assert noise.shape == (5, 16, 24, 1)
    assert noise.dtype == np.float32
    assert noise.min() >= 0
    assert noise.max() < 0.1
    # Mean and deviation of U(0, 0.1), from 1920 values.
    assert noise.mean() == pytest.approx(0.05, abs=0.003)
    assert noise.std() == pytest.approx(0.1 / 12**0.5, abs=0.002)
    assert np.array_equal(noise, clip.make_noise(0, 5, (16, 24), high=0.1))
    assert not np.array_equal(noise, clip.make_noise(1, 5, (16, 24), high=0.1))


def test_noise_stays_the_same_for_years():
    # A state saved by any version must render the same frames: these never change.
    noise = clip.make_noise(0, 2, (1, 2), high=0.1).reshape(-1)
    assert noise.tolist() == pytest.approx(
        [0.09272932, 0.06589074, 0.01325935, 0.00792379], abs=1e-8
    )


def test_frames_have_noise_of_their_own():
    noise = clip.make_noise(0, 4, (16, 24), high=0.1).reshape(4, -1)
    assert np.abs(np.corrcoef(noise) - np.eye(4)).max() < 0.2


def test_flow_scales_by_hand(make_flows):
    flows = make_flows(4, (2, 2))
    flow = np.zeros_like(flows.flow)
    flow[0, 1, 0, 1, 0] = 2.5  # +1
    flow[1, 2, 1, 1, 1] = -7.25  # -1: negative, another component
    flow[2, 0, 0, 0, 0] = 0.5  # +3: below the floor
    # No flow of distance 5 fits into four frames.
    scales = clip.flow_scales(flows._replace(flow=flow))
    assert scales.tolist() == [7.25, 7.25, 1, 1, 1, 1]
    assert scales.dtype == np.float32


def test_flow_scales_of_other_offsets(make_flows):
    flows = make_flows(6, (2, 2), offsets=(3, 1, -3))
    largest = np.abs(flows.flow.astype(np.float32)).max(axis=(1, 2, 3, 4))
    both = max(largest[0], largest[2])
    assert clip.flow_scales(flows).tolist() == [both, max(largest[1], 1), both]


@pytest.fixture(scope="module")
def inputs(make_flows):
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (7, *SIZE, 3), np.uint8)
    hole = random.random((7, *SIZE)) < 0.15
    return frames, hole, clip.make_noise(0, 7, SIZE, high=0.1), make_flows(7, SIZE)


def test_without_flow_and_features_the_rest_stays_empty(inputs):
    frames, hole, noise, _ = inputs
    made = clip.make_clip(frames, hole, noise)
    assert np.array_equal(made.frames, frames)
    assert made.frames.dtype == np.uint8
    assert np.array_equal(made.hole, hole)
    assert np.array_equal(made.noise, noise)
    assert made.flow is made.flow_known is made.flow_hole is made.flow_scale is None
    assert made.features is made.feature_hole is None
    assert made.propagated is made.confidence is None


def test_propagated_pixels_are_taken_as_they_are(inputs):
    frames, hole, noise, _ = inputs
    pixels = Propagated(255 - frames, hole.astype(np.float16) / 2, ~hole)
    made = clip.make_clip(frames, hole, noise, propagated=pixels)
    assert np.array_equal(made.propagated, pixels.frames)
    assert np.array_equal(made.confidence, pixels.confidence)
    assert (made.propagated.dtype, made.confidence.dtype) == (np.uint8, np.float16)


def test_flow_masks_pair_by_pair(inputs):
    frames, hole, noise, flows = inputs
    made = clip.make_clip(frames, hole, noise, flows=flows)
    assert np.array_equal(made.flow, flows.flow)
    assert made.flow.dtype == np.float16
    assert np.array_equal(made.flow_scale, clip.flow_scales(flows))
    seen = 0
    for k, offset in enumerate(OFFSETS):
        for i in range(7):
            known = np.asarray(made.flow_known[k, i])
            if not 0 <= i + offset < 7:
                assert not known.any()
                continue
            in_hole = flow_hole(hole[i], hole[i + offset], flows.flow[k, i])
            assert np.array_equal(made.flow_hole[k, i], in_hole)
            assert np.array_equal(known, flows.reliable[k, i] & ~in_hole)
            seen += 1
    # Pairs of seven frames: 6 + 4 + 2, both ways.
    assert seen == 24
    assert np.asarray(made.flow_known).any()


def test_a_pair_that_the_file_lacks_is_never_known(inputs):
    frames, hole, noise, flows = inputs
    exists = flows.exists.copy()
    exists[0, 2] = False
    made = clip.make_clip(frames, hole, noise, flows=flows._replace(exists=exists))
    assert not np.asarray(made.flow_known[0, 2]).any()
    assert np.asarray(made.flow_known[0, 3]).any()


def test_features_are_those_of_every_frame(inputs):
    frames, hole, noise, _ = inputs
    made = clip.make_clip(frames, hole, noise, features=double_and_row_means)
    expected = double_and_row_means(frames.astype(np.float32) / 255)
    for ours, theirs in zip(made.features, expected, strict=True):
        assert ours.shape == theirs.shape
        assert np.allclose(ours, theirs, atol=1e-6)
    for ours, theirs in zip(made.feature_hole, feature_holes(jnp.asarray(hole)), strict=True):
        assert np.array_equal(ours, theirs)


def test_features_that_are_not_kept_leave_their_holes(inputs):
    frames, hole, noise, _ = inputs

    def never(image):
        raise AssertionError("features were computed")

    made = clip.make_clip(frames, hole, noise, features=never, keep_features=False)
    assert made.features is None
    assert len(made.feature_hole) == 3
