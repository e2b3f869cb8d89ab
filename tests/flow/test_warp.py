"""Warping, validity, reliability and flow holes against loops over pixels."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import examples

from vidprior.flow import warp

backward_warp = jax.jit(warp.backward_warp)
reliable = jax.jit(warp.reliable)


def corners(x, y):
    """The four pixels around (x, y) and their bilinear weights."""
    left, top = int(np.floor(x)), int(np.floor(y))
    for column, row in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
        yield column, row, (1 - abs(x - column)) * (1 - abs(y - row))


def slow_warp(image, flow):
    """[H, W, C] and [H, W, 2] to the warped image and the weight inside, in float64."""
    height, width, _ = image.shape
    warped, inside = np.zeros(image.shape), np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            dx, dy = flow[row, column].astype(np.float64)
            for j, i, weight in corners(column + dx, row + dy):
                if 0 <= j < width and 0 <= i < height:
                    warped[row, column] += weight * image[i, j]
                    inside[row, column] += weight
    return warped, inside


def random_case(seed=0, height=6, width=9, spread=3.0):
    random = np.random.default_rng(seed)
    image = random.random((height, width, 3), np.float32)
    flow = random.normal(0, spread, (height, width, 2)).astype(np.float32)
    return image, flow


def test_zero_flow_changes_nothing():
    image, flow = random_case()
    warped, valid = backward_warp(image, np.zeros_like(flow))
    assert np.array_equal(warped, image)
    assert np.asarray(valid).all()
    assert valid.shape == (6, 9, 1)
    assert valid.dtype == bool


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (0, 1), (-2, 0), (0, -3), (3, -2), (-8, 5)])
def test_whole_pixels_shift(dx, dy):
    image, flow = random_case()
    warped, valid = backward_warp(image, np.broadcast_to(np.float32([dx, dy]), flow.shape))
    # A frame of zeros around the image, seen from (dx, dy) further.
    padded = np.pad(image, ((8, 8), (8, 8), (0, 0)))
    inside = np.pad(np.ones(image.shape[:2], bool), 8)
    view = np.s_[8 + dy : 14 + dy, 8 + dx : 17 + dx]
    assert np.array_equal(warped, padded[view])
    assert np.array_equal(valid[..., 0], inside[view])


def test_borders_by_hand():
    # One row of two pixels, 4 and 8, sampled half and a quarter of a pixel further right.
    image = np.float32([[[4.0], [8.0]]])
    flow = np.float32([[[0.5, 0], [0.25, 0]]])
    warped, valid = backward_warp(image, flow)
    # x = 0.5: (4 + 8) / 2.  x = 1.25: 0.75 * 8, the other quarter lies outside.
    assert np.allclose(warped, [[[6.0], [6.0]]])
    assert valid[..., 0].tolist() == [[True, False]]


def test_a_thousandth_of_a_pixel_outside_is_still_valid():
    image = np.ones((1, 4, 1), np.float32)
    flow = np.zeros((1, 4, 2), np.float32)
    flow[0, 0, 0], flow[0, 3, 0] = -0.0005, 0.002
    _, valid = backward_warp(image, flow)
    # Weights inside: 0.9995, 1, 1 and 0.998.
    assert valid[0, :, 0].tolist() == [True, True, True, False]


@hypothesis.given(seed=st.integers(0, 10**6), spread=st.sampled_from([0.3, 2.0, 12.0]))
@examples(25)
def test_warp_is_that_of_a_loop_over_pixels(seed, spread):
    image, flow = random_case(seed, spread=spread)
    warped, valid = backward_warp(image, flow)
    expected, inside = slow_warp(image, flow)
    assert np.allclose(warped, expected, atol=1e-5)
    clear = np.abs(inside - 0.999) > 1e-5
    assert np.array_equal(np.asarray(valid)[..., 0][clear], (inside >= 0.999)[clear])


def test_leading_axes_are_batches():
    cases = [random_case(seed) for seed in range(6)]
    image = np.stack([image for image, _ in cases]).reshape(2, 3, 6, 9, 3)
    flow = np.stack([flow for _, flow in cases]).reshape(2, 3, 6, 9, 2)
    warped, valid = backward_warp(image, flow)
    for k, case in enumerate(cases):
        alone, valid_alone = backward_warp(*case)
        assert np.allclose(warped[divmod(k, 3)], alone, atol=1e-6)
        assert np.array_equal(valid[divmod(k, 3)], valid_alone)


@pytest.mark.parametrize("shape", [(6, 8, 2), (5, 9, 2), (1, 6, 9, 2), (6, 9, 3)])
def test_image_and_flow_must_fit(shape):
    with pytest.raises(ValueError, match="do not fit"):
        warp.backward_warp(jnp.zeros((6, 9, 3)), jnp.zeros(shape))


@pytest.mark.parametrize("value", [1e9, -1e9, 3e38, np.inf, -np.inf, np.nan])
def test_flow_beyond_all_bounds_samples_nothing(value):
    image, flow = random_case(spread=0.3)
    flow[2, 3] = value
    flow[4, 5, 1] = value
    warped, valid = backward_warp(image, flow)
    expected, _ = slow_warp(image, np.where(np.abs(flow) < 100, flow, 100))
    assert np.allclose(warped, expected, atol=1e-5)
    assert not valid[2, 3, 0]
    assert not valid[4, 5, 0]


@jax.jit
def gradients(image, flow, cotangent):
    return jax.grad(lambda i, f: jnp.sum(warp.backward_warp(i, f)[0] * cotangent), (0, 1))(
        image, flow
    )


def test_gradients_by_finite_differences():
    image, flow = random_case(height=4, width=5, spread=1.5)
    # Away from whole pixels, where a bilinear sample has a kink.
    flow = np.floor(flow) + np.clip(flow - np.floor(flow), 0.1, 0.9)
    cotangent = np.random.default_rng(1).normal(size=image.shape)
    to_image, to_flow = gradients(image, flow, cotangent)

    def slope(array, index, step=1e-3):
        sums = []
        for sign in (1, -1):
            moved = array.astype(np.float64)
            moved[index] += sign * step
            pair = (moved, flow) if array is image else (image, moved)
            sums.append(np.sum(slow_warp(*pair)[0] * cotangent))
        return (sums[0] - sums[1]) / (2 * step)

    for array, gradient in ((image, to_image), (flow, to_flow)):
        expected = [slope(array, index) for index in np.ndindex(array.shape)]
        assert np.allclose(np.ravel(gradient), expected, atol=1e-4)


def test_far_flow_has_finite_gradients():
    image, flow = random_case(height=4, width=5)
    flow[0, 0], flow[1, 1], flow[2, 2] = 1e9, -3e38, (0.5, 1e20)
    for gradient in gradients(image, flow, np.ones_like(image)):
        assert np.isfinite(gradient).all()


def test_opposite_flows_are_reliable():
    forward = np.broadcast_to(np.float32([2, -1]), (6, 9, 2))
    assert np.asarray(reliable(forward, -forward))[1:, :-2].all()


def test_reliability_threshold_by_hand():
    # exp(-e^2 / 2) > 0.5 where e^2 < 2 ln 2 = 1.386: 1.17^2 = 1.369, 1.18^2 = 1.392.
    still = np.zeros((1, 2, 2), np.float32)
    forward = np.float32([[[0, 1.17], [0, 1.18]]])
    assert reliable(forward, still).tolist() == [[True, False]]
    # Both components count: 0.8^2 + 0.8^2 = 1.28 and 0.9^2 + 0.9^2 = 1.62.
    forward = np.float32([[[0.8, 0.8], [-0.9, 0.9]]])
    assert reliable(forward, still).tolist() == [[True, False]]


def test_flow_that_leaves_the_frame_meets_zero():
    # Outside the frame the way back counts as zero: only the way there is left.
    forward = np.broadcast_to(np.float32([-5, 0]), (3, 4, 2))
    assert not np.asarray(reliable(forward, -forward)).any()
    forward = np.broadcast_to(np.float32([0, 1]), (1, 4, 2))
    assert np.asarray(reliable(forward, -forward)).all()


@hypothesis.given(seed=st.integers(0, 10**6))
@examples(15)
def test_reliability_is_that_of_a_loop_over_pixels(seed):
    _, forward = random_case(seed, spread=1.0)
    _, backward = random_case(seed + 1, spread=0.5)
    returned, _ = slow_warp(backward, forward)
    likelihood = np.exp(-np.square(forward + returned).sum(-1) / 2)
    clear = np.abs(likelihood - 0.5) > 1e-5
    assert np.array_equal(np.asarray(reliable(forward, backward))[clear], (likelihood > 0.5)[clear])


def slow_flow_hole(source, target, flow):
    """A pixel whose flow starts in a hole, or puts any bilinear weight on one."""
    height, width = source.shape
    result = source.copy()
    for row in range(height):
        for column in range(width):
            dx, dy = flow[row, column].astype(np.float64)
            for j, i, weight in corners(column + dx, row + dy):
                if weight > 0 and 0 <= j < width and 0 <= i < height:
                    result[row, column] |= target[i, j]
    return result


def random_holes(seed, height, width, share=0.15):
    random = np.random.default_rng(seed)
    return random.random((2, height, width)) < share


@hypothesis.given(
    seed=st.integers(0, 10**6), height=st.integers(1, 8), width=st.integers(1, 8), far=st.booleans()
)
def test_flow_hole_is_that_of_a_loop_over_pixels(seed, height, width, far):
    _, flow = random_case(seed, height, width, spread=6.0 if far else 1.0)
    # Clear of whole pixels, where rounding decides (see below).
    flow = np.floor(flow) + np.clip(flow - np.floor(flow), 0.01, 0.99)
    source, target = random_holes(seed, height, width)
    expected = slow_flow_hole(source, target, flow)
    assert np.array_equal(warp.flow_hole(source, target, flow), expected)
    assert np.array_equal(
        warp.flow_hole(source, target, flow.astype(np.float16)),
        slow_flow_hole(source, target, flow.astype(np.float16)),
    )


@hypothesis.given(seed=st.integers(0, 10**6))
def test_whole_pixels_touch_one_pixel(seed):
    # Sides of 2^n + 1: the way to [-1, 1] and back rounds nothing.
    flow = np.random.default_rng(seed).integers(-4, 5, (5, 9, 2)).astype(np.float32)
    source, target = random_holes(seed, 5, 9)
    expected = slow_flow_hole(source, target, flow)
    assert np.array_equal(warp.flow_hole(source, target, flow), expected)


@hypothesis.given(seed=st.integers(0, 10**6), height=st.integers(2, 9), width=st.integers(2, 9))
def test_rounded_whole_pixels_touch_at_most_neighbours(seed, height, width):
    flow = np.random.default_rng(seed).integers(-4, 5, (height, width, 2)).astype(np.float32)
    source, target = random_holes(seed, height, width)
    result = warp.flow_hole(source, target, flow)
    least = slow_flow_hole(source, target, flow)
    most = least.copy()
    for x in (-0.001, 0.001):
        for y in (-0.001, 0.001):
            most |= slow_flow_hole(source, target, flow + np.float32([x, y]))
    assert (least <= result).all()
    assert (result <= most).all()


def test_still_flow_joins_both_holes():
    source, target = random_holes(3, 5, 9)
    still = np.zeros((5, 9, 2), np.float32)
    assert np.array_equal(warp.flow_hole(source, target, still), source | target)


@pytest.mark.parametrize("value", [1e9, -1e30, np.inf, -np.inf])
def test_flow_hole_far_outside_is_the_source_hole(value):
    source, _ = random_holes(3, 4, 6)
    target = np.ones_like(source)
    flow = np.full((4, 6, 2), value, np.float32)
    assert np.array_equal(warp.flow_hole(source, target, flow), source)
