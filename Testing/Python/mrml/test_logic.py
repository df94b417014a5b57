"""Nodes in, nodes out: a real scene, a real process, and what arrived there."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.mrml.logic import (
    Context,
    ReconstructionInputs,
    SparseVolumeReconstructionLogic,
)
from SparseVolumeReconstructionLib.mrml.nodes import add_transform, add_volume, world_grid
from SparseVolumeReconstructionLib.worker import WorkerError
from SparseVolumeReconstructionLib.zoo import ModelStore


@pytest.fixture
def logic(scene, echo_client):
    return SparseVolumeReconstructionLogic(echo_client)


@pytest.fixture
def head(scene, bumps, rotation):
    """A volume node under an oblique parent transform, with its own window and level, in a subject hierarchy
    folder.
    """
    node = add_volume(Volume(bumps(), Grid.centred(bumps().shape, (1.0, 1.2, 2.0), (5, 6, 7))), "Head 1 (T1)")
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevel(80.0, 100.0)
    move = np.eye(4)
    move[:3, :3], move[:3, 3] = rotation((1, 1, 1), 30.0), (12, -3, 4)
    node.SetAndObserveTransformNodeID(add_transform(move, "pose").GetID())
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    hierarchy.CreateItem(hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Patient"), node)
    return node


def test_results_lie_where_the_inputs_are_and_have_no_parent(logic, head):
    before = slicer.util.arrayFromVolume(head).copy(), head.GetMTime(), head.GetImageData().GetMTime()
    result = logic.reconstruct(
        ReconstructionInputs("p", (Context(head, (3,)),), like=head, samples=3, name="Rec")
    )
    for node in (result.mean, result.std, result.observed):
        assert node.GetParentTransformNode() is None
        assert world_grid(node).same_as(world_grid(head))
    assert np.allclose(slicer.util.arrayFromVolume(result.mean), before[0])
    assert np.array_equal(slicer.util.arrayFromVolume(head), before[0])
    assert (head.GetMTime(), head.GetImageData().GetMTime()) == before[1:]
    assert head.GetParentTransformNode().GetName() == "pose"


def test_each_role_is_the_right_kind_of_node(logic, head):
    result = logic.reconstruct(
        ReconstructionInputs("p", (Context(head, (3,)),), like=head, samples=3, name="Rec")
    )
    assert result.observed.IsA("vtkMRMLLabelMapVolumeNode")
    assert np.array_equal(np.unique(slicer.util.arrayFromVolume(result.observed)), [0, 1])
    assert result.frame.IsA("vtkMRMLLinearTransformNode")
    assert [node.GetName() for node in (result.mean, result.std, result.frame)] == [
        "Rec mean",
        "Rec sd",
        "Rec frame",
    ]
    mean, sd = result.mean.GetDisplayNode(), result.std.GetDisplayNode()
    assert (mean.GetWindow(), mean.GetLevel(), mean.GetAutoWindowLevel()) == (80.0, 100.0, 0)
    assert sd.GetColorNode().GetName() in ("Inferno", "Viridis", "Grey")
    assert (
        np.isclose(sd.GetLevel() - sd.GetWindow() / 2, 0.0)
        and 4.9 < sd.GetLevel() + sd.GetWindow() / 2 <= 5.0
    )


def test_what_is_too_large_never_reaches_the_scene(scene, echo_client, head):
    asked = []

    def admit(size: int) -> None:
        asked.append(size)
        if len(asked) > 1:
            raise InputError("too much: remove a result")

    logic = SparseVolumeReconstructionLogic(echo_client, admit)
    inputs = ReconstructionInputs("p", (Context(head, (3,)),), like=head, samples=3)
    result = logic.reconstruct(inputs)
    voxels = 4 * world_grid(head).size
    assert 5 * voxels < asked[0] < 8 * voxels  # mean, sd and three samples, a mask, and headers
    before = scene.GetNumberOfNodes()
    with pytest.raises(InputError, match="remove a result"):
        logic.reconstruct(inputs)
    assert scene.GetNumberOfNodes() == before and str(Path(slicer.app.temporaryPath)) not in json.dumps(
        result.provenance
    )


def test_samples_are_a_sequence_with_a_browser(logic, head):
    result = logic.reconstruct(ReconstructionInputs("p", (Context(head, (3,)),), like=head, samples=3))
    assert result.samples.GetNumberOfDataNodes() == 3 and result.browser.GetNumberOfItems() == 3
    for n in range(3):
        node = result.samples.GetNthDataNode(n)
        assert world_grid(node).same_as(world_grid(head))
        assert np.allclose(
            slicer.util.arrayFromVolume(node), slicer.util.arrayFromVolume(head) + 10 * (n + 1)
        )
    result.browser.SetSelectedItemNumber(2)
    slicer.app.applicationLogic().GetModuleLogic("Sequences").UpdateProxyNodesFromSequences(result.browser)
    proxy = result.browser.GetProxyNode(result.samples)
    assert np.allclose(slicer.util.arrayFromVolume(proxy), slicer.util.arrayFromVolume(head) + 30)
    assert proxy.GetDisplayNode().GetWindow() == 80.0
    none = logic.reconstruct(ReconstructionInputs("p", (Context(head, (3,)),), like=head))
    assert none.samples is None and none.browser is None


def test_every_node_is_in_the_folder_beside_the_input_and_carries_the_provenance(logic, head, scene):
    result = logic.reconstruct(
        ReconstructionInputs("p", (Context(head, (3,)),), like=head, samples=1, seed=5, name="Rec")
    )
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    assert hierarchy.GetItemName(result.folder) == "Rec"
    assert hierarchy.GetItemName(hierarchy.GetItemParent(result.folder)) == "Patient"
    assert len(result.nodes) == 9
    for node in result.nodes:
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == result.folder
        assert json.loads(node.GetAttribute("SparseVolumeReconstruction.Provenance")) == result.provenance
        assert "ot for diagnosis" in node.GetAttribute("SparseVolumeReconstruction.Notice")
    assert result.std.GetAttribute("SparseVolumeReconstruction.Role") == "std"
    assert result.provenance["request"]["seed"] == 5


def test_the_process_gets_planes_as_single_slices_with_their_thickness(logic, head, rotation):
    plane = np.eye(4)
    plane[:3, :3] = rotation((1, 0, 0), 35.0)
    plane[:3, 3] = world_grid(head).corners_ras().mean(0)
    contexts = (Context(head, plane=plane), Context(head, (1, 4), thickness_mm=3.5))
    result = logic.reconstruct(ReconstructionInputs("p", contexts, like=head))
    specs, seen = result.provenance["request"]["contexts"], result.provenance["seen"]
    shape, across = seen[0][0], np.array(seen[0][1])[:3, 2]
    assert shape[0] == 1 and np.isclose(abs(across @ plane[:3, 2]), np.linalg.norm(across))
    assert (specs[0]["slices"], specs[1]["slices"], specs[1]["thickness_mm"]) == (None, [1, 4], 3.5)
    assert specs[0]["path"] != specs[1]["path"] and specs[1]["path"].endswith("Head_1_T1_.nrrd")


def test_a_frame_node_places_the_atlas_on_the_patient_and_arrives_as_its_inverse(logic, head, rotation):
    frame, outer = np.eye(4), np.eye(4)
    frame[:3, :3], frame[:3, 3], outer[:3, 3] = rotation((0, 1, 2), 50.0) * 0.9, (1, 2, 3), (0, 0, 10)
    node = add_transform(frame, "given")
    node.SetAndObserveTransformNodeID(add_transform(outer, "outer").GetID())
    result = logic.reconstruct(ReconstructionInputs("p", (Context(head, (3,)),), frame=node, like=head))
    back = slicer.util.arrayFromVTKMatrix(result.frame.GetMatrixTransformToParent())
    assert np.abs(back - outer @ frame).max() < 1e-6


def test_the_files_are_kept_only_where_asked_for(logic, head, tmp_path):
    temporary = slicer.app.temporaryPath
    logic.reconstruct(ReconstructionInputs("p", (Context(head, (3,)),), like=head), output=tmp_path / "kept")
    assert read_volume(tmp_path / "kept" / "mean.nrrd").grid.same_as(world_grid(head))
    with pytest.raises(InputError):
        logic.reconstruct(ReconstructionInputs("nothing", (Context(head, (3,)),), like=head))
    assert not list(Path(temporary).glob("svr-*"))


def test_wrong_input_is_one_line_from_here_and_from_the_process(logic, head, scene):
    nodes = scene.GetNumberOfNodes()
    with pytest.raises(InputError, match='model "nothing" is not known'):
        logic.reconstruct(ReconstructionInputs("nothing", (Context(head, (3,)),), like=head))
    with pytest.raises(InputError, match="samples: .*greater than or equal to 0"):
        logic.reconstruct(ReconstructionInputs("p", (Context(head, (3,)),), samples=-1))
    with pytest.raises(InputError, match="choose one"):
        logic.reconstruct(ReconstructionInputs("p", (Context(head, (3,), np.eye(4)),)))
    assert scene.GetNumberOfNodes() == nodes


def test_a_timer_sees_progress_and_a_cancel_takes_less_than_a_second(logic, head, scene):
    nodes, events = scene.GetNumberOfNodes(), []
    started = time.monotonic()
    inputs = ReconstructionInputs("slow", (Context(head, (3,)),), like=head)
    job = logic.start(inputs)
    job.report = events.append
    assert time.monotonic() - started < 0.5
    while len(events) < 3:
        logic.poll()
        time.sleep(0.02)
    begun = time.monotonic()
    job.cancel()
    with pytest.raises(WorkerError, match="cancelled"):
        job.result()
    assert time.monotonic() - begun < 1.0 and job.error.kind == "cancelled"
    assert scene.GetNumberOfNodes() == nodes
    assert logic.reconstruct(ReconstructionInputs("p", (Context(head, (3,)),), like=head)).mean is not None


def test_a_real_prior_in_the_real_process(scene, write_weights, tmp_path, monkeypatch):
    ModelStore(tmp_path / "store").import_file(write_weights(tmp_path / "tiny.safetensors"))
    monkeypatch.setenv("SVR_MODELS_DIR", str(tmp_path / "store"))
    grid = Grid.centred((12, 14, 13), 12.0)
    radius = np.linalg.norm(grid.points_ras() / [60, 75, 62], axis=1).reshape(grid.shape_kji)
    body = add_volume(Volume(np.where(radius < 1, 300 + 550 * radius, 0).astype(np.float32), grid), "body")
    oblique = np.eye(4)
    oblique[:3, :3] = [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
    logic, steps = SparseVolumeReconstructionLogic(), []
    contexts = (Context(body, (4, 8)), Context(body, plane=oblique))
    result = logic.reconstruct(
        ReconstructionInputs("tiny", contexts, "registered", body, samples=2),
        lambda event: steps.append(event.fraction),
    )
    logic.close()
    mean, seen = (slicer.util.arrayFromVolume(node) for node in (result.mean, result.observed))
    apart = (
        np.abs(grid.points_ras() @ oblique[:3, 2]).reshape(grid.shape_kji) > 20.0
    )  # mm; where slices cross, they are averaged
    apart[[0, 1, 2, 3, 5, 6, 7, 9, 10, 11]] = False
    assert np.allclose(mean[apart], slicer.util.arrayFromVolume(body)[apart], atol=1e-3)
    assert seen[[4, 8]].all() and seen[6].any() and not seen.all()
    assert result.samples.GetNumberOfDataNodes() == 2 and steps == sorted(steps) and steps[-1] == 1.0
    assert result.provenance["prior"]["id"] == "tiny"
