"""The notebook runs from its first cell to its last, and its figures are worth showing."""

import pathlib
import re

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = pathlib.Path(__file__).parents[1] / "docs/develop"
NOTEBOOK = DOCS / "example.ipynb"


def test_it_is_kept_without_outputs():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.long
def test_it_runs(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(DOCS)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    told = "".join(output.get("text", "") for output in outputs)
    assert "60 of 60" in told
    ((before, after),) = re.findall(r"(\S+) dB with the ball, (\S+) dB without", told)
    assert float(after) > float(before) + 6
