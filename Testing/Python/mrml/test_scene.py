"""A scene with a result is saved as .mrb and read back by another process."""

import json
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest
import slicer
import slicer.util
import vtk
from mrml.blobs import blob

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.mrml import hierarchy
from SparseVolumeReconstructionLib.mrml.bundle import prepare_bundle, save_bundle
from SparseVolumeReconstructionLib.mrml.contexts import add_context, slices_of
from SparseVolumeReconstructionLib.mrml.logic import (
    Context,
    ReconstructionInputs,
    SparseVolumeReconstructionLogic,
)
from SparseVolumeReconstructionLib.mrml.nodes import add_transform, add_volume
from SparseVolumeReconstructionLib.mrml.scene import headless_scene, show_in_slice_views

READ = """
    import json, sys
    import numpy as np
    import slicer, slicer.util
    from SparseVolumeReconstructionLib.mrml.nodes import world_grid
    from SparseVolumeReconstructionLib.mrml.scene import headless_scene
    scene = headless_scene()
    assert scene.ReadFromMRB(sys.argv[1], True, None)
    mean, sd, observed, frame, samples, browser = (scene.GetFirstNodeByName("Rec " + n) for n in
        ("mean", "sd", "observed", "frame", "samples", "samples browser"))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    print(json.dumps({
        "matrix": world_grid(mean).ijk_to_ras.tolist(),
        "mean": slicer.util.arrayFromVolume(mean).tolist(),
        "observed": [observed.GetClassName(), int(slicer.util.arrayFromVolume(observed).sum())],
        "samples": [float(slicer.util.arrayFromVolume(samples.GetNthDataNode(n)).mean()) for n in range(samples.GetNumberOfDataNodes())],
        "browser": [browser.GetNumberOfItems(), browser.GetMasterSequenceNode().GetName()],
        "colours": sd.GetDisplayNode().GetColorNode().GetName(),
        "window": [mean.GetDisplayNode().GetWindow(), mean.GetDisplayNode().GetLevel()],
        "folder": hierarchy.GetItemName(hierarchy.GetItemParent(hierarchy.GetItemByDataNode(mean))),
        "frame": slicer.util.arrayFromVTKMatrix(frame.GetMatrixTransformToParent()).tolist(),
        "views": {node.GetLayoutName(): scene.GetNodeByID(node.GetBackgroundVolumeID()).GetName()
            for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")},
        "seed": json.loads(mean.GetAttribute("SparseVolumeReconstruction.Provenance"))["request"]["seed"],
    }))
"""  # noqa: E501


def test_the_bundle_is_read_back_whole_in_a_new_process(
    scene, echo_client, tmp_path, bumps, rotation, library_environment
):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation((1, 2, 0), 15.0) @ np.diag([1.0, 2.0, 3.0]), (4, 5, 6)
    head = add_volume(Volume(bumps(), Grid(bumps().shape, matrix)), "head")
    head.GetDisplayNode().SetAutoWindowLevel(False)
    head.GetDisplayNode().SetWindowLevel(70.0, 90.0)
    logic = SparseVolumeReconstructionLogic(echo_client)
    result = logic.reconstruct(
        ReconstructionInputs("p", (Context(head, (3,)),), like=head, samples=2, seed=9, name="Rec")
    )
    show_in_slice_views(scene, result.mean, result.std)
    save_bundle(scene, tmp_path / "scene.mrb")
    assert [path.name for path in tmp_path.iterdir()] == ["scene.mrb"]

    command = [sys.executable, "-c", textwrap.dedent(READ), str(tmp_path / "scene.mrb")]
    done = subprocess.run(command, capture_output=True, text=True, env=library_environment, check=False)
    assert done.returncode == 0, done.stderr
    back = json.loads(done.stdout.splitlines()[-1])
    assert np.abs(np.array(back["matrix"]) - matrix).max() < 1e-4
    assert np.array_equal(np.array(back["mean"], np.float32), bumps())
    assert back["observed"] == ["vtkMRMLLabelMapVolumeNode", bumps()[0].size]
    assert np.allclose(back["samples"], bumps().mean() + np.array([10, 20]), atol=1e-3)
    assert back["browser"] == [2, "Rec samples"] and back["colours"] in ("Inferno", "Viridis", "Grey")
    assert back["window"] == [70.0, 90.0] and back["folder"] == "Rec" and back["seed"] == 9
    assert back["views"] == dict.fromkeys(("Red", "Green", "Yellow"), "Rec mean")
    assert np.abs(np.array(back["frame"]) - np.eye(4)).max() < 1e-9


