"""Results in the scene: only what was asked for, found again from any node, renewed in place, and removed
without a trace.
"""

import json
import re
import resource
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util
import vtk

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_affine, write_volume
from SparseVolumeReconstructionLib.mrml.bundle import save_bundle
from SparseVolumeReconstructionLib.mrml.contexts import add_context, context_slices, remove_context, slices_of
from SparseVolumeReconstructionLib.mrml.logic import (
    Context,
    ReconstructionInputs,
    SparseVolumeReconstructionLogic,
)
from SparseVolumeReconstructionLib.mrml.look import Look
from SparseVolumeReconstructionLib.mrml.nodes import (
    add_transform,
    add_volume,
    affine_of,
    volume_of,
    world_grid,
)
from SparseVolumeReconstructionLib.mrml.results import ResultNodes, load_result, remove_result
from SparseVolumeReconstructionLib.mrml.scene import headless_scene
from SparseVolumeReconstructionLib.mrml.views import ROLE, composite_node
from SparseVolumeReconstructionLib.reconstruction.result import Reconstruction, write_result
from SparseVolumeReconstructionLib.web.memory import give_back_at_once
from SparseVolumeReconstructionLib.workflow.choices import Choices
from SparseVolumeReconstructionLib.workflow.explorer import Explorer

ALL = ("mean", "std", "template", "atlas")


@pytest.fixture
def logic(scene, echo_client):
    return SparseVolumeReconstructionLogic(echo_client)


@pytest.fixture
def head(scene, bumps):
    """A volume node in the subject hierarchy."""
    node = add_volume(Volume(bumps(), Grid.centred(bumps().shape, (1.0, 1.2, 2.0), (5, 6, 7))), "Head")
    hierarchy().CreateItem(hierarchy().GetSceneItemID(), node)
    return node


def hierarchy():
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def items() -> int:
    found = vtk.vtkIdList()
    hierarchy().GetItemChildren(hierarchy().GetSceneItemID(), found, True)
    return found.GetNumberOfIds()


def everything() -> tuple[set, int]:
    """IDs of all nodes, and the number of items of the subject hierarchy."""
    nodes = slicer.mrmlScene.GetNodes()
    return {nodes.GetItemAsObject(n).GetID() for n in range(nodes.GetNumberOfItems())}, items()


def inputs(head, **changes) -> ReconstructionInputs:
    return ReconstructionInputs(
        **{"prior": "p", "contexts": (Context(head, (3,)),), "like": head, "name": "Rec", **changes}
    )


@pytest.mark.parametrize(
    ("outputs", "samples", "roles"),
    [
        (("mean",), 0, {"mean", "observed", "frame"}),
        (("template",), 0, {"template", "template_mask", "frame"}),
        (("atlas",), 0, {"atlas", "outline", "frame"}),
        ((), 2, {"observed", "samples", "browser", "current", "frame"}),
    ],
)
def test_only_what_was_asked_for_becomes_nodes(logic, head, outputs, samples, roles):
    result = logic.reconstruct(inputs(head, outputs=outputs, samples=samples))
    assert set(result.roles) == roles and result.main is getattr(result, result.main_role)
    reversed_ = type("Reversed", (ResultNodes,), {"roles": dict(reversed(result.roles.items()))})
    main = next(role for role in ("mean", "std", "observed", "template", "atlas") if role in roles)
    assert reversed_(result.provenance, **result.roles).main_role == result.main_role == main
    assert all(
        getattr(result, role) is None for role in ("mean", "std", "template", "atlas") if role not in roles
    )


def test_the_brain_of_whole_heads_is_outlined_where_it_is_wanted(logic, head, slice_views):
    result = logic.reconstruct(inputs(head, prior="whole", outputs=("mean",)))
    brain = result.brain_mask
    assert brain.GetName() == "Rec brain mask (inferred)" and brain.IsA("vtkMRMLLabelMapVolumeNode")
    assert slicer.util.arrayFromVolume(brain).any() and brain.GetAttribute(ROLE) == "brain_mask"
    choices = Choices(result=result.mean, markObserved=True)
    for wanted, shown in ((False, result.observed), (True, brain), (False, result.observed)):
        choices.showBrain = wanted
        Explorer(choices).show()
        labels = {composite_node(view).GetLabelVolumeID() for view in slice_views}
        assert labels == {shown.GetID()}
        assert all(bool(node.GetUseLabelOutline()) == wanted for node in slice_views.values())
    again = logic.start(inputs(head, outputs=("mean",)), into=result).result()
    assert again.brain_mask is None and not slicer.mrmlScene.IsNodePresent(brain)
    assert Explorer(Choices(result=again.mean)).has_brain is False


