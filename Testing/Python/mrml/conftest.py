"""A real MRML scene, and a real process that makes small results."""

import sys
import textwrap
from contextlib import closing

import numpy as np
import pytest

from SparseVolumeReconstructionLib.mrml.scene import headless_scene
from SparseVolumeReconstructionLib.worker import WorkerClient

# Reads the contexts it is given and writes a result in which every voxel tells what arrived: no prior is
# needed for that.
ECHO = """
    import sys, time
    import numpy as np
    from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
    from SparseVolumeReconstructionLib.geometry.io import read_affine, read_volume
    from SparseVolumeReconstructionLib.reconstruction.request import ReconstructionRequest
    from SparseVolumeReconstructionLib.reconstruction.result import Reconstruction, write_result
    from SparseVolumeReconstructionLib.worker.server import Server, take_stdout

    def job(data, progress):
        request = ReconstructionRequest.model_validate(data)
        progress.update("reading", 0.1)
        contexts = [read_volume(c.path) for c in request.contexts]
        if request.prior == "slow":
            for n in range(1000):
                progress.update("waiting", n / 1000)
                time.sleep(0.02)
        if request.prior == "nothing":
            raise InputError('model "nothing" is not known.')
        grid = read_volume(request.like).grid if request.like else contexts[0].grid
        frame = np.eye(4) if request.frame in ("auto", "registered") else read_affine(request.frame)
        array = contexts[0].array if contexts and contexts[0].grid.same_as(grid) else np.zeros(grid.shape_kji, np.float32)
        mean, std = Volume(array, grid), Volume(np.linspace(0, 5, grid.size, dtype=np.float32).reshape(grid.shape_kji), grid)
        mask = Volume((np.indices(grid.shape_kji)[0] == 1).astype(np.uint8), grid)
        made = {"mean": mean, "std": std, "template": mean, "atlas": mean}
        made = {name: made[name] for name in request.outputs}
        made |= {"template_mask": mask} if "template" in made else {}
        made |= {"observed": mask} if request.on_grid else {}
        made |= {"brain_mask": mask} if request.prior == "whole" else {}
        made |= {"samples": np.stack([array + 10 * (n + 1) for n in range(request.samples)]).astype(np.float32)} if request.samples else {}
        provenance = {"request": data, "seen": [[list(c.array.shape), c.grid.ijk_to_ras.tolist()] for c in contexts]}
        provenance["frame"] = {"found_from_slices": request.frame == "auto", "patient_to_canonical": frame.tolist()}
        provenance |= {"covariate": None, "intensity_map": {"patient": [0, 1], "canonical": [0, 1]}}
        provenance["warnings"] = [f"{request.prior}: doubtful."]
        provenance["frame"]["doubts"] = ["two bodies"] if request.frame == "auto" else []
        provenance["warnings"] += provenance["frame"]["doubts"] if request.fast else []
        provenance["frame_probability"] = 0.6
        result = Reconstruction.of(made, frame, provenance)
        return {"files": write_result(result, request.output, compress=not request.fast), "result": result.provenance}

    raise SystemExit(Server(sys.stdin, take_stdout(), {"reconstruct": job}).serve())
"""  # noqa: E501


@pytest.fixture
def scene():
    """A new real scene, the current one of `slicer`."""
    return headless_scene()


@pytest.fixture
def slice_views(scene):
    """Three slice views as nodes: {name: slice node}."""
    import slicer

    nodes = {}
    for view, orientation in (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal")):
        node = scene.CreateNodeByClass("vtkMRMLSliceNode")  # with the scene's orientation presets
        node.UnRegister(None)
        node.SetName(view)
        node.SetLayoutName(view)
        node.SetSingletonTag(view)
        nodes[view] = scene.AddNode(node)
        nodes[view].SetOrientation(orientation)
        nodes[view].SetMappedInLayout(1)
        composite = slicer.vtkMRMLSliceCompositeNode()
        composite.SetLayoutName(view)
        composite.SetSingletonTag(view)
        scene.AddNode(composite)
    return nodes


@pytest.fixture
def scan(slice_views):
    """A dense volume, shown in the three views."""
    from mrml.blobs import blob

    from SparseVolumeReconstructionLib.mrml import views

    node = blob()
    views.set_background(node)
    return node


@pytest.fixture
def contexts(scan):
    """The list of contexts of the scene; `changes` has its length at every change."""
    from SparseVolumeReconstructionLib.mrml.contexts import context_slices
    from SparseVolumeReconstructionLib.workflow.context_list import ContextList

    changes = []
    made = ContextList(lambda: changes.append(len(context_slices())))
    made.changes = changes
    yield made
    made.close()


@pytest.fixture(scope="session")
def echo_client(tmp_path_factory):
    """A client of the process that answers with what it was given."""
    script = tmp_path_factory.mktemp("echo") / "echo.py"
    script.write_text(textwrap.dedent(ECHO))
    client = WorkerClient([sys.executable, str(script)])
    yield client
    client.close()


@pytest.fixture(scope="session")
def rotation():
    """Function: 3x3 rotation by `degrees` about an axis."""

    def make(axis, degrees: float) -> np.ndarray:
        x, y, z = np.asarray(axis, float) / np.linalg.norm(axis)
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        angle = np.radians(degrees)
        return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross

    return make


@pytest.fixture(scope="session")
def bumps():
    """Function: a smooth positive array of a shape (k, j, i)."""

    def make(shape=(9, 11, 13), seed: int = 0) -> np.ndarray:
        k, j, i = np.indices(shape)
        return (100 + 10 * np.sin(i / 2.0 + seed) + 5 * np.cos(j / 3.0) + 2 * k).astype(np.float32)

    return make


@pytest.fixture(scope="module")
def tiny_logic(tmp_path_factory, write_weights):
    """The logic over a worker that knows the model "tiny"."""
    from SparseVolumeReconstructionLib.mrml.logic import SparseVolumeReconstructionLogic
    from SparseVolumeReconstructionLib.zoo import ModelStore

    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SVR_MODELS_DIR", str(tmp_path_factory.mktemp("models")))
        patch.setenv("OMP_NUM_THREADS", "1")
        write_weights(folder / "tiny.safetensors", id="tiny")
        ModelStore().import_file(folder / "tiny.safetensors")
        with closing(SparseVolumeReconstructionLogic(WorkerClient(python=sys.executable))) as running:
            yield running
