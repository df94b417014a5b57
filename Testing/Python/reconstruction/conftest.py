"""A population of small heads, a real prior fitted to it, and patients of it in frames of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import write_volume
from SparseVolumeReconstructionLib.priors.card import Covariate, ModelCard
from SparseVolumeReconstructionLib.priors.gaussian.fit import Rows, fit_gaussian
from SparseVolumeReconstructionLib.priors.structured_gaussian.training import write_weights as write_prior
from SparseVolumeReconstructionLib.reconstruction.request import ReconstructionRequest, SliceSpec
from SparseVolumeReconstructionLib.zoo import ModelStore

GRID = Grid.centred((25, 27, 23), 8.0)
SUBJECTS = 30
PARTS = (  # centre (mm), radii (mm), intensity added: no symmetry, so that every pose looks different
    ((0, 0, 0), (66, 82, 72), 0.45),
    ((0, 0, 0), (52, 68, 58), 0.15),
    ((14, 8, 6), (13, 34, 12), -0.35),
    ((-18, 12, 4), (10, 22, 14), -0.35),
    ((22, -34, -26), (20, 16, 14), 0.35),
    ((-26, 30, 22), (14, 14, 16), 0.25),
    ((4, 44, -22), (22, 10, 18), -0.2),
)


def head(points_ras: np.ndarray, seed: int) -> np.ndarray:
    """Intensity of a subject at canonical points (n, 3) mm, (n,) in [0, 1]; the inner structures move and
    grow with the seed.
    """
    random = np.random.default_rng(seed)
    out = np.zeros(len(points_ras))
    for part, (centre, radii, value) in enumerate(PARTS):
        own = 1.0 if part > 1 else 0.2  # the cohort is registered, so the outside is alike
        centre, radii = centre + random.normal(0, 2.5 * own, 3), radii * random.normal(1, 0.06 * own, 3)
        radius = np.sqrt((((points_ras - centre) / radii) ** 2).sum(1))
        out += value * random.normal(1, 0.1) / (1 + np.exp((radius - 1) * min(radii) / 2.5))
    return np.where(out > 0.02, np.clip(out, 0, 1), 0).astype(np.float32)


@dataclass(frozen=True)
class Patient:
    """A subject in a frame of its own.

    Attributes:
        frame: 4x4 canonical to patient (RAS mm).
        gain, gamma: of its scanner.
    """

    seed: int
    frame: np.ndarray
    gain: float = 400.0
    gamma: float = 1.0

    def volume(self, grid: Grid) -> Volume:
        """What the scanner shows on a patient grid."""
        points = grid.points_ras() @ np.linalg.inv(self.frame)[:3, :3].T + np.linalg.inv(self.frame)[:3, 3]
        return Volume(
            self.gain * head(points, self.seed).reshape(grid.shape_kji) ** np.float32(self.gamma), grid
        )


def rigid(angles_deg=(0, 0, 0), shift=(0, 0, 0)) -> np.ndarray:
    """4x4 of Euler angles in degrees and a shift in mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(sitk.Euler3DTransform((0, 0, 0), *np.deg2rad(angles_deg)).GetMatrix()).reshape(
        3, 3
    )
    matrix[:3, 3] = shift
    return matrix


@pytest.fixture(scope="session")
def make_patient():
    """make_patient(angles_deg, shift_mm, seed=1000, gain=400, gamma=1): a subject that was not fitted."""
    return lambda angles=(0, 0, 0), shift=(0, 0, 0), seed=1000, **scanner: Patient(
        seed, rigid(angles, shift), **scanner
    )


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory) -> Path:
    """A folder of user's models that holds "tiny-head" and, with an age, "tiny-fetus"."""
    folder = tmp_path_factory.mktemp("models")
    bodies = np.stack([head(GRID.points_ras(), seed).reshape(GRID.shape_kji) for seed in range(SUBJECTS)])
    mask = bodies.mean(0) > 0.01
    rows = Rows(bodies[:, mask].astype(np.float16), np.arange(SUBJECTS), np.zeros(SUBJECTS))
    parameters = replace(
        fit_gaussian(rows, mask, GRID, GRID, rank=12),
        reference=torch.as_tensor(bodies.mean(0)),
        min_score=0.7,
    )
    text = dict.fromkeys(("title", "version", "canonical_space", "units", "licence", "data"), "test")
    card = ModelCard(id="tiny-head", system="structured-gaussian", anatomy="head", modality="T1w", **text)
    write_prior(parameters, card, folder / "head.safetensors")
    ages = replace(
        parameters,
        means=torch.cat([0.8 * parameters.means, parameters.means]),
        knots=torch.tensor([20.0, 30.0]),
        scale_knots=torch.tensor([[0.1, 0.05], [0.0, 0.05]]),
    )
    card = card.model_copy(
        update={
            "id": "tiny-fetus",
            "covariate": Covariate(name="gestational age", unit="weeks", low=20, high=30),
        }
    )
    write_prior(ages, card, folder / "fetus.safetensors")
    store = ModelStore(folder / "store")
    for name in ("head", "fetus"):
        store.import_file(folder / f"{name}.safetensors")
    return folder / "store"


@pytest.fixture(scope="module")
def brain_t1(tmp_path_factory):
    """The embedded prior of brains."""
    store = ModelStore(tmp_path_factory.mktemp("none"))
    if not store.is_embedded("brain-t1"):
        pytest.skip("needs the embedded model brain-t1")
    return store.load("brain-t1", "cpu")


@pytest.fixture(scope="session")
def store(models_dir) -> ModelStore:
    """The store of the tiny models; loaded once."""
    return ModelStore(models_dir)


@pytest.fixture(scope="session")
def prior(store):
    """The prior "tiny-head" on the CPU."""
    return store.load("tiny-head", "cpu")


@pytest.fixture(scope="session")
def registered(make_patient) -> Volume:
    """A subject in canonical space, on slices of 8 mm."""
    return make_patient().volume(GRID)


@pytest.fixture
def request_for(tmp_path, registered):
    """request_for(**changes): two slices of a registered subject, output on its grid."""
    write_volume(registered, tmp_path / "head.nrrd")

    def make(**changes) -> ReconstructionRequest:
        contexts = [SliceSpec(path=str(tmp_path / "head.nrrd"), slices=[9, 15], thickness_mm=8.0)]
        fields = {
            "prior": "tiny-head",
            "contexts": contexts,
            "frame": "registered",
            "like": str(tmp_path / "head.nrrd"),
            "device": "cpu",
        }
        return ReconstructionRequest(**{**fields, "output": str(tmp_path / "out"), **changes})

    return make


@pytest.fixture
def refused(tmp_path, models_dir, monkeypatch, capsys):
    """refused(*words, says=...): the command line ends with 2 and one line, and nothing is written."""
    monkeypatch.setenv("SVR_MODELS_DIR", str(models_dir))
    monkeypatch.chdir(tmp_path)

    def check(*words, says: str, prior="tiny-head") -> None:
        before = sorted(tmp_path.rglob("*"))
        code = main(["reconstruct", "--prior", prior, "--output", "out", *map(str, words)])
        printed = capsys.readouterr()
        assert code == 2 and len(printed.err.splitlines()) == 1 and says in printed.err, printed.err
        assert sorted(tmp_path.rglob("*")) == before

    return check
