"""Reports in one command what a GPU does with this project: correctness, time, memory.

    python tools/gpu_report.py --output=out/gpu --python=.venv-pwcnet/bin/python

Takes under eight minutes. All programs are compiled first, at the same time, each in a process of
its own; then they are timed in turn, when nothing else runs. Every section stands alone: one that
fails leaves its error, and one for which no time is left is skipped. `report.json` in the output
folder is written after each figure; `report.md`, its tables, at the end. `--python` is an
environment with PyTorch for CUDA, to compare with; without it, there is no comparison. `--small`
tries the report itself on any machine; its figures mean nothing.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import json
import pathlib
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import _gpu_runs as runs
import numpy as np
from _gpu_programs import Spec
from _gpu_session import DTYPES, PROGRAMS, SMALL, Report, Section, Served
from _gpu_table import PUBLISHED_UPDATES, tables

import vidprior
from vidprior.io.files import replacing

# Where losses and gradients are compared with a CPU's.
AGREEMENT = {"height": 96, "width": 192}


def machine(report: Report, found: dict[str, Any]) -> None:
    """The card, versions, and what the card reaches."""
    found |= {"vidprior": vidprior.__version__, "python": platform.python_version()}
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        fields = "--query-gpu=name,driver_version,clocks.max.sm,power.limit"
        command = ["nvidia-smi", fields, "--format=csv,noheader"]
        found["card, driver, clock, power"] = subprocess.check_output(command, text=True).strip()
    words = sys.executable, PROGRAMS, "ceilings", json.dumps(dataclasses.asdict(report.spec()))
    ceilings = runs.Served(report.folder / "ceilings.log", *words)
    report.stack.callback(ceilings.close)
    for name, value in ceilings.answer(until=report.within(60)).items():
        report.note(found, name, value)


def compare(report: Report, found: dict[str, Any], specs: Mapping[str, Spec]) -> Served:
    """Times programs in turn, three times; those that could be compiled."""
    served: Served = {}
    for name, spec in specs.items():
        program, facts = report.compiled[spec]
        report.note(found, name, facts)
        if program:
            served[name] = program
    answers: dict[str, list[dict[str, float]]] = {name: [] for name in served}
    for _ in range(3):
        for name, program in served.items():
            answers[name].append(program.ask(2, until=report.within(60)))
    for name, each in answers.items():
        count = specs[name].updates * specs[name].networks
        rates = sorted(2 * count / x["seconds"] for x in each)
        row = found[name] | {"updates_per_second": rates[1], "slowest_fastest": rates[::2]}
        flop = 1e9 * row["gflop"]
        row |= {"peak_bytes": each[-1]["peak_bytes"], "tflop_per_second": flop * rates[1] / 1e12}
        ceiling = report.results.get("machine", {}).get(f"{specs[name].dtype}_flop_per_second")
        if ceiling:
            row["share_of_matmul"] = flop * rates[1] / ceiling
        report.note(found, name, row)
    return served


def updates(report: Report, found: dict[str, Any]) -> None:
    """Updates per second of full and flow loss in both precisions."""
    specs = report.specs("updates")
    compare(report, found, specs)
    for dtype in DTYPES:
        rate = found[f"full {dtype}"].get("updates_per_second")
        if rate:
            report.note(
                found, f"published schedule, {dtype}, minutes", PUBLISHED_UPDATES / rate / 60
            )


def profiles(report: Report, found: dict[str, Any]) -> None:
    """Where the time of an update goes, kernel by kernel."""
    for name, spec in report.specs("profiles").items():
        program, facts = report.compiled[spec]
        report.note(
            found, name, program.ask("profile", until=report.within(60)) if program else facts
        )


def pytorch(report: Report, found: dict[str, Any]) -> None:
    """The full loss in turn with PyTorch: the same savings, and the published form."""
    torch = dict(report.torch)
    for name, program in report.torch.items():
        try:
            program.answer(until=report.within(40))
            program.ask(5, until=report.within(40))
        except RuntimeError as error:
            report.note(found, name, {"error": str(error)})
            del torch[name]
    for dtype in DTYPES:
        ours, _ = report.compiled[report.spec(dtype=dtype)]
        rates: dict[str, list[float]] = {}
        for _ in range(3):
            if ours:
                seconds = ours.ask(1, until=report.within(60))["seconds"]
                rates.setdefault("ours", []).append(report.spec().updates / seconds)
            for name, run in torch.items():
                if name.endswith(dtype):
                    count = 2 if report.small else 10
                    seconds = run.ask(count, until=report.within(60))
                    rates.setdefault(name, []).append(count / seconds)
        medians = {name: float(np.median(x)) for name, x in rates.items()}
        report.note(found, f"{dtype}, updates/s", medians)
        if ours:
            ratios = {name: medians["ours"] / x for name, x in medians.items()}
            report.note(found, f"{dtype}, ours is faster by", ratios)


def start_pytorch(report: Report, found: dict[str, Any]) -> None:
    """PyTorch's forms of the update: both precisions, with the same savings and as published."""
    if report.python is None:
        found["skipped"] = "no --python"
        return
    path = report.folder / "update.npz"
    words = PROGRAMS, "arrays", json.dumps(dataclasses.asdict(report.spec(dtype="float32"))), path
    write = runs.Command(report.folder / "arrays.log", *words, platform="cpu")
    report.stack.callback(write.close)
    write.wait(until=report.within(120))
    cuda = [] if report.small else ["--device=cuda"]
    for name, options in {
        "PyTorch bfloat16": ["--autocast"],
        "PyTorch float32": [],
        "published bfloat16": ["--autocast", "--published"],
        "published float32": ["--published"],
    }.items():
        report.torch[name] = report.serve_pytorch(path, name, *cuda, *options)


