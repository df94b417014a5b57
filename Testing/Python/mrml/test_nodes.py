"""Geometry of nodes against SimpleITK: every orientation, oblique axes and parent transforms."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util
import vtk

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.image import image_geometry
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.mrml.logic import Context, ReconstructionInputs, build_request
from SparseVolumeReconstructionLib.mrml.nodes import (
    THICKNESS,
    add_transform,
    add_volume,
    affine_of,
    stated_thickness_of,
    volume_of,
    world_grid,
)

FLIPS = list(itertools.product([1, -1], repeat=3))
PERMUTATIONS = list(itertools.permutations(range(3)))
TOLERANCE_MM = 1e-4


def check_against_itk(
    array: np.ndarray, grid: Grid, image: sitk.Image, move: np.ndarray | None = None
) -> None:
    """Every voxel of array on grid must be the voxel of the image at the same place, after the image was
    moved by `move`.

    Slicer's reader reverses the slices of a left-handed image, so places are compared, not indices.
    """
    points = grid.ijk_to_ras @ np.vstack([np.indices(array.shape[::-1]).reshape(3, -1), np.ones(array.size)])
    points = np.linalg.inv(np.eye(4) if move is None else move) @ points
    assert array.size == np.prod(image.GetSize())
    values = array.transpose().ravel()
    for n in range(0, array.size, 37):
        lps = (points[:3, n] * [-1, -1, 1]).tolist()
        index = image.TransformPhysicalPointToIndex(lps)
        off = np.subtract(image.TransformIndexToPhysicalPoint(index), lps)
        assert np.abs(off).max() < TOLERANCE_MM
        assert image[index] == values[n]


def write(tmp_path, array, direction, spacing=(1.0, 1.5, 2.5), origin=(-31.0, 17.0, 5.5)):
    image = sitk.GetImageFromArray(array)
    image.SetDirection(np.asarray(direction, float).ravel().tolist())
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(tmp_path / "in.nrrd"))
    return image


def load(tmp_path):
    """The file as a node, read by Slicer's own reader."""
    reader = slicer.vtkMRMLVolumeArchetypeStorageNode()
    reader.SetFileName(str(tmp_path / "in.nrrd"))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "in")
    assert reader.ReadData(node)
    return node


def directions(rotation):
    flips = [np.diag(signs) for signs in FLIPS]
    permutations = [np.eye(3)[list(order)] for order in PERMUTATIONS]
    return [
        *flips,
        *permutations,
        rotation((1, 2, 3), 33.0),
        rotation((3, -1, 1), 120.0) @ np.diag([1, -1, 1]),
    ]


@pytest.mark.parametrize("case", range(len(FLIPS) + len(PERMUTATIONS) + 2))
def test_every_orientation_agrees_with_simpleitk(scene, tmp_path, bumps, rotation, case):
    image = write(tmp_path, bumps(), directions(rotation)[case])
    node = load(tmp_path)
    volume = volume_of(node)
    check_against_itk(volume.array, volume.grid, image)

    affine, mirror = np.eye(4), np.diag([-1.0, 1, 1, 1])
    affine[:3, :3], affine[:3, 3] = rotation((2, 1, -1), 25.0) * 1.1, (7, -8, 9)
    outer, inner = add_transform(mirror, "outer"), add_transform(affine, "inner")
    inner.SetAndObserveTransformNodeID(outer.GetID())
    node.SetAndObserveTransformNodeID(inner.GetID())
    moved = volume_of(node)
    check_against_itk(moved.array, moved.grid, image, mirror @ affine)

    request = build_request(
        ReconstructionInputs("p", (Context(node, (2, 5)),), like=node), tmp_path, tmp_path / "out"
    )
    written = read_volume(request["contexts"][0]["path"])
    check_against_itk(written.array, written.grid, image, mirror @ affine)
    assert request["contexts"][0]["slices"] == [2, 5] and np.array_equal(written.array, moved.array)
    assert (
        np.abs(image_geometry(sitk.ReadImage(request["like"])) - moved.grid.ijk_to_ras).max() < TOLERANCE_MM
    )


def test_a_volume_becomes_a_node_and_comes_back(scene, bumps, rotation, tmp_path):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation((1, 1, 0), 40.0) @ np.diag([1.0, -2.0, 3.0]), (1, 2, 3)
    volume = Volume(bumps(), Grid(bumps().shape, matrix))
    node = add_volume(volume, "made")
    back = volume_of(node)
    assert back.grid.same_as(volume.grid) and np.array_equal(back.array, volume.array)
    assert node.GetParentTransformNode() is None
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(tmp_path / "out.nrrd"))
    assert storage.WriteData(node)
    written = image_geometry(sitk.ReadImage(str(tmp_path / "out.nrrd")))
    assert np.abs(written - matrix).max() < TOLERANCE_MM


