"""Stacks that do not belong together, are spoiled or incomplete, and merges that are interrupted."""

import json
import resource
import signal
import subprocess

import numpy as np
import pytest
from geometry.dicom_files import write_series, write_slice
from svr.phantom import SCAN, moving, write_stacks

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.svr.request import SvrRequest
from SparseVolumeReconstructionLib.svr.result import SvrResult, write_svr
from SparseVolumeReconstructionLib.svr.run import run_svr
from SparseVolumeReconstructionLib.svr.stacks import read_stacks
from SparseVolumeReconstructionLib.zoo import ModelStore


@pytest.fixture
def paths(tmp_path):
    """Three stacks of a body that hardly moved."""
    return write_stacks(moving(1.0, 1.0, seed=4), tmp_path)


def merged(paths, folder) -> tuple[list[str], dict]:
    """What is told of a merge without a model, and result.json."""
    told = []
    stacks = [{"path": str(path), "thickness_mm": SCAN.thickness_mm} for path in paths]
    request = SvrRequest(stacks=stacks, output=str(folder / "out"), spacing_mm=4.0, prior="none")
    run_svr(request, ModelStore(), Progress(warned=told.append))
    return told, json.loads((folder / "out" / "result.json").read_text())


def test_a_stack_of_another_contrast_is_told_by_its_name(paths, tmp_path):
    """And nothing is said of stacks of one contrast."""
    told, said = merged(paths, tmp_path)
    assert not [t for t in told if "other stacks" in t]
    assert min(s["ncc_from_other_stacks"] for s in said["stacks"]) > 0.5
    volume = read_volume(paths[2])
    inverted = np.where(volume.array > 120, 600 - 2 * volume.array, volume.array)
    write_volume(Volume(np.maximum(inverted, 0).astype(np.float32), volume.grid), paths[2])
    told, said = merged(paths, tmp_path)
    odd = next(t for t in told if "other stacks" in t)
    assert "stack-3" in odd and "one contrast" in odd
    assert said["stacks"][2]["ncc_from_other_stacks"] < 0.4


def test_hundreds_of_slices_are_read_and_thousands_refused(tmp_path):
    noise = np.random.default_rng(0).integers(1, 99, (2001, 8, 8)).astype(np.float32)
    for count in (400, 2001):
        grid = Grid.centred((count, 8, 8), 0.25)
        write_volume(Volume(noise[:count], grid), tmp_path / f"{count}.nrrd")
    stacks = [{"path": str(tmp_path / f"{count}.nrrd"), "thickness_mm": 0.25} for count in (400, 2001)]
    read = read_stacks(SvrRequest(stacks=stacks[:1], output="/out", prior="none"))
    assert len(read.slices) == 400 and [s.shot for s in read.slices] == list(range(400))
    with pytest.raises(InputError, match="2001 slices; at most 2000"):
        read_stacks(SvrRequest(stacks=stacks[1:], output="/out", prior="none"))


def test_two_series_of_one_folder_are_two_stacks(tmp_path):
    """One and the same of them is not."""
    pixels = np.random.default_rng(0).integers(100, 999, (5, 40, 40))
    for number in (3, 12):
        places = [(0, 0, 4 * n + number) for n in range(5)]
        write_series(tmp_path, places, pixels, series=f"1.2.{number}", SeriesNumber=number)
    stacks = [{"path": str(tmp_path), "series": series} for series in ("3", "12")]
    read = read_stacks(SvrRequest(stacks=stacks, output="/out", prior="none"))
    assert read.names == [f"{tmp_path}#3", f"{tmp_path}#12"]
    assert [s.image.source for s in read.slices] == [name for name in read.names for _ in range(5)]
    with pytest.raises(InputError, match="given twice"):
        read_stacks(SvrRequest(stacks=[*stacks, stacks[0]], output="/out", prior="none"))


def test_slices_that_are_all_spoiled_are_not_passed_off_as_a_body(paths, tmp_path):
    draw = np.random.default_rng(0)
    for path in paths:
        volume = read_volume(path)
        noise = draw.uniform(1, 400, volume.array.shape).astype(np.float32)
        write_volume(Volume(noise, volume.grid), path)
    told, said = merged(paths, tmp_path)
    assert any("do not fit each other" in t for t in told)
    assert said["self_check"]["ncc"]["after"] < 0.5


def test_a_series_with_a_missing_and_a_doubled_slice_is_read_and_told(tmp_path):
    places = [(0, 0, 3.0 * n) for n in range(10) if n != 4]
    array = np.random.default_rng(0).integers(1, 999, (9, 20, 24))
    write_series(tmp_path / "series", places, array, spacing=(2.0, 2.0), thickness=3.0)
    write_slice(tmp_path / "series" / "again", array[6], places[6], spacing=(2.0, 2.0), number=99)
    request = SvrRequest(stacks=[{"path": str(tmp_path / "series")}], output="/out", prior="none")
    stacks = read_stacks(request)
    assert len(stacks.slices) == 9
    told = " ".join(stacks.warnings)
    assert "1 slice was there twice" in told and "one stack alone" in told
    along = [s.image.plane.centre[2] for s in stacks.slices]
    assert along == sorted(along) and np.allclose(along, [place[2] for place in places])


def test_a_killed_merge_leaves_nothing(paths, tmp_path, python, library_environment):
    stacks = [word for path in paths for word in ("--stack", path)]
    command = [python, "-m", "SparseVolumeReconstructionLib.cli", "svr", *stacks, "--prior", "none"]
    environment = {**library_environment, "OMP_NUM_THREADS": "1"}
    there = {p.name for p in tmp_path.iterdir()}
    process = subprocess.Popen(
        [*command, "--spacing", "2", "--json-progress", "--output", str(tmp_path / "out")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    steps = (json.loads(line)["step"] for line in process.stdout)
    assert next(step for step in steps if step.startswith("volume"))
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert {p.name for p in tmp_path.iterdir()} == there


@pytest.mark.parametrize("size", [0, 3000, 20_000])
def test_a_full_disk_is_told_and_the_old_result_stays(tmp_path, size):
    grid = Grid.centred((20, 20, 20), 2.0)
    noise = np.random.default_rng(0).random((20, 20, 20), np.float32)
    volume = Volume(noise, grid)
    result = SvrResult(volume, volume, volume, None, [{"slice": "1"}], {"seed": 0}, "<html>")
    write_svr(result, tmp_path / "out")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises(InputError, match="could not be written"):
            write_svr(result, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
