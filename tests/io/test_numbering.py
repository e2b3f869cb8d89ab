"""Numbers in the names of files."""

from pathlib import Path

import pytest

from vidprior.io import numbering


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["a1.png", "a2.png", "a10.png"], (1, 2, 10)),
        (["shot12_0001_v2.png", "shot12_0002_v2.png"], (1, 2)),
        (["2024-01-01_7.png", "2024-01-01_8.png"], (7, 8)),
        (["a.png", "b.png"], None),
        (["a1.png", "b.png"], None),
        (["x1_5.png", "x1_5_6.png"], (5, 6)),
        (["a1.png", "b1.png"], None),
        ([], None),
    ],
)
def test_numbers_in_names(names, numbers):
    assert numbering.numbers_in([Path(name) for name in names]) == numbers


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([3], "frame 3"),
        ([3, 4], "frames 3, 4"),
        ([0, 1, 2, 7, 9, 10, 11], "frames 0 to 2, 7 and 9 to 11"),
    ],
)
def test_numbers_in_words(numbers, words):
    assert numbering.spell(numbers) == words


def test_many_places_are_not_all_spelt():
    assert "8 more places" in numbering.spell(range(0, 26, 2))


def test_gaps():
    assert numbering.first_gap([5, 6, 7]) is None
    assert numbering.first_gap([5, 10, 15]) is None
    assert numbering.first_gap([5]) is None
    assert numbering.first_gap([0, 1, 3, 4]) == 1
