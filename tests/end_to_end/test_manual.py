"""Every command and every Python block of the README and of docs/ is run as it is typed."""

import re
import shutil
import sys

import imageio.v3
import manual
import numpy as np
import pytest
from harness import HEIGHT, ROOT, WIDTH

from vidprior.evaluation.frechet import VERSION

pytestmark = pytest.mark.slow

FRAMES = 60
LENGTHS = "protocol,system,window,part,clips,{0}\npaper,k 1,1,all,2,{1}\npaper,k 10,10,all,2,{2}\n"
MEASURES = ("consistency_psnr", "consistency_ssim", "psnr_full", "ssim_uniform7")


def run(line, folder, command):
    """Types a line into a shell that stands in a folder."""
    done = command.execute(["bash", "-c", line], cwd=folder)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def lay_out(folder, command):
    """What every page takes for granted: the code, and footage."""
    for name in ("vidprior", "configs", "tools", "third_party", "docs", "Makefile", "setup.py"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("README.md", "constraints.txt"):
        (folder / name).symlink_to(ROOT / name)
    size = f"--frames={FRAMES} --height={HEIGHT} --width={WIDTH}"
    made = command.execute(
        [sys.executable, *f"{ROOT}/tools/make_demo_clip.py --output={folder} {size}".split()]
    )
    assert made.returncode == 0, made.stderr
    frames = [imageio.v3.imread(path) for path in sorted((folder / "frames").iterdir())]
    imageio.v3.imwrite(folder / "clip.mp4", np.stack(frames), plugin="pyav", codec="libx264")
    imageio.v3.imwrite(folder / "film.mp4", np.stack(frames), plugin="pyav", codec="libx264")
    shutil.copy(folder / "masks/00040.png", folder / "frame40.png")
    for name in ("a.mp4", "b.mp4", "VIDEO"):
        (folder / name).symlink_to("clip.mp4")
    for name in ("m1", "m2", "m3", "m4", "m5", "MASK"):
        (folder / name).symlink_to("masks")
    for name in ("c", "tennis", "bmx-trees", "goat", "camel"):
        (folder / name).symlink_to(".")


def begin(folder, command):
    """The run that the README begins with."""
    line = next(line for line in manual.commands(manual.PAGES[0]) if "--config=" in line)
    run(line, folder, command)


def lay_out_for_weights(folder, command):
    """A network in the published layout."""
    python, inputs = ".venv/bin/python -m vidprior.main", "--video=clip.mp4 --mask=masks/"
    run(f"{python} --config=configs/flow.py {inputs} --workdir=out/ours", folder, command)
    run(f"{python} --mode=export --workdir=out/ours --published=net.npz", folder, command)


def lay_out_for_evaluation(folder, command):
    """Results of other methods, a trained run, features, and a table by length of windows."""
    begin(folder, command)
    train = "--config=configs/flow.py --video=clip.mp4 --mask=masks/ --workdir=out/flow"
    run(f".venv/bin/python -m vidprior.main {train}", folder, command)
    (set_,) = (
        line for line in manual.commands(ROOT / "docs/research/evaluation.md") if ".py set" in line
    )
    run(set_, folder, command)
    for method in ("method", "newson", "huang"):
        for path in (folder / "out/set").glob("*/frames"):
            shutil.copytree(path, folder / "out" / method / path.parent.name)
    shutil.rmtree(folder / "out/set")
    features = np.random.default_rng(0).random((9, 4), np.float32)
    for name in ("result", "truth"):
        np.savez(
            folder / f"out/{name}_features.npz",
            version=VERSION, features=features, network="random",
        )  # fmt: skip
    (folder / "out/lengths").mkdir()
    values = [",".join(MEASURES), *(",".join(["20.5"] * 4) for _ in range(2))]
    (folder / "out/lengths/table.csv").write_text(LENGTHS.format(*values))


def lay_out_for_masks(folder, command):
    """Clips with true masks, to measure the tracker."""
    for name in ("camel", "goat"):
        for part in ("frames", "masks"):
            shutil.copytree(folder / part, folder / "clips" / name / part)


def lay_out_for_references(folder, command):
    """A finished run, and cleaned frames: here, the truth."""
    begin(folder, command)
    (folder / "cleaned").mkdir()
    shutil.copy(folder / "truth/00040.png", folder / "cleaned/00040.png")
    for number in (40, 55):
        shutil.copy(folder / f"truth/{number:05d}.png", folder / f"clean{number}.png")


def lay_out_for_batch(folder, command):
    """The manifest that the page shows."""
    text = (ROOT / "docs/use/batch.md").read_text()
    (folder / "clips.csv").write_text(re.search(r"^```csv\n(.*?)^```$", text, re.M | re.S)[1])


# What a page takes for granted besides.
LAY_OUT = {
    "batch": lay_out_for_batch,
    "evaluation": lay_out_for_evaluation,
    "long_clips": begin,
    "masks": lay_out_for_masks,
    "references": lay_out_for_references,
    "results": begin,
    "weights": lay_out_for_weights,
}


@pytest.fixture(scope="module")
def laid_out(once, command):
    return once("manual", lambda folder: lay_out(folder, command))


# Pages that many long commands are typed from; their flags and files are checked by test_docs.py.
LONG = (
    "README", "batch", "evaluation", "flows", "long_clips", "masks", "outpainting", "quality",
    "references", "results", "weights",
)  # fmt: skip


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.long] if page.stem in LONG else [], id=page.stem)
        for page in manual.PAGES
    ],
)
def test_what_a_page_says_runs(page, laid_out, command, tmp_path):
    lines = [line for line in manual.commands(page) if not manual.why_not(line)]
    blocks = manual.pythons(page)
    if not lines and not blocks:
        pytest.skip("nothing to type")
    folder = shutil.copytree(laid_out, tmp_path / "checkout", symlinks=True)
    manual.write_wrapper(folder, command.server)
    LAY_OUT.get(page.stem, lambda *_: None)(folder, command)
    for line in lines:
        run(line, folder, command)
    if blocks:
        script = "\n".join([PREAMBLE.format(short=manual.SHORT), *blocks])
        done = command.execute([sys.executable, "-c", script], cwd=folder)
        assert done.returncode == 0, done.stderr


