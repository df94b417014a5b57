"""./run train structured-gaussian --landmarks: from specimens in any pose to a model of radiographs."""

import json

import numpy as np
import pytest
from data.specimens import FRONT, TOP, body, write_specimen

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.observation.views import VIEWS
from SparseVolumeReconstructionLib.priors.on_base import PriorOnBase
from SparseVolumeReconstructionLib.priors.xray_cnn.prior import XrayNetworkPrior
from SparseVolumeReconstructionLib.zoo import ModelStore

FIT, TEST = range(10), (10, 11)


@pytest.fixture(scope="module")
def specimens(tmp_path_factory):
    """Twelve specimens whose bones differ in density, and a split file."""
    folder = tmp_path_factory.mktemp("specimens")
    random = np.random.default_rng(0)
    for number in (*FIT, *TEST):
        write_specimen(folder, number, body(random.uniform(0.5, 1.5, 6)))
    split = {"fit": [f"m{n}" for n in FIT], "test": [f"m{n}" for n in TEST]}
    (folder / "split.json").write_text(json.dumps(split))
    return folder


def fit(folder, out, *words) -> int:
    """The command on the specimens."""
    given = [
        "train",
        "structured-gaussian",
        "--cohort",
        folder,
        "--out",
        out,
        "--split",
        folder / "split.json",
    ]
    sizes = ["--spacing-mm", "1.6", "--voxels", "18", "--rank", "6", "--id", "bones"]
    return main([str(word) for word in (*given, *sizes, *words)])


@pytest.fixture(scope="module")
def store(specimens, tmp_path_factory):
    """Of models, with the one of the specimens."""
    folder = tmp_path_factory.mktemp("store")
    out = folder / "bones.safetensors"
    assert fit(specimens, out, "--landmarks", f"{FRONT},{TOP}", "--anatomy", "bones") == 0
    made = ModelStore(folder / "models")
    made.import_file(out)
    return made


def test_specimens_become_a_model_that_radiographs_inform(store):
    prior = store.load("bones", "cpu")
    assert prior.grid.shape_kji == (18, 18, 18) and "12 shapes" in prior.card.canonical_space
    errors = prior.card.quality["RMSE by the view of one radiograph"]
    assert max(errors[view] for view in VIEWS) < 0.9 * errors["none"]
    held = prior.card.quality["cross-validated coverage of 90 % intervals by number of radiographs"]
    assert 0.85 < held["1"] < 0.95
    mean = prior.condition([]).mean().numpy()
    _, j, i = np.argwhere(mean > 0.3 * mean.max()).T
    off = np.abs(i - 8.5)  # the nose, in front, is in the middle
    assert off[j == j.max()].max() < 2 and off[j == j.min()].max() > 1


def test_specimens_become_a_network_of_radiographs_that_beats_their_mean(
    specimens, store, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("SVR_MODELS_DIR", str(store.user_dir))
    out, few = tmp_path / "run", {"fit": [f"m{n}" for n in range(6)], "test": ["m10"]}
    (tmp_path / "few.json").write_text(json.dumps(few))
    words = ["train", "xray-cnn", "--cohort", specimens, "--split", tmp_path / "few.json"]
    words += ["--config", "xray-cnn-18-tiny", "--out", out]
    assert main([str(w) for w in [*words, "--base", "bones", "--id", "seer"]]) == 0, capfd.readouterr().err
    store.import_file(out / "seer.safetensors")
    prior = store.load("seer", "cpu")
    assert isinstance(prior, XrayNetworkPrior) and isinstance(prior, PriorOnBase)
    assert prior.base is store.load("bones", "cpu")
    errors = prior.card.quality["RMSE by the view of one radiograph"]
    assert np.mean([errors[view] for view in VIEWS]) < 0.95 * errors["none"]
    held = prior.card.quality["coverage of 90 % intervals on validation subjects by radiographs"]
    assert 0.85 < held["1"] < 0.95 and prior.card.quality["subjects"] == few["test"]
    with pytest.raises(InputError, match="seer cannot be conditioned on a slice; expected: radiograph"):
        prior.condition([slice_of(prior.reference, 9)])
    for given, says in ((["--base", "seer"], "expected a structured Gaussian"), ([], "--base")):
        assert main([str(w) for w in [*words[:-1], tmp_path / "other", *given]]) == 2
        assert says in capfd.readouterr().err


def test_landmarks_are_refused_where_they_do_not_help(specimens, tmp_path, capfd):
    out = tmp_path / "bones.safetensors"
    for words, says in [
        (("--landmarks", "6"), "expected FRONT,TOP, two labels"),
        (("--landmarks", "nose,7"), "landmark nose is not in all files"),
        (("--landmarks", "6,7", "--reference", "m1"), "leave out the reference"),
    ]:
        code, told = fit(specimens, out, *words), capfd.readouterr().err
        assert code == 2 and says in told and not out.exists(), told
