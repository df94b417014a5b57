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
    stacks = ["--stack", paths[0], "--stack", bad, "--prior", "none"]
    refused("svr", *stacks, "--output", tmp_path / "out", says=["changed", *says])
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
    refused("svr", first, *others, "--order", "random", *out, says=["random", "interleaved:3"])
    refused("svr", first, *others, "--order", "ascending:3", *out, says=["ascending:3", "interleaved:3"])
    orders = ["--order", "ascending", "--order", "descending"]
    refused("svr", first, *others, *orders, *out, says=["2 orders of acquisition for 3 stacks"])
    refused("svr", first, *others, "--length", 80, *out, says=["length_mm", "50"])
    refused("svr", first, *others, "--device", "cuda:7", *out, says=["cuda:7", "use auto or cpu"])
    refused("svr", first, *others, "--outputs", "", *out, says=["nothing is asked for"])
    refused("svr", first, *others, "--prior", "brian", *out, says=["brian"])
    refused(
        "svr", first, *others, "--prior", "none", "--spacing", 0.02, *out, says=["million voxels", "coarser"]
    )
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
        "--prior",
        "none",
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


def run(*words) -> None:
    assert main(["svr", *map(str, words)]) == 0


def poses_in(folder) -> dict[tuple[int, int], dict]:
    """Entries of slices by their stack and index."""
    entries = json.loads((folder / "poses.json").read_text())
    return {(entry["stack_number"], entry["index"]): entry for entry in entries}


@pytest.fixture(scope="module")
def merged(paths, tmp_path_factory):
    """The folder of a merge of the three stacks."""
    folder = tmp_path_factory.mktemp("merged")
    stacks = [word for path in paths for word in ("--stack", f"{path}:{SCAN.thickness_mm:g}")]
    run(*stacks, "--order", "descending", "--prior", "none", "--spacing", 3, "--output", folder)
    return folder


def test_the_user_has_the_last_word_on_slices_and_goes_on_from_there(merged, tmp_path, capsys):
    """Poses are refined in a moment, those of excluded slices too, and what was decided stays decided."""
    before = poses_in(merged)
    good = max(before, key=lambda key: before[key]["weight"] * (key[0] == 2))
    bad = min(before, key=lambda key: before[key]["weight"])
    assert before[bad]["weight"] < 0.5 < before[good]["weight"]
    words = ["--exclude", f"{good[0]}:{good[1]}", "--include", f"{bad[0]}:{bad[1]}", "--json-progress"]
    run("--continue", merged, *words, "--output", tmp_path / "once")
    steps = {json.loads(line)["step"] for line in capsys.readouterr().out.splitlines()}
    assert {s.split(" mm")[0] for s in steps if s.startswith("motion")} == {"motion, 1.2"}
    after = poses_in(tmp_path / "once")
    assert after[bad]["weight"] == 1 and not after[bad]["reason"] and after[bad]["included_by_user"] is True
    assert after[good]["weight"] == 0 and after[good]["reason"] == "excluded by the user"
    assert after[good]["ncc_from_others"] > 0.8  # it is placed all the same
    moved = [np.subtract(*(f[key]["scanner_to_body_ras"] for f in (before, after)))[:3, 3] for key in before]
    assert np.median(np.abs(moved)) < 0.3
    said = json.loads((tmp_path / "once" / "result.json").read_text())
    assert said["request"]["acquisition"] == [{"order": "descending", "step": 2, "multiband": 1}]
    assert said["request"]["exclude"] == [{"stack": good[0], "slices": [good[1]]}]
    assert "excluded by the user" in (tmp_path / "once" / "report.html").read_text()
    volumes = [read_volume(f / "volume.nrrd").array for f in (merged, tmp_path / "once")]
    assert volumes[0].shape != volumes[1].shape or np.abs(volumes[0] - volumes[1]).max() > 10
    said["request"]["device"] = "cuda:7"  # of the machine where it was merged
    (tmp_path / "once" / "result.json").write_text(json.dumps(said))
    run("--continue", tmp_path / "once", "--include", f"{good[0]}:{good[1]}", "--output", tmp_path / "twice")
    last = poses_in(tmp_path / "twice")
    assert last[good]["weight"] == last[bad]["weight"] == 1


@pytest.mark.parametrize(
    "said",
    ["{}", "[]", '{"request": {}}', '{"request": {"contexts": [], "output": "/a"}}', '{"request": 7}', "{"],
)
def test_a_folder_without_a_finished_merge_is_refused_in_one_clear_line(tmp_path, refused, said):
    """One that was left unfinished, or that another command wrote: it says so, and which file."""
    (tmp_path / "result.json").write_text(said)
    says = [str(tmp_path), "result.json", "expected", "merge"]
    refused("svr", "--continue", tmp_path, "--output", tmp_path / "out", says=says)


def test_choices_of_slices_that_are_not_there_are_refused(merged, paths, tmp_path, refused):
    go_on, out = ["svr", "--continue", merged], ["--output", tmp_path / "out"]
    refused(*go_on, "--exclude", "4:2", *out, says=["no stack 4", "1 to 3"])
    refused(*go_on, "--exclude", "2:99", *out, says=["stack-2", "no slice 99", "expected one of"])
    refused(*go_on, "--exclude", "2", *out, says=["--exclude", "as in 2:4,7"])
    refused(*go_on, "--exclude", "2:4", "--include", "2:4", *out, says=["slice 4 of stack 2", "both"])
    refused("svr", "--continue", tmp_path, *out, says=["result.json", "earlier merge"])
    refused("svr", "--stack", merged / "volume.nrrd", *out, says=["reconstructed, not observed"])
    older = [{"slice": entry["slice"]} for entry in poses_in(merged).values()]  # by a version before this
    (tmp_path / "result.json").write_bytes((merged / "result.json").read_bytes())
    for poses in (older, [], {}, [1]):
        (tmp_path / "poses.json").write_text(json.dumps(poses))
        says = ["merge of other slices" if poses in ([], {}) else "no finished merge"]
        refused("svr", "--continue", tmp_path, *out, says=says)
    refused(*go_on, "--stack", paths[0], *out, says=["other slices", "of 3 stacks", "of 1)"])
    every: dict[int, list[str]] = {}
    for stack, index in poses_in(merged):
        every.setdefault(stack, []).append(str(index))
    all_of_them = [word for n, known in every.items() for word in ("--exclude", f"{n}:{','.join(known)}")]
    refused(*go_on, *all_of_them, *out, says=["excluded", "at least 3"])
    assert not (tmp_path / "out").exists()