# The arrays that Python blocks take for granted, and short training.
PREAMBLE = """
import numpy as np, imageio.v3, pathlib
from vidprior import api, configuration
import ast

def read(folder):
    return np.stack([imageio.v3.imread(path) for path in sorted(pathlib.Path(folder).iterdir())])

frames, hole = read("frames")[:8], read("masks")[:8] > 127
def load_short(name, load=configuration.load):
    config = load(name)
    for flag in {short}:
        section, field = flag.removeprefix("--config.").split("=")[0].split(".")
        value = flag.partition("=")[2]
        config[section][field] = value if value.isalpha() else ast.literal_eval(value)
    return config

configuration.load = load_short
"""


DATA = ("csv", "json", "yaml")


def test_every_block_is_of_a_kind_that_is_run():
    """A command in a block without a language would be run by nobody."""
    for page in manual.PAGES:
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.M | re.S):
            assert language in ("", "sh", "python", "json", "yaml", "csv"), (
                f"{page.name}: {language}"
            )
            message = re.match(r"(warning|note|error): ", block)  # may advise a flag
            if not language and not message:
                assert not re.search(r"python|^make |^vidprior |--\w", block, re.M), page.name


def test_what_is_not_run_is_there():
    """The table of exceptions has no entry that has become idle."""
    everything = [line for page in manual.PAGES for line in manual.commands(page)]
    for start in manual.NOT_RUN:
        assert any(line.startswith(start) for line in everything), start
    for word in manual.INSTEAD:
        assert any(word in line.split() for line in everything), word
    assert sum(not manual.why_not(line) for line in everything) > 25
