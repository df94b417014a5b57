"""What 3D Slicer loaded itself gets the checks of the command line, of its files and of its voxels."""

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util
from geometry.dicom_files import AXIAL, SAGITTAL, write_series
from geometry.headers import with_unit
from geometry.odd_files import SAYS, write_with_notice
from geometry.test_io import axes
from geometry.test_nifti import flipped, turned, voxels, write

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.dicom_writing import Study, upright
from SparseVolumeReconstructionLib.geometry.dicom_writing import write_series as write_dicom
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume
from SparseVolumeReconstructionLib.mrml.contexts import add_context
from SparseVolumeReconstructionLib.mrml.loaded import check_against_files
from SparseVolumeReconstructionLib.mrml.logic import Context, ReconstructionInputs, build_request
from SparseVolumeReconstructionLib.mrml.making import StackInput, merge_request
from SparseVolumeReconstructionLib.mrml.masks import apply_mask
from SparseVolumeReconstructionLib.mrml.nodes import NOTICE, add_transform, add_volume, volume_of
from SparseVolumeReconstructionLib.mrml.sample_data import FILE
from SparseVolumeReconstructionLib.reconstruction.images import DESCRIPTION


def load(*files):
    """The node that Slicer's own reader makes, with its storage node."""
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(files[0]))
    for file in files if len(files) > 1 else ():
        storage.AddFileName(str(file))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "loaded")
    assert storage.ReadData(node)
    node.SetAndObserveStorageNodeID(storage.GetID())
    return node


def plane_of(node) -> np.ndarray:
    """The middle slice of a node."""
    grid, plane = volume_of(node).grid, np.eye(4)
    plane[:3, :3] = grid.ijk_to_ras[:3, :3] / grid.spacing_ijk
    plane[:3, 3] = grid.corners_ras().mean(0)
    return plane


def sheared() -> np.ndarray:
    matrix = turned()
    matrix[:3, 2] += [0.3, 1.4, 0]
    return matrix


def make(folder, case: str) -> list:
    """The files of a case."""
    if case in ("gap", "tilted series", "series"):
        places = {"gap": [0, 3, 9, 12], "tilted series": [0, 3, 6, 9], "series": [0, 3, 6, 9]}[case]
        shift = 0.4 if case == "tilted series" else 0.0
        directions = AXIAL if case != "series" else SAGITTAL
        normal = np.cross(directions[:3], directions[3:])
        positions = [z * normal + [0, shift * z, 0] for z in places]
        write_series(folder / "series", positions, directions=directions)
        return sorted((folder / "series").iterdir())
    if case.startswith("NIfTI"):
        options = {
            "NIfTI without orientation": {"codes": (0, 0)},
            "NIfTI of a tilted gantry": {"sform": sheared()},
            "NIfTI with two forms": {"sform": flipped()},
        }.get(case, {})
        return [write(folder / "head.nii.gz", voxels((20, 20, 6)), **options)]
    if case == "NRRD in cm":
        (folder / "v.nrrd").write_bytes(with_unit("v.nrrd", "cm", 10.0))
        return [folder / "v.nrrd"]
    image = sitk.GetImageFromArray(voxels((8, 7, 6)))
    image.SetDirection((axes((0.3, -0.2, 0.1)) * [1, 1, -1 if "left" in case else 1]).ravel())
    image.SetSpacing((0.8, 1.1, 2.5))
    name = folder / ("v.mha" if "Meta" in case else "v.nrrd")
    sitk.WriteImage(image, str(name))
    return [name]


WRONG = {
    "NIfTI without orientation": "states no orientation",
    "NIfTI of a tilted gantry": "tilted gantry.* one even grid.* command line",
    "NIfTI with two forms": "sform and qform place it up to",
    "NRRD in cm": "3D Slicer has put it up to .* mm from where its file says that it lies",
    "gap": "unevenly spaced .* one even grid",
    "tilted series": "tilted gantry.* one even grid",
}


@pytest.mark.parametrize("case", WRONG)
def test_what_slicer_made_of_a_file_that_says_something_else_is_refused(scene, tmp_path, case):
    """By adding a slice, and by the logic; what the user has placed since is the user's own."""
    files = make(tmp_path, case)
    node = load(*files)
    for use in (
        lambda: add_context(node, np.eye(4), "Red", (1, 0, 0)),
        lambda: build_request(ReconstructionInputs("p", (Context(node, (1,)),)), tmp_path, tmp_path / "out"),
    ):
        with pytest.raises(InputError, match=WRONG[case]):
            use()
    node.SetOrigin(1.0, 2.0, 3.0)
    check_against_files(node)


@pytest.mark.parametrize("case", ["NIfTI", "NRRD", "left-handed NRRD", "MetaImage", "series"])
def test_what_lies_where_its_file_says_is_taken(scene, tmp_path, case):
    files = make(tmp_path, case)
    node = load(*files)
    node.SetAndObserveTransformNodeID(add_transform(np.eye(4) + 5 * np.eye(4, k=3), "t").GetID())
    add_context(node, plane_of(node), "Red", (1, 0, 0))
    for file in files:
        file.unlink()
    check_against_files(node)


