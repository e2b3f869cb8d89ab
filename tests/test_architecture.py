"""Rules that hold for the package as a whole."""

import ast
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "vidprior"
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}
MODULES = sorted(TREES)

# The longest file that is still one idea.
MAX_LINES = 400

# Groups of modules, from the ground up: each imports only from itself and from groups before it.
# A name is a folder of `vidprior`, or a module beside the folders.
GROUPS = (
    ("errors", "types", "runtime", "subcommand"),
    ("imaging", "model", "configuration"),
    ("io",),
    ("flow",),
    ("propagation", "training"),
    ("tracking", "run"),
    ("evaluation", "api"),
    ("doctor", "command_line", "console"),
    ("batch",),
    ("app",),
    ("main", "__init__"),
)

# Where the fields of a configuration become arguments.
KNOW_CONFIGURATIONS = {
    "configuration", "run.build", "run.source", "run.flows", "run.propagated", "run.fit",
    "run.exchange", "run.commands", "run.pipeline", "run.source_resolution", "run.segments",
    "run.suggested", "run.validate",
    "doctor", "command_line", "api", "batch.needs",
}  # fmt: skip

# The files that know codecs, images and video.
KNOW_CODECS = {
    "io.colour", "io.images", "io.pages", "io.streams", "io.video_reader", "io.video_scan",
    "io.video_writer",
}  # fmt: skip


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
    found = {imported for imported in imports(TREES[name]) if imported in TREES}
    # A folder's own file says only what the folder holds.
    return found - {module for module in found if FILES[module].name == "__init__.py"}


def used_packages(name):
    return {imported.partition(".")[0] for imported in imports(TREES[name])}


def group_of(name):
    """The folder that a module lies in, or the module itself where it lies in none."""
    return "__init__" if name == "vidprior" else name.split(".")[1]


def test_every_module_has_a_group():
    placed = [name for group in GROUPS for name in group]
    assert sorted(placed) == sorted({group_of(name) for name in MODULES})


def test_modules_import_only_downwards():
    level = {name: number for number, group in enumerate(GROUPS) for name in group}
    upwards = {
        (name, other)
        for name in MODULES
        for other in used_modules(name)
        if group_of(name) != group_of(other)
        and not (
            level[group_of(other)] < level[group_of(name)]
            # Modules beside the folders may use their neighbours; folders of one group may not.
            or (level[group_of(other)] == level[group_of(name)] and not is_folder(group_of(other)))
        )
    }
    assert upwards == set()


def is_folder(group):
    return (PACKAGE / group).is_dir()


@pytest.mark.parametrize("group", [name for names in GROUPS for name in names if is_folder(name)])
def test_a_group_has_no_circle(group):
    """Modules whose imports are all known are taken away, until none is left."""
    left = {
        name: {other for other in used_modules(name) if group_of(other) == group}
        for name in MODULES
        if group_of(name) == group
    }
    while left:
        free = {name for name, used in left.items() if not used & left.keys()}
        assert free, f"a circle among {sorted(left)}"
        left = {name: used for name, used in left.items() if name not in free}


def test_the_picture_in_the_docs_is_the_tree():
    """docs/develop/design.md names every folder and every module of it, and nothing else."""
    text = (ROOT / "docs/develop/design.md").read_text()
    told = {
        row[1]: set(re.findall(r"`(\w+)`", row[2]))
        for row in re.finditer(r"^\| `(\w+)/` \| (.*?) \|", text, re.M)
    }
    tree = {}
    for name in MODULES:
        if name.count(".") == 2:
            tree.setdefault(group_of(name), set()).add(name.split(".")[2])
    assert told == tree


def test_the_order_in_the_docs_is_the_order_here():
    text = (ROOT / "docs/develop/design.md").read_text()
    told = re.search(r"^Import order: (.*?)\.$", text, re.M | re.S)[1]
    groups = [re.findall(r"`(\w+)`", group) for group in told.split("<")]
    assert groups == [[name for name in group if name != "__init__"] for group in GROUPS]


def test_imports_are_found():
    """What the rules above rest on."""
    tree = ast.parse("import a.b\nfrom vidprior import warp\ndef f():\n    from c.d import e\n")
    assert set(imports(tree)) == {"a.b", "vidprior", "vidprior.warp", "c.d", "c.d.e"}
    assert used_modules("vidprior.training.losses") == {"vidprior.flow.warp"}
    assert used_modules("vidprior.run.build") >= {
        "vidprior.training.train_step",
        "vidprior.training.windows",
    }


def test_torch_is_imported_nowhere():
    assert [name for name in MODULES if any("torch" in p for p in used_packages(name))] == []


def test_what_the_tools_of_the_torch_environment_use_needs_numpy_alone():
    used, found = {"vidprior.errors", "vidprior.io.files", "vidprior.io.npz"}, set()
    while used - found:
        name = (used - found).pop()
        found.add(name)
        used |= used_modules(name)
    packages = {package for name in found for package in used_packages(name)}
    assert packages - sys.stdlib_module_names == {"numpy", "vidprior"}


def loaded_by(statement):
    """The names of all modules that a new Python has loaded after a statement."""
    finished = subprocess.run(
        [sys.executable, "-c", f"import sys; {statement}; print(*sorted(sys.modules))"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return finished.stdout.split()


def test_the_package_and_its_errors_are_at_hand_without_jax():
    assert {"jax", "numpy", "vidprior.api"}.isdisjoint(
        loaded_by("from vidprior import InputError, Interrupted, NonFiniteLoss")
    )


def test_running_the_program_loads_no_torch():
    loaded = loaded_by("import vidprior.main, vidprior.doctor, vidprior.run.commands")
    assert "vidprior.run.pipeline" in loaded
    assert {name for name in loaded if name.partition(".")[0] in ("torch", "torchvision")} == set()


def test_a_slip_on_the_command_line_is_told_before_anything_heavy_is_loaded():
    loaded = loaded_by(
        "from vidprior import main; assert main.main(['vidprior', '--confg=x']) == 2"
    )
    assert "vidprior.command_line" in loaded
    assert {"jax", "flax", "orbax", "scipy", "cv2", "numpy"} & set(loaded) == set()


def test_configurations_are_known_at_the_edge_alone():
    found = {name for name in MODULES if "ml_collections" in used_packages(name)}
    assert found == {f"vidprior.{name}" for name in KNOW_CONFIGURATIONS}


def test_propagation_knows_no_network():
    known = {other for name in MODULES if ".propagation." in name for other in used_modules(name)}
    assert {other for other in known if group_of(other) in ("model", "training")} == set()


def test_codecs_are_known_to_few():
    found = {name for name in MODULES if used_packages(name) & {"av", "PIL"}}
    assert found <= {f"vidprior.{name}" for name in KNOW_CODECS}


def public_definitions(tree):
    """Public functions, classes and their public methods."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node)


def test_everything_public_is_documented():
    bare = {
        (name, node.name)
        for name in MODULES
        for node in public_definitions(TREES[name])
        if not ast.get_docstring(node)
    }
    assert bare == set()
    assert [name for name in MODULES if not ast.get_docstring(TREES[name])] == []


def test_public_definitions_are_found():
    tree = TREES["vidprior.training.checkpoints"]
    names = {node.name for node in public_definitions(tree)}
    assert {"Checkpoints", "save", "restore"} <= names
    assert "_read" not in names


def test_no_module_is_longer_than_one_idea():
    lines = {name: len(path.read_text().splitlines()) for name, path in FILES.items()}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}
