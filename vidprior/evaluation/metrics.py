"""Quality and temporal consistency of a result, in NumPy.

Frames are [T, H, W, 3] RGB, uint8 or floating point in [0, 1]; measures are computed in
float64 on [0, 1]. `hole` is [T, H, W] bool, True where the result was generated. A measure
of a clip is one number per frame (or pair of frames); it is NaN, and left out of averages,
if a frame has nothing to measure, for instance an empty hole.

The PSNR of two equal frames is infinite in the per-frame numbers. Averages over a clip
leave such frames out; `evaluate_clip` counts them. The same holds for patches that
consistency finds unchanged.
"""

import math
from typing import Any

import numpy as np
from skimage.metrics import structural_similarity

from vidprior.errors import InputError
from vidprior.types import Flows

# scikit-image's options for the SSIMs in use. `win65_255` is the name of a variant that
# is usually computed on 0..255, with the range to match: the same number.
SSIM_VARIANTS: dict[str, dict[str, Any]] = {
    "uniform7": {"win_size": 7},
    "gaussian_wang": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
    "win65_255": {"win_size": 65},
}

# The window of each variant: no side of a frame may be shorter.
_SSIM_WINDOW = {"uniform7": 7, "gaussian_wang": 11, "win65_255": 65}
SMALLEST_SSIM = _SSIM_WINDOW["uniform7"]


def psnr(truth: np.ndarray, result: np.ndarray, *, mask: np.ndarray | None = None) -> np.ndarray:
    """Peak signal-to-noise ratio of every frame, in dB.

    Args:
      truth: [T, H, W, 3].
      result: [T, H, W, 3].
      mask: [T, H, W] bool, the pixels to compare; all of them when None.

    Returns:
      [T] float64; inf where a frame equals the truth, NaN where its mask is empty.

    Raises:
      InputError: shapes that differ.
    """
    _check(truth, result, mask)
    ratios = np.full(len(truth), np.nan)
    for i in range(len(truth)):
        error = np.square(_unit(truth[i]) - _unit(result[i])).mean(axis=-1)
        kept = error if mask is None else error[mask[i]]
        if kept.size:
            ratios[i] = _decibel(kept.mean())
    return ratios


