"""Propagated pixels of a run: made once, kept, and told about."""

import numpy as np
import pytest

from vidprior.configuration import load
from vidprior.errors import InputError
from vidprior.propagation import propagate
from vidprior.run.clip_file import PreparedClip
from vidprior.run.propagated import (
    describe_propagation,
    guessed_share,
    network_pays,
    obtain_propagated,
    picture_origins,
)
from vidprior.run.workdir import Workdir
from vidprior.types import Propagated

T, H, W = 6, 20, 40


@pytest.fixture
def config():
    return load("base")


@pytest.fixture
def small_workdir(tmp_path):
    workdir = Workdir(tmp_path / "run")
    workdir.path.mkdir()
    return workdir


@pytest.fixture
def clip():
    """A block of 4 rows and 6 columns that moves two columns a frame."""
    hole = np.zeros((T, H, W), bool)
    for i in range(T):
        hole[i, 8:12, 10 + 2 * i : 16 + 2 * i] = True
    frames = np.random.default_rng(0).integers(0, 256, (T, H, W, 3), np.uint8)
    return PreparedClip(frames, hole, "", (25, 1), (1, 1), "")


@pytest.mark.parametrize(
    ("fields", "held"),
    [
        ({"propagation.holdout": True}, T),
        ({"method": "propagate"}, T),
        ({"loss.propagated": 1.0}, 0),
    ],
)
def test_a_network_that_is_not_judged_loses_no_pixel(config, clip, small_workdir, fields, held):
    """A clip of more than 12 frames holds out in 12 where there is no network."""
    config.update_from_flattened_dict(fields)
    made = obtain_propagated(small_workdir, clip, config=config)
    assert made.held_out.any(axis=(1, 2)).sum() == held


def test_pixels_are_propagated_once_and_kept(config, clip, small_workdir, monkeypatch):
    config.propagation.holdout = True
    made = obtain_propagated(small_workdir, clip, config=config)
    assert made.frames.shape == clip.frames.shape
    assert made.held_out.any()
    assert not (made.held_out & clip.hole).any()
    known = ~(clip.hole | made.held_out)
    np.testing.assert_array_equal(made.frames[known], clip.frames[known])
    assert not made.confidence[known].any()
    monkeypatch.setattr(propagate, "propagate", None)
    again = obtain_propagated(small_workdir, clip, config=config)
    arrays = zip((*again[:3], *again.origins), (*made[:3], *made.origins), strict=True)
    for one, first in arrays:
        np.testing.assert_array_equal(one, first)


def test_what_is_trusted_and_what_is_found_where_pixels_are_held_out_is_told():
    clip = PreparedClip(
        frames=np.zeros((1, 2, 4, 3), np.uint8),
        hole=np.array([[[1, 1, 1, 1], [0, 0, 0, 0]]], bool),
        source_sha256="", rate=(25, 1), pixel_aspect=(1, 1), transform="",
    )  # fmt: skip
    kept = Propagated(
        frames=clip.frames + np.uint8(3),
        confidence=np.float16([[[0.9, 0.5, 0.4, 0.2], [0, 0, 0, 0]]]),
        held_out=np.zeros_like(clip.hole),
    )
    told = "hole: 50.0% propagated from other frames with confidence"
    assert describe_propagation(clip, kept) == told
    kept.held_out[0, 1, 1] = True
    assert describe_propagation(clip, kept) == (f"{told}; held-out RMSE 3.0/255")


def test_what_is_guessed_is_told_and_pictured(clip):
    unseen = np.zeros_like(clip.hole)
    unseen[:, 8:10] = clip.hole[:, 8:10]  # the upper half
    confidence = np.where(clip.hole, 0.25, 0).astype(np.float16)
    kept = Propagated(clip.frames, confidence, np.zeros_like(clip.hole), None, unseen)
    assert guessed_share(clip, kept) == 0.5
    assert describe_propagation(clip, kept).endswith("; 50.0% is shown by no frame and guessed")
    picture = picture_origins(clip, kept)
    assert picture.shape == (3 * H, 2 * W, 3)
    # The last of three rows is the last frame: orange above, green below.
    frame, filled = clip.frames[T - 1], picture[2 * H :, W:]
    for rows, colour in (((8, 10), (255, 140, 0)), ((10, 12), (0, 200, 80))):
        there = slice(*rows), slice(10 + 2 * (T - 1), 16 + 2 * (T - 1))
        expected = (frame[there].astype(int) + colour) // 2
        np.testing.assert_array_equal(filled[there], expected)


def test_a_guess_by_copies_is_no_reason_to_train(clip, small_workdir):
    """Everything is unseen, with an expected error of 100."""
    config = load("footage")
    confidence = np.where(clip.hole, 1 / 101, 0).astype(np.float16)
    held_out = np.zeros_like(clip.hole)
    held_out[:, 0, 0] = True
    kept = Propagated(clip.frames, confidence, held_out, None, clip.hole)
    assert not network_pays(small_workdir, clip, kept, config=config)
    config.propagation.guess = "smooth"
    assert network_pays(small_workdir, clip, kept, config=config)
    config.propagation.guess = "copies"
    assert network_pays(small_workdir, clip, kept._replace(unseen=~clip.hole), config=config)


def test_unseen_pixels_are_stored(clip, small_workdir):
    unseen = clip.hole & (np.arange(W) % 2 == 0)
    nothing = np.zeros_like(clip.hole)
    kept = Propagated(clip.frames, nothing.astype(np.float16), nothing, None, unseen)
    small_workdir.write_propagated(kept)
    np.testing.assert_array_equal(small_workdir.read_propagated(clip.hole).unseen, unseen)
    small_workdir.write_propagated(kept._replace(unseen=None))
    assert small_workdir.read_propagated(clip.hole).unseen is None
    small_workdir.write_propagated(kept._replace(unseen=unseen[:, 1:]))
    with pytest.raises(InputError, match="unseen has shape"):
        small_workdir.read_propagated(clip.hole)
