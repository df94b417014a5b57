"""./run batch: a cohort on two processes; a case that fails, a worker that is killed, what is done."""

import json
import os
import signal
import threading
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from SparseVolumeReconstructionLib.batch import gpus
from SparseVolumeReconstructionLib.batch.cases import Case, cases_of_bids, cases_of_table
from SparseVolumeReconstructionLib.batch.recipe import Recipe, read_recipe
from SparseVolumeReconstructionLib.batch.task import digest_of
from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.cli.context import parse_context
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume
from SparseVolumeReconstructionLib.reconstruction.contexts import read_contexts
from SparseVolumeReconstructionLib.synthesis.models import synthesis_models
from SparseVolumeReconstructionLib.zoo import ModelStore

RECIPE = """operation: evaluate
slices: [2, 5, 8]
options: {prior: tiny, frame: registered, outputs: [mean, std]}
"""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory, write_weights):
    """A folder with models, a BIDS data set of 6 heads (the last one is empty) and a recipe."""
    folder = tmp_path_factory.mktemp("cohort")
    ModelStore(folder / "models").import_file(write_weights(folder / "tiny.safetensors"))
    grid = Grid.centred((12, 14, 13), 12.0)
    inside = np.linalg.norm(grid.points_ras() / [60, 75, 62], axis=1).reshape(grid.shape_kji) < 1
    for n in range(1, 7):
        values = np.random.default_rng(n).normal(60, 8, grid.shape_kji).clip(20) * inside * (n < 6)
        place = folder / "bids" / f"sub-{n:02d}" / "ses-1" / "anat"
        place.mkdir(parents=True)
        write_volume(Volume(values.astype(np.float32), grid), place / f"sub-{n:02d}_ses-1_T1w.nii.gz")
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder


@pytest.fixture
def batch(cohort, monkeypatch, capsys):
    """batch("--resume", ...) runs the command: exit code, what was printed."""
    monkeypatch.setenv("SVR_MODELS_DIR", str(cohort / "models"))

    def run(*words, out="out"):
        where = ["--recipe", str(cohort / "recipe.yaml"), "--out", str(cohort / out)]
        code = main(["batch", *where, *map(str, words)])
        return code, capsys.readouterr()

    return run


def kill_a_worker_when_a_case_is_done(records, killed):
    """Kill one of the processes that compute for this one, and keep what it was started with."""
    while not list(records.glob("sub-*.json")):
        time.sleep(0.01)
    workers = [each for each in psutil.Process().children() if "--multiprocessing-fork" in each.cmdline()]
    killed.append(workers[0].environ())
    os.kill(workers[0].pid, signal.SIGKILL)


def test_processes_see_one_gpu_each(monkeypatch):
    """By their numbers; more processes than GPUs share them; none is shown what this process may not use."""
    monkeypatch.setenv(gpus.VARIABLE, "5, 7,9")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    found = gpus.visible_gpus()
    assert found == ["5", "7"]
    shown = []
    for number in range(3):
        gpus.OneGpu(found).setup(SimpleNamespace(name=number))
        shown.append(os.environ[gpus.VARIABLE])
    assert shown == ["5", "7", "5"]
    monkeypatch.delenv(gpus.VARIABLE)
    assert gpus.visible_gpus() == ["0", "1"]


