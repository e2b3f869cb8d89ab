"""Threads for work on frames: OpenCV and NumPy release Python's interpreter lock."""

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
    """Yields `function(item)` for every item, in order, computed in threads.

    The result does not depend on the number of threads.

    Args:
      function: takes one item.
      items: submitted all at once.
      workers: number of threads; None: one for each processor.
    """
    # One thread for each item keeps all processors busy; OpenCV's own threads would compete.
    opencv_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
            yield from pool.map(function, items)
    finally:
        cv2.setNumThreads(opencv_threads)