def bent():
    """A transform node that is not linear."""
    field = vtk.vtkImageData()
    field.SetDimensions(4, 4, 4)
    field.AllocateScalars(vtk.VTK_DOUBLE, 3)
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(field)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "bent")
    node.SetAndObserveTransformToParent(transform)
    return node


def test_a_transform_that_is_not_linear_is_refused(scene, bumps):
    node = add_volume(Volume(bumps(), Grid.centred(bumps().shape, 1.0)), "head")
    node.SetAndObserveTransformNodeID(bent().GetID())
    with pytest.raises(InputError, match=r"head: its parent transform bent is not linear; harden it"):
        volume_of(node)
    with pytest.raises(InputError, match=r"bent is not linear"):
        affine_of(node.GetParentTransformNode())


def test_a_shear_is_refused(scene, bumps):
    node = add_volume(Volume(bumps(), Grid.centred(bumps().shape, 1.0)), "head")
    shear = np.eye(4)
    shear[0, 1] = 0.3
    node.SetAndObserveTransformNodeID(add_transform(shear, "shear").GetID())
    with pytest.raises(InputError, match="head: .*right angles"):
        world_grid(node)


def test_an_empty_node_and_colours_are_refused(scene):
    with pytest.raises(InputError, match="nothing: the volume node holds no image"):
        volume_of(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing"))
    colours = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    slicer.util.updateVolumeFromArray(colours, np.zeros((2, 3, 4, 3), np.uint8))
    with pytest.raises(InputError, match="photo: 3 values per voxel"):
        volume_of(colours)


@pytest.fixture
def stored(scene, tmp_path, bumps, rotation):
    """An oblique volume node whose file states a thickness of 1.25 mm, and the normal of its slices."""
    write(tmp_path, bumps(), rotation((1, 2, 3), 33.0))
    data = (tmp_path / "in.nrrd").read_bytes()
    (tmp_path / "in.nrrd").write_bytes(data.replace(b"encoding:", b"thicknesses: NaN NaN 1.25\nencoding:", 1))
    node, storage = load(tmp_path), slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(tmp_path / "in.nrrd"))
    scene.AddNode(storage)
    node.SetAndObserveStorageNodeID(storage.GetID())
    return node, world_grid(node).ijk_to_ras[:3, 2] / node.GetSpacing()[2]


def test_the_thickness_that_a_file_states_holds_for_its_own_slices(stored, rotation, tmp_path):
    node, normal = stored
    across = world_grid(node).ijk_to_ras[:3, 0]
    assert stated_thickness_of(node, normal) == stated_thickness_of(node, -3 * normal) == 1.25
    assert stated_thickness_of(node, rotation(across, 2.0) @ normal) == 1.25
    assert stated_thickness_of(node, rotation(across, 3.0) @ normal) is None
    assert stated_thickness_of(node, across) is None
    (tmp_path / "in.nrrd").write_text("damaged")
    assert stated_thickness_of(node, normal) is None
    (tmp_path / "in.nrrd").unlink()
    assert stated_thickness_of(node, normal) is None
    node.SetAttribute(THICKNESS, "2")
    assert stated_thickness_of(node, normal) == 2.0


def test_a_thickness_moves_and_grows_with_its_volume(stored, rotation):
    node, normal = stored
    turn = np.eye(4)
    turn[:3, :3] = rotation((2, 1, -1), 25.0) * 1.1
    node.SetAndObserveTransformNodeID(add_transform(turn, "turned").GetID())
    assert stated_thickness_of(node, normal) is None
    assert stated_thickness_of(node, turn[:3, :3] @ normal) == pytest.approx(1.25 * 1.1)


def test_the_thickness_of_a_dicom_volume_comes_from_the_database(scene, bumps, monkeypatch):
    class Database:
        def instanceValue(self, uid, tag):  # noqa: N802
            return {("1.2.3", "0018,0050"): "4.5"}.get((uid, tag), "")

    node, normal = (
        add_volume(Volume(bumps(), Grid.centred(bumps().shape, 1.0)), "head"),
        np.array([0, 0, 1.0]),
    )
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    assert stated_thickness_of(node, normal) is None
    monkeypatch.setattr(slicer, "dicomDatabase", Database(), raising=False)
    assert stated_thickness_of(node, normal) == 4.5
    node.SetAttribute("DICOM.instanceUIDs", "9.9")
    assert stated_thickness_of(node, normal) is None
