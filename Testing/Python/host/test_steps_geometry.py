"""Whatever the orientation of a volume's file: what the panel makes of it lies where SimpleITK says that the file lies."""

import numpy as np
import pytest
import SimpleITK as sitk

# Order of the axes, and which of them are turned around, in the file.
ORIENTATIONS = {
    "RAS-like": ((0, 1, 2), (False, False, False)),
    "flipped i": ((0, 1, 2), (True, False, False)),
    "flipped j and k": ((0, 1, 2), (False, True, True)),
    "all flipped": ((0, 1, 2), (True, True, True)),
    "coronal": ((0, 2, 1), (False, False, True)),
    "sagittal": ((1, 2, 0), (False, True, False)),
    "left-handed": ((1, 0, 2), (False, False, False)),
    "left-handed and flipped": ((2, 1, 0), (True, False, True)),
}
TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def unlike(head):
    """The head with a different spacing along every axis, so that mixed up axes show."""
    size = [round(n * s / t) for n, s, t in zip(head.GetSize(), head.GetSpacing(), (4.0, 5.0, 6.0), strict=True)]
    return sitk.Resample(head, size, sitk.Transform(), sitk.sitkLinear, head.GetOrigin(), (4.0, 5.0, 6.0), head.GetDirection())


def turned(image, degrees=20.0):
    """An image turned about an oblique axis and shifted, without resampling."""
    transform = sitk.VersorRigid3DTransform((2.0, 1.0, -1.0), np.radians(degrees), (4.0, -3.0, 5.0))
    direction = np.reshape(transform.GetMatrix(), (3, 3)) @ np.reshape(image.GetDirection(), (3, 3))
    image = sitk.Image(image)
    image.SetOrigin(transform.TransformPoint(image.GetOrigin()))
    image.SetDirection(direction.ravel().tolist())
    return image


def geometry(image):
    """Origin, spacing and direction of an image."""
    return np.concatenate([image.GetOrigin(), image.GetSpacing(), image.GetDirection()])


@pytest.fixture
def made(desk, tmp_path):
    """Function: write an image, take slices of it and make everything on its grid; returns (input node, saved results)."""
    import slicer.util

    def run(image, parent=None):
        sitk.WriteImage(image, str(tmp_path / "input.nrrd"))
        node = desk.show(slicer.util.loadVolume(str(tmp_path / "input.nrrd"), {"name": "Input"}))
        if parent is not None:
            node.SetAndObserveTransformNodeID(parent.GetID())
        desk.show(node)
        host, ui = desk.host, desk.ui
        for view in ("Red", "Green"):
            host.click(getattr(ui, f"add{view}Button"))
        host.choose(ui.frameModeBox, "Already registered")
        host.choose(ui.likeSelector, "Input")
        host.type(ui.samplesSpinBox, "1")
        desk.apply()
        assert desk.result is not None, desk.status
        saved = {}
        for role in ("mean", "std", "observed", "current", "template", "template_mask"):
            path = tmp_path / f"{role}.nrrd"
            assert slicer.util.saveNode(getattr(desk.result, role), str(path))
            saved[role] = sitk.ReadImage(str(path))
        return node, saved

    return run


def check(saved, expected, image):
    """All results lie where they should, and the mean shows the head there."""
    for role in ("mean", "std", "observed", "current"):
        assert saved[role].GetSize() == expected.GetSize(), role
        np.testing.assert_allclose(geometry(saved[role]), geometry(expected), atol=1e-4, err_msg=role)
    assert geometry(saved["template"]) == pytest.approx(geometry(saved["template_mask"]), abs=1e-6)
    mean, own = sitk.GetArrayFromImage(saved["mean"]), sitk.GetArrayFromImage(image)
    assert np.corrcoef(mean.ravel(), own.ravel())[0, 1] > 0.9
    template = sitk.Resample(saved["template"], expected, sitk.Transform(), sitk.sitkLinear)
    assert np.corrcoef(sitk.GetArrayFromImage(template).ravel(), own.ravel())[0, 1] > 0.85
    seen = sitk.GetArrayFromImage(saved["observed"]) > 0
    assert seen.any() and np.abs(mean - own)[seen].max() < 1.5


@pytest.mark.parametrize("name", [*ORIENTATIONS, "oblique"])
def test_results_lie_where_the_file_lies(made, head, name, tmp_path):
    import slicer.util

    if name == "oblique":
        image = turned(unlike(head), 12.0)
    else:
        order, flips = ORIENTATIONS[name]
        image = sitk.Flip(sitk.PermuteAxes(unlike(head), order), flips, False)
    node, saved = made(image)
    check(saved, image, image)
    written = sitk.ReadImage(str(tmp_path / "input.nrrd"))
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), sitk.GetArrayFromImage(image))
    np.testing.assert_array_equal(geometry(written), geometry(image))


def test_results_lie_where_the_parent_transform_puts_the_volume(made, head):
    import slicer
    import slicer.util

    image = unlike(head)
    versor = sitk.VersorRigid3DTransform((1.0, -1.0, 0.5), np.radians(9.0), (6.0, 4.0, -5.0))
    lps = np.eye(4)
    lps[:3, :3], lps[:3, 3] = np.reshape(versor.GetMatrix(), (3, 3)), versor.TransformPoint((0.0, 0.0, 0.0))
    parent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Parent")
    parent.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(TO_LPS @ lps @ TO_LPS))
    node, saved = made(image, parent)
    expected = sitk.Image(image)
    expected.SetOrigin(versor.TransformPoint(image.GetOrigin()))
    expected.SetDirection((lps[:3, :3] @ np.reshape(image.GetDirection(), (3, 3))).ravel().tolist())
    check(saved, expected, image)
    assert node.GetParentTransformNode() is parent


def test_inputs_are_not_touched(desk, made, head, tmp_path):
    import slicer.util

    image = turned(unlike(head), 12.0)
    node, _ = made(image)
    before = (node.GetMTime(), node.GetImageData().GetMTime(), node.GetDisplayNode().GetWindow(), (tmp_path / "input.nrrd").read_bytes())
    voxels = slicer.util.arrayFromVolume(node).copy()
    attributes = {name: node.GetAttribute(name) for name in node.GetAttributeNames() or ()}
    desk.apply()
    desk.host.click(desk.ui.atlasButton)
    desk.wait()
    after = (node.GetMTime(), node.GetImageData().GetMTime(), node.GetDisplayNode().GetWindow(), (tmp_path / "input.nrrd").read_bytes())
    assert after == before
    assert {name: node.GetAttribute(name) for name in node.GetAttributeNames() or ()} == attributes
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), voxels)
