"""Evaluation protocols: size, masks and means, so that numbers can be compared.

`paper`     section 4.1: 384x192, means over a clip's frames, then over clips
`davis432`  as published comparisons on DAVIS: 432x240, masks dilated, scikit-image's SSIM
            with a window of 65, one mean over all frames of all clips
`hole`      at the result's own size, measures inside the hole first; means as `paper`

All protocols compute the same measures (`metrics.evaluate_clip`, and the warping error
along the truth's flow). They differ in size, masks, means, and which measures are printed
first. Every output file contains the protocol's name and parameters.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from vidprior.errors import InputError
from vidprior.evaluation import metrics
from vidprior.flow.dis import MIN_SIDE, estimate_dis
from vidprior.imaging import geometry
from vidprior.imaging.dilation import dilate

# The flow of the warping error.
_PRESET = "medium"


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a result is measured.

    Attributes:
      name: the protocol's name, with `+` if a parameter was changed.
      shown: the measures that a table prints.
      size: (H, W) of the measurement; None for the result's own.
      fit: how larger clips are resized, by area averaging: `crop` around the centre to the
        aspect ratio, as for training, or `stretch`.
      dilate: how often masks grow by a 3x3 cross, at that size.
      mean: `clips`: over the frames of a clip, then over clips; `frames`: over all frames.
      patch, search: of the consistency; see `metrics.consistency`.
    """

    name: str
    shown: tuple[str, ...]
    size: tuple[int, int] | None = None
    fit: str = "crop"
    dilate: int = 0
    mean: str = "clips"
    patch: int = 50
    search: int = 20

    def parameters(self) -> dict[str, Any]:
        """Everything that a measure depends on, for JSON."""
        return {
            "size": "the result's own" if self.size is None else f"{self.size[1]}x{self.size[0]}",
            "fit": self.fit,
            "dilate": self.dilate,
            "mean": self.mean,
            "consistency": f"{self.patch}x{self.patch} centred on the hole, search {self.search}",
            "warping_error": f"mean squared difference on [0, 1], flow dis-{_PRESET} of the truth",
            "ssim_hole": "uniform7",
        }

    def __str__(self) -> str:
        return f"{self.name} (" + "; ".join(f"{n}: {v}" for n, v in self.parameters().items()) + ")"


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "paper",
            ("consistency_psnr", "consistency_ssim", "psnr_full", "ssim_uniform7"),
            size=(192, 384),
        ),
        Protocol(
            "davis432",
            ("psnr_full", "ssim_win65_255"),
            size=(240, 432),
            fit="stretch",
            dilate=4,
            mean="frames",
        ),
        Protocol(
            "hole",
            (
                "psnr_hole",
                "ssim_hole",
                "psnr_full",
                "ssim_uniform7",
                "consistency_psnr",
                "consistency_ssim",
                "warping_error",
            ),
        ),
    )
}


def find(name: str, *, size: tuple[int, int] | None = None) -> Protocol:
    """The protocol of this name, at another size if one is given.

    Raises:
      InputError: the name is unknown.
    """
    if name not in PROTOCOLS:
        raise InputError(f"no protocol '{name}': there are {', '.join(PROTOCOLS)}")
    protocol = PROTOCOLS[name]
    if size is None or size == protocol.size:
        return protocol
    return dataclasses.replace(protocol, name=f"{name}+", size=size)


def measure(
    protocol: Protocol, truth: np.ndarray, result: np.ndarray, masks: np.ndarray
) -> dict[str, Any]:
    """Measures one clip.

    Args:
      protocol: the protocol.
      truth: [T, h, w, 3] uint8 RGB.
      result: [T, h, w, 3] uint8 RGB, composited; or [T, H, W, 3] of the protocol's size.
      masks: [T, h, w] or [T, H, W] uint8, 255 where content was missing.

    Returns:
      As `metrics.evaluate_clip`; also `width` and `height` of the measurement, and
      `warping_error` (T-1 values in `per_frame`).

    Raises:
      InputError: different numbers of frames, different sizes, a clip smaller than the
        protocol's size, or no hole in any frame.
    """
    truth, result, hole = prepare(protocol, truth, result, masks)
    measures = metrics.evaluate_clip(
        truth, result, hole, patch=protocol.patch, search=protocol.search
    )
    errors = np.full(max(len(truth) - 1, 0), np.nan)
    if min(truth.shape[1:3]) >= MIN_SIDE and len(truth) > 1:
        flows = estimate_dis(truth, offsets=(1,), source_sha256="", preset=_PRESET)
        errors = metrics.warping_error(result, flows)
    measures["warping_error"] = metrics.average(errors)
    measures["per_frame"]["warping_error"] = [None if math.isnan(e) else e for e in errors.tolist()]
    return {"width": truth.shape[2], "height": truth.shape[1], **measures}


def prepare(
    protocol: Protocol, truth: np.ndarray, result: np.ndarray, masks: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth and result at the protocol's size, and the hole [T, H, W] bool."""
    clips = {"truth": truth, "result": result, "mask": masks}
    if len({len(clip) for clip in clips.values()}) > 1:
        counts = ", ".join(f"{name} {len(clip)}" for name, clip in clips.items())
        raise InputError(f"the numbers of frames differ: {counts}")
    target = protocol.size or truth.shape[1:3]
    for name, clip in clips.items():
        height, width = clip.shape[1:3]
        if (height, width) not in (target, truth.shape[1:3]):
            raise InputError(
                f"{name} is {width}x{height}, the truth {truth.shape[2]}x{truth.shape[1]}: give "
                f"all of one size" + (", or of the protocol's" if protocol.size else "")
            )
        if height < target[0] or width < target[1]:
            raise InputError(
                f"{name} is {width}x{height}, smaller than protocol {protocol.name} with its "
                f"{target[1]}x{target[0]}: measure at a smaller size, or by protocol hole"
            )
    truth, result, masks = (_resize(clip, target, protocol.fit) for clip in clips.values())
    hole = masks > geometry.MASK_THRESHOLD
    if protocol.dilate:
        hole = np.stack([dilate(mask, protocol.dilate, shape="diamond") for mask in hole])
    if not hole.any():
        raise InputError("no mask has a hole: there is nothing to measure")
    return truth, result, hole


def mean(protocol: Protocol, clips: Iterable[Mapping[str, Any]]) -> dict[str, float | None]:
    """The protocol's mean of every measure, over the clips that `measure` returned.

    Infinite and missing values are left out; see `metrics.average`.
    """
    clips = list(clips)
    means = {}
    for name in clips[0]["per_frame"]:
        if protocol.mean == "frames":
            values = [value for clip in clips for value in clip["per_frame"][name]]
        else:
            values = [clip[name] for clip in clips]
        means[name] = metrics.average(np.array(values, np.float64))
    return means


def _resize(clip: np.ndarray, size: tuple[int, int], fit: str) -> np.ndarray:
    height, width = clip.shape[1:3]
    if fit == "crop":
        return geometry.crop_and_resize(geometry.centre_crop((height, width), size), clip)
    return geometry.crop_and_resize(
        geometry.Transform((height, width), 0, 0, height, width, size), clip
    )
