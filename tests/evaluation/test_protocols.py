"""Protocols: what goes in, and how means are taken."""

import cv2
import numpy as np
import pytest

from vidprior.errors import InputError
from vidprior.evaluation import metrics, protocols


def clip(count, height, width, seed=0):
    """Smooth random frames, the same with noise, and masks with a square."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 6, 8, 3), np.uint8)
    truth = np.stack([cv2.resize(frame, (width, height)) for frame in coarse])
    result = np.clip(truth + random.integers(-20, 20, truth.shape), 0, 255).astype(np.uint8)
    masks = np.zeros(truth.shape[:3], np.uint8)
    masks[:, height // 4 : height // 2, width // 4 : width // 2] = 255
    return truth, result, masks


def test_parameters_of_the_issue():
    paper, davis, hole = (protocols.find(name) for name in ("paper", "davis432", "hole"))
    assert (paper.size, paper.dilate, paper.mean) == ((192, 384), 0, "clips")
    assert (davis.size, davis.mean) == ((240, 432), "frames")
    assert davis.dilate > 0
    assert "ssim_win65_255" in davis.shown
    assert hole.shown[:2] == ("psnr_hole", "ssim_hole")


def test_every_parameter_stands_in_the_text():
    text = str(protocols.find("davis432"))
    for part in ("davis432", "432x240", "stretch", "dilate: 4", "frames", "50x50", "search 20"):
        assert part in text


def test_a_changed_size_shows_in_the_name():
    assert protocols.find("paper", size=(192, 384)).name == "paper"
    changed = protocols.find("paper", size=(96, 192))
    assert changed.name == "paper+"
    assert changed.parameters()["size"] == "192x96"


def test_unknown_name():
    with pytest.raises(InputError, match="no protocol 'davis': there are paper, davis432, hole"):
        protocols.find("davis")


def test_measures_at_the_results_own_size_are_those_of_metrics():
    truth, result, masks = clip(3, 70, 80)
    found = protocols.measure(protocols.find("hole"), truth, result, masks)
    plain = metrics.evaluate_clip(truth, result, masks > 0)
    about = plain.keys() - {"per_frame"}
    assert {name: found[name] for name in about} == {name: plain[name] for name in about}
    assert (found["width"], found["height"]) == (80, 70)
    assert found["per_frame"].keys() - plain["per_frame"].keys() == {"warping_error"}
    assert len(found["per_frame"]["warping_error"]) == 2


def test_warping_error_of_a_still_clip_is_zero_and_of_flicker_is_not():
    truth, _, masks = clip(1, 48, 64)
    truth, masks = np.repeat(truth, 3, axis=0), np.repeat(masks, 3, axis=0)
    still = protocols.measure(protocols.find("hole"), truth, truth, masks)
    assert still["warping_error"] == pytest.approx(0, abs=1e-6)
    flicker = truth.copy()
    flicker[1] = np.clip(truth[1].astype(int) + 51, 0, 255)
    changed = protocols.measure(protocols.find("hole"), truth, flicker, masks)
    # 51 levels are 0.2: 0.04 where nothing is clipped.
    assert 0.02 < changed["warping_error"] <= 0.0401


def test_larger_clips_are_cropped_or_stretched():
    truth, result, masks = clip(2, 60, 60)
    cropped = protocols.find("paper", size=(10, 20))
    stretched = protocols.find("davis432", size=(10, 20))
    assert cropped.fit == "crop"
    shown, _, hole = protocols.prepare(cropped, truth, result, masks)
    middle = [cv2.resize(f[15:45], (20, 10), interpolation=cv2.INTER_AREA) for f in truth]
    np.testing.assert_array_equal(shown, middle)
    # The square's rows 15..29 are all that is left of it: the upper half, one quarter wide.
    expected = np.zeros((10, 20), bool)
    expected[:5, 5:10] = True
    np.testing.assert_array_equal(hole[0], expected)
    shown, _, _ = protocols.prepare(stretched, truth, result, masks)
    whole = [cv2.resize(f, (20, 10), interpolation=cv2.INTER_AREA) for f in truth]
    np.testing.assert_array_equal(shown, whole)


def test_masks_grow_by_a_diamond():
    truth, result, masks = clip(2, 240, 432)
    masks[:] = 0
    masks[0, 100, 200] = 255
    _, _, hole = protocols.prepare(protocols.find("davis432"), truth, result, masks)
    rows, columns = np.mgrid[:240, :432]
    np.testing.assert_array_equal(hole[0], abs(rows - 100) + abs(columns - 200) <= 4)
    assert not hole[1].any()


def test_a_result_of_the_protocols_size_goes_with_a_larger_truth():
    truth, _, masks = clip(2, 48, 64)
    protocol = protocols.find("paper", size=(24, 32))
    small, _, _ = protocols.prepare(protocol, truth, truth, masks)
    found = protocols.measure(protocol, truth, small, masks)
    assert found["psnr_full"] == np.inf
    assert found["frames_equal"] == 2


def test_means_over_clips_and_over_frames():
    def measured(*values):
        finite = [value for value in values if value is not None and np.isfinite(value)]
        mean = sum(finite) / len(finite) if finite else None
        return {"psnr_full": mean, "per_frame": {"psnr_full": [*values]}}

    clips = [measured(10.0), measured(20.0, 40.0, None), measured(None), measured(np.inf, 60.0)]
    # Clips: 10, 30, none, 60. Frames: 10, 20, 40, 60.
    by_clips = protocols.mean(protocols.find("paper"), clips)
    by_frames = protocols.mean(protocols.find("davis432"), clips)
    assert by_clips["psnr_full"] == pytest.approx(100 / 3)
    assert by_frames["psnr_full"] == pytest.approx(32.5)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("hole", lambda t, r, m: (t[:2], r, m), "differ: truth 2, result 3, mask 3"),
        ("hole", lambda t, r, m: (t, r, m[:1]), "truth 3, result 3, mask 1"),
        ("hole", lambda t, r, m: (t, r[:, :-1], m), "the truth 64x48"),
        ("hole", lambda t, r, m: (t, r, m[:, 1:]), "mask is 64x47"),
        ("hole", lambda t, r, m: (t, r, m * 0), "no mask has a hole"),
        ("paper", lambda t, r, m: (t, r, m), "smaller than protocol paper with its 384x192"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured(name, change, says):
    with pytest.raises(InputError, match=says):
        protocols.measure(protocols.find(name), *change(*clip(3, 48, 64)))
