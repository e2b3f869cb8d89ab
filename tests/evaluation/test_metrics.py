"""Measures against hand-worked numbers, slow references and the goldens."""

import json
import math
import os
import pathlib

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from vidprior.errors import InputError
from vidprior.evaluation.metrics import (
    SSIM_VARIANTS,
    average,
    consistency,
    evaluate_clip,
    psnr,
    ssim,
    warping_error,
)
from vidprior.types import Flows

GOLDENS = pathlib.Path(
    os.environ.get("VIDPRIOR_GOLDENS", pathlib.Path(__file__).parents[2] / "../shared/goldens")
)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def flows_of(flow, offset=1, reliable=None):
    """A `Flows` with one offset, from [T, H, W, 2]."""
    if reliable is None:
        reliable = np.ones(flow.shape[:-1], bool)
        reliable[-1] = False
    exists = np.arange(len(flow)) < len(flow) - 1
    return Flows(np.array([offset], np.int32), flow[None], reliable[None], exists[None], "", "")


@pytest.mark.skipif(
    not (GOLDENS / "metrics.npz").is_file(),
    reason="metrics goldens are not there (VIDPRIOR_GOLDENS, default ../shared/goldens)",
)
def test_goldens():
    expected = json.loads((GOLDENS / "metrics.json").read_text())
    with np.load(GOLDENS / "metrics.npz") as clip:
        found = evaluate_clip(clip["ground_truth"], clip["result"], clip["hole"])
    for name, value in expected.items():
        ours = name.removesuffix("_hole_centred_50px_search20")
        assert found[ours] == pytest.approx(value, abs=1e-6), name


def test_psnr_by_hand():
    truth = np.zeros((2, 2, 2, 3))
    result = truth.copy()
    result[0] = 0.1  # squared error 0.01: 20 dB
    result[1, 0, 0, 0] = 1  # one of twelve numbers is off by 1: 10 log10(12) dB
    np.testing.assert_allclose(psnr(truth, result), [20, 10 * math.log10(12)])


def test_psnr_of_the_mask_only():
    truth = np.zeros((3, 2, 2, 3))
    result = np.full_like(truth, 0.5)
    mask = np.zeros((3, 2, 2), bool)
    mask[:2, 1, 1] = True
    result[0, 1, 1] = [0.1, 0.2, 0.2]  # squared errors .01 .04 .04: mean 0.03
    result[1, 1, 1] = 0
    np.testing.assert_allclose(
        psnr(truth, result, mask=mask), [-10 * math.log10(0.03), math.inf, math.nan]
    )


def test_bytes_and_unit_floats_agree():
    truth, result = noise(2, 70, 80, 3), noise(2, 70, 80, 3, seed=1)
    np.testing.assert_allclose(
        psnr(truth / 255, (result / 255).astype(np.float32)), psnr(truth, result), atol=1e-5
    )
    np.testing.assert_allclose(ssim(truth / 255, result / 255), ssim(truth, result))


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("uniform7", {"data_range": 255}),
        (
            "gaussian_wang",
            {
                "data_range": 255,
                "gaussian_weights": True,
                "sigma": 1.5,
                "use_sample_covariance": False,
            },
        ),
        ("win65_255", {"data_range": 255, "win_size": 65}),
    ],
)
def test_ssim_is_that_of_bytes_with_their_range(variant, options):
    truth = noise(2, 70, 75, 3)
    result = np.uint8(0.6 * truth + 0.4 * noise(2, 70, 75, 3, seed=1))
    expected = [
        structural_similarity(a, b, channel_axis=-1, **options)
        for a, b in zip(truth, result, strict=True)
    ]
    np.testing.assert_allclose(ssim(truth, result, variant=variant), expected, atol=1e-9)


@pytest.mark.parametrize("variant", SSIM_VARIANTS)
def test_ssim_of_equal_frames_is_one(variant):
    frames = noise(1, 70, 70, 3)
    np.testing.assert_allclose(ssim(frames, frames, variant=variant), 1)


def test_ssim_by_hand_on_flat_frames():
    """Without variance, SSIM is (2ab + C1) / (a^2 + b^2 + C1)."""
    truth, result = np.full((1, 9, 9, 3), 0.5), np.full((1, 9, 9, 3), 0.25)
    expected = (2 * 0.5 * 0.25 + 1e-4) / (0.5**2 + 0.25**2 + 1e-4)
    np.testing.assert_allclose(ssim(truth, result), expected)