def test_the_atlas_follows_the_frame(logic, head, rotation):
    move = np.eye(4)
    move[:3, :3], move[:3, 3] = 1.1 * rotation((1, 2, 3), 40.0), (10, -20, 30)
    result = logic.reconstruct(inputs(head, outputs=("atlas",), frame=np.linalg.inv(move)))
    assert np.abs(result.found["frame"] @ move - np.eye(4)).max() < 1e-6, "an array is given as it is found"
    assert result.frame.GetName() == "Rec frame" and np.abs(affine_of(result.frame) - move).max() < 1e-6
    own = world_grid(head).ijk_to_ras
    assert all(
        np.abs(world_grid(node).ijk_to_ras - move @ own).max() < 1e-4
        for node in (result.atlas, result.outline)
    )
    inside = slicer.util.arrayFromVolume(result.outline) == 1
    assert (
        0.1 < inside.mean() < 0.99
        and volume_of(result.atlas).array[inside].min() > volume_of(result.atlas).array[~inside].max()
    )
    result.frame.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.eye(4)))
    assert np.abs(world_grid(result.atlas).ijk_to_ras - own).max() < 1e-4


def test_a_frame_that_flattens_the_atlas_is_refused(logic, head):
    for frame in (
        np.diag([1.0, 1.0, 0.0, 1.0]),
        np.full((4, 4), np.nan),
        add_transform(np.diag([1.0, 0.0, 1.0, 1.0]), "flat"),
    ):
        with pytest.raises(InputError, match="singular or not finite"):
            logic.reconstruct(inputs(head, frame=frame))


def test_contexts_are_called_like_their_nodes(logic, head, bumps):
    same = add_volume(Volume(bumps(seed=1), Grid.centred(bumps().shape, 1.0)), "Head")
    contexts = (Context(head, plane=np.eye(4)), Context(same, (2,)), Context(head, (3,)))
    specs = logic.reconstruct(inputs(head, contexts=contexts)).provenance["request"]["contexts"]
    assert [spec["source"] for spec in specs] == ["Head", "Head (2)", "Head"]
    assert len({spec["path"] for spec in specs}) == 3


def test_a_result_is_found_from_any_of_its_nodes(logic, head):
    first, second = (logic.reconstruct(inputs(head, outputs=ALL, samples=2, seed=seed)) for seed in (1, 2))
    for node in first.nodes:
        assert ResultNodes.of(node) == first
    assert ResultNodes.of(second.main) == second != first
    assert ResultNodes.of(head) is None
    slicer.mrmlScene.RemoveNode(first.std)
    assert ResultNodes.of(first.mean).std is None and ResultNodes.of(first.std) is None
    first.browser.SetSelectedItemNumber(1)
    slicer.app.applicationLogic().GetModuleLogic("Sequences").UpdateProxyNodesFromSequences(first.browser)
    assert ResultNodes.of(first.mean).current is first.current


def test_a_result_is_found_again_in_a_saved_scene(logic, head, tmp_path):
    result = logic.reconstruct(inputs(head, outputs=ALL, samples=2))
    voxels = slicer.util.arrayFromVolume(result.mean).copy()
    save_bundle(slicer.mrmlScene, tmp_path / "scene.mrb")
    scene = headless_scene()
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"), False, None)
    again = ResultNodes.of(slicer.util.getNode("Rec observed"))
    assert set(again.roles) == set(result.roles) and again.provenance == result.provenance
    assert np.allclose(slicer.util.arrayFromVolume(again.mean), voxels)
    assert again.atlas.GetParentTransformNode() is again.frame
    assert hierarchy().GetItemName(again.folder) == "Rec"
    explorer = Explorer(Choices(result=again.mean))
    assert explorer.warnings() == ["p: doubtful."] and "doubtful" not in explorer.summary()
    assert Explorer(Choices()).warnings() == []


def save_as_files(folder):
    """What the application's Save dialog does: every node that has data into the file of its name, in one
    folder.
    """
    scene = slicer.mrmlScene
    for node in slicer.util.getNodesByClass("vtkMRMLStorableNode"):
        if node.GetSaveWithScene() and not node.IsA("vtkMRMLColorNode") and node.GetModifiedSinceRead():
            node.AddDefaultStorageNode()
            storage = node.GetStorageNode()
            name = re.sub(r"[^\w .()-]", "", node.GetName()) + f".{storage.GetDefaultWriteFileExtension()}"
            assert not (folder / name).exists(), name
            storage.SetFileName(str(folder / name))
            assert storage.WriteData(node), name
    scene.SetURL(str(folder / "scene.mrml"))
    assert scene.Commit(str(folder / "scene.mrml"))
    return folder / "scene.mrml"


