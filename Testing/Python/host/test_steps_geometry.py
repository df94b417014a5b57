"""Whatever the orientation of a volume's file: what the panel makes of it lies where SimpleITK says that the
file lies.
"""

import numpy as np
import pytest
import SimpleITK as sitk

pytestmark = pytest.mark.slow

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
TURN = sitk.VersorRigid3DTransform((2.0, 1.0, -1.0), np.radians(9.0), (4.0, -3.0, 5.0))


def unlike(head):
    """The head with a different spacing along every axis, so that mixed up axes show."""
    size = [
        round(n * s / t) for n, s, t in zip(head.GetSize(), head.GetSpacing(), (4.0, 5.0, 6.0), strict=True)
    ]
    return sitk.Resample(
        head, size, sitk.Transform(), sitk.sitkLinear, head.GetOrigin(), (4.0, 5.0, 6.0), head.GetDirection()
    )


def turned(image):
    """An image turned about an oblique axis and shifted, without resampling."""
    image, direction = (
        sitk.Image(image),
        np.reshape(TURN.GetMatrix(), (3, 3)) @ np.reshape(image.GetDirection(), (3, 3)),
    )
    image.SetOrigin(TURN.TransformPoint(image.GetOrigin()))
    image.SetDirection(direction.ravel().tolist())
    return image


def geometry(image):
    """Origin, spacing and direction of an image."""
    return np.concatenate([image.GetOrigin(), image.GetSpacing(), image.GetDirection()])


def as_loaded(image):
    """What the application makes of a file: where its axes are left-handed, it turns the order of the slices
    around.
    """
    left_handed = np.linalg.det(np.reshape(image.GetDirection(), (3, 3))) < 0
    return sitk.Flip(image, (False, False, True), False) if left_handed else image


def as_node(image):
    """A volume node with the axes that an image has, also left-handed ones."""
    import slicer.util

    lps = np.eye(4)
    lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    lps[:3, 3] = image.GetOrigin()
    node = slicer.util.addVolumeFromArray(sitk.GetArrayFromImage(image), ijkToRAS=TO_LPS @ lps, name="Input")
    node.CreateDefaultDisplayNodes()
    return node


@pytest.fixture
def made(desk, tmp_path):
    """Function: take slices of a volume node and make everything, or mean and template, on its grid; returns
    the results as saved, by role.
    """
    import slicer.util

    def run(node, everything=True):
        desk.show(node)
        host, ui = desk.host, desk.ui
        for view in ("Red", "Green"):
            host.click(getattr(ui, f"add{view}Button"))
        host.choose(ui.frameModeBox, "Already registered")
        host.choose(ui.likeSelector, "Input")
        host.type(ui.samplesSpinBox, "1" if everything else "0")
        if not everything:
            host.click(ui.stdCheckBox)
        desk.apply()
        assert desk.result is not None, desk.status
        saved = {}
        for role in (
            *("mean", "observed", "template", "template_mask"),
            *(("std", "current") if everything else ()),
        ):
            path = tmp_path / f"{role}.nrrd"
            assert slicer.util.saveNode(getattr(desk.result, role), str(path))
            saved[role] = sitk.ReadImage(str(path))
        return saved

    return run


@pytest.fixture
def load(desk, tmp_path):
    """Function: write an image to a file, and load it as the application does; returns the node."""
    import slicer.util

    def write_and_load(image):
        sitk.WriteImage(image, str(tmp_path / "input.nrrd"))
        return slicer.util.loadVolume(str(tmp_path / "input.nrrd"), {"name": "Input"})

    return write_and_load


def check(saved, expected):
    """All results have the geometry of an image, and the mean shows there what the image shows."""
    for role in saved.keys() & {"mean", "std", "observed", "current"}:
        assert saved[role].GetSize() == expected.GetSize(), role
        np.testing.assert_allclose(geometry(saved[role]), geometry(expected), atol=1e-4, err_msg=role)
    assert geometry(saved["template"]) == pytest.approx(geometry(saved["template_mask"]), abs=1e-6)
    mean, own = sitk.GetArrayFromImage(saved["mean"]), sitk.GetArrayFromImage(expected)
    assert np.corrcoef(mean.ravel(), own.ravel())[0, 1] > 0.9
    template = sitk.Resample(saved["template"], expected, sitk.Transform(), sitk.sitkLinear)
    assert np.corrcoef(sitk.GetArrayFromImage(template).ravel(), own.ravel())[0, 1] > 0.85
    seen = sitk.GetArrayFromImage(saved["observed"]) > 0
    assert seen.any() and np.corrcoef(mean[seen], own[seen])[0, 1] > 0.95


@pytest.mark.parametrize("name", [*ORIENTATIONS, "oblique"])
def test_results_lie_where_the_file_lies(made, load, head, name):
    if name == "oblique":
        image = turned(unlike(head))
    else:
        order, flips = ORIENTATIONS[name]
        image = sitk.Flip(sitk.PermuteAxes(unlike(head), order), flips, False)
    everything = name in ("oblique", "sagittal", "left-handed and flipped")
    check(made(load(image), everything), as_loaded(image))


def test_results_lie_where_a_left_handed_node_lies(made, head):
    image = sitk.PermuteAxes(unlike(head), (2, 1, 0))
    check(made(as_node(image)), image)


def test_results_lie_where_the_parent_transform_puts_the_volume(made, load, head):
    import slicer
    import slicer.util

    image, lps = unlike(head), np.eye(4)
    lps[:3, :3], lps[:3, 3] = np.reshape(TURN.GetMatrix(), (3, 3)), TURN.TransformPoint((0.0, 0.0, 0.0))
    parent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Parent")
    parent.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(TO_LPS @ lps @ TO_LPS))
    node = load(image)
    node.SetAndObserveTransformNodeID(parent.GetID())
    check(made(node), turned(image))
    assert node.GetParentTransformNode() is parent


def test_inputs_are_not_touched(desk, made, load, head, tmp_path):
    import slicer.util

    image = unlike(head)
    node = desk.show(load(image))
    before = (
        node.GetMTime(),
        node.GetImageData().GetMTime(),
        node.GetDisplayNode().GetWindow(),
        (tmp_path / "input.nrrd").read_bytes(),
    )
    made(node)
    desk.host.click(desk.ui.atlasButton)
    desk.wait()
    after = (
        node.GetMTime(),
        node.GetImageData().GetMTime(),
        node.GetDisplayNode().GetWindow(),
        (tmp_path / "input.nrrd").read_bytes(),
    )
    assert after == before and not list(node.GetAttributeNames() or ())
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), sitk.GetArrayFromImage(as_loaded(image)))
