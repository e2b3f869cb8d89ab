"""Rows of metrics.jsonl that are damaged; whole ones are tested with the work directory."""

import pytest

from vidprior.errors import InputError
from vidprior.run import metrics_log


def test_a_row_without_a_number_is_forgotten(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"update": 100}\n{"update": "x"}\n{"update": null}\n[]\n')
    metrics_log.forget_after(path, 500)
    assert path.read_text() == '{"update": 100}\n'


def test_what_is_no_text_is_refused(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\xff\xfe\xff")
    for read in (metrics_log.read, lambda path: metrics_log.forget_after(path, 5)):
        with pytest.raises(InputError, match=r"metrics\.jsonl cannot be read"):
            read(path)
