"""Work by several threads."""

import threading

import cv2
import pytest

from vidprior.imaging.parallel import in_threads


@pytest.mark.parametrize("workers", [1, 2, 7, None])
def test_results_come_in_order(workers):
    assert list(in_threads(lambda x: x * x, range(20), workers=workers)) == [
        x * x for x in range(20)
    ]


def test_several_threads_work():
    both = threading.Barrier(2, timeout=30)
    assert list(in_threads(lambda _: both.wait() >= 0, range(2), workers=2)) == [True, True]


def test_opencv_gets_its_threads_back_after_an_error():
    cv2.setNumThreads(2)

    def fail(item):
        assert cv2.getNumThreads() == 1
        raise ValueError(item)

    with pytest.raises(ValueError, match="7"):
        list(in_threads(fail, [7]))
    assert cv2.getNumThreads() == 2
