"""tools/figures.py as people run it."""

import sys

import imageio.v3
import numpy as np
import pytest
from harness import ROOT, SMALLEST, assert_one_error

TOOL = (sys.executable, str(ROOT / "tools/figures.py"))

TABLE = """protocol,system,window,part,clips,psnr_full,ssim_uniform7
paper,k1,1,all,2,20.5,0.8
paper,k10,10,all,2,22.5,0.9
paper,k10,10,complex,1,,
paper,whole,,all,2,25,inf
"""
CLIPS = """protocol,system,clip,complexity,psnr_full,ssim_uniform7
paper,ours,a,1.5,30,0.9
paper,ours,b,2.5,25,0.8
paper,theirs,a,1.5,31,
paper,theirs,b,2.5,24,0.7
"""


@pytest.fixture
def figure(command, tmp_path):
    def run(*words, output="figure.png"):
        given = [*TOOL, *map(str, words), f"--output={tmp_path / output}"]
        return command.execute(given)

    return run


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "table.csv").write_text(TABLE)
    (tmp_path / "clips.csv").write_text(CLIPS)
    return tmp_path


def test_every_figure_is_written(figure, folder, clip, trained):
    for words in (
        ("slice", "--clip", f"input={clip.video}", f"truth={clip.truth_folder}", "--row=12"),
        ("complexity", f"--table={folder}"),
        ("length", f"--table={folder}", "--measures", "psnr_full"),
        ("progress", f"--workdir={trained}", "--columns=2"),
    ):
        told = figure(*words, output=f"{words[0]}.png")
        assert told.returncode == 0, told.stderr
        picture = imageio.v3.imread(folder / f"{words[0]}.png")
        assert picture.shape[0] > 100
        assert picture[..., :3].std() > 10  # something was drawn


@pytest.mark.long
def test_similarity_of_features(figure, folder, command, clip):
    """A network of five scales, whose last has patches of 32 pixels; VGG's features are made up."""
    workdir = folder / "run"
    size = ("--config.video.height=96", "--config.video.width=144", "--config.video.stop=7")
    flags = [flag for flag in SMALLEST if "video." not in flag and "channels" not in flag]
    channels = "--config.model.channels=(4,4,4,4,4)"
    inputs = (*clip.inputs, f"--workdir={workdir}")
    command.succeed("--config=dip_vid", *flags, *size, channels, *inputs)
    features = np.random.default_rng(0).random((7, 3, 4, 8), np.float32)
    np.savez(folder / "pool5.npz", features=features)
    given = ("similarity", f"--workdir={workdir}", "--step=1", f"--vgg={folder / 'pool5.npz'}")
    told = figure(*given, output="similarity.png")
    assert told.returncode == 0, told.stderr
    assert imageio.v3.imread(folder / "similarity.png")[..., :3].std() > 10
    assert_one_error(figure(*given, "--reference=96,0"), "not within 144x96")
    np.savez(folder / "pool5.npz", features=features[:6])
    assert_one_error(figure(*given), "(6, 3, 4)", "(7, 3, 4)")


def test_bad_input_is_one_line(figure, folder, clip, trained, tmp_path):
    truth = f"truth={clip.truth_folder}"
    assert_one_error(figure("slice", "--clip", "truth"), "give NAME=CLIP")
    assert_one_error(figure("slice", "--clip", truth, "--row=32"), "not within the 32 rows")
    assert_one_error(figure("slice", "--clip", truth, output="x.bmp"), ".png, .svg, .pdf")
    assert_one_error(figure("complexity", f"--table={tmp_path / 'none'}"), "cannot be read")
    told = figure("length", f"--table={folder}", "--measures", "psnr")
    assert_one_error(told, "no column psnr")
    (folder / "clips.csv").write_text(CLIPS.replace("2.5", "much"))
    assert_one_error(figure("complexity", f"--table={folder}"), "the table has 'much'")
    (folder / "table.csv").write_text(TABLE.replace(",1,all", ",,all").replace(",10,all", ",,all"))
    assert_one_error(figure("length", f"--table={folder}"), "no system has a window length")
    told = figure("similarity", f"--workdir={trained}")
    assert_one_error(told, "no scale of this network has patches of 32 pixels")
    assert_one_error(figure("progress", f"--workdir={tmp_path}"), "clip.npz")
    assert not list(tmp_path.glob("figure*"))
