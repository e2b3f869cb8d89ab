"""The flow file: the contract between any flow estimator and `vidprior`.

docs/develop/file_formats.md specifies its arrays; `types.Flows` is its content in memory.
"""

import hashlib
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from vidprior.errors import InputError
from vidprior.io.npz import load_npz, read_headers, save_npz
from vidprior.types import Flows

VERSION = 1

# All members but `flow` and `reliable`: read and checked before these are.
_SMALL_FIELDS = {
    "version": ("iu", 0),
    "estimator": ("U", 0),
    "offsets": ("i", 1),
    "exists": ("b", 2),
    "size": ("i", 1),
    "source_sha256": ("U", 0),
}
_SMALL_BYTES = 1 << 20


def frames_sha256(frames: np.ndarray) -> str:
    """The identity of a clip: a hash of its shape and of all its pixels.

    Args:
      frames: [T, H, W, 3] uint8 RGB.

    Returns:
      SHA-256, in hex, of the line "TxHxWx3" in decimal, a newline, and the frames' bytes.

    Raises:
      ValueError: the frames have another shape or dtype.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(f"expected [T, H, W, 3] uint8, got {frames.shape} {frames.dtype}")
    digest = hashlib.sha256("x".join(map(str, frames.shape)).encode() + b"\n")
    digest.update(np.ascontiguousarray(frames).data)
    return digest.hexdigest()


def save_flows(path: str | os.PathLike[str], flows: Flows) -> None:
    """Writes a flow file, whole or not at all.

    Args:
      path: the file to write; an existing file is replaced.
      flows: the flows.

    Raises:
      InputError: the file cannot be written.
    """
    save_npz(
        path,
        version=VERSION,
        estimator=flows.estimator,
        offsets=np.asarray(flows.offsets, np.int32),
        flow=flows.flow,
        reliable=flows.reliable,
        exists=flows.exists,
        size=np.asarray(flows.flow.shape[2:4], np.int32),
        source_sha256=flows.source_sha256,
    )


def load_flows(
    path: str | os.PathLike[str],
    *,
    num_frames: int,
    size: tuple[int, int],
    source_sha256: str,
    offsets: Sequence[int],
) -> Flows:
    """Reads some offsets of a flow file, after checking that it belongs to the clip.

    Args:
      path: the flow file.
      num_frames: T of the clip.
      size: (H, W) of the clip.
      source_sha256: `frames_sha256` of the clip.
      offsets: the frame distances to read, in this order.

    Returns:
      The flows, with K = len(offsets).

    Raises:
      InputError: the file is unreadable, does not follow the specification, belongs to
        another clip, or lacks an offset. The message names the field and both values.
    """
    path = pathlib.Path(path)
    small = load_npz(path, fields=_SMALL_FIELDS, max_bytes=_SMALL_BYTES)
    headers = read_headers(path, ("flow", "reliable"))

    def match(field: str, found: object, wanted: object, advice: str = "") -> None:
        if found != wanted:
            raise InputError(f"{path}: {field} is {found}, expected {wanted}{advice}")

    again = "; estimate the flow again for this clip"
    for field in ("offsets", "size"):
        match(f"dtype of {field}", small[field].dtype, np.dtype(np.int32))
    match("version", int(small["version"]), VERSION)
    match("size (height, width)", tuple(small["size"].tolist()), tuple(size), again)

    stored = small["offsets"].tolist()
    if not stored or 0 in stored or len(set(stored)) != len(stored):
        raise InputError(f"{path}: offsets are {stored}, expected distinct numbers other than 0")
    count = len(stored)
    flow_shape = headers["flow"].shape
    if len(flow_shape) == 5:
        match("number of frames", flow_shape[1], num_frames, again)
    match("shape of flow", flow_shape, (count, num_frames, *size, 2))
    match("shape of reliable", headers["reliable"].shape, flow_shape[:-1])
    match("shape of exists", small["exists"].shape, (count, num_frames))
    if headers["flow"].dtype not in (np.float16, np.float32):
        raise InputError(
            f"{path}: dtype of flow is {headers['flow'].dtype}, expected float16 or float32"
        )
    match("dtype of reliable", headers["reliable"].dtype, np.dtype(bool))
    source = small["source_sha256"].item()
    if source != source_sha256:
        found, wanted = _shorten(source), _shorten(source_sha256)
        raise InputError(f"{path}: source_sha256 is {found}, expected {wanted}{again}")
    missing = [d for d in offsets if d not in stored]
    if missing:
        raise InputError(
            f"{path}: offsets are {stored}, expected {list(offsets)} ({missing} missing){again}"
        )
    estimator = small["estimator"].item()
    if not estimator.isprintable():
        raise InputError(f"{path}: estimator is {estimator[:40]!r}, expected printable text")

    num_bytes = headers["flow"].num_bytes + headers["reliable"].num_bytes
    large = load_npz(path, fields={"flow": ("f", 5), "reliable": ("b", 4)}, max_bytes=num_bytes)
    # A slice if the order is the same: no second copy of a run's largest array.
    chosen = slice(None) if stored == list(offsets) else [stored.index(d) for d in offsets]
    flows = Flows(
        offsets=np.asarray(offsets, np.int32),
        flow=large["flow"][chosen],
        reliable=large["reliable"][chosen],
        exists=small["exists"][chosen],
        estimator=estimator,
        source_sha256=source_sha256,
    )
    _check_contents(path, flows)
    return flows


def _check_contents(path: pathlib.Path, flows: Flows) -> None:
    """Refuses flow that is not finite, or that exists outside the clip."""
    num_frames = flows.flow.shape[1]
    for offset, flow, reliable, exists in zip(
        flows.offsets.tolist(), flows.flow, flows.reliable, flows.exists, strict=True
    ):
        for frame in range(num_frames):
            inside = 0 <= frame + offset < num_frames
            where = f"{path}: offset {offset}, frame {frame}"
            if exists[frame] and not inside:
                raise InputError(f"{where}: exists is True, expected False outside the clip")
            if not exists[frame] and reliable[frame].any():
                raise InputError(f"{where}: reliable is True where exists is False")
            if not np.isfinite(flow[frame]).all():
                raise InputError(f"{where}: flow is not finite")


def _shorten(digest: str) -> str:
    """The beginning of a hash, quoted so that no control characters reach a terminal."""
    return repr(digest if len(digest) <= 16 else digest[:16] + "...")
