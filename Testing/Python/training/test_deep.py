"""./run train slice-vae as its users run it: from a folder to a model that the store loads and that is
evaluated.
"""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.data.cohort import brain_mask, list_cohort
from SparseVolumeReconstructionLib.data.registration import on_grid
from SparseVolumeReconstructionLib.evaluation.cases import Case, as_array
from SparseVolumeReconstructionLib.evaluation.metrics import slice_ssim, ssim_map
from SparseVolumeReconstructionLib.evaluation.protocol import evaluate
from SparseVolumeReconstructionLib.geometry import Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.reconstruction.patient_posterior import condition_registered
from SparseVolumeReconstructionLib.reconstruction.request import ReconstructionRequest, SliceSpec
from SparseVolumeReconstructionLib.reconstruction.run import run_request
from SparseVolumeReconstructionLib.training import deep
from SparseVolumeReconstructionLib.training.loop.checkpoint import BEST, CHECKPOINT
from SparseVolumeReconstructionLib.zoo import ModelStore

SPLIT = {
    "fit": [f"age{n}" for n in (20, 21, 22, 24, 25, 26, 28, 29, 30, 31)] + ["age99"],
    "test": ["age23", "age27"],
}


@pytest.fixture(scope="module")
def words(cohort_dir, tmp_path_factory):
    """The command line of a run, and its folder."""
    folder = tmp_path_factory.mktemp("deep")
    (folder / "split.json").write_text(json.dumps(SPLIT))
    command = [
        "train",
        "slice-vae",
        "--cohort",
        cohort_dir,
        "--config",
        "slice-vae-64-tiny",
        "--out",
        folder / "bodies-vae",
    ]
    return [
        *map(str, command),
        "--split",
        str(folder / "split.json"),
        "--modality",
        "phantom",
    ], folder / "bodies-vae"


@pytest.fixture(scope="module")
def store(words, tmp_path_factory):
    """A store with the trained model."""
    command, out = words
    assert main(command) == 0
    store = ModelStore(tmp_path_factory.mktemp("models"))
    store.import_file(out / "bodies-vae.safetensors")
    return store


def test_the_card_says_what_was_done(store):
    card = store.load("bodies-vae", "cpu").card
    assert (
        card.system == "slice-vae"
        and card.split["test"] == SPLIT["test"]
        and len(card.split["validation"]) == 2
    )
    assert sorted(card.split["fit"] + card.split["validation"]) == sorted(SPLIT["fit"][:-1]), (
        "the damaged file is left out"
    )
    assert "8 subjects (1 files were skipped)" in card.limits and "axial slices only" in card.limits
    assert card.quality["subjects"] == SPLIT["test"] and card.quality["SSIM"]["4"] > 0.3
    assert (
        0.85
        < sum(card.quality["coverage of 90 % intervals on validation subjects by number of slices"].values())
        / 4
        < 0.95
    )