def ssim(
    truth: np.ndarray,
    result: np.ndarray,
    *,
    variant: str = "uniform7",
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """Structural similarity of every frame (Wang et al. 2004), as scikit-image has it.

    Args:
      truth: [T, H, W, 3].
      result: [T, H, W, 3].
      variant: a name in `SSIM_VARIANTS`.
      mask: [T, H, W] bool; with it, the mean of the full SSIM map (borders included) over
        the mask's pixels, without it scikit-image's mean, which leaves half a window of
        border out.

    Returns:
      [T] float64, at most 1; NaN where the mask is empty.

    Raises:
      InputError: shapes that differ, or frames smaller than the variant's window.
    """
    _check(truth, result, mask)
    window = _SSIM_WINDOW[variant]
    if min(truth.shape[1:3]) < window:
        raise InputError(
            f"frames are {_size(truth)}, SSIM {variant} needs {window} pixels on each side"
        )
    values = np.full(len(truth), np.nan)
    for i in range(len(truth)):
        if mask is not None and not mask[i].any():
            continue
        mean, full = structural_similarity(
            _unit(truth[i]),
            _unit(result[i]),
            data_range=1.0,
            channel_axis=-1,
            full=True,
            **SSIM_VARIANTS[variant],
        )
        values[i] = mean if mask is None else full[mask[i]].mean()
    return values


def consistency(
    result: np.ndarray, hole: np.ndarray, *, patch: int = 50, search: int = 20
) -> tuple[np.ndarray, np.ndarray]:
    """How well the content of the hole is found again in the next frame (section 4.1).

    The patch centred on the hole of frame t is compared with the patches of frame t + 1
    whose top-left corner lies -search .. search - 1 pixels away, in each direction; those
    that leave the frame are skipped. The best match counts.

    Args:
      result: [T, H, W, 3].
      hole: [T, H, W] bool.
      patch: side of the patches in pixels, at least 7.
      search: half the side of the neighbourhood searched, in pixels.

    Returns:
      psnr: [T-1] float64 in dB, inf where the very same patch is found.
      ssim: [T-1] float64, with scikit-image's window of 7.
      Both are NaN for pairs whose first frame has no hole.

    Raises:
      InputError: shapes that differ, or a patch larger than the frames.
    """
    _check(result, result, hole)
    if patch < _SSIM_WINDOW["uniform7"]:
        raise ValueError(f"patch is {patch}, expected at least the window of SSIM")
    height, width = result.shape[1:3]
    if patch > min(height, width):
        raise InputError(
            f"frames are {_size(result)}, consistency needs {patch} pixels on each side"
        )
    best_psnr = np.full(max(len(result) - 1, 0), np.nan)
    best_ssim = best_psnr.copy()
    for t in range(len(best_psnr)):
        if not hole[t].any():
            continue
        centre = np.argwhere(hole[t]).mean(axis=0)
        # Where the patch would leave the frame, it is moved inside.
        top, left = (
            int(np.clip(math.floor(middle - patch / 2), 0, side - patch))
            for middle, side in zip(centre, (height, width), strict=True)
        )
        wanted = _unit(result[t, top : top + patch, left : left + patch])
        region = _unit(
            result[
                t + 1,
                max(top - search, 0) : top + search - 1 + patch,
                max(left - search, 0) : left + search - 1 + patch,
            ]
        )
        best_psnr[t], best_ssim[t] = _best_match(wanted, region)
    return best_psnr, best_ssim


def warping_error(result: np.ndarray, flows: Flows) -> np.ndarray:
    """Change along the motion: each frame against the next one, warped back onto it.

    Args:
      result: [T, H, W, 3].
      flows: the clip's flow with offset +1; its `reliable` is the forward-backward test
        that leaves occluded pixels out. For a hole, that should be the flow of the truth,
        or of the result itself.

    Returns:
      [T-1] float64, the mean squared difference on [0, 1] over the pixels that are reliable
      and lead inside the frame; NaN where there are none.

    Raises:
      InputError: flow of another size, or without offset +1.
    """
    forward = np.flatnonzero(flows.offsets == 1)
    if not forward.size:
        raise InputError(f"warping error needs flow with offset 1, got {flows.offsets.tolist()}")
    flow, reliable = flows.flow[forward[0]], flows.reliable[forward[0]]
    if flow.shape[:3] != result.shape[:3]:
        raise InputError(f"flow is for {_size(flow)}, result is {_size(result)}")
    errors = np.full(max(len(result) - 1, 0), np.nan)
    for t in range(len(errors)):
        warped, inside = _warp(_unit(result[t + 1]), flow[t].astype(np.float64))
        kept = reliable[t] & inside
        if kept.any():
            errors[t] = np.square(warped - _unit(result[t]))[kept].mean()
    return errors


def evaluate_clip(
    truth: np.ndarray,
    result: np.ndarray,
    hole: np.ndarray,
    *,
    patch: int = 50,
    search: int = 20,
) -> dict[str, Any]:
    """All measures of a result against the truth.

    Args:
      truth: [T, H, W, 3].
      result: [T, H, W, 3], composited as the user gets it.
      hole: [T, H, W] bool.
      patch: as in `consistency`.
      search: as in `consistency`.

    Returns:
      frames, pairs: how many there are.
      frames_equal: frames without any error, whose PSNR is infinite; they take part in
        no average of PSNR over the full frame (`psnr_full` is inf when there are no others).
      frames_without_hole: frames that take part in no average of a measure of the hole.
      hole_fraction: the hole's share of all pixels.
      psnr_full, psnr_hole, ssim_uniform7, ssim_gaussian_wang, ssim_win65_255, ssim_hole
        (uniform7), consistency_psnr, consistency_ssim: averages over frames or pairs; None
        where there is nothing to average, or the frames are smaller than the window or patch.
      per_frame: {name of such a measure: list of T (consistency: T-1) numbers or None}.

    Raises:
      InputError: shapes that differ.
    """
    _check(truth, result, hole)
    side = min(truth.shape[1:3])
    nothing = np.full(len(truth), np.nan)
    per_frame = {"psnr_full": psnr(truth, result), "psnr_hole": psnr(truth, result, mask=hole)}
    for variant, window in _SSIM_WINDOW.items():
        fits = side >= window
        per_frame[f"ssim_{variant}"] = ssim(truth, result, variant=variant) if fits else nothing
    fits = side >= _SSIM_WINDOW["uniform7"]
    per_frame["ssim_hole"] = ssim(truth, result, mask=hole) if fits else nothing
    per_frame["consistency_psnr"], per_frame["consistency_ssim"] = (
        consistency(result, hole, patch=patch, search=search)
        if side >= patch
        else (nothing[1:], nothing[1:])
    )
    return {
        "frames": len(truth),
        "pairs": max(len(truth) - 1, 0),
        "frames_equal": int(np.isinf(per_frame["psnr_full"]).sum()),
        "frames_without_hole": int((~hole.any(axis=(1, 2))).sum()),
        "hole_fraction": float(hole.mean()),
        **{name: average(values) for name, values in per_frame.items()},
        "per_frame": {
            name: [None if math.isnan(value) else value for value in values.tolist()]
            for name, values in per_frame.items()
        },
    }


def average(values: np.ndarray) -> float | None:
    """The mean of the finite values; without any, inf if there is one, else None.

    An infinite PSNR belongs to a frame without error; in a mean it would hide the others.
    """
    finite = values[np.isfinite(values)]
    if finite.size:
        return float(finite.mean())
    return math.inf if np.isinf(values).any() else None


def _best_match(wanted: np.ndarray, region: np.ndarray, window: int = 7) -> tuple[float, float]:
    """PSNR and SSIM of the patch of `region` [h, w, 3] most like `wanted` [n, n, 3].

    SSIM's averages over windows that depend on one image only are taken once for the
    region; only the average of products is needed anew for every place of the patch.
    """
    side = len(wanted)
    places = np.lib.stride_tricks.sliding_window_view(region, (side, side), axis=(0, 1))
    wanted = np.moveaxis(wanted, -1, 0)  # [3, n, n], as the places: [rows, columns, 3, n, n]
    mean, mean_square = _box(wanted, window), _box(wanted * wanted, window)
    channels = np.moveaxis(region, -1, 0)
    inner = (side - window + 1,) * 2
    means, mean_squares = (
        np.moveaxis(
            np.lib.stride_tricks.sliding_window_view(_box(x, window), inner, axis=(1, 2)), 0, 2
        )
        for x in (channels, channels * channels)
    )
    # Sample covariance, and the constants of Wang et al. for a range of 1.
    sample = window**2 / (window**2 - 1)
    c1, c2 = 0.01**2, 0.03**2
    variance = sample * (mean_square - mean * mean)

    least_error, best_ssim = math.inf, -math.inf
    for row in range(len(places)):
        difference = (places[row] - wanted).reshape(len(places[row]), -1)
        least_error = min(least_error, np.einsum("ij,ij->i", difference, difference).min())
        covariance = sample * (_box(places[row] * wanted, window) - means[row] * mean)
        variances = sample * (mean_squares[row] - means[row] * means[row])
        similarity = (2 * means[row] * mean + c1) * (2 * covariance + c2)
        similarity /= (means[row] ** 2 + mean**2 + c1) * (variances + variance + c2)
        best_ssim = max(best_ssim, similarity.mean(axis=(1, 2, 3)).max())
    return _decibel(least_error / wanted.size), best_ssim


def _box(images: np.ndarray, window: int) -> np.ndarray:
    """Means over all windows that lie inside the last two axes, by running sums."""
    for axis in (-1, -2):
        images = np.moveaxis(images, axis, -1)
        sums = np.zeros((*images.shape[:-1], images.shape[-1] + 1))
        np.cumsum(images, axis=-1, out=sums[..., 1:])
        images = np.moveaxis(sums[..., window:] - sums[..., :-window], -1, axis)
    return images / window**2


def _warp(image: np.ndarray, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`image` [H, W, 3] sampled at p + flow(p), bilinear, and where that lies inside."""
    height, width = image.shape[:2]
    row, column = np.mgrid[:height, :width]
    x, y = column + flow[..., 0], row + flow[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    x, y = (x - left)[..., None], (y - top)[..., None]
    upper = (1 - x) * image[top, left] + x * image[top, right]
    lower = (1 - x) * image[bottom, left] + x * image[bottom, right]
    return (1 - y) * upper + y * lower, inside


def _decibel(error: float) -> float:
    return -10 * math.log10(error) if error > 0 else math.inf


def _unit(frame: np.ndarray) -> np.ndarray:
    """float64 in [0, 1]."""
    return frame / 255.0 if frame.dtype == np.uint8 else frame.astype(np.float64)


def _size(frames: np.ndarray) -> str:
    return f"{frames.shape[0]} frames of {frames.shape[1]}x{frames.shape[2]} (height x width)"


def _check(truth: np.ndarray, result: np.ndarray, hole: np.ndarray | None) -> None:
    """Refuses clips of different sizes, which is the user's mix-up, before anything else."""
    for name, frames in (("truth", truth), ("result", result)):
        if frames.ndim != 4 or frames.shape[-1] != 3:
            raise ValueError(f"{name}: expected [T, H, W, 3], got {frames.shape}")
        if frames.dtype != np.uint8 and not np.issubdtype(frames.dtype, np.floating):
            raise ValueError(f"{name}: expected uint8 or floating point, got {frames.dtype}")
        if frames.dtype != np.uint8 and (bad := np.isnan(frames).any(axis=(1, 2, 3))).any():
            raise InputError(f"{name}: frame {bad.argmax()} holds NaN")
        if frames.dtype != np.uint8 and not (frames.min() >= 0 and frames.max() <= 1):
            raise ValueError(f"{name}: expected values in [0, 1]")
    if truth.shape != result.shape:
        raise InputError(f"truth is {_size(truth)}, result is {_size(result)}")
    if hole is not None:
        if hole.dtype != bool:
            raise ValueError(f"hole: expected bool, got {hole.dtype}")
        if hole.shape != truth.shape[:3]:
            raise InputError(f"hole is {_size(hole)}, result is {_size(result)}")
