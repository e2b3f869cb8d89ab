"""What is refused before a batch is handed to Ray; its work is in end_to_end/test_batch.py."""

import pathlib
import sys

import pytest

import vidprior
from vidprior.batch.ray_engine import RayEngine
from vidprior.errors import InputError


def engine(address=None, **options):
    given = {"cores": 1, "gpus": None} | options
    return RayEngine(logs=pathlib.Path("logs"), address=address, **given)


def test_without_ray_it_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'vidprior\[ray\]'"):
        engine()


def test_an_address_that_does_not_answer():
    pytest.importorskip("ray", reason="Ray is not installed")
    with pytest.raises(InputError, match=r"127\.0\.0\.1:1: no Ray cluster answers"):
        engine("127.0.0.1:1")
    with pytest.raises(InputError, match="give HOST:PORT"):
        engine("somewhere")


@pytest.mark.long
def test_a_worker_with_another_version_or_too_few_cores_is_refused(monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.setattr(vidprior, "__version__", "9.9")
    try:
        with pytest.raises(InputError, match=r"has vidprior \S+, this machine 9.9"):
            engine()
        ray.shutdown()
        with pytest.raises(InputError, match="--cores=9999: the largest node has"):
            engine(cores=9999)
    finally:
        ray.shutdown()
