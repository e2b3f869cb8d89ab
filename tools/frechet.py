r"""FID or VFID: the Frechet distance between two collections of features.

python tools/pack_frames.py --frames=result/ --output=result.npz
.venv-pwcnet/bin/python tools/extract_features.py --network=FILE.pt --kind=image \
    --output=result_features.npz result.npz
python tools/frechet.py --result result_features.npz ... --truth truth_features.npz ...
"""

import argparse
import pathlib
import sys

import _command

from vidprior.evaluation.frechet import distance_of_files


def main(arguments: list[str] | None = None) -> int:
    """Reads the flags; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--result", type=pathlib.Path, nargs="+", required=True)
    parser.add_argument("--truth", type=pathlib.Path, nargs="+", required=True)
    flags = parser.parse_args(arguments)

    def command() -> None:
        distance, network = distance_of_files(flags.result, flags.truth)
        print(f"Frechet distance {distance:.4f} ({network})")

    return _command.run(command)


if __name__ == "__main__":
    sys.exit(main())