def test_ssim_inside_a_mask_is_the_mean_of_the_full_map():
    truth, result = noise(2, 20, 22, 3), noise(2, 20, 22, 3, seed=1)
    mask = np.zeros((2, 20, 22), bool)
    mask[0, :5, 3:9] = True
    _, full = structural_similarity(truth[0], result[0], data_range=255, channel_axis=-1, full=True)
    np.testing.assert_allclose(
        ssim(truth, result, mask=mask), [full[:5, 3:9].mean(), math.nan], atol=1e-9
    )


def slow_consistency(result, hole, patch, search):
    """Every patch compared on its own, as the definition reads."""
    result = result / 255
    height, width = result.shape[1:3]
    found = []
    for t in range(len(result) - 1):
        rows, columns = np.nonzero(hole[t])
        top = min(max(math.floor(rows.mean() - patch / 2), 0), height - patch)
        left = min(max(math.floor(columns.mean() - patch / 2), 0), width - patch)
        wanted = result[t, top : top + patch, left : left + patch]
        ratios, similarities = [], []
        for y in range(top - search, top + search):
            for x in range(left - search, left + search):
                if 0 <= y <= height - patch and 0 <= x <= width - patch:
                    other = result[t + 1, y : y + patch, x : x + patch]
                    ratios.append(-10 * math.log10(np.square(wanted - other).mean()))
                    similarities.append(
                        structural_similarity(wanted, other, data_range=1, channel_axis=-1)
                    )
        found.append((max(ratios), max(similarities)))
    return np.transpose(found)


@pytest.mark.parametrize(
    ("rows", "columns"),
    [((12, 18), (14, 22)), ((0, 3), (0, 4)), ((27, 30), (33, 36)), ((2, 29), (5, 6))],
    ids=["inside", "first corner", "last corner", "tall"],
)
def test_consistency_equals_the_slow_reference(rows, columns):
    result = noise(3, 30, 36, 3)
    result[1:] = (0.7 * np.roll(result[:-1], (2, -3), (1, 2)) + 0.3 * result[1:]).astype(np.uint8)
    hole = np.zeros((3, 30, 36), bool)
    hole[:, slice(*rows), slice(*columns)] = True
    for patch, search in ((10, 4), (9, 3)):
        found = consistency(result, hole, patch=patch, search=search)
        np.testing.assert_allclose(found, slow_consistency(result, hole, patch, search), atol=1e-9)


def test_consistency_reaches_from_minus_search_to_search_minus_one():
    """A patch that moves by exactly -search is found again, one that moves by +search is not."""
    first = noise(60, 60, 3)
    hole = np.zeros((2, 60, 60), bool)
    hole[:, 30, 30] = True
    for shift, found in ((-5, True), (4, True), (5, False), (-6, False)):
        result = np.stack([first, np.roll(first, shift, axis=0)])
        ratio, similarity = consistency(result, hole, patch=20, search=5)
        assert (ratio[0] == math.inf) == found
        assert (similarity[0] == pytest.approx(1)) == found


def test_consistency_leaves_out_pairs_without_a_hole():
    result, hole = noise(4, 20, 20, 3), np.zeros((4, 20, 20), bool)
    hole[1, 8:12, 8:12] = True
    for values in consistency(result, hole, patch=8, search=2):
        np.testing.assert_array_equal(np.isnan(values), [True, False, True])


def test_warping_error_of_exact_motion_is_zero_and_of_none_is_not():
    panorama = noise(40, 60, 3)
    result = np.stack([panorama[5:25, 10 + 2 * t : 40 + 2 * t] for t in range(3)])
    flow = np.zeros((3, 20, 30, 2), np.float16)
    flow[..., 0] = -2  # the camera pans right, content moves left
    np.testing.assert_allclose(warping_error(result, flows_of(flow)), 0, atol=1e-12)
    assert warping_error(result, flows_of(0 * flow)).min() > 0.05


def test_warping_error_by_hand():
    """Half a pixel between 0.2 and 0.6 gives 0.4; the last column leads outside."""
    result = np.zeros((2, 1, 3, 3))
    result[1] = np.array([0.2, 0.6, 1.0]).reshape(1, 3, 1)
    result[0] = np.array([0.5, 0.8, 0.0]).reshape(1, 3, 1)
    flow = np.zeros((2, 1, 3, 2), np.float32)
    flow[..., 0] = 0.5
    np.testing.assert_allclose(warping_error(result, flows_of(flow)), [0.1**2 / 2])
    # Without its reliable pixels, only the second column is left: 0.8 against 0.8.
    reliable = np.array([[[False, True, True]], [[False] * 3]])
    np.testing.assert_allclose(
        warping_error(result, flows_of(flow, reliable=reliable)), [0], atol=1e-12
    )
    nowhere = warping_error(result, flows_of(flow, reliable=np.zeros((2, 1, 3), bool)))
    np.testing.assert_array_equal(nowhere, [math.nan])


