"""Imports run one way, and the heavy or hosted packages stay where they belong."""

import ast
import subprocess

import pytest

LAYERS = [
    {"progress"},
    {"reports", "folders"},
    {"geometry"},
    {"observation"},
    {"solvers"},
    {"data"},
    {"priors"},
    {"zoo"},
    {"alignment"},
    {"reconstruction"},
    {"svr", "analysis"},
    {"evaluation"},
    {"training"},  # it measures what it fits with the protocols of evaluation
    {"synthesis"},
    {"batch"},
    {"experiments"},
    {"worker"},
]
RANK = {folder: rank for rank, folders in enumerate(LAYERS) for folder in folders}
TOP = {"cli", "mrml", "workflow", "panel", "web"}
HOSTING = ("mrml", "workflow", "panel", "web")  # may import what Slicer or trame-slicer brings
HOSTED = {"slicer", "vtk", "vtkmodules", "qt", "ctk", "mrml", "PythonQt", "PySide6", "trame", "trame_slicer"}
# What the Slicer side and the browser may know: plain data, and the client of the worker.
SLICERSIDE_MAY = (
    "progress",
    "geometry",
    "observation",  # what was seen, not the operators of it
    "alignment.limits",  # from where on a frame is doubted, not how it is found
    "reconstruction.request",
    "reconstruction.result",
    "evaluation.case_report",
    "evaluation.metrics",
    "svr",
    "worker",
    "zoo.store",  # the cards, not the priors
    "mrml",
    "workflow",
    "panel",
    "web",
)
UNPICKLERS = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
BLOCK = """
import importlib, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
for name in {modules!r}:
    importlib.import_module("SparseVolumeReconstructionLib." + name if name else "SparseVolumeReconstructionLib")
"""  # noqa: E501


def imports(module: str, tree: ast.Module) -> set[str]:
    """All that a module imports anywhere: library modules as ".geometry.grid", others by their names."""
    here = module.split(".") if tree.is_package else module.split(".")[:-1]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module)
        elif isinstance(node, ast.ImportFrom):
            base = [part for part in here[: len(here) + 1 - node.level] if part] + (
                [node.module] if node.module else []
            )
            found |= {"." + ".".join([*base, alias.name]) for alias in node.names}
    return {
        name.replace("SparseVolumeReconstructionLib", "", 1)
        if name.startswith("SparseVolumeReconstructionLib")
        else name
        for name in found
    }


def room(module: str) -> str:
    """Whose rules a module obeys: its folder's, but for `priors/<system>/training.py`.

    A system is one folder, so its training lies beside its prior; it is loaded by training/ alone (by its
    name, see priors/systems.py), may import that, and is imported by nothing below it.
    """
    parts = module.strip(".").split(".")
    return "training" if parts[0] == "priors" and parts[2:3] == ["training"] else parts[0]


def wrong_way(module: str, names: set[str]) -> list[str]:
    """Imports of a layer above or beside the module's own."""
    folder = room(module)
    targets = {name: room(name) for name in names if name.startswith(".")}
    if folder in TOP or folder == "":
        return []
    assert folder in RANK, f"{folder} has no place among the layers"
    return sorted(
        name
        for name, to in targets.items()
        if to != folder and (to in TOP or RANK.get(to, -1) >= RANK[folder])
    )


def beyond_the_worker(module: str, names: set[str]) -> list[str]:
    """Imports of a module of the Slicer side that reach past requests, results and the worker."""
    if module.split(".")[0] not in HOSTING:
        return []
    allowed = tuple(f".{name}" for name in SLICERSIDE_MAY)
    return sorted(
        name
        for name in names
        if name.startswith(".") and not any(f"{name}.".startswith(f"{prefix}.") for prefix in allowed)
    )


def test_imports_run_one_way(library):
    found = {module: wrong_way(module, imports(module, tree)) for module, tree in library.items()}
    assert {module: names for module, names in found.items() if names} == {}


def other_systems(module: str, names: set[str], systems: set[str]) -> list[str]:
    """Imports of another system's folder by a module of priors/; what several need belongs to none."""
    if not module.startswith("priors"):
        return []
    own = ".".join(module.split(".")[:2])
    folder = {name: ".".join(name.strip(".").split(".")[:2]) for name in names if name.startswith(".")}
    return sorted(name for name, its in folder.items() if its in systems - {own})