@pytest.mark.parametrize("bundle", [True, False])
def test_two_results_of_one_name_are_both_there_in_a_saved_scene(logic, head, bumps, tmp_path, bundle):
    other = add_volume(Volume(bumps(seed=5), Grid.centred(bumps().shape, 1.5)), "Other")
    contexts = [add_context(head, plane, "Red", (1, 0, 0)) for plane in slices_of(head)[2:4]]
    first, second = (logic.reconstruct(inputs(scan, outputs=ALL, samples=2)) for scan in (head, other))
    names = [node.GetName() for result in (first, second) for node in result.nodes]
    assert len({*names}) == len(names) and (first.title, second.title) == ("Rec", "Rec (2)")
    assert [hierarchy().GetItemName(each.folder) for each in (first, second)] == ["Rec", "Rec (2)"]
    voxels = {
        node.GetName(): slicer.util.arrayFromVolume(node).copy()
        for each in (first, second)
        for node in (each.mean, each.current)
    }
    if bundle:
        save_bundle(slicer.mrmlScene, tmp_path / "scene.mrb")
        scene = headless_scene()
        assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"), False, None)
    else:
        path = save_as_files(tmp_path)
        scene = headless_scene()
        scene.SetURL(str(path))
        assert scene.Connect()
    for name, array in voxels.items():
        assert np.allclose(slicer.util.arrayFromVolume(slicer.util.getNode(name)), array), name
    again = [ResultNodes.of(slicer.util.getNode(f"{title} mean")) for title in ("Rec", "Rec (2)")]
    assert [{*each.roles} for each in again] == [{*first.roles}] * 2
    assert [each.samples.GetNumberOfDataNodes() for each in again] == [2, 2]
    found = context_slices()
    folders = {
        hierarchy().GetItemName(hierarchy().GetItemParent(hierarchy().GetItemByDataNode(each.node)))
        for each in found
    }
    assert len(found) == len(contexts) and folders == {"Head context slices"}
    for context in found:
        remove_context(context)
    shown = vtk.vtkIdList()
    hierarchy().GetItemChildren(hierarchy().GetSceneItemID(), shown, True)
    assert "Head context slices" not in [
        hierarchy().GetItemName(shown.GetId(n)) for n in range(shown.GetNumberOfIds())
    ]


def test_a_removed_result_leaves_nothing(logic, head, tmp_path):
    before = everything()
    result = logic.reconstruct(inputs(head, outputs=ALL, samples=2))
    save_bundle(slicer.mrmlScene, tmp_path / "scene.mrb")  # makes storage nodes
    remove_result(result)
    nodes, count = everything()
    assert {n for n in nodes - before[0] if "Storage" not in n} == set() and count == before[1]
    assert len(nodes) - len(before[0]) <= 1  # the storage node of the input


def resident_mb() -> float:
    """Memory of this process."""
    statistics = Path("/proc/self/statm")
    if not statistics.exists():
        pytest.skip("the system does not tell the memory of a process")
    return int(statistics.read_text().split()[1]) * resource.getpagesize() / 2**20


@pytest.mark.slow
def test_a_result_takes_what_its_voxels_need_and_gives_it_back(logic, scene, bumps, tmp_path):
    give_back_at_once()  # as the page's server does
    scan = add_volume(Volume(bumps((60, 110, 110)), Grid.centred((60, 110, 110), 1.5)), "Scan")
    remove_result(logic.reconstruct(inputs(scan, outputs=ALL, samples=8), output=tmp_path / "out"))
    voxels_mb = scan.GetImageData().GetNumberOfPoints() / 2**20
    needed = voxels_mb * (4 * (4 + 8) + 3)  # mean, sd, template, atlas and samples; three masks
    held: list[float] = []
    left: list[float] = []
    for _again in range(20):
        result = load_result(tmp_path / "out")
        held.append(resident_mb())
        remove_result(result)
        del result
        left.append(resident_mb())
    # Half of them against the other half: pages that are kept free come and go from one to the next.
    assert max(left[10:]) - max(left[:10]) < 0.5 * needed, (held, left, needed)
    assert max(held[10:]) - max(left[10:]) < 1.4 * needed, (held, left, needed)


def test_what_is_to_stay_stays(logic, head):
    result = logic.reconstruct(inputs(head, outputs=("atlas",)))
    hierarchy().SetItemParent(hierarchy().GetItemByDataNode(head), result.folder)
    remove_result(result, keep=(result.frame,))
    assert slicer.mrmlScene.IsNodePresent(head) and slicer.mrmlScene.IsNodePresent(result.frame)
    assert not slicer.mrmlScene.IsNodePresent(result.atlas) and ResultNodes.of(result.frame) is None
    assert all(
        hierarchy().GetItemParent(hierarchy().GetItemByDataNode(node)) == hierarchy().GetSceneItemID()
        for node in (head, result.frame)
    )


