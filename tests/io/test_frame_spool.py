"""Frames in any order within reach, though they are read in order."""

import numpy as np
import pytest

from vidprior.io.frame_spool import FrameSpool

H, W = 3, 5


def frames(first, count, asked):
    for number in range(first, first + count):
        asked.append(number)
        yield np.full((H, W, 3), number, np.uint8), np.full((H, W), 100 + number, np.uint8)


@pytest.fixture
def asked():
    return []


@pytest.fixture
def spool(tmp_path, asked):
    with FrameSpool(frames(2, 20, asked), first=2, size=(H, W), reach=3, folder=tmp_path) as spool:
        yield spool


def check(found, number):
    frame, mask = found
    assert (frame.shape, mask.shape) == ((H, W, 3), (H, W))
    assert (frame == number).all()
    assert (mask == 100 + number).all()


def test_every_frame_within_reach_is_had_at_every_step(spool, asked):
    for at in range(2, 22):
        for number in (at + 3, at - 3, at, at + 1, at - 1):
            found = spool.read(number, at=at)
            if 2 <= number < 22:
                check(found, number)
            else:
                assert found is None
    assert asked == list(range(2, 22))  # each once


def test_it_reads_no_further_than_it_is_asked(spool, asked):
    check(spool.read(4, at=3), 4)
    assert asked == [2, 3, 4]
    assert spool.read(7, at=3) is None  # out of reach
    assert asked == [2, 3, 4]


def test_the_file_is_no_larger_than_the_reach_and_has_no_name(spool, tmp_path):
    for at in range(2, 22):
        spool.read(at, at=at)
    assert spool._file.seek(0, 2) <= 7 * 4 * H * W
    assert not any(tmp_path.iterdir())
