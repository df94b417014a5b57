"""The protocols end to end on the tiny population, and the report."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from geometry.odd_files import SAYS, write_with_notice
from priors.tissue_heads import GRID, T1W, T2W, fitted_parameters, head, scan
from safetensors.torch import save_file

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.evaluation import inference, protocol
from SparseVolumeReconstructionLib.evaluation.report import write_report
from SparseVolumeReconstructionLib.geometry import InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume
from SparseVolumeReconstructionLib.progress import Cancelled, Progress
from SparseVolumeReconstructionLib.zoo import ModelStore

pytestmark = pytest.mark.slow  # it evaluates whole cohorts

KEYS = {
    *("ssim", "ssim_excluding_contexts", "ssim_in_brain", "cc_volume", "cc_slice", "psnr"),
    *("ssim_of_samples", "cc_slice_of_samples", "sample_difference", "seconds_sample"),
    *("sample_spread", "sample_coverage_90", "sample_auc", "sample_error", "sample_error_observed"),
    *("donor_distance", "donor_distance_observed"),
    *("coverage_50", "coverage_80", "coverage_90", "coverage_95", "seconds_condition", "seconds_mean"),
}
BASELINES = ["mean-atlas", "cohort-atlas", "nearest-slice", "linear-interpolation", "nearest-volume", "pca"]


@pytest.fixture(scope="module")
def registered(cohort_dir, store):
    events, told = [], []
    progress = Progress(events.append, warned=told.append)
    result = protocol.evaluate(["tiny"], cohort_dir, "registered", [3, 1, 0], store, progress, samples=2)
    return result, events, told


def test_json_is_the_contract(registered, tmp_path):
    result, *_ = registered
    protocol.write_json(result, tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text())
    assert list(content) == ["tiny", *BASELINES, "_about"]
    for name in ["tiny", *BASELINES]:
        assert list(content[name]) == ["0", "1", "3"]
        assert all(set(row) == KEYS for row in content[name].values())
    none = {key for key, value in content["tiny"]["3"].items() if value is None}
    assert none == {"sample_coverage_90", "donor_distance", "donor_distance_observed"}, "no quantiles of two"
    assert 0 < content["tiny"]["3"]["sample_error_observed"] < 0.5 * content["tiny"]["3"]["sample_error"]
    assert 0.5 < content["tiny"]["3"]["sample_auc"] <= 1, "noise is told from bodies"
    assert set(content["_about"]["samples"]["tiny"]["3"]) == {"spread", "spectrum_db"}
    assert content["pca"]["3"]["coverage_90"] is None and content["pca"]["3"]["ssim_of_samples"] is None
    assert all(content[name]["3"]["seconds_condition"] > 0 for name in BASELINES)
    assert (
        set(content["linear-interpolation"]["0"].values()) == {None}
        and content["mean-atlas"]["0"]["ssim"] > 0
    )
    assert list(tmp_path.iterdir()) == [tmp_path / "out.json"]


def test_only_unseen_subjects_are_evaluated_and_others_are_named(registered):
    about = registered[0]["_about"]
    assert (
        about["subjects"]
        == ["sub-08_T1w", "sub-09_T1w", "sub-10_T1w"]
        == list(about["by_subject"]["tiny"]["3"])
    )
    assert (
        set(about["files_skipped"]) == {"sub-00_dseg.nii.gz", "sub-00_FLAIR.nii.gz", "sub-99_T1w.nii.gz"}
        and not about["left_out"]
    )
    assert about["library"] == {"kind": "fit subjects", "subjects": 8}
    assert [text.split(":")[0] for text in registered[2]] == [
        "sub-99_T1w.nii.gz was left out (1 of 1)"
    ]  # others belong to any cohort


def test_more_contexts_are_better_and_the_prior_beats_its_mean(registered):
    result, *_ = registered
    ssim = {
        name: {n: row["ssim"] for n, row in rows.items()} for name, rows in result.items() if name != "_about"
    }
    assert ssim["tiny"]["0"] < ssim["tiny"]["1"] < ssim["tiny"]["3"]
    assert ssim["tiny"]["0"] == pytest.approx(ssim["mean-atlas"]["0"], abs=1e-4)
    assert (
        ssim["tiny"]["3"] > ssim["mean-atlas"]["3"] + 0.005 and ssim["tiny"]["3"] > ssim["nearest-slice"]["3"]
    )
    curve = np.array(result["_about"]["ssim_by_slice"]["tiny"]["1"])
    assert curve.argmax() == 15 and curve[15] == pytest.approx(1)


def test_progress_tells_what_is_done_and_never_goes_back(registered):
    fractions = [event.fraction for event in registered[1]]
    assert fractions == sorted(fractions) and fractions[0] >= 0 and fractions[-1] <= 1
    assert (
        any("registering" in event.step for event in registered[1]) and "contexts" in registered[1][-1].step
    )


def test_a_subject_that_cannot_be_used_is_left_out_for_every_system(cohort_dir, store, monkeypatch):
    real = inference.condition_registered

    def refuse_one(prior, slices, **options):
        if slices[0].name.startswith("sub-09"):
            raise InputError("not this anatomy.")
        return real(prior, slices, **options)

    monkeypatch.setitem(inference.CONDITION, "registered", refuse_one)
    result = protocol.evaluate(["tiny"], cohort_dir, "registered", [2], store, Progress(), samples=0)
    assert result["_about"]["left_out"] == {"sub-09_T1w, 2 contexts": "not this anatomy."}
    assert {len(rows["2"]) for rows in result["_about"]["by_subject"].values()} == {2}
    assert result["tiny"]["2"]["ssim_of_samples"] is None


def test_doubtful_cases_are_told_kept_in_the_tables_and_end_a_strict_run(
    cohort_dir, store, tmp_path, monkeypatch, capsys
):
    """A subject of another contrast: registered by its outline, but unlike the model inside."""
    monkeypatch.setenv("SVR_MODELS_DIR", str(store.user_dir))
    for name in ("sub-08_T1w", "sub-09_T1w"):
        body = read_volume(cohort_dir / f"{name}.nii.gz")
        if name == "sub-09_T1w":
            inside = np.random.default_rng(0).random(body.array.shape, np.float32) + 0.1
            body = Volume(np.where(body.array > 0, inside, 0), body.grid)
        (tmp_path / "cohort").mkdir(exist_ok=True)
        write = write_with_notice if name == "sub-08_T1w" else write_volume
        write(body, tmp_path / "cohort" / f"{name}.nii.gz")
    words = ["evaluate", "--prior", "tiny", "--cohort", tmp_path / "cohort", "--frame", "registered"]
    words += ["--contexts", "2", "--json", tmp_path / "s.json", "--report", tmp_path / "s.html"]
    assert main([*map(str, words), "--strict"]) == 2
    assert SAYS in capsys.readouterr().err and not (tmp_path / "s.json").exists()
    assert main(list(map(str, words))) == 0
    said = capsys.readouterr().err
    assert "warning: sub-09_T1w at 2 contexts, tiny: The slices match the model poorly" in said
    assert "sub-08_T1w at" not in said and said.count(f"sub-08_T1w.nii.gz: {SAYS}") == 1
    warnings = json.loads((tmp_path / "s.json").read_text())["_about"]["warnings"]
    assert list(warnings) == ["sub-08_T1w.nii.gz", "sub-09_T1w, 2 contexts, tiny"]
    page = (tmp_path / "s.html").read_text()
    assert page.index("2 cases with warnings") < page.index("SSIM by slice"), (
        "who reads the numbers sees them"
    )


def test_wrong_requests_are_refused_and_cancel_stops(cohort_dir, store):
    with pytest.raises(InputError, match="at least one prior"):
        protocol.evaluate([], cohort_dir, "registered", [1], store, Progress())
    with pytest.raises(InputError, match="contexts of 30 slices"):
        protocol.evaluate(["tiny"], cohort_dir, "registered", [25], store, Progress())
    with pytest.raises(InputError, match="no model"):
        protocol.evaluate(["huge"], cohort_dir, "registered", [1], store, Progress())
    with pytest.raises(Cancelled):
        protocol.evaluate(["tiny"], cohort_dir, "registered", [1], store, Progress(cancelled=lambda: True))


def test_nothing_is_written_where_it_cannot_be(registered, tmp_path):
    with pytest.raises(InputError, match="could not be written"):
        protocol.write_json(registered[0], tmp_path / "no" / "out.json")
    with pytest.raises(ValueError):
        protocol.write_json({"a": float("nan")}, tmp_path / "out.json")
    assert not list(tmp_path.iterdir())


def test_report_is_one_file_that_shows_gains_curves_calibration_and_subjects(registered, tmp_path):
    result, *_ = registered
    write_report(result, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert not re.search(r"(src|href)=['\"](?!data:)", text) and "http" not in re.sub(
        r'base64,[^"]+', "", text
    )
    kept = {count: list(pictures) for count, pictures in result.pictures.items()}
    everybody = ["sub-08_T1w", "sub-09_T1w", "sub-10_T1w"]
    assert kept == {0: everybody[:1], 1: everybody, 3: everybody[:1]}
    assert {"tiny sd", "tiny sample 2", "pca"} <= set(result.pictures[1]["sub-08_T1w"].views)
    assert text.count("data:image/png;base64") == 2 + 1 + 3 + 3
    assert all(f"Samples from {count} contexts: sub-08_T1w" in text for count in kept)
    gain = result["tiny"]["3"]["ssim"] - result["mean-atlas"]["3"]["ssim"]
    assert f'<td class="gain">{gain:+.3f}</td>' in text
    assert "Best subject" in text and "Worst subject" in text and "sub-99_T1w.nii.gz" in text
    with pytest.raises(InputError, match="could not be written"):
        write_report(result, tmp_path / "no" / "report.html")


def test_patient_frame_runs_on_the_subjects_own_grid(cohort_dir, store, tmp_path):
    (tmp_path / "sub-08_T1w.nii.gz").write_bytes((cohort_dir / "sub-08_T1w.nii.gz").read_bytes())
    result = protocol.evaluate(["tiny"], tmp_path, "patient", [3], store, Progress(), samples=0)
    assert result["_about"]["frame"] == "patient" and result["_about"]["library"] == {
        "kind": "leave one out",
        "subjects": 1,
    }
    assert result["nearest-volume"]["3"]["ssim"] is None and result["linear-interpolation"]["3"]["ssim"] > 0.2
    assert result["tiny"]["3"]["ssim"] > 0.3 and 0.3 < result["tiny"]["3"]["coverage_90"] <= 1


def test_a_cohort_of_whole_heads(shared_data, tmp_path, capsys):
    """Without label maps refused; with them scored in the brain, whatever lies around it in the slices."""
    for kind in ("T1w", "dlmuse"):
        name = f"IXI263_{kind}.nii.gz"  # of the validation
        (tmp_path / name).symlink_to(shared_data / "heads_t1_ixi" / name)
    words = ["evaluate", "--prior", "brain-t1", "--cohort", tmp_path, "--contexts", "4", "--samples", "1"]
    words = [*map(str, words), "--frame", "patient", "--json", str(tmp_path / "scores.json")]
    assert main(words) == 2
    assert "IXI263_T1w.nii.gz: shows a whole head" in capsys.readouterr().err
    assert main([*words, "--strip", "dlmuse"]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    found, atlas = (scores[name]["4"] for name in ("brain-t1", "mean-atlas"))
    assert found["ssim_in_brain"] > atlas["ssim_in_brain"] and 0.75 < found["coverage_90"] <= 1
    assert found["cc_volume"] > 0.9, found


@pytest.fixture(scope="module")
def other_contrast(tmp_path_factory):
    """A folder of five heads in T2w alone, and the store with a prior that knows their tissues from T1w.

    It was fitted to one of them in T1w.
    """
    folder, models = (tmp_path_factory.mktemp(name) for name in ("patients", "models"))
    for n in range(30, 35):
        write_volume(Volume(scan(head(n), T2W)[0].astype(np.float32), GRID), folder / f"p{n}_T2w.nii.gz")
    card = (
        ModelStore(models)
        .find("brain-t1")
        .entry.card.model_copy(update={"id": "tissues", "split": {"fit": ["p30_T1w"], "test": []}})
    )
    mean = np.mean([np.tensordot(T1W, head(n), 1) for n in range(24)], 0).astype(np.float32)
    parameters = replace(fitted_parameters(), reference=torch.as_tensor(mean))
    tensors = {name: t.contiguous() for name, t in parameters.to_tensors().items()}
    save_file(tensors, models / "tissues.safetensors", metadata={"card": card.model_dump_json()})
    store = ModelStore(models / "store")
    store.import_file(models / "tissues.safetensors")
    return folder, store


def test_another_contrast_is_evaluated_by_its_tissues_beside_the_atlas_of_that_contrast(other_contrast):
    folder, store = other_contrast
    told = []
    result = protocol.evaluate(
        ["tissues"], folder, "registered", [4], store, Progress(warned=told.append), samples=1
    )
    about, ssim = result["_about"], {k: v["4"]["ssim"] for k, v in result.items() if k != "_about"}
    assert about["subjects"] == [f"p{n}_T2w" for n in range(31, 35)], (
        "who was fitted is no test, in any contrast"
    )
    assert about["contrast"] == "T2w" and about["library"] == {"kind": "leave one out", "subjects": 5}
    assert any("holds no T1w MRI; its T2w volumes are evaluated" in text for text in told)
    assert ssim["tissues"] > ssim["cohort-atlas"] + 0.005 and ssim["tissues"] > ssim["mean-atlas"] + 0.001, (
        ssim
    )
    assert 0.8 < result["tissues"]["4"]["coverage_90"] < 0.99
