"""A new system is one folder: a toy is written, trained, listed, conditioned and measured."""

import sys

import numpy as np
import pytest

from SparseVolumeReconstructionLib import priors
from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.experiments.cost import measured
from SparseVolumeReconstructionLib.experiments.models import POPULATIONS, Models, slice_models
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.priors.systems import all_systems
from SparseVolumeReconstructionLib.training.loop.config import read_config
from SparseVolumeReconstructionLib.zoo import ModelStore

FILES = {
    "__init__.py": """
from ..systems import System

SYSTEMS = (
    System("toy", __name__, "Toy", "A learned mean and nothing else.", "prior:ToyPrior", "training:ToyTask", ("toy",)),
)
""",  # noqa: E501
    "prior.py": """
import torch

from ..axial import AxialPrior, AxialSpace
from ..base import Posterior, seeded_generator


class ToyPrior(AxialPrior):
    def __init__(self, mean, space, card, device):
        super().__init__(space, card, device)
        self.mean = mean.float().to(device)

    @classmethod
    def from_weights(cls, tensors, card, device, base=None):
        return cls(tensors["mean"], AxialSpace.from_tensors(tensors), card, device)

    def infer(self, index, pixels, check, fast=False):
        return ToyPosterior(self, index, pixels)


class ToyPosterior(Posterior):
    def __init__(self, prior, index, pixels):
        self.grid, self.intervals = prior.grid, prior.intervals
        self._mean, self._std = prior.mean.clone(), torch.full_like(prior.mean, 0.1)
        self._mean[index], self._std[index] = pixels, 0.0

    def mean(self):
        return self._mean

    def std(self):
        return self._std

    def _sample(self, seeds):
        noises = [torch.randn(self._mean.shape, generator=seeded_generator(seed)) for seed in seeds]
        return torch.stack([self._mean + self._std * noise for noise in noises])

    def log_evidence(self):
        return 0.0
""",
    "training.py": """
import torch

from ...training.loop.config import Section, validated
from ...training.loop.task import Task


class ToyConfig(Section):
    start: float = 0.5


class ToyTask(Task):
    def __init__(self, config):
        self.config = config
        model = validated(ToyConfig, config.model, "model")
        self.networks = torch.nn.Module()
        shape = config.data.slices, config.data.size, config.data.size
        self.networks.mean = torch.nn.Parameter(torch.full(shape, model.start))

    def loss(self, batch, generator, step):
        return ((batch - self.networks.mean) ** 2).mean(), {}

    def validate(self, volumes, generator):
        return {"score": float(((volumes[:] - self.networks.mean) ** 2).mean())}

    def weights(self, volumes):
        return {"mean": self.networks.mean.detach().cpu()}
""",
    "presets.yaml": """
parts:
  base:
    system: toy
    steps: 150
    batch: 2
    learning_rate: 0.01
    ema: 0.5
    validation: 0.2
    augmentation: {deformation_mm: 0, gamma: 0, bias: 0, noise: 0, mirror: false}
    data: {size: 32, slices: 24, field_mm: null, height_mm: null, reference: null, spacing_mm: 6}
presets: {toy-64-tiny: [base]}
""",
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A folder toy/ beside the systems there are; its id."""
    room = tmp_path_factory.mktemp("systems")
    (room / "toy").mkdir()
    for name, text in FILES.items():
        (room / "toy" / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(priors, "__path__", [*priors.__path__, str(room)])
        patch.setenv("SVR_MODELS_DIR", str(room / "models"))
        yield "toy"
    for name in [name for name in sys.modules if name.startswith(f"{priors.__name__}.toy")]:
        del sys.modules[name]
    del priors.toy


@pytest.fixture(scope="module")
def trained(toy, cohort_dir, tmp_path_factory):
    """The folder with the weights file of the one command that trains any system."""
    out = tmp_path_factory.mktemp("runs") / "run"
    words = ["--cohort", cohort_dir, "--config", "toy-64-tiny", "--out", out, "--id", "brain-t1-toy"]
    assert main(["train", toy, *map(str, words)]) == 0
    return out


def shown(capsys, *words: str) -> str:
    """What the command line prints."""
    try:
        assert main(list(words)) == 0
    except SystemExit as end:
        assert not end.code
    return capsys.readouterr().out


def test_without_its_folder_there_is_no_toy():
    assert "toy" not in all_systems()


def test_the_command_line_knows_it(toy, capsys):
    assert "A learned mean and nothing else." in " ".join(shown(capsys, "train", "--help").split())
    assert "--config" in shown(capsys, "train", "toy", "--help")


def test_experiments_compare_it_and_measure_its_cost(trained, cohort_dir):
    assert slice_models()[-1] == "toy"
    assert len(measured(read_config("toy-64-tiny"), "cpu")) == 8
    nowhere = {"cohorts": [cohort_dir], "split": {}, "scale": "tiny", "device": "cpu", "may_train": False}
    models = Models(trained, POPULATIONS["brain-t1"], **nowhere, progress=None)
    assert models.get("toy").card.system == "toy" and models.provenance().rows[0][0] == "toy"


def test_the_zoo_lists_it_and_it_reconstructs_like_any_prior(trained, cohort_dir, tmp_path, capsys):
    card = ModelStore().import_file(trained / "brain-t1-toy.safetensors").card
    assert card.title.startswith("Toy, ") and card.training["config"] == "toy-64-tiny"
    assert "brain-t1-toy" in shown(capsys, "models", "list")
    words = ["reconstruct", "--prior", "brain-t1-toy", "--context", f"{cohort_dir / 'age27.nii.gz'}:8,12,16"]
    words += ["--frame", "registered", "--like", str(cohort_dir / "age27.nii.gz")]
    shown(capsys, *words, "--output", str(tmp_path / "out"))
    mean, truth = (read_volume(p).array for p in (tmp_path / "out/mean.nrrd", cohort_dir / "age27.nii.gz"))
    assert np.allclose(mean[[8, 12, 16]], truth[[8, 12, 16]], atol=1e-4)
    assert np.corrcoef(mean.ravel(), truth.ravel())[0, 1] > 0.7