@pytest.mark.slow
def test_a_cohort_with_a_failed_case_and_a_killed_worker(cohort, batch, monkeypatch):
    monkeypatch.setattr(gpus, "visible_gpus", lambda: ["0", "1"])
    killed = []
    records = cohort / "out" / ".batch"
    killer = threading.Thread(target=kill_a_worker_when_a_case_is_done, args=(records, killed))
    killer.start()
    code, said = batch("--bids", cohort / "bids", "--workers", 2)
    killer.join()
    assert code == 2 and "5 done, 0 kept, 1 failed" in said.out, said
    assert killed[0]["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] == killed[0]["OMP_NUM_THREADS"] == "1"
    assert int(killed[0]["MALLOC_MMAP_THRESHOLD_"]) >= 2**28, "arrays are made of pages that are there"
    assert "sub-06_ses-1" in said.err and "1 of 6 cases failed" in said.err
    check_files(cohort)
    told = [json.loads(file.read_text()) for file in records.glob("sub-*.json")]
    assert {said["gpu"] for said in told} <= {"0", "1"}  # of the process that was started again, too
    page = (cohort / "out" / "cohort.html").read_text()
    ranked = [page.index(f"<h3>sub-0{n}_ses-1</h3>") for n in by_score(records)]
    assert ranked == sorted(ranked) and "Not for diagnosis" in page and page.count("data:image/png") >= 7

    before = {file: file.stat().st_mtime_ns for file in (cohort / "out").rglob("*.nii.gz")}
    scan = cohort / "bids" / "sub-01" / "ses-1" / "anat" / "sub-01_ses-1_T1w.nii.gz"
    os.utime(scan)  # a date is no content
    changed = cohort / "bids" / "sub-02" / "ses-1" / "anat" / "sub-02_ses-1_T1w.nii.gz"
    volume = read_volume(changed)
    write_volume(Volume(volume.array * 1.5, volume.grid), changed)
    (cohort / "out" / "sub-03" / "ses-1" / "anat" / "sub-03_ses-1_desc-std_T1w.nii.gz").unlink()
    code, said = batch("--bids", cohort / "bids", "--resume", "--workers", 1)
    assert code == 2 and "2 done, 3 kept, 1 failed" in said.out
    check_files(cohort)
    after = {file: file.stat().st_mtime_ns for file in (cohort / "out").rglob("*.nii.gz")}
    same = {file.name[:6] for file in after if after[file] == before[file]}
    assert after.keys() == before.keys() and same == {"sub-01", "sub-04", "sub-05"}


def check_files(cohort) -> None:
    """Every case is there once, whole, with its provenance; nothing is left of attempts."""
    out = cohort / "out"
    described = json.loads((out / "dataset_description.json").read_text())
    assert described["DatasetType"] == "derivative" and described["GeneratedBy"][0]["Version"]
    for n in range(1, 6):
        names = {file.name for file in (out / f"sub-{n:02d}" / "ses-1" / "anat").iterdir()}
        kinds = ("desc-recon_T1w", "desc-std_T1w", "desc-observed_mask")
        images = {f"sub-{n:02d}_ses-1_{kind}.{suffix}" for kind in kinds for suffix in ("nii.gz", "json")}
        assert names == images | {f"sub-{n:02d}_ses-1_from-T1w_to-model_mode-points_xfm.h5"}
        told = out / f"sub-{n:02d}" / "ses-1" / "anat" / f"sub-{n:02d}_ses-1_desc-recon_T1w.json"
        sidecar = json.loads(told.read_text())
        with pytest.raises(InputError, match="reconstructed, not observed"):
            read_contexts([parse_context(str(told.with_suffix(".nii.gz")))])
        assert sidecar["Sources"] and sidecar["Provenance"]["prior"]["id"] == "tiny" and sidecar["ssim"] > 0.3
    assert not (out / "sub-06").exists()
    assert [path for path in (out / ".batch").iterdir() if path.is_dir()] == []


def by_score(records) -> list[int]:
    """Numbers of the cases that were done, the worst one first."""
    said = [json.loads(file.read_text()) for file in records.glob("sub-*.json")]
    scored = [each for each in said if "ssim" in each]
    return [int(each["case"][4:6]) for each in sorted(scored, key=lambda each: each["ssim"])]


def test_rows_of_a_table_are_cases(cohort, tmp_path):
    table = cohort / "cases.csv"
    scan = "bids/sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz"
    table.write_text(
        f"case,context,covariate,truth\nsub-7_ses-2,{scan}:1;{scan},29.5,{scan}\nJane 4,{scan},,\n"
    )
    recipe = Recipe(operation="evaluate", slices=[3])
    one, other = cases_of_table(table, recipe, parse_context)
    assert (one.name, other.name) == ("sub-7_ses-2", "sub-Jane4")
    assert [each["slices"] for each in one.given["contexts"]] == [[1], [3]]
    assert (
        one.given["contexts"][0]["path"] == one.truth == str(cohort / scan)
        and one.given["covariate"] == "29.5"
    )
    assert other.truth is None and "covariate" not in other.given


WRONG_TABLES = {
    "case,contekst\n1,a.nii\n": "expected a table with the column case and some of .*context",
    "case,context\n": "no cases",
    "case,context\n,a.nii\n": "line 2 has no case",
    "case,context\n1,a.nii,b.nii\n": "line 2 has no case, or more values",
    "case,context\n1-1,a.nii\n11,a.nii\n": "several cases would be called sub-11",
}


@pytest.mark.parametrize("text", WRONG_TABLES)
def test_a_table_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "cases.csv").write_text(text)
    with pytest.raises(InputError, match=WRONG_TABLES[text]):
        cases_of_table(tmp_path / "cases.csv", Recipe(operation="reconstruct"), parse_context)


