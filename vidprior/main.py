"""The command line: parses the arguments, runs one mode, prints the paths of the result.

python -m vidprior.main --config=configs/footage.py --video=V --mask=M --workdir=DIR
python -m vidprior.main --mode=render --workdir=DIR [--checkpoint=STEP] [--frames=10:40]
python -m vidprior.main --mode=reference --workdir=DIR
python -m vidprior.main --mode=evaluate --workdir=DIR --truth=PATH [--protocol=paper]
python -m vidprior.main --mode=import --published=F --config=configs/flow.py --video=V ...
python -m vidprior.main --mode=export --published=F --workdir=DIR
python -m vidprior.main --mode=doctor
python -m vidprior.main track --video=V --painted=FRAME:IMAGE --output=MASKS
python -m vidprior.main batch MANIFEST [--output=DIR] [--engine=ray --address=A]
python -m vidprior.main app [--port=PORT]
"""

import importlib
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from absl import logging as absl_logging

from vidprior import command_line, console, runtime
from vidprior.command_line import Request
from vidprior.errors import InputError, Interrupted, NonFiniteLoss

# Loaded where a mode needs them: with JAX they take a second, and a slip in a flag takes none.
if TYPE_CHECKING:
    from vidprior.run.workdir import Workdir

# Modules whose `main(arguments)` takes the words after the name.
SUBCOMMANDS = {
    "app": "vidprior.app.command",
    "batch": "vidprior.batch.command",
    "track": "vidprior.tracking.command",
}


def main(arguments: Sequence[str]) -> int:
    """Runs one mode.

    Args:
      arguments: the program's name, and its arguments.

    Returns:
      The exit code: 0; 1 if training diverged; 2 for invalid input, after one line; 130 if
      the user stopped it.
    """
    absl_logging.set_verbosity(absl_logging.FATAL)  # JAX and Orbax report every step they take
    try:
        with console.shows_log():
            if len(arguments) > 1 and arguments[1] in SUBCOMMANDS:
                module = importlib.import_module(SUBCOMMANDS[arguments[1]])
                return int(module.main(arguments[2:]))
            _run(command_line.parse(arguments))
    except (InputError, NonFiniteLoss) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except (Interrupted, KeyboardInterrupt) as stopped:
        command = shlex.join([sys.executable, "-m", "vidprior.main", *arguments[1:]])
        print(
            f"{str(stopped) or 'stopped'}. To resume, rerun the command:\n  {command}",
            file=sys.stderr,
        )
        return 130
    return 0


def _run(request: Request) -> None:
    """Runs the requested mode, and prints its result on stdout."""
    if request.mode == "doctor":
        from vidprior import doctor

        print("\n".join(doctor.report(doctor.examine(request.config))))
        return
    if not request.workdir:
        raise InputError("--workdir is missing")
    from vidprior.io import reference_files
    from vidprior.run import commands
    from vidprior.run.workdir import Workdir

    workdir = Workdir(request.workdir)
    inputs = {
        name: path and os.path.abspath(path)
        for name, path in (
            ("video", request.video), ("mask", request.mask), ("flows", request.flows)
        )
    }  # fmt: skip
    inputs["reference"] = request.reference and reference_files.absolute(request.reference)
    runtime.keep_compiled()
    if request.mode == "render":
        written = commands.render(
            workdir,
            overrides=command_line.render_overrides(request),
            choose=lambda count: command_line.frame_range(request.frames, count),
            step=request.checkpoint,
            inputs=inputs,
        )
        _print_results(written)
    elif request.mode == "reference":
        for path, share in commands.write_references(workdir, inputs=inputs):
            print(f"reference: {path}, would show {share:.0%} of what is guessed")
    elif request.mode == "evaluate":
        _evaluate(workdir, request)
    elif request.mode == "export":
        step = commands.export_network(workdir, request.published, step=request.checkpoint)
        print(f"exported: update {step} to {request.published}")
    elif request.config is None:
        raise InputError("--config is missing, for example --config=configs/footage.py")
    elif request.mode == "import":
        commands.import_network(request.config, workdir, inputs, request.published)
        path = workdir.path
        print(f"imported: {path}; render it with --mode=render --workdir={path}")
    else:
        _print_results(commands.train(request.config, workdir, inputs))


def _evaluate(workdir: "Workdir", request: Request) -> None:
    # Here, since SciPy and scikit-image would take half a second of every start.
    from vidprior.evaluation import evaluate, protocols, tables

    protocol = protocols.find(request.protocol)
    if not request.truth:
        raise InputError("--truth is missing: the true frames, as a video or a folder")
    measured = evaluate.evaluate(workdir, request.truth, protocol=protocol)
    print(f"protocol {protocol}")
    print(tables.table(measured, protocol.shown))
    if "source" in measured:
        print(tables.source_table(measured["source"]))
    print(f"measures: {workdir.evaluation_file}")


def _print_results(paths: Mapping[str, object]) -> None:
    print(f"result:     {paths['result']}")
    print(f"frames:     {paths['frames']}/*.png, at training size")
    print(f"comparison: {paths['comparison']}")


def run() -> None:
    """The console entry."""
    runtime.keep_memory()
    code = main(sys.argv)
    sys.stdout.flush()
    sys.stderr.flush()
    if code:
        # Otherwise threads of a failed save print tracebacks after our one line.
        os._exit(code)


if __name__ == "__main__":
    run()
