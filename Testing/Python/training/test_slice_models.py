"""From a folder of volumes to BRUNO, GQN or a conditional VAE that the store loads and that is evaluated."""

import numpy as np
import pytest

from SparseVolumeReconstructionLib.evaluation.protocol import evaluate
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.reconstruction.request import ReconstructionRequest, SliceSpec
from SparseVolumeReconstructionLib.reconstruction.run import run_request
from SparseVolumeReconstructionLib.training import deep
from SparseVolumeReconstructionLib.training.loop.config import read_config
from SparseVolumeReconstructionLib.zoo import ModelStore

SPLIT = {"fit": [f"age{n}" for n in (20, 21, 22, 24, 25, 26, 28, 29, 30, 31)], "test": ["age23", "age27"]}


@pytest.fixture(scope="module", params=["bruno-64-tiny", "bruno-pose-64-tiny", "gqn-64-tiny", "cvae-64-tiny"])
def store(request, cohort_dir, tmp_path_factory):
    """A store with a model "bodies"."""
    folder = tmp_path_factory.mktemp("trained")
    config = read_config(request.param)
    facts = deep.CardFacts("bodies", modality="phantom")
    path = deep.train_deep([cohort_dir], config, folder / "run", False, facts, SPLIT, Progress())
    store = ModelStore(folder / "models")
    store.import_file(path)
    return store


def test_evaluate_measures_it_beside_the_baselines(store, cohort_dir):
    scores = evaluate(
        ["bodies"], cohort_dir, "registered", [0, 3], store, Progress(), samples=2, device="cpu"
    )
    assert scores["_about"]["subjects"] == SPLIT["test"]
    for count in ("0", "3"):
        assert scores["bodies"][count]["ssim"] > 0.3 and 0.5 < scores["bodies"][count]["coverage_90"] <= 1
    assert scores["bodies"]["3"]["ssim"] > scores["bodies"]["0"]["ssim"]
    assert scores["bodies"]["3"]["ssim"] > scores["mean-atlas"]["3"]["ssim"] - 0.05


def test_samples_differ_and_the_card_is_measured(store):
    prior = store.load("bodies", "cpu")
    one, other = prior.condition([]).sample([0, 1])
    assert float((one - other)[prior.anatomy_mask].abs().mean()) > 0.005
    assert prior.card.system in ("bruno", "gqn", "cvae") and prior.card.quality["subjects"] == SPLIT["test"]
    assert np.isfinite(list(prior.card.quality["SSIM"].values())).all()


def test_it_reconstructs_like_any_prior(store, cohort_dir, tmp_path):
    observed = [6, 10, 14, 18]
    context = SliceSpec(path=str(cohort_dir / "age27.nii.gz"), slices=observed, thickness_mm=5.0)
    words = {
        "prior": "bodies",
        "contexts": [context],
        "frame": "auto",
        "like": context.path,
        "samples": 2,
        "seed": 3,
    }
    request = ReconstructionRequest(
        **words, outputs=["mean", "std", "template", "atlas"], output=str(tmp_path / "out")
    )
    result = run_request(request, store, Progress())["result"]
    assert np.isfinite(result["log_evidence"]) and result["log_evidence"] != 0
    mean, std, truth = (
        read_volume(p).array for p in (tmp_path / "out/mean.nrrd", tmp_path / "out/std.nrrd", context.path)
    )
    assert np.allclose(mean[observed], truth[observed], atol=1e-4) and (std[observed] == 0).all()
    assert np.corrcoef(mean.ravel(), truth.ravel())[0, 1] > 0.7 and std.max() > 0
