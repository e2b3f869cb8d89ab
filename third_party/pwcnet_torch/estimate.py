"""Estimates optical flow between the frames of a clip with PWC-Net, and writes a flow file.

    python third_party/pwcnet_torch/estimate.py --frames clip.npz --weights FILE --output flows.npz

Reads `frames` (uint8 [T, H, W, 3], RGB) and `source_sha256` (str) from an .npz, and writes the
flow file that docs/develop/file_formats.md specifies. Invalid input ends with exit code 2 and one
line on stderr.
"""

import argparse
import math
import os
import pathlib
import sys
import time
import zipfile

import numpy as np
import torch
from pwcnet import PWCNet, prepare, reliable, to_pixels
from tqdm import tqdm
from weights import InputError, load

FILE_VERSION = 1
OFFSETS = (1, -1, 3, -3, 5, -5)
MAX_BYTES = 2**32  # of frames; a larger clip is a damaged header


def read_clip(path: pathlib.Path) -> tuple[np.ndarray, str]:
    """Reads (frames uint8 [T, H, W, 3], source_sha256) from an .npz.

    Raises:
      InputError: the file is missing, damaged, too large, or holds something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            frames = _read_array(archive, "frames", MAX_BYTES)
            source = _read_array(archive, "source_sha256", 4096)
    except KeyError as error:
        raise InputError(f"{path} is not a clip: {error.args[0]}") from error
    except OSError as error:
        raise InputError(f"cannot read clip {path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged archive can fail in any way
        raise InputError(f"{path} is not a clip: {error}") from error
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size:
        found = f"{frames.dtype} {list(frames.shape)}"
        raise InputError(f"{path}: frames is {found}, expected uint8 [T, H, W, 3]")
    digest = str(source)
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise InputError(f"{path}: source_sha256 is not 64 hexadecimal digits")
    return frames, digest


def _read_array(archive: zipfile.ZipFile, name: str, limit: int) -> np.ndarray:
    """One array of an .npz; its header is checked before memory is allocated."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as member:
        major, _ = np.lib.format.read_magic(member)
        read_header = {1: "read_array_header_1_0", 2: "read_array_header_2_0"}[major]
        shape, _, dtype = getattr(np.lib.format, read_header)(member)
        size = math.prod(shape) * dtype.itemsize
        if size > limit or size != info.file_size - member.tell():
            raise ValueError(f"{name} claims {size} bytes, the file has {info.file_size}")
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


@torch.inference_mode()
def estimate(net: PWCNet, frames: np.ndarray, *, offsets, batch: int, dtype: str, track=None):
    """Estimates flow for every pair of frames, both ways, on the device that holds `net`.

    Args:
      net: the network with its weights.
      frames: uint8 [T, H, W, 3], RGB.
      offsets: the K frame distances d to store.
      batch: pairs in flight; each is estimated both ways.
      dtype: "float16" or "float32", for the stored flow.
      track: wraps the list of batches, to report progress.

    Returns:
      The arrays `flow` [K, T, H, W, 2], `reliable` [K, T, H, W] and `exists` [K, T].
    """
    device = next(net.parameters()).device
    count, height, width = frames.shape[:3]
    there = np.arange(count) + np.array(offsets)[:, None]
    flows = np.zeros((len(offsets), count, height, width, 2), dtype)
    agree = np.zeros(flows.shape[:4], bool)

    parts = []
    for start in range(0, count, batch):
        image = torch.from_numpy(frames[start : start + batch]).to(device)
        parts.append(net.encode(prepare(image)))
    pyramid = {level: torch.cat([part[level] for part in parts]) for level in parts[0]}
    del parts

    batches = [
        (stride, np.arange(start, min(start + batch, count - stride)))
        for stride in sorted({abs(d) for d in offsets})
        for start in range(0, count - stride, batch)
    ]
    for stride, first in track(batches) if track else batches:
        second = first + stride
        source = {level: x[np.r_[first, second]] for level, x in pyramid.items()}
        target = {level: x[np.r_[second, first]] for level, x in pyramid.items()}
        forth, back = to_pixels(net.decode(source, target), height, width).chunk(2)
        for d, index, flow, reverse in (
            (stride, first, forth, back),
            (-stride, second, back, forth),
        ):
            if d not in offsets:
                continue
            stored = flow.permute(0, 2, 3, 1).to(getattr(torch, dtype))
            if not stored.isfinite().all():
                raise InputError("the network's flow is not finite: the weights file is damaged")
            k = offsets.index(d)
            flows[k, index] = stored.cpu().numpy()
            agree[k, index] = reliable(flow, reverse).cpu().numpy()
    return {"flow": flows, "reliable": agree, "exists": (there >= 0) & (there < count)}


def write(path: pathlib.Path, arrays: dict) -> None:
    """Writes an .npz, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def track(batches):
    """Yields batches of pairs under a progress bar, or with a line for each tenth of them."""
    total = sum(len(first) for _, first in batches)
    with tqdm(total=total, unit="pair", disable=not sys.stderr.isatty()) as bar:
        done = 0
        for item in batches:
            yield item
            before, done = done, done + len(item[1])
            bar.update(len(item[1]))
            if bar.disable and 10 * before // total < 10 * done // total:
                print(f"pairs {done}/{total}", flush=True)


def distances(text: str) -> tuple[int, ...]:
    """Parses --offsets."""
    offsets = tuple(int(part) for part in text.split(","))
    if 0 in offsets or len(set(offsets)) < len(offsets) or max(map(abs, offsets)) >= 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different frame distances")
    return offsets


def positive(text: str) -> int:
    """Parses --batch."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return int(text)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: this PyTorch sees no CUDA device; use --device cpu")
    return torch.device(name)


def run(args: argparse.Namespace) -> None:
    """The command, after its flags are read."""
    device = _device(args.device)
    if not args.output.parent.is_dir():
        raise InputError(f"--output: there is no folder {args.output.parent}")
    frames, source = read_clip(args.frames)
    net, digest = load(args.weights)
    count, height, width = frames.shape[:3]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    print(f"device: {name}; {count} frames of {width}x{height}", flush=True)
    began = time.monotonic()
    arrays = estimate(
        net.to(device),
        frames,
        offsets=args.offsets,
        batch=args.batch,
        dtype=args.dtype,
        track=track,
    )
    write(
        args.output,
        {
            "version": FILE_VERSION,
            "estimator": f"pwcnet sha256:{digest[:16]}",
            "offsets": np.array(args.offsets, np.int32),
            **arrays,
            "size": np.array([height, width], np.int32),
            "source_sha256": source,
        },
    )
    seconds = time.monotonic() - began
    print(f"wrote {args.output}: {arrays['exists'].sum()} flows in {seconds:.1f} s")


def main(argv=None) -> int:
    """Reads the flags; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="The published PWC-Net weights are licensed for non-commercial use only.",
    )
    parser.add_argument("--frames", type=pathlib.Path, required=True, help=".npz with the frames")
    parser.add_argument("--weights", type=pathlib.Path, required=True, help="see README.md")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="the flow file")
    parser.add_argument(
        "--offsets",
        type=distances,
        default=OFFSETS,
        help="frame distances to store, as --offsets=1,-1,3,-3,5,-5 (the default)",
    )
    parser.add_argument("--batch", type=positive, default=4, help="pairs in flight (default 4)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float16")
    try:
        run(parser.parse_args(argv))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (MemoryError, torch.cuda.OutOfMemoryError):
        print("error: out of memory: use a smaller --batch or a shorter clip", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