def demo(report: Report, found: dict[str, Any]) -> None:
    """`make demo` on the device, and losses and gradients against a CPU."""
    numbers = {"frames": 8, "height": 48, "width": 64} if report.small else {
        "frames": 24, "height": 96, "width": 160
    }  # fmt: skip
    clip = runs.make_clip(report.folder / "demo_clip", **numbers)
    fields = [
        "--config.video.height=48", "--config.video.width=64", "--config.model.channels=(4,4)",
        "--config.schedule.windows_per_pass=2", "--config.window.strides=(1,)",
    ] if report.small else []  # fmt: skip
    command = report.train("demo", clip, *fields, config="demo")
    settings = {
        "CPU": Spec(dtype="float32", precision="highest", **AGREEMENT),
        "float32, highest": Spec(dtype="float32", precision="highest", **AGREEMENT),
        "float32, default": Spec(dtype="float32", **AGREEMENT),
        "bfloat16": Spec(dtype="bfloat16", **AGREEMENT),
    }
    gradients = {}
    for k, (name, spec) in enumerate(settings.items()):
        spec = dataclasses.replace(spec, **SMALL) if report.small else spec
        path = report.folder / f"gradient_{k}.npz"
        words = PROGRAMS, "gradient", json.dumps(dataclasses.asdict(spec)), path
        on = "cpu" if name == "CPU" else ""
        gradients[name] = path, runs.Command(path.with_suffix(".log"), *words, platform=on)
        report.stack.callback(gradients[name][1].close)
    truth: dict[str, np.ndarray] = {}
    for name, (path, running) in gradients.items():
        try:
            running.wait(until=report.within(100))
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            truth = truth or arrays
            report.note(found, f"difference to a CPU: {name}", differences(arrays, truth))
        except RuntimeError as error:
            report.note(found, f"difference to a CPU: {name}", {"error": str(error)[-1500:]})
    found |= runs.told(command.wait(until=report.within(110)))
    report.note(found, "seconds", command.seconds)
    report.note(found, "measures", runs.evaluate(clip, report.folder / "demo", until=report.until))


