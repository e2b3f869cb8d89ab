"""Writes a run as one self-contained HTML page; needs the extra `figures`.

python tools/report.py --workdir=DIR [--output=DIR/report.html] [--row=N]
"""

import argparse
import pathlib
import sys

import _command

from vidprior.run.workdir import Workdir


def main(arguments: list[str] | None = None) -> int:
    """Reads the flags; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", type=pathlib.Path, required=True, help="of a finished run")
    parser.add_argument("--output", type=pathlib.Path, help="the file (report.html in the run's)")
    parser.add_argument("--row", type=int, help="of the temporal slice (the hole's middle)")
    flags = parser.parse_args(arguments)

    def command() -> None:
        _command.require("matplotlib")
        _command.require("jinja2")
        from vidprior.evaluation.report import write_report

        path = flags.output or flags.workdir / "report.html"
        write_report(Workdir(flags.workdir), path, row=flags.row)
        print(path)

    return _command.run(command)


if __name__ == "__main__":
    sys.exit(main())