def test_warping_error_needs_fitting_flow():
    flow = np.zeros((2, 8, 8, 2), np.float32)
    with pytest.raises(InputError, match=r"offset 1, got \[3\]"):
        warping_error(np.zeros((2, 8, 8, 3)), flows_of(flow, offset=3))
    with pytest.raises(InputError, match=r"2 frames of 8x8 .* 2 frames of 8x9"):
        warping_error(np.zeros((2, 8, 9, 3)), flows_of(flow))


def test_average_is_over_the_frames_that_have_an_error():
    assert average(np.array([20.0, math.nan, 30.0, math.inf])) == 25
    assert average(np.array([math.inf, math.nan])) == math.inf
    assert average(np.array([math.nan])) is None
    assert average(np.array([])) is None


def test_evaluate_clip_counts_what_it_leaves_out():
    truth, hole = noise(4, 70, 70, 3), np.zeros((4, 70, 70), bool)
    hole[:3, 30:40, 30:40] = True
    result = truth.copy()
    result[0, 30:40, 30:40] ^= 255
    result[1, 30, 30] ^= 255
    found = evaluate_clip(truth, result, hole)
    assert (found["frames"], found["pairs"]) == (4, 3)
    assert found["frames_equal"] == 2
    assert found["frames_without_hole"] == 1
    assert found["hole_fraction"] == pytest.approx(3 * 100 / (4 * 4900))
    full, inside = found["per_frame"]["psnr_full"], found["per_frame"]["psnr_hole"]
    assert full[2:] == [math.inf, math.inf]
    assert inside[2:] == [math.inf, None]
    assert found["psnr_full"] == pytest.approx((full[0] + full[1]) / 2)
    assert found["psnr_hole"] == pytest.approx((inside[0] + inside[1]) / 2)
    assert found["ssim_uniform7"] == pytest.approx(np.mean(ssim(truth, result)))
    assert found["per_frame"]["ssim_hole"][3] is None
    assert {len(v) for v in found["per_frame"].values()} == {3, 4}
    json.dumps(found)


def test_evaluate_clip_of_small_frames_says_what_cannot_be_measured():
    frames = noise(2, 20, 24, 3)
    found = evaluate_clip(frames, frames, np.ones((2, 20, 24), bool))
    assert found["psnr_full"] == math.inf
    assert found["ssim_uniform7"] == pytest.approx(1)
    assert found["ssim_win65_255"] is None
    assert found["consistency_psnr"] is None
    assert found["per_frame"]["consistency_ssim"] == [None]
    assert evaluate_clip(frames, frames, np.ones((2, 20, 24), bool), patch=10, search=2)[
        "consistency_ssim"
    ]


def test_evaluate_clip_of_one_frame_has_no_pairs():
    frames = noise(1, 60, 60, 3)
    found = evaluate_clip(frames, frames, np.ones((1, 60, 60), bool))
    assert found["pairs"] == 0
    assert found["consistency_psnr"] is None


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda a, b, h: psnr(a, b[:1]), "truth is 2 frames of 8x9 .* result is 1 frames of 8x9"),
        (
            lambda a, b, h: ssim(a, b[:, :7]),
            "truth is 2 frames of 8x9 .* result is 2 frames of 7x9",
        ),
        (lambda a, b, h: psnr(a, b, mask=h[:, :7]), "hole is 2 frames of 7x9"),
        (lambda a, b, h: evaluate_clip(a, b, h[:1]), "hole is 1 frames of 8x9"),
        (lambda a, b, h: ssim(a, b, variant="win65_255"), "frames of 8x9 .* needs 65 pixels"),
        (lambda a, b, h: consistency(a, h), "frames of 8x9 .* needs 50 pixels"),
    ],
)
def test_mixed_up_sizes_are_refused(measure, message):
    clip = noise(2, 8, 9, 3)
    with pytest.raises(InputError, match=message):
        measure(clip, clip, np.ones((2, 8, 9), bool))


@pytest.mark.parametrize(
    "frames", [np.zeros((2, 8, 9)), np.zeros((2, 8, 9, 3), int), np.full((2, 8, 9, 3), 255.0)]
)
def test_other_kinds_of_frames_are_bugs_of_the_caller(frames):
    with pytest.raises(ValueError, match="expected"):
        psnr(frames, frames)


def test_nan_is_the_inputs_fault_and_named():
    frames = np.zeros((3, 70, 70, 3), np.float32)
    broken = frames.copy()
    broken[1, 2, 3, 0] = np.nan
    with pytest.raises(InputError, match="result: frame 1 holds NaN"):
        psnr(frames, broken)
