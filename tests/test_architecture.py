"""Rules that hold for the package as a whole."""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "vidprior"
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))
TREES = {name: ast.parse((PACKAGE / f"{name}.py").read_text()) for name in MODULES}

# The longest file that is still one idea.
MAX_LINES = 400

FLOORS = {
    # what everything stands on
    0: ("types", "errors", "correlation"),
    # one idea each, of arrays or of files
    1: (
        "allocation", "carried", "carry", "compiling", "configuration", "division", "figures",
        "files", "geometry", "layers", "membrane", "memory", "metrics", "official", "optimizers",
        "parallel", "progress", "rehearsal", "shares", "shots", "visualize", "warp", "windows",
        "winograd",
    ),
    # built from those
    2: (
        "align", "feature_store", "finish", "flow_estimate", "follow", "generator", "image_io",
        "losses", "npz", "rows", "running", "vgg", "video_file", "visibility",
    ),
    # an update, a picture, a file format
    3: (
        "clip", "complexity", "flow_io", "frechet", "initial", "propagate", "protocols",
        "render", "summaries", "update", "video_io", "video_out", "workdir",
    ),
    # what a run reads and leaves behind
    4: (
        "announce", "build", "checkpoints", "compose", "encoder", "mask_fit", "results", "scores",
    ),
    5: ("ablation", "checks", "exchange", "inputs", "report", "train", "train_each"),
    6: ("doctor", "parts"),
    7: ("evaluate", "job"),
    8: ("main", "api"),
    9: ("__init__",),
}  # fmt: skip

# The edge where the fields of a configuration become arguments.
KNOW_CONFIGURATIONS = {
    "configuration", "build", "inputs", "train", "train_each", "exchange", "job",
    "doctor", "main", "api", "parts", "checks",
}  # fmt: skip

# The files that know codecs, images and video.
KNOW_CODECS = {"image_io", "video_file", "video_out"}


def imports(tree):
    """Every module that is imported anywhere in a file, by its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def used_modules(name):
    """The modules of the package that a module imports."""
    parts = (imported.split(".") for imported in imports(TREES[name]))
    return {part[1] for part in parts if part[0] == "vidprior" and part[1:2] and part[1] in MODULES}


def used_packages(name):
    return {imported.partition(".")[0] for imported in imports(TREES[name])}


def test_every_module_has_a_floor():
    placed = sorted(name for names in FLOORS.values() for name in names)
    assert placed == MODULES


@pytest.mark.parametrize("name", MODULES)
def test_modules_import_from_lower_floors_only(name):
    floor = {module: number for number, modules in FLOORS.items() for module in modules}
    upside_down = {other for other in used_modules(name) if floor[other] >= floor[name]}
    assert upside_down == set()


def test_imports_are_found():
    """What the rules above rest on."""
    tree = ast.parse("import a.b\nfrom vidprior import warp\ndef f():\n    from c.d import e\n")
    assert set(imports(tree)) == {"a.b", "vidprior", "vidprior.warp", "c.d", "c.d.e"}
    assert used_modules("losses") == {"warp"}
    assert used_modules("train") >= {"build", "checkpoints", "update", "windows"}


@pytest.mark.parametrize("name", MODULES)
def test_torch_is_imported_nowhere(name):
    assert {package for package in used_packages(name) if "torch" in package} == set()


def test_running_the_program_loads_no_torch():
    code = "import sys, vidprior.main; print(*sorted(sys.modules))"
    finished = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = finished.stdout.split()
    assert "vidprior.main" in loaded
    assert {name for name in loaded if name.partition(".")[0] in ("torch", "torchvision")} == set()


def test_configurations_are_known_at_the_edge_alone():
    assert {name for name in MODULES if "ml_collections" in used_packages(name)} == (
        KNOW_CONFIGURATIONS
    )


def test_codecs_are_known_to_few():
    assert {name for name in MODULES if used_packages(name) & {"av", "imageio"}} <= KNOW_CODECS


def public_definitions(tree):
    """Public functions, classes and their public methods."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node)


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_is_documented(name):
    assert ast.get_docstring(TREES[name])
    bare = [node.name for node in public_definitions(TREES[name]) if not ast.get_docstring(node)]
    assert bare == []


def test_public_definitions_are_found():
    names = {node.name for node in public_definitions(TREES["checkpoints"])}
    assert {"Checkpoints", "save", "restore"} <= names
    assert "_read" not in names


@pytest.mark.parametrize("name", MODULES)
def test_no_module_is_longer_than_one_idea(name):
    assert len((PACKAGE / f"{name}.py").read_text().splitlines()) <= MAX_LINES