def told(node) -> dict:
    """What a node holds: voxels, geometry, attributes, transform, folder."""
    items = hierarchy.node()
    item = items.GetItemByDataNode(node)
    said = {word: node.GetAttribute(word) for word in node.GetAttributeNames() if word.startswith("Sparse")}
    said |= {"class": node.GetClassName(), "folder": item and items.GetItemName(items.GetItemParent(item))}
    if node.IsA("vtkMRMLTransformableNode") and (parent := node.GetParentTransformNode()):
        said["parent"] = parent.GetName()
    if node.IsA("vtkMRMLTransformNode"):
        said["matrix"] = slicer.util.arrayFromTransformMatrix(node).round(6).tolist()
    if node.IsA("vtkMRMLVolumeNode"):
        matrix, voxels = vtk.vtkMatrix4x4(), slicer.util.arrayFromVolume(node)
        node.GetIJKToRASMatrix(matrix)
        said["matrix"] = slicer.util.arrayFromVTKMatrix(matrix).round(4).tolist()
        said["voxels"] = str(voxels.dtype), voxels.shape, voxels.tobytes()
    if node.IsA("vtkMRMLMarkupsNode"):
        said["points"] = slicer.util.arrayFromMarkupsControlPoints(node).round(4).tolist()
    if node.IsA("vtkMRMLSequenceNode"):
        count = range(node.GetNumberOfDataNodes())
        said["index"] = [node.GetIndexName(), *(node.GetNthIndexValue(n) for n in count)]
        said["items"] = [told(node.GetNthDataNode(n)) for n in count]
    return said


def everything() -> dict[str, list[dict]]:
    """{name: what is told} of all nodes that are saved with their data."""
    kinds = [slicer.util.getNodesByClass(f"vtkMRML{kind}Node") for kind in ("Storable", "SequenceBrowser")]
    saved = [each for nodes in kinds for each in nodes if each.GetSaveWithScene()]
    return {node.GetName(): told(node) for node in saved if not node.IsA("vtkMRMLColorNode")}


def test_a_bundle_holds_every_node_as_it_is_and_changes_none(scene, echo_client, tmp_path, rotation):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation((1, 2, 0), 25.0) @ np.diag([1.0, 2.0, 3.0]), (4, 5, 6)
    head, moved = blob((4, 6, 5), matrix=matrix), add_transform(matrix, "Moved")
    counts = add_volume(
        Volume(np.arange(-12, 12, dtype=np.int16).reshape(2, 3, 4), Grid.centred((2, 3, 4), 2.0)), "Kopf ä/1"
    )
    counts.SetAndObserveTransformNodeID(moved.GetID())
    colours = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Colours")
    slicer.util.updateVolumeFromArray(colours, np.arange(72, dtype=np.uint8).reshape(2, 3, 4, 3))
    motion = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Motion")
    motion.SetDataNodeAtValue(moved, "0.5")
    add_context(head, slices_of(head)[1], "Red", (1, 0, 0))
    chosen = Context(head, (2,))
    for _ in range(2):
        SparseVolumeReconstructionLogic(echo_client).reconstruct(
            ReconstructionInputs(
                "p", (chosen,), samples=3, outputs=("mean", "std", "template", "atlas"), name="Rec"
            )
        )
    before = everything()
    assert {"Rec (2) samples", "Rec (2) frame", "Colours", "Motion", "Kopf ä/1"} <= {*before}
    pack = prepare_bundle(scene, tmp_path / "scene.mrb")
    assert everything() == before and not counts.GetStorageNode().GetFileName()
    pack()
    with zipfile.ZipFile(tmp_path / "scene.mrb") as bundle:
        assert bundle.testzip() is None
    again = headless_scene()
    assert again.ReadFromMRB(str(tmp_path / "scene.mrb"), False, None)
    after = everything()
    assert after.pop("Motion-Motion-Seq")["items"] and before.pop("Motion")  # MRML keeps three digits of it
    assert {*after} == {*before}
    for name, said in before.items():
        assert after[name] == said, name


def test_a_scene_that_cannot_be_written_is_an_error_and_leaves_nothing(scene, tmp_path):
    with pytest.raises((InputError, OSError)):
        save_bundle(scene, tmp_path / "missing" / "scene.mrb")
    assert not list(tmp_path.iterdir())
