"""A scene with a result is saved as .mrb and read back by another process."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.mrml.logic import (
    Context,
    ReconstructionInputs,
    SparseVolumeReconstructionLogic,
)
from SparseVolumeReconstructionLib.mrml.nodes import add_volume
from SparseVolumeReconstructionLib.mrml.scene import save_bundle, show_in_slice_views

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


def test_a_scene_that_cannot_be_written_is_an_error_and_leaves_nothing(scene, tmp_path):
    with pytest.raises((InputError, OSError)):
        save_bundle(scene, tmp_path / "missing" / "scene.mrb")
    assert not list(tmp_path.iterdir())
