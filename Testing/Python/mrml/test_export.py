"""Every file of a result that can be taken away, read again."""

import json
import zipfile

import numpy as np
import pytest
import slicer.util

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_affine, read_volume
from SparseVolumeReconstructionLib.geometry.nifti import read_four_dimensions
from SparseVolumeReconstructionLib.mrml.contexts import add_context, slices_of
from SparseVolumeReconstructionLib.mrml.logic import (
    Context,
    ReconstructionInputs,
    SparseVolumeReconstructionLogic,
)
from SparseVolumeReconstructionLib.mrml.nodes import add_volume, volume_of
from SparseVolumeReconstructionLib.workflow.export import as_nifti, files_of, known_files, write_file


@pytest.fixture
def made(scene, echo_client, bumps):
    """A result with everything, and its context slice."""
    scan = add_volume(Volume(bumps((12, 20, 22)), Grid.centred((12, 20, 22), (1.5, 1.5, 2.0))), "Scan")
    context = add_context(scan, slices_of(scan)[4], "Red", (1, 0, 0))
    inputs = ReconstructionInputs(
        "whole", (Context(scan, plane=context.plane),), like=scan, samples=2, name="Rec"
    )
    return SparseVolumeReconstructionLogic(echo_client).reconstruct(inputs), [context]


def test_all_files_can_be_written_and_read(made, tmp_path):
    result, contexts = made
    names = sorted(known_files(result))
    assert {
        "mean.nrrd",
        "std.nrrd",
        "observed.nrrd",
        "brain_mask.nrrd",
        "template.nrrd",
        "samples.seq.nrrd",
        "samples.nii.gz",
        "frame.h5",
        "result.json",
    } < {*names}
    paths = {name: write_file(result, contexts, name, tmp_path) for name in names}
    assert all(path.stat().st_size > 0 for path in paths.values())
    mean = read_volume(paths["mean.nrrd"])
    assert mean.grid.same_as(volume_of(result.mean).grid) and np.array_equal(
        mean.array, slicer.util.arrayFromVolume(result.mean)
    )
    for name in files_of(result):
        if as_nifti(name) and name != "samples.seq.nrrd":
            first, second = read_volume(paths[name]), read_volume(paths[as_nifti(name)])
            assert first.grid.same_as(second.grid) and np.array_equal(first.array, second.array)
    assert read_four_dimensions(paths["samples.nii.gz"]).shape == (2, *mean.array.shape)
    assert np.allclose(read_affine(paths["frame.h5"]), np.eye(4))
    assert json.loads(paths["result.json"].read_text()) == result.provenance
    assert (
        "Not for diagnosis" in paths["report.html"].read_text()
        and "What went in" in paths["report.html"].read_text()
    )
    inside = zipfile.ZipFile(paths["svr-template.zip"])
    assert {"template.nii.gz", "template_mask.nii.gz", "commands.txt", "stack-1-Scan.nii.gz"} <= set(
        inside.namelist()
    )
    assert str(tmp_path) not in inside.read("commands.txt").decode()


def test_no_other_file_can_be_asked_for(made, tmp_path):
    for name in ("../mean.nrrd", "atlas.nrrd", "passwd"):
        with pytest.raises(InputError, match="has no file"):
            write_file(*made, name, tmp_path)
    assert list(tmp_path.iterdir()) == [] and files_of(None) == {}


def test_a_folder_that_cannot_be_written_is_wrong_input(made, tmp_path):
    with pytest.raises(InputError):
        write_file(*made, "mean.nrrd", tmp_path / "missing")