def test_what_is_odd_about_a_loaded_file_is_told_with_the_result(scene, tiny_logic, tmp_path):
    """Of a file that Slicer loaded, of one that was read by the page, and of one that was masked."""
    head = read_volume(FILE)
    odd = load(write_with_notice(head, tmp_path / "head.nii.gz"))
    known = add_volume(head, "known", attributes={NOTICE: SAYS})
    mask = add_volume(Volume((head.array > 0).astype(np.uint8), head.grid), "mask", attributes={NOTICE: "m."})
    masked = apply_mask(odd, mask)
    contexts = tuple(Context(node, (n,), None, 5.0) for node, n in ((odd, 0), (known, 1), (masked, 2)))
    inputs = ReconstructionInputs("tiny", contexts, "registered", outputs=("mean",))
    told = tiny_logic.reconstruct(inputs).provenance["warnings"]
    for node in (odd, known, masked):
        assert sum(line.startswith(f"{node.GetName()}: {SAYS}") for line in told) == 1, told
    assert f"{masked.GetName()}: mask: m." in told


def spoilt(head: Volume, how: str) -> Volume:
    """The bundled head as others write it."""
    array, matrix = head.array.copy(), head.grid.ijk_to_ras.copy()
    if how == "NaN":
        array[1, 40, 40] = np.nan
    elif how == "air of CT":
        array[array == 0] = -1024
    elif how == "z-scores":
        array = (array - 300) / 250
    elif how in ("cm", "microns"):
        matrix[:3] *= 0.1 if how == "cm" else 1000.0
    elif how == "flat":
        array[:] = 7
    return Volume(array.astype(np.float32), Grid(array.shape, matrix))


BAD = {
    "NaN": "NaN or infinite",
    "air of CT": "background is -1024",
    "z-scores": "background is -1.2",
    "cm": "is the unit cm",
    "microns": "is the unit microns",
    "flat": "the slice is empty",
}


@pytest.mark.parametrize("how", BAD)
def test_voxels_and_sizes_that_none_has_are_refused_by_the_process(scene, tiny_logic, how):
    """With a known frame, too; with the same words as on the command line."""
    node = add_volume(spoilt(read_volume(FILE), how), "Head")
    for frame in ("auto", "registered"):
        inputs = ReconstructionInputs("brain-t1", (Context(node, (1, 2)),), frame, outputs=("mean",))
        with pytest.raises(InputError, match=BAD[how]) as caught:
            tiny_logic.reconstruct(inputs)
        assert "Head" in str(caught.value) and "\n" not in str(caught.value)


def test_slicer_reads_a_result_in_dicom_in_place(scene, tmp_path):
    volume = voxels_of_noise()
    written = write_dicom(volume, tmp_path / "mean", "Mean", Study((), "model", "0.2", "made"), 9001)
    node = load(*sorted((tmp_path / "mean").iterdir()))
    read, expected = volume_of(node), upright(volume)
    assert len(written) == len(volume.array) and read.grid.same_as(expected.grid, 1e-4)
    np.testing.assert_allclose(read.array, expected.array, atol=np.ptp(volume.array) / 65535)
    (tmp_path / "result.json").write_text("{}")
    write_volume(volume, tmp_path / "volume.nrrd")
    for result in (node, load(tmp_path / "volume.nrrd")):  # opened again as if it were a scan
        with pytest.raises(InputError, match="loaded was reconstructed, not observed"):
            add_context(result, plane_of(result), "Red", (1, 0, 0))
        with pytest.raises(InputError, match="loaded was reconstructed, not observed"):
            merge_request((StackInput(result),), "none", 1.0, tmp_path)


def test_an_uploaded_result_is_not_observed(scene, tiny_logic, tmp_path):
    """Its node has no file, and no other name in its header than a scan."""
    volume = voxels_of_noise()
    write_volume(volume, tmp_path / "head.nrrd", note=DESCRIPTION)
    write_volume(volume, tmp_path / "scan.nrrd")
    series = write_dicom(volume, tmp_path / "mean", "Mean", Study((), "model", "0.2", "made"), 9001)
    assert len(series) > 1
    for files in ([tmp_path / "head.nrrd"], sorted((tmp_path / "mean").iterdir())):
        (node,) = tiny_logic.read({file: file.name for file in files}, "Head").result().nodes
        with pytest.raises(InputError, match="was reconstructed, not observed"):
            add_context(node, plane_of(node), "Red", (1, 0, 0))
    (scan,) = tiny_logic.read({tmp_path / "scan.nrrd": "scan.nrrd"}, "Scan").result().nodes
    assert add_context(scan, plane_of(scan), "Red", (1, 0, 0)).volume is scan


def voxels_of_noise() -> Volume:
    """Oblique, with left-handed axes."""
    matrix = np.eye(4)
    turn = sitk.Euler3DTransform((0, 0, 0), 0.3, -0.2, 0.1).GetMatrix()
    matrix[:3, :3], matrix[:3, 3] = np.reshape(turn, (3, 3)) * [0.8, -1.1, -2.5], (-20, 30, 7)
    grid = Grid((6, 7, 8), matrix)
    return Volume(np.random.default_rng(0).random(grid.shape_kji, np.float32) * 900 - 5, grid)
