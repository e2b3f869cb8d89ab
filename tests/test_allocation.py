"""Memory that the process keeps."""

import platform
import subprocess
import sys

import pytest

from vidprior import runtime

FAULTS = """
import resource
from vidprior.allocation import keep_memory
import numpy as np
if {keeps}:
    assert keep_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.full(2**25, 1.0)  # 256 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults() * resource.getpagesize())
"""


def bytes_faulted_in(*, keeps):
    """Bytes that the system hands out, page by page, for an array as large as one before it."""
    code = FAULTS.format(keeps=keeps)
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings of glibc's malloc")
def test_large_arrays_take_the_memory_of_those_before_them():
    assert bytes_faulted_in(keeps=True) < 2**20


def test_a_c_library_without_such_settings_is_left_alone(monkeypatch):
    monkeypatch.setattr(runtime.ctypes, "CDLL", lambda name: object())
    assert not runtime.keep_memory()
