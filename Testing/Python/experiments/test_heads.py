"""Frames and brains of whole heads against whole volumes, end to end, on bodies; and how they are counted."""

import json
import shutil

import numpy as np
import pytest

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.experiments.heads import Found, _row, positions
from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume

MOVED = (7.0, -4.0, 5.0)


@pytest.fixture(scope="module")
def visits(folders, tmp_path_factory):
    """Two bodies as heads with label maps, and one of them as a moved stack of thick slices, too."""
    folder = tmp_path_factory.mktemp("visits")
    for name in ("age23", "age21"):
        body = read_volume(folders / "some" / f"{name}.nii.gz")
        write_volume(body, folder / f"{name}_T1w.nii.gz")
        inside = Volume((body.array > 0).astype(np.uint8), body.grid)
        write_volume(inside, folder / f"{name}_dlmuse.nii.gz")
    matrix = body.grid.ijk_to_ras.copy()
    matrix[:3, 3] += MOVED
    stack = Volume(body.array, Grid(body.array.shape, matrix))
    write_volume(stack, folder / "age21_T2w.nii.gz")
    return folder


def run(name, option, visits, models_dir, folders, out) -> list[dict]:
    """The tables that an experiment has written."""
    words = [f"--{option}", visits, "--split", folders / "split.json", "--scale", "tiny", "--no-training"]
    words += ["--models", models_dir, "--device", "cpu", "--out", out]
    assert main([str(word) for word in ["experiment", name, *words]]) == 0
    assert (out / "report.html").is_file()
    return json.loads((out / "findings.json").read_text())["tables"]


def test_heads(visits, models_dir, folders, tmp_path):
    """Those that were fitted are not measured; what was measured is kept."""
    table, each = run("frames-of-heads", "cohort", visits, models_dir, folders, tmp_path)
    rows = {row[0]: dict(zip(table["header"][1:], row[1:], strict=False)) for row in table["rows"]}
    assert set(rows) == {"4 axial", "1 coronal, 1 sagittal"}
    for row in rows.values():
        assert row["people"] == 1 and row["refused"] == 0
        assert 0 < row["median mm"] <= row["largest mm"] < 12
    assert [row[:2] for row in each["rows"]] == [["age23_T1w", name] for name in rows]
    kept = tmp_path / "rows.jsonl"
    changed = [json.loads(line) | {"error_mm": 7.5} for line in kept.read_text().splitlines()]
    kept.write_text("".join(json.dumps(row) + "\n" for row in changed))
    again, _ = run("frames-of-heads", "cohort", visits, models_dir, folders, tmp_path)
    assert [row[3] for row in again["rows"]] == [7.5, 7.5]


def test_heads_of_which_none_can_be_used(visits, models_dir, folders, tmp_path, capsys):
    for file in visits.glob("*_dlmuse.nii.gz"):
        empty = read_volume(file)
        write_volume(Volume(0 * empty.array, empty.grid), tmp_path / file.name)
        shutil.copy(str(file).replace("dlmuse", "T1w"), tmp_path)
    words = ["--cohort", tmp_path, "--split", folders / "split.json", "--scale", "tiny", "--no-training"]
    words += ["--models", models_dir, "--device", "cpu", "--out", tmp_path / "out"]
    assert main([str(word) for word in ["experiment", "frames-of-heads", *words]]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "none of 1 heads can be used; expected whole heads" in said and "Traceback" not in said


def test_a_stack_lies_where_the_head_of_its_visit_says(visits, models_dir, folders, tmp_path):
    """The header is off by the move, which is far more than what is left."""
    table, each = run("frames-of-stacks", "visits", visits, models_dir, folders, tmp_path)
    assert [row[0] for row in each["rows"]] == ["age21_T2w"]
    assert table["rows"][0][0] == "4 axial of T2w, 5 mm"
    assert each["rows"][0][2] < 0.6 * np.linalg.norm(MOVED)


def test_slices_are_spread_over_the_brain():
    brain = np.zeros((40, 30, 20), bool)
    brain[8:40, 10:21, 4:15] = True
    assert positions(brain, {0: 4}) == [(0, 12), (0, 20), (0, 28), (0, 36)]
    assert positions(brain, {1: 1, 2: 1}) == [(1, 16), (2, 10)]


def test_silent_errors_are_those_that_nobody_was_told_of():
    found = [Found(2.0, False), Found(5.0, True), Found(9.0, False), Found(20.0, True), Found(None, True)]
    assert _row("x", found, False) == ["x", 5, 1, 7.0, pytest.approx(16.7), 20.0, 0.2, 3, 1]
    assert _row("x", [Found(None, True)], True)[2:6] == [1, None, None, None]
