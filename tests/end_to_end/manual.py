"""What the manual tells to type, and a place where it is typed: small inputs, short runs."""

import json
import pathlib
import re
import shlex
import sys

from harness import HEIGHT, ROOT, WIDTH

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

# Not run, for the reason given. Their flags, targets and files are checked by test_docs.py.
NOT_RUN = {
    "make test": "these tests are a part of it",
    "make app": "serves until Ctrl-C; tests/app/test_page.py starts the page",
    "make pwcnet-env": "fetches PyTorch; .ci/run does it",
    "make vgg16-weights": "fetches weights that others trained",
    "ray ": "wants a cluster; test_batch.py starts one of this machine",
    "kubectl": "wants a cluster",
    "curl": "fetches weights that others trained",
    ".venv-pwcnet/bin/python": "wants PyTorch; third_party/pwcnet_torch/tests runs it",
    ".venv/bin/python tools/benchmark.py": "wants PyTorch; test_benchmark.py runs it without",
    "python tools/gpu_report.py": "wants a GPU and PyTorch; test_gpu_report.py runs it without",
    ".venv/bin/python tools/convergence.py": "takes an hour; test_convergence_command.py runs it",
    ".venv/bin/python tools/figures.py similarity": "wants five scales; "
    "test_figures_command.py runs it",
    ".venv/bin/python -m pip install": "fetches packages",
    "python -m pip install": "fetches packages; test_packaging.py installs a wheel",
}  # fmt: skip

# The manual's numbers that small inputs do not have, and what stands for them.
INSTEAD = {
    "--checkpoint=5100": "--checkpoint=2",
    "--workdir=out/clip/parts/000030-000076": "--workdir=out/clip",
    "--protocol=paper": "--protocol=hole",
    "--protocol=davis432": "--protocol=hole",
    "--row=96": "--row=16",
}

SIZE = f"{WIDTH}x{HEIGHT}"
SHORT = (
    f"--config.video.height={HEIGHT}",
    f"--config.video.width={WIDTH}",
    "--config.mask.dilate=2",
    "--config.render.feather=2",
    "--config.flow.estimator=dis",
    "--config.loss.perceptual=0",
    "--config.model.channels=(8,)",
    "--config.window.length=3",
    "--config.schedule.num_passes=1",
    "--config.schedule.windows_per_pass=2",
    "--config.schedule.updates_per_window=1",
    "--config.schedule.median_window=none",
)
# By command, the flags that shorten it; they take the place of those of the same name.
ADDED = {
    "vidprior.main .*--config=": SHORT,
    "vidprior.main batch": SHORT,
    "tools/make_demo_clip.py": ("--frames=8", f"--height={HEIGHT}", f"--width={WIDTH}"),
    "tools/compose.py": ("--frames=8", f"--size={SIZE}"),
    "tools/compose.py set": ("--background", "a.mp4", "--masks-per-background=1"),
    "tools/evaluate_folder.py": ("--protocol=hole",),
    # Of several systems, which test_ablation_command.py runs, one.
    "tools/ablation.py --set": ("--protocol=hole", *SHORT, "--only", "DIP-Vid"),
    "tools/ablation.py --systems": ("--protocol=hole", *SHORT, "--only", "footage"),
}

# Stands where the manual says `.venv/bin/python`.
WRAPPER = """#!{python}
import json, os, re, sys
instead, added = json.loads({rules!r})
words = [instead.get(word, word) for word in sys.argv[1:]]
line = " ".join(words)
for command, flags in added.items():
    if re.search(command, line):
        names = {{flag.partition("=")[0] for flag in flags if flag.startswith("--")}}
        words = [word for word in words if word.partition("=")[0] not in names or "=" not in word]
        words += flags
words = [{python!r}, *words]
if {server!r} is None:
    os.execv(words[0], words)
sys.path.insert(0, {tests!r})
from fork_server import Forked
command = Forked({server!r}, words, env=os.environ, cwd=os.getcwd(), streams=(0, 1, 2))
sys.exit(command.wait())
"""


def commands(page: pathlib.Path) -> list[str]:
    """Every command of a page's shell blocks, with its lines joined."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if shlex.split(line, comments=True)]


def pythons(page: pathlib.Path) -> list[str]:
    """Every Python block of a page."""
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def why_not(command: str) -> str | None:
    """The reason for which a command is not run."""
    return next((why for start, why in NOT_RUN.items() if command.startswith(start)), None)


def write_wrapper(folder: pathlib.Path, server: pathlib.Path | None) -> None:
    """Puts `.venv/bin/python` and the stamp that tells make that it is installed."""
    python = folder / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    values = {
        "python": sys.executable,
        "rules": json.dumps([INSTEAD, ADDED]),
        "server": server and str(server),
        "tests": str(ROOT / "tests"),
    }
    python.write_text(WRAPPER.format(**values))
    python.chmod(0o755)
    (folder / ".venv/.installed").touch()
