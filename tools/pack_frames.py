"""Writes a clip as an .npz with `frames`, for the PyTorch tools.

python tools/pack_frames.py --frames=CLIP --output=FILE.npz
"""

import argparse
import pathlib
import sys

import _command

from vidprior.flow.flow_file import frames_sha256
from vidprior.io.footage import read_frames
from vidprior.io.npz import save_npz


def main(arguments: list[str] | None = None) -> int:
    """Reads the flags; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", required=True, help="a video or a folder of frames")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="the file to write")
    flags = parser.parse_args(arguments)

    def command() -> None:
        frames = read_frames(flags.frames).frames
        save_npz(flags.output, frames=frames, source_sha256=frames_sha256(frames))
        print(f"{flags.output}: {len(frames)} frames of {frames.shape[2]}x{frames.shape[1]}")

    return _command.run(command)


if __name__ == "__main__":
    sys.exit(main())