def test_a_system_imports_no_other_system(library):
    """A prior may be given another one, see `card.base`; what systems share lies beside their folders."""
    systems = {
        module
        for module, tree in library.items()
        if module.startswith("priors.") and tree.is_package and "SYSTEMS" in ast.unparse(tree)
    }
    assert len(systems) >= 5
    found = {
        module: other_systems(module, imports(module, tree), systems) for module, tree in library.items()
    }
    assert {module: names for module, names in found.items() if names} == {}
    assert other_systems("priors.bruno.flow", {".priors.slice_vae.codes", ".priors.base"}, systems)
    assert other_systems("priors.axial", {".priors.slice_vae.codes"}, systems)


def test_slicer_side_knows_only_requests_results_and_the_worker(library):
    found = {module: beyond_the_worker(module, imports(module, tree)) for module, tree in library.items()}
    assert {module: names for module, names in found.items() if names} == {}


def test_only_the_slicer_side_imports_slicer(library):
    others = {module: tree for module, tree in library.items() if module.split(".")[0] not in HOSTING}
    drawn = {"experiments.surfaces": {"vtk"}}  # with the library alone, and only when asked to
    found = {
        module: {
            name for name in imports(module, tree) if name.split(".")[0] in HOSTED - drawn.get(module, set())
        }
        for module, tree in others.items()
    }
    assert {module: names for module, names in found.items() if names} == {}


def test_only_the_panel_knows_a_toolkit(library):
    """The workflow is the same for the desktop panel and the browser."""
    others = {
        module: tree for module, tree in library.items() if module.split(".")[0] in ("mrml", "workflow")
    }
    assert "workflow.presenter" in others
    toolkits = {"qt", "ctk", "PythonQt", "PySide6", "trame", "trame_slicer"}
    found = {
        module: {name for name in imports(module, tree) if name.split(".")[0] in toolkits}
        for module, tree in others.items()
    }
    assert {module: names for module, names in found.items() if names} == {}


def test_geometry_imports_no_torch(library):
    for module, tree in library.items():
        if module.startswith("geometry"):
            assert not {"torch"} & {name.split(".")[0] for name in imports(module, tree)}, module


def test_nothing_reads_pickles(sources):
    """torch.load, pickle and its kin execute what a file says; only safetensors and plain arrays are read."""
    found = []
    for path, tree in sources.items():
        tree.is_package = path.name == "__init__.py"
        found += [f"{path}: {name}" for name in imports("", tree) if name.split(".")[0] in UNPICKLERS]
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "torch.load",
                "torch.hub.load",
                "eval",
                "exec",
            ):
                found.append(f"{path}:{node.lineno}: {ast.unparse(node.func)}")
            if (
                isinstance(node, ast.keyword)
                and node.arg == "allow_pickle"
                and ast.unparse(node.value) != "False"
            ):
                found.append(f"{path}:{node.lineno}: allow_pickle")
    assert found == []


@pytest.mark.parametrize(
    ("folders", "blocked"),
    [
        pytest.param({"geometry"}, {"torch", *HOSTED}, id="geometry without torch and Slicer"),
        pytest.param(
            {"mrml", "web", "worker", "workflow"},
            {"torch", "click", "jinja2", "platformdirs"},
            id="Slicer side and worker client",
        ),
        pytest.param({*RANK, "cli", ""}, HOSTED, id="library without Slicer"),
        pytest.param({"cli"}, {"torch", *HOSTED}, id="command line starts without torch"),
    ],
)
def test_imports_without(folders, blocked, library, python, library_environment):
    """A real Python in which importing the blocked packages fails."""
    modules = sorted(
        name for name in library if name.split(".")[0] in folders and not name.endswith("__main__")
    )
    modules = [
        name for name in modules if not name.startswith("panel.")
    ]  # they need qt: the panel's own tests load them
    assert modules
    code = BLOCK.format(blocked=blocked, modules=modules)
    done = subprocess.run(
        [python, "-c", code],
        env=library_environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_rules_can_be_broken(python, library_environment):
    tree = ast.parse("from ..priors.base import Prior\nfrom .grid import Grid\nimport torch")
    tree.is_package = False
    assert wrong_way("geometry.grid", imports("geometry.grid", tree)) == [".priors.base.Prior"]
    assert wrong_way("cli.main", imports("cli.main", tree)) == []
    above, below = {".training.loop.config.Section"}, {".priors.bruno.training.BrunoTask"}
    assert wrong_way("priors.bruno.training", above) == wrong_way("training.deep", below) == []
    assert wrong_way("priors.bruno.prior", above) and wrong_way("priors.bruno.prior", below)
    assert beyond_the_worker("mrml.logic", imports("mrml.logic", tree)) == [".priors.base.Prior"]
    code = BLOCK.format(blocked={"numpy"}, modules=["geometry"])
    done = subprocess.run(
        [python, "-c", code], env=library_environment, capture_output=True, text=True, check=False
    )
    assert "blocked: numpy" in done.stderr