def test_a_finished_run_can_be_exported_again(words, store, capsys):
    command, out = words
    before = load_file(out / "bodies-vae.safetensors")
    assert main([*command, "--resume"]) == 0
    printed = capsys.readouterr()
    assert "warning: age99.nii.gz was left out (1 of 1): " in printed.err and printed.out.strip() == str(
        out / "bodies-vae.safetensors"
    )
    after = load_file(out / "bodies-vae.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_evaluate_measures_it_beside_the_baselines(store, cohort_dir):
    scores = evaluate(
        ["bodies-vae"], cohort_dir, "registered", [0, 3], store, Progress(), samples=2, device="cpu"
    )
    assert scores["_about"]["subjects"] == SPLIT["test"]
    for count in ("0", "3"):
        assert (
            scores["bodies-vae"][count]["ssim"] > 0.3
            and 0.5 < scores["bodies-vae"][count]["coverage_90"] <= 1
        )
    assert scores["bodies-vae"]["3"]["ssim"] > scores["bodies-vae"]["0"]["ssim"]


def test_slices_of_the_subject_bring_the_codes_nearer(store, cohort_dir):
    prior, cohort = store.load("bodies-vae", "cpu"), list_cohort(cohort_dir)
    matrices = cohort.registered(prior.reference, SPLIT["test"])
    error = {0: [], 4: []}
    for name in SPLIT["test"]:
        truth = Volume(on_grid(cohort.volume(name), prior.grid, matrices[name]), prior.grid)
        case = Case(name, truth, brain_mask(truth.array), (0, truth.grid.shape_kji[0]))
        for count, errors in error.items():
            posterior = prior.condition(case.slices(case.positions(count)))
            codes = prior.network.encode(torch.as_tensor(truth.array))[0]
            errors.append(float(((posterior.codes.mean - codes) ** 2).mean()))
    assert all(four < none for four, none in zip(error[4], error[0], strict=True)), error


@pytest.mark.parametrize("frame", ["auto", "registered"])
def test_it_reconstructs_like_any_prior(store, cohort_dir, tmp_path, frame):
    context = SliceSpec(path=str(cohort_dir / "age27.nii.gz"), slices=[6, 10, 14, 18], thickness_mm=5.0)
    words = {
        "prior": "bodies-vae",
        "contexts": [context],
        "frame": frame,
        "like": context.path,
        "samples": 2,
        "seed": 3,
    }
    outputs = ["mean", "std", "template", "atlas"]
    result = run_request(
        ReconstructionRequest(**words, outputs=outputs, output=str(tmp_path / "out")), store, Progress()
    )["result"]
    assert np.isfinite(result["log_evidence"]) and result["log_evidence"] != 0
    mean, std, truth = (
        read_volume(p).array for p in (tmp_path / "out/mean.nrrd", tmp_path / "out/std.nrrd", context.path)
    )
    assert (
        np.allclose(mean[[6, 10, 14, 18]], truth[[6, 10, 14, 18]], atol=1e-4)
        and (std[[6, 10, 14, 18]] == 0).all()
    )
    assert np.corrcoef(mean.ravel(), truth.ravel())[0, 1] > 0.7 and std.max() > 0
    assert {"template.nrrd", "atlas.nrrd", "samples.seq.nrrd"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }


def refused(capsys, *words) -> str:
    """The one line with which a command is refused, after warnings of files that were left out."""
    assert main([str(word) for word in words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["warning:"] * (len(lines) - 1) + ["error:"]
    return lines[-1]


def test_wrong_input_is_one_clear_line(words, store, cohort_dir, tmp_path, capsys):
    command, out = words
    train = ["train", "slice-vae", "--cohort", cohort_dir, "--out", tmp_path / "out", "--config"]
    (tmp_path / "wrong.yaml").write_text("system: slice-vae\nsteps: 1\nbatch: 1\nlearning_rat: 1\n")
    assert 'unknown key "learning_rat"; did you mean "learning_rate"' in refused(
        capsys, *train, tmp_path / "wrong.yaml"
    )
    assert "no such file" in refused(capsys, *train, "slice-vae-63-tiny")
    assert "holds another run; continue it with --resume" in refused(capsys, *command)
    (tmp_path / "file").write_text("")
    assert "cannot be made a folder" in refused(
        capsys, *train[:-3], "--out", tmp_path / "file", "--config", "slice-vae-64-tiny"
    )
    named = [*train[:-3], "--id", "No Id", "--out", tmp_path / "named", "--config", "slice-vae-64-tiny"]
    assert "'No Id'; expected a-z, 0-9 and -" in refused(capsys, *named)
    (tmp_path / "other.yaml").write_text("system: structured-gaussian\nsteps: 1\nbatch: 1\n")
    assert "made for structured-gaussian" in refused(capsys, *train, tmp_path / "other.yaml")
    assert not (tmp_path / "out").exists() and (out / CHECKPOINT).exists() and (out / BEST).exists()


def test_who_stops_a_run_is_told_how_to_continue(cohort_dir, tmp_path, capsys, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(deep, "fit", stop)
    command = [
        "train",
        "slice-vae",
        "--cohort",
        cohort_dir,
        "--config",
        "slice-vae-64-tiny",
        "--out",
        tmp_path / "out",
    ]
    assert main([str(word) for word in command]) == 130
    assert capsys.readouterr().err.endswith("\nerror: stopped by the user; continue with --resume\n")


def test_one_volume_is_refused(cohort_dir, tmp_path, capsys):
    one = tmp_path / "one"
    one.mkdir()
    (one / "age20.nii.gz").write_bytes((cohort_dir / "age20.nii.gz").read_bytes())
    (one / "age21.nii.gz").write_bytes(b"no image")
    said = refused(
        capsys,
        "train",
        "slice-vae",
        "--cohort",
        one,
        "--config",
        "slice-vae-64-tiny",
        "--out",
        tmp_path / "out",
    )
    assert (
        "1 volumes to fit; at least 3 are needed" in said
        and "1 files skipped" in said
        and "age21.nii.gz" in said
    )


def test_the_mean_that_is_shown_is_not_worse_than_that_of_samples(store, cohort_dir):
    prior, cohort = store.load("bodies-vae", "cpu"), list_cohort(cohort_dir)
    matrices = cohort.registered(prior.reference, SPLIT["test"])
    found = {"shown": 0.0, "samples": 0.0}
    for name in SPLIT["test"]:
        truth = Volume(on_grid(cohort.volume(name), prior.grid, matrices[name]), prior.grid)
        case = Case(name, truth, brain_mask(truth.array), (0, truth.grid.shape_kji[0]))
        posterior = condition_registered(prior, case.slices(case.positions(4)), grid=prior.grid).posterior
        for key, mean in (
            ("shown", posterior.mean()),
            ("samples", posterior.sample(list(range(16))).mean(0)),
        ):
            found[key] += float(slice_ssim(ssim_map(truth.array, as_array(mean))).mean()) / len(SPLIT["test"])
    assert found["shown"] > found["samples"] - 0.005, found