def differences(
    found: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Relative differences: of every loss, and of the gradient by its norm."""
    return {
        name: float(np.linalg.norm(found[name] - truth[name]) / np.linalg.norm(truth[name]))
        for name in truth
    }


def many(report: Report, found: dict[str, Any]) -> None:
    """Several networks at once: programs in flight, and one program of several."""
    specs = report.specs("many")
    compiled = compare(report, found, specs)
    for states in (1, 2, 4):
        rate = compiled["1 network"].ask(f"in_flight {states}", until=report.within(60))
        report.note(found, f"{states} programs in flight, updates/s", rate)


def schedule(report: Report, found: dict[str, Any]) -> None:
    """The loop of a real run of configs/flow.py, with saves and previews."""
    numbers = {"frames": 12, "height": 48, "width": 64} if report.small else {
        "frames": 40, "height": 192, "width": 384
    }  # fmt: skip
    clip = runs.make_clip(report.folder / "clip", **numbers)
    weights = runs.write_vgg(report.folder / "vgg16.npz")
    fields = [
        "--config.flow.estimator=dis", f"--config.vgg.weights={weights}",
        "--config.schedule.num_passes=4", "--config.schedule.windows_per_pass=10",
        "--config.model.dtype=bfloat16",
    ]  # fmt: skip
    if report.small:
        fields += [
            "--config.video.height=48", "--config.video.width=64",
            "--config.model.channels=(4,4)", "--config.schedule.updates_per_window=1",
            "--config.window.strides=(1,)", "--config.model.dtype=float32",
        ]  # fmt: skip
    command = report.train("schedule", clip, *fields, config="flow")
    found |= runs.told(command.wait(until=report.until))
    rate = runs.rate_between_previews(report.folder / "schedule")
    found |= {"seconds": command.seconds, "updates_per_second": rate}
    if rate:
        found["published_schedule_minutes"] = PUBLISHED_UPDATES / rate / 60


def footage(report: Report, found: dict[str, Any]) -> None:
    """2,000 updates of configs/footage.py on the demo's clip, in both precisions."""
    clip = runs.make_clip(report.folder / "clip", frames=40, height=192, width=384)
    fields = ["--config.schedule.num_passes=10", "--config.mask.dilate=0"]
    fields += ["--config.render.feather=0", "--config.video.crop=frame"]
    if report.small:
        fields += [
            "--config.video.height=48", "--config.video.width=64",
            "--config.model.channels=(4,4)", "--config.schedule.windows_per_pass=2",
            "--config.window.strides=(1,)", "--config.schedule.num_passes=2",
        ]  # fmt: skip
    commands = {
        dtype: report.train(
            f"footage_{dtype}", clip, f"--config.model.dtype={dtype}", *fields, config="footage"
        )
        for dtype in DTYPES
    }
    for dtype, command in commands.items():
        row = runs.told(command.wait(until=report.until)) | {"seconds": command.seconds}
        row |= runs.evaluate(clip, report.folder / f"footage_{dtype}", until=report.until)
        report.note(found, dtype, row)


def by_comparing(name: str) -> Section:
    """A section that only times its programs in turn."""
    return lambda report, found: compare(report, found, report.specs(name)) and None


# Before anything is timed, while programs are compiled: real runs, compared with a CPU's.
MEANWHILE: dict[str, Section] = {"demo": demo, "start_pytorch": start_pytorch}
# Then in order of value, when nothing else runs.
SECTIONS: dict[str, Section] = {
    "machine": machine,
    "updates": updates,
    "pytorch": pytorch,
    "graphs": by_comparing("graphs"),
    "compiling": by_comparing("compiling"),
    "dip": by_comparing("dip"),
    "larger": by_comparing("larger"),
    "profiles": profiles,
    "many": many,
    "systems": by_comparing("systems"),
    "larger systems": by_comparing("larger systems"),
    "schedule": schedule,
    "footage": footage,
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, required=True, help="a folder")
    parser.add_argument("--budget", type=float, default=460, help="seconds")
    parser.add_argument("--sections", default=",".join([*MEANWHILE, *SECTIONS]))
    parser.add_argument("--compile", type=float, default=220, help="seconds for compiling")
    parser.add_argument("--python", type=pathlib.Path, help="Python with PyTorch for CUDA")
    parser.add_argument("--small", action="store_true", help="try the report itself, anywhere")
    options = parser.parse_args()
    wanted = options.sections.split(",")
    known = [*MEANWHILE, *SECTIONS]
    if unknown := set(wanted) - set(known):
        sys.exit(f"error: no section {', '.join(unknown)}; there are {', '.join(known)}")
    folder = options.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + options.budget
    report = Report(folder, until, options.small, options.python)
    specs = dict.fromkeys(spec for name in wanted for spec in report.specs(name).values())
    with report.stack, concurrent.futures.ThreadPoolExecutor(2) as pool:
        others = [
            pool.submit(report.run, name, section, 0)
            for name, section in MEANWHILE.items()
            if name in wanted or (name == "start_pytorch" and "pytorch" in wanted)
        ]
        report.compile(list(specs), seconds=options.compile)
        concurrent.futures.wait(others)
        for name, section in SECTIONS.items():
            if name in wanted:
                report.run(name, section, 0 if options.small else 10)
    with replacing(folder / "report.md") as path:
        path.write_text(tables(report.results) + "\n")
    print(f"report: {folder / 'report.json'} and {folder / 'report.md'}", flush=True)


if __name__ == "__main__":
    main()
