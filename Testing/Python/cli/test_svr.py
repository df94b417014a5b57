"""./run svr: what cannot be merged is refused in one line, and doubts are told before anything is written."""

import json

import numpy as np
import pytest
from svr.phantom import SCAN, body, moving, write_stacks

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Three stacks of a body that moved."""
    return write_stacks(moving(2.0, 2.0, seed=4), tmp_path_factory.mktemp("stacks"))


def changed(path, folder, change) -> str:
    """A copy of a stack with another array or grid."""
    volume = read_volume(path)
    array, matrix = volume.array.copy(), volume.grid.ijk_to_ras.copy()
    array, matrix = change(array, matrix)
    write_volume(Volume(array, Grid(array.shape, matrix)), folder / "changed.nii.gz")
    return str(folder / "changed.nii.gz")


def far(array, matrix):
    matrix[0, 3] += 150
    return array, matrix


def with_nan(array, matrix):
    array[3, 4, 5] = np.nan
    return array, matrix


BAD_STACKS = {
    "nan": (with_nan, ["NaN"]),
    "elsewhere": (far, ["150 mm", "one body"]),
    "constant": (lambda array, matrix: (array * 0 + 7, matrix), ["constant"]),
    "two slices": (lambda array, matrix: (array[4:6], matrix), ["2 slices", "at least 3"]),
    "below 0": (lambda array, matrix: (-1 - array, matrix), ["above 0"]),
}


@pytest.mark.parametrize("kind", BAD_STACKS)
def test_a_stack_that_cannot_be_merged_is_refused(paths, tmp_path, refused, kind):
    change, says = BAD_STACKS[kind]
    bad = changed(paths[1], tmp_path, change)
    refused("svr", "--stack", paths[0], "--stack", bad, "--output", tmp_path / "out", says=["changed", *says])
    assert not (tmp_path / "out").exists()


def test_options_that_make_no_sense_are_refused(paths, tmp_path, refused):
    first, *others = (word for path in paths for word in ("--stack", path))
    out = ["--output", tmp_path / "out"]
    refused("svr", *out, says=["--stack"])
    refused("svr", "--stack", "nowhere.nii.gz", *out, says=["nowhere.nii.gz", "no such file"])
    refused("svr", "--stack", f"{paths[0]}:thick", *out, says=["thick", "millimetres"])
    refused("svr", "--stack", paths[0], "--stack", paths[0], *out, says=["twice"])
    refused(
        "svr", first, *others, "--mask", paths[0], "--mask", paths[1], *out, says=["2 masks for 3 stacks"]
    )
    refused("svr", first, *others, "--outputs", "volumes", *out, says=["outputs"])
    refused("svr", first, *others, "--outputs", "", *out, says=["nothing is asked for"])
    refused("svr", first, *others, "--prior", "brian", *out, says=["brian"])
    refused("svr", first, *others, "--spacing", 0.02, *out, says=["million voxels", "coarser"])
    refused("svr", *(["--stack", paths[0]] * 13), *out, says=["12"])
    refused("svr", first, *others, "--output", paths[0], says=["is a file"])


def test_a_mask_that_lies_elsewhere_is_refused(paths, tmp_path, refused):
    mask = changed(paths[0], tmp_path, far)
    refused(
        "svr", "--stack", paths[0], "--mask", mask, "--output", tmp_path / "out", says=["mask", "elsewhere"]
    )


def test_one_stack_with_a_mask_of_another_grid_says_what_stays_unknown(paths, tmp_path, capsys):
    inside = body(24, 3.0)
    write_volume(Volume((inside.array > 0).astype(np.uint8), inside.grid), tmp_path / "mask.nrrd")
    words = [
        "svr",
        "--stack",
        f"{paths[0]}:8",
        "--mask",
        tmp_path / "mask.nrrd",
        "--spacing",
        4,
        "--json-progress",
    ]
    assert main([*map(str, words), "--output", str(tmp_path / "out"), "--format", "dicom"]) == 0
    printed = capsys.readouterr()
    events = [json.loads(line) for line in printed.out.splitlines()]
    assert [e["fraction"] for e in events] == sorted(e["fraction"] for e in events)
    assert events[-1]["step"] == "done"
    assert "one stack alone" in printed.err
    assert f"8 mm thick lie {SCAN.thickness_mm:g} mm apart" in printed.err
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"dicom", "poses.json", "result.json", "report.html"}
    names = {path.name for path in (tmp_path / "out" / "dicom").iterdir()}
    assert names == {"volume", "std", "std_map.dcm", "seen.dcm"}
    assert read_volume(tmp_path / "out" / "dicom" / "volume").array.max() > 0
