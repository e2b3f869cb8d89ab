"""Every tool answers --help; what else it does is tested beside its name."""

import sys

from harness import ROOT
from helpers import assert_each

TOOLS = sorted((ROOT / "tools").glob("[a-z]*.py"))
# They belong to the environment of PyTorch; third_party/pwcnet_torch/tests runs them.
OF_PYTORCH = {
    "convert_official.py", "convert_vgg16.py", "extract_features.py", "torch_checkpoint.py",
    "torch_update.py", "vgg_pool5.py",
}  # fmt: skip


def test_every_tool_answers_help(command):
    def answers(path):
        told = command.execute([sys.executable, path, "--help"])
        if path.name in OF_PYTORCH and "No module named 'torch'" in told.stderr:
            return
        assert told.returncode == 0, told.stderr
        assert "usage:" in told.stdout

    assert {path.name for path in TOOLS} >= OF_PYTORCH
    assert_each(answers, TOOLS, name=lambda path: path.name)