def test_a_live_result_is_renewed_in_place(logic, head, bumps):
    def update(**changes):
        options = inputs(head, outputs=("mean",), fast=True, **changes)
        return logic.start(options, into=update.result).result()

    update.result = None
    first = update.result = update()
    there, seen = everything(), []
    first.mean.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: seen.append(1))
    other = add_volume(Volume(bumps((5, 6, 7), seed=3), Grid.centred((5, 6, 7), 3.0)), "Other")
    second = update.result = update(contexts=(Context(other, (2,)),), like=other, seed=9)
    slicer.mrmlScene.RemoveNode(other.GetDisplayNode())
    slicer.mrmlScene.RemoveNode(other)
    assert everything() == there and second.mean is first.mean and second.live and 0 < len(seen) < 4
    assert volume_of(second.mean).grid.same_as(Grid.centred((5, 6, 7), 3.0)) and world_grid(
        second.observed
    ).shape_kji == (5, 6, 7)
    assert np.allclose(slicer.util.arrayFromVolume(second.mean), bumps((5, 6, 7), seed=3))
    assert (
        json.loads(second.mean.GetAttribute("SparseVolumeReconstruction.Provenance"))["request"]["seed"] == 9
    )
    assert ResultNodes.of(second.frame) == second
    slicer.mrmlScene.RemoveNode(second.mean)
    third = update()
    assert third.mean is not second.mean and slicer.mrmlScene.IsNodePresent(third.mean)


def test_the_window_follows_the_units_and_else_the_user(logic, head, bumps):
    def update(into, scan):
        return logic.start(inputs(scan, outputs=("mean",), fast=True), into=into).result()

    bright = add_volume(Volume(2000 * bumps(), Grid.centred(bumps().shape, 1.0)), "Bright")
    for node, window in ((head, (40.0, 110.0)), (bright, (80000.0, 220000.0))):
        node.GetDisplayNode().SetAutoWindowLevel(False)
        node.GetDisplayNode().SetWindowLevel(*window)
    result = update(None, head)
    shown = result.mean.GetDisplayNode()
    shown.SetWindowLevel(30.0, 100.0)
    update(result, head)
    assert (shown.GetWindow(), shown.GetLevel()) == (30.0, 100.0)
    update(result, bright)
    assert (shown.GetWindow(), shown.GetLevel()) == (80000.0, 220000.0)
    bright.GetDisplayNode().SetAutoWindowLevel(True)


@pytest.mark.parametrize(("shown", "own"), [("as observed", False), ("T1w", True), ("T2w", False)])
def test_a_contrast_that_was_not_scanned_has_a_window_of_its_own(scene, tmp_path, shown, own):
    array = np.linspace(0, 1000, 720, dtype=np.float32).reshape(10, 9, 8)
    volumes = {"mean": Volume(array, Grid.centred(array.shape, 3.0))}
    volumes["observed"] = Volume(np.zeros_like(array, np.uint8), volumes["mean"].grid)
    said = {"request": {}, "frame": {"found_from_slices": True}}
    said["contrast"] = {"found": "T2w-like", "series": {"a": {}}, "shown_as": shown}
    write_result(Reconstruction.of(volumes, np.eye(4), said), tmp_path)
    display = load_result(tmp_path, "Head", Look(40.0, 110.0)).mean.GetDisplayNode()
    assert ((display.GetWindow(), display.GetLevel()) != (40.0, 110.0)) is own
    assert (display.GetWindowLevelMax() > 800) is own


def test_a_damaged_result_leaves_no_node(logic, head, tmp_path):
    logic.reconstruct(inputs(head, outputs=ALL, samples=2), output=tmp_path / "out")
    before = everything()
    for name in ("samples.seq.nrrd", "std.nrrd", "frame.h5", "result.json"):
        content = (tmp_path / "out" / name).read_bytes()
        (tmp_path / "out" / name).write_text("nothing")
        with pytest.raises(InputError, match=name):
            load_result(tmp_path / "out")
        assert everything() == before
        (tmp_path / "out" / name).write_bytes(content)
    write_volume(
        Volume(np.zeros((2, 2, 2), np.float32), Grid.centred((2, 2, 2), 1.0)), tmp_path / "out" / "std.nrrd"
    )
    assert load_result(tmp_path / "out").std.GetImageData().GetNumberOfPoints() == 8


def test_the_frame_of_a_scene_of_an_earlier_version_can_be_used_again():
    folder = Path(__file__).parents[1] / "reconstruction" / "result-0.1.0"
    kept = json.loads((folder / "result.json").read_text(encoding="utf-8"))  # as nodes of a scene hold it
    frame = read_affine(folder / "frame.h5")  # patient to canonical
    np.testing.assert_allclose(ResultNodes(kept).found["frame"], frame, atol=1e-6)
