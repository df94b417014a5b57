"""./run train from a folder of volumes to a model that the store loads and that reconstructs."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.cli.train import id_of
from SparseVolumeReconstructionLib.data.cohort import normalised
from SparseVolumeReconstructionLib.data.subjects import CovariateRule, chance_split, read_split
from SparseVolumeReconstructionLib.geometry import InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume
from SparseVolumeReconstructionLib.priors.card import MODEL_ID
from SparseVolumeReconstructionLib.priors.structured_gaussian.training import (
    TrainingOptions,
    train,
)
from SparseVolumeReconstructionLib.progress import Cancelled, Progress
from SparseVolumeReconstructionLib.reconstruction.request import ReconstructionRequest, SliceSpec
from SparseVolumeReconstructionLib.reconstruction.run import run_request
from SparseVolumeReconstructionLib.training.quality import MEASURES
from SparseVolumeReconstructionLib.zoo import ModelStore

SPLIT = {
    "fit": [f"age{n}" for n in (20, 21, 22, 24, 26, 28, 29, 30, 31)] + ["age99"],
    "test": ["age23", "age27"],
    "donors": ["age25"],
}


def options(**changes) -> TrainingOptions:
    """Small and quick."""
    return TrainingOptions(
        "bodies",
        anatomy="body",
        modality="phantom",
        rank=6,
        spacing_mm=6.0,
        protocol_slices=24,
        split=SPLIT,
        **changes,
    )


@pytest.fixture(scope="module")
def trained(cohort_dir, tmp_path_factory):
    """(file, card) of a model with copies and age as covariate."""
    out = tmp_path_factory.mktemp("model") / "bodies.safetensors"
    rule = CovariateRule.parse("age:years:age([0-9]+)")
    return out, train(
        [cohort_dir],
        out,
        options(augment=(2,), covariate=rule, knot_step=4.0, limits="A phantom."),
        Progress(),
    )


def test_card_says_what_was_done(trained):
    _, card = trained
    assert card.split == SPLIT | {"fit": SPLIT["fit"][:-1]}, "the damaged file is left out"
    assert "the anatomy of 1 real people" in card.limits
    assert (card.covariate.name, card.covariate.unit, card.covariate.low, card.covariate.high) == (
        "age",
        "years",
        20,
        32,
    )
    assert "1 files were skipped" in card.limits and card.limits.endswith("A phantom.")
    assert "54 volumes of 9 subjects" in card.time_and_memory
    assert card.quality["subjects"] == ["age23", "age27"]
    gain = {n: card.quality["SSIM"][n] - card.quality["SSIM of the prior mean"][n] for n in ("1", "4", "9")}
    assert min(gain["4"], gain["9"]) > 0.01, (
        gain
    )  # observed slices are shown in the atlas too, so gains need not grow
    assert card.quality["coverage of 90 % intervals"]["4"] > 0.7


def test_model_is_loaded_by_the_store_and_reconstructs(trained, cohort_dir, tmp_path):
    file, card = trained
    store = ModelStore(tmp_path / "models")
    store.import_file(file)
    prior = store.load("bodies", "cpu")
    assert prior.card == card and file.stat().st_size < 1e6
    young, old = (prior.condition([], covariate=age).mean() for age in (20, 31))
    assert (young - old).abs().max() > 0.02, "the mean follows the covariate"
    assert prior.alignment_model().log_scale(prior.alignment_model().knots)[0] > 0.1, "young bodies are small"
    context = SliceSpec(path=str(cohort_dir / "age27.nii.gz"), slices=[6, 10, 14, 18], thickness_mm=5.0)
    request = ReconstructionRequest(
        prior="bodies", contexts=[context], like=context.path, samples=2, output=str(tmp_path / "out")
    )
    result = run_request(request, store, Progress())["result"]
    assert prior.parameters.donors.covariate.tolist() == [25] and result["draws"] == "donors"
    noise = request.model_copy(update={"draws": "gaussian", "output": str(tmp_path / "noise")})
    assert run_request(noise, store, Progress())["result"]["draws"] == "gaussian"
    for name, same in (("mean", True), ("samples.seq", False)):
        files = [(tmp_path / folder / f"{name}.nrrd").read_bytes() for folder in ("out", "noise")]
        assert (files[0] == files[1]) is same, name
    assert result["covariate"]["name"] == "age" and not result["covariate"]["given"]
    mean, truth = (read_volume(path).array for path in (tmp_path / "out" / "mean.nrrd", context.path))
    assert np.corrcoef(mean.ravel(), truth.ravel())[0, 1] > 0.9


def test_tissues_are_fitted_with_it(cohort_dir, tmp_path):
    """Their shares add up to the body, and with grey values they are what the model shows."""
    out = tmp_path / "bodies.safetensors"
    train([cohort_dir], out, options(tissues=3), Progress())
    store = ModelStore(tmp_path / "models")
    store.import_file(out)
    fitted = store.load("bodies", "cpu").parameters
    shares = fitted.tissues.means
    inside = shares.sum(0) > 0.9
    assert fitted.tissues.loadings.shape[:2] == (3, 3) and float(inside.float().mean()) > 0.3
    assert float(shares.sum(0).max()) < 1.02 and float(shares.amax(1).min()) > 0.2
    greys = torch.linalg.lstsq(shares.T, fitted.means[0][:, None]).solution[:, 0]
    assert float((greys @ shares - fitted.means[0])[inside].abs().mean()) < 0.05
    rule = CovariateRule.parse("age:years:age([0-9]+)")
    with pytest.raises(InputError, match="without a covariate"):
        train([cohort_dir], out, options(tissues=3, covariate=rule), Progress())


def test_same_seed_same_model(trained, cohort_dir, tmp_path):
    from safetensors import safe_open

    again = tmp_path / "again.safetensors"
    rule = CovariateRule.parse("age:years:age([0-9]+)")
    train(
        [cohort_dir],
        again,
        options(augment=(2,), covariate=rule, knot_step=4.0, limits="A phantom."),
        Progress(),
    )
    with safe_open(trained[0], "np") as a, safe_open(again, "np") as b:
        assert set(a.keys()) == set(b.keys())
        assert all(np.array_equal(a.get_tensor(key), b.get_tensor(key)) for key in a.keys())  # noqa: SIM118


def test_a_strict_training_ends_at_the_first_file_that_is_left_out(cohort_dir, tmp_path, capsys):
    words = ["train", "structured-gaussian", "--cohort", cohort_dir, "--out", tmp_path / "m.safetensors"]
    assert main([*map(str, words), "--spacing-mm", "6", "--rank", "2", "--strict"]) == 2
    said = capsys.readouterr().err
    assert (
        "age99.nii.gz was left out (1 of 1)" in said and "(--strict)" in said and len(said.splitlines()) == 1
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "made"), [("Müller_T1w 2", "m-ller-t1w-2"), ("brain-t1", "brain-t1"), ("_", "model")]
)
def test_every_name_of_a_file_gives_an_id_that_a_card_may_have(name, made):
    """Or a training would end in an error when its card is written."""
    assert id_of(name) == made and re.match(MODEL_ID, made)


def test_scanners_are_fitted_together(cohort_dir, tmp_path):
    """Whole heads of a second scanner: stripped by their labels, in the grey values of the first."""
    (tmp_path / "second").mkdir()
    for n in (28, 29, 30, 31):
        own = read_volume(cohort_dir / f"age{n}.nii.gz")
        whole = np.where(own.array > 0, own.array.clip(0) ** 0.4, 0.7).astype(np.float32)
        write_volume(Volume(whole, own.grid), tmp_path / "second" / f"b{n}.nii.gz")
        inside = (own.array > 0).astype(np.float32)
        write_volume(Volume(inside, own.grid), tmp_path / "second" / f"b{n}_labels.nii.gz")
    split = {"fit": [f"age{n}" for n in range(20, 28)] + ["b28", "b29", "b30"], "test": ["age28", "b31"]}
    settings = replace(options(), split=split, strip=("", "labels"), match=True, reference="age24")
    card = train([cohort_dir, tmp_path / "second"], tmp_path / "x.safetensors", settings, Progress())
    assert card.split == split
    alone = card.quality[cohort_dir.name], card.quality["second"]
    for key in MEASURES:
        assert card.quality[key]["4"] == pytest.approx(np.mean([one[key]["4"] for one in alone]), abs=1e-3)
    store = ModelStore(tmp_path / "models")
    store.import_file(tmp_path / "x.safetensors")
    mean = store.load("bodies", "cpu").condition([]).mean().numpy()
    own = [normalised(read_volume(cohort_dir / f"age{n}.nii.gz")).array for n in range(20, 28)]
    typical = np.mean([np.median(array[array > 0.1]) for array in own])
    assert np.median(mean[mean > 0.1]) == pytest.approx(typical, rel=0.1)


def test_small_cohort_is_refused(cohort_dir, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "age20.nii.gz").write_bytes((cohort_dir / "age20.nii.gz").read_bytes())
    with pytest.raises(InputError, match="volumes to fit; at least 8"):
        train([tmp_path / "one"], tmp_path / "x.safetensors", TrainingOptions("x"), Progress())
    assert not (tmp_path / "x.safetensors").exists()


def test_a_cohort_of_damaged_files_is_refused_with_the_reason(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"no image")
    with pytest.raises(InputError, match="none of the cohort's files"):
        train([tmp_path], tmp_path / "x.safetensors", TrainingOptions("x"), Progress())


def test_cancel_leaves_nothing(cohort_dir, tmp_path):
    calls = []
    progress = Progress(cancelled=lambda: len(calls) > 20 or calls.append(1))
    with pytest.raises(Cancelled):
        train([cohort_dir], tmp_path / "x.safetensors", options(), progress)
    assert not list(tmp_path.iterdir())


def test_who_is_fitted_alone_is_no_donor(cohort_dir, tmp_path):
    """Only of a template with relatives there are new relatives."""
    both = replace(options(), split=SPLIT | {"donors": ["age20"]})
    with pytest.raises(
        InputError, match=r"age20 is fitted and a donor, too, and has no random copies.*--augment"
    ):
        train([cohort_dir], tmp_path / "x.safetensors", both, Progress())


def test_templates_that_have_copies_are_donors(cohort_dir, tmp_path):
    """Templates of the fit; the file and its card say so."""
    out = tmp_path / "x.safetensors"
    both = replace(options(augment=(1,)), split=SPLIT | {"donors": ["age20", "age31"]})
    card = train([cohort_dir], out, both, Progress())
    assert "anatomy of 2 fitted templates, each deformed at random" in card.limits
    store = ModelStore(tmp_path / "models")
    store.import_file(out)
    bank = store.load("bodies", "cpu").parameters.donors
    assert bank.fitted and len(bank.volumes) == 2 and card.split["donors"] == ["age20", "age31"]


def test_unwritable_target_is_said_before_the_work(cohort_dir, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        train([cohort_dir], tmp_path / "none" / "x.safetensors", options(), Progress(cancelled=lambda: True))


def test_split(tmp_path):
    names = [f"s{n}" for n in range(12)]
    split = chance_split(names, 3)
    assert sorted(split["fit"] + split["test"]) == sorted(names) and len(split["test"]) == 3
    assert chance_split(names[::-1], 3) == split != chance_split(names, 4)
    file = tmp_path / "split.json"
    file.write_text('{"fit": ["a"], "test": [], "donors": ["b"]}')
    assert read_split(file)["donors"] == ["b"]
    bad = [
        {"fit": [1], "test": []},
        {"fit": ["a"]},
        {"fit": "ab", "test": []},
        {"fit": [], "test": [], "x": []},
    ]
    file.write_text('{"fit": ["a", "b"], "test": [], "donors": ["b"]}')
    assert read_split(file)["donors"] == ["b"], "a template of the fit"
    bad += [{"fit": ["a"], "test": ["b"], "donors": donors} for donors in (["b"], ["a", "c"])]
    for text in ("{", "[]", *map(json.dumps, bad)):
        file.write_text(text)
        with pytest.raises(InputError, match="not a split file"):
            read_split(file)
    with pytest.raises(InputError, match="not a split file"):
        read_split(tmp_path / "none.json")
