"""Work on frames by several threads: OpenCV and NumPy leave Python's lock to others."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import cv2

Item = TypeVar("Item")
Made = TypeVar("Made")


def in_threads(
    function: Callable[[Item], Made], items: Iterable[Item], *, workers: int | None = None
) -> Iterator[Made]:
    """What a function makes of every item, in order; the number of threads changes nothing.

    Args:
      function: works on one item.
      items: all are handed out at once.
      workers: threads; all processors when None.
    """
    # One thread for each item keeps all processors busy; OpenCV's own would compete with them.
    opencv_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
            yield from pool.map(function, items)
    finally:
        cv2.setNumThreads(opencv_threads)