WRONG_RECIPES = {
    "operation: paint": "operation",
    "operation: svr\noptions: {priors: x}": "svr has no option priors; expected some of ",
    "operation: svr\noptions: {output: here}": "svr has no option output",
    "[": "not YAML",
    "- a": "Recipe|valid|dictionary",
}


@pytest.mark.parametrize("text", WRONG_RECIPES)
def test_a_recipe_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(InputError, match=WRONG_RECIPES[text]):
        read_recipe(tmp_path / "recipe.yaml")


def test_visits_are_the_cases_of_svr_and_synthesis(cohort, tmp_path):
    place = tmp_path / "sub-1" / "ses-a" / "anat"
    place.mkdir(parents=True)
    for name in ("run-1_T2w", "run-2_T2w", "FLAIR", "T1w"):
        (place / f"sub-1_ses-a_{name}.nii.gz").touch()
    (merged,) = cases_of_bids(tmp_path, Recipe(operation="svr", select="T2w"))
    assert merged.name == "sub-1_ses-a" and len(merged.given["stacks"]) == 2
    (made,) = cases_of_bids(tmp_path, Recipe(operation="synthesize"))
    assert set(made.given["inputs"]) == {"t1", "t2", "flair"}
    named = Recipe(operation="synthesize", select="T2w", options={"model": "brain-flair-to-t1"})
    (made,) = cases_of_bids(tmp_path, named)
    assert set(made.given["inputs"]) == {"flair"} and made.suffix == "T1w"
    runs = cases_of_bids(tmp_path, Recipe(operation="reconstruct", select="T2w"))
    assert [each.name for each in runs] == ["sub-1_ses-a_run-1", "sub-1_ses-a_run-2"]
    with pytest.raises(InputError, match="no scan sub-"):
        cases_of_bids(tmp_path, Recipe(operation="reconstruct", select="PDw"))


def test_a_network_may_be_named_by_its_id(tmp_path):
    (tmp_path / "flair.nii.gz").touch()
    known = synthesis_models()[0].card.id
    recipe = Recipe(operation="synthesize", options={"model": known})
    case = Case("sub-1", "T1w", {"inputs": {"flair": str(tmp_path / "flair.nii.gz")}})
    request = recipe.request(**recipe.options, **case.given, output="/out")
    assert digest_of(case, recipe, request) == digest_of(case, recipe, request.model_copy())
    with pytest.raises(InputError, match="no synthesis network"):
        digest_of(case, recipe, request.model_copy(update={"model": "flair-to-gold"}))


def test_what_cannot_run_is_one_line(batch, cohort):
    code, said = batch()
    assert code == 2 and "either --table or --bids" in said.err
    code, said = batch("--bids", cohort / "bids", out="bids")
    assert code == 2 and "is the data set itself" in said.err
    code, said = batch("--bids", cohort / "bids", "--scheduler", "nonsense", out="none")
    assert code == 2 and "no Dask scheduler answers there" in said.err and len(said.err.splitlines()) == 1
