"""A tiny population: ellipsoids with a nucleus, in patient frames of their own, and a real prior fitted to
some of them.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter

from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import write_volume
from SparseVolumeReconstructionLib.priors.card import ModelCard
from SparseVolumeReconstructionLib.priors.gaussian.fit import Rows, fit_gaussian
from SparseVolumeReconstructionLib.zoo.store import ModelStore

GRID = Grid.centred((30, 24, 20), 5.0)
FIT = [f"sub-{n:02d}_T1w" for n in range(8)]
TEST = [f"sub-{n:02d}_T1w" for n in range(8, 11)]


def body(seed: int, grid: Grid = GRID) -> np.ndarray:
    """One subject in [0, 1], (K, J, I): nucleus and texture vary with the seed."""
    random = np.random.default_rng(seed)
    size, centre = random.normal(1, 0.15, 3), random.normal(0, 4, 3)
    points = grid.points_ras().reshape(*grid.shape_kji, 3)
    shell = (((points / [38, 46, 60]) ** 2).sum(-1)) < 1
    nucleus = ((((points - centre) / (np.array([14, 18, 26]) * size)) ** 2).sum(-1)) < 1
    texture = gaussian_filter(random.normal(size=grid.shape_kji), 2)
    image = gaussian_filter(0.5 * shell + 0.2 * nucleus + 1.5 * texture * shell, 0.7)
    image = np.where(image > 0.03, image, 0)
    return np.clip(image / np.percentile(image[shell], 99.9), 0, 1).astype(np.float32)


def in_patient_frame(array: np.ndarray, seed: int) -> Volume:
    """The same voxels under a small turn and shift, so that nobody is registered."""
    angle, shift = np.random.default_rng(seed + 100).uniform(-1, 1, 2) * [0.1, 8.0]
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[:3, 3] = shift
    return Volume(array, Grid(array.shape, turn @ GRID.ijk_to_ras))


@pytest.fixture(scope="session")
def cohort_dir(tmp_path_factory):
    """A folder of eleven subjects, one label file, one FLAIR and one damaged file."""
    folder = tmp_path_factory.mktemp("cohort")
    for n, name in enumerate(FIT + TEST):
        write_volume(in_patient_frame(200 * body(n), n), folder / f"{name}.nii.gz")
    write_volume(Volume(body(0), GRID), folder / "sub-00_dseg.nii.gz")
    write_volume(Volume(body(0), GRID), folder / "sub-00_FLAIR.nii.gz")
    (folder / "sub-99_T1w.nii.gz").write_bytes(b"not an image")
    return folder


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """A model store that holds a structured Gaussian of the fitted subjects under the id "tiny"."""
    bodies = np.stack([body(n) for n in range(len(FIT))])
    mask = np.ones(GRID.shape_kji, bool)
    rows = Rows(bodies[:, mask].astype(np.float16), np.arange(len(bodies)), np.zeros(len(bodies)))
    parameters = replace(
        fit_gaussian(rows, mask, GRID, GRID, rank=4), reference=torch.as_tensor(bodies.mean(0))
    )
    text = dict.fromkeys(("title", "anatomy", "canonical_space", "units", "licence", "data"), "test")
    card = ModelCard(
        id="tiny",
        system="structured-gaussian",
        version="1",
        modality="T1 phantom",
        split={"fit": FIT, "test": TEST},
        **text,
    )
    folder = tmp_path_factory.mktemp("models")
    tensors = {name: t.contiguous() for name, t in parameters.to_tensors().items()}
    save_file(tensors, folder / "tiny.safetensors", metadata={"card": card.model_dump_json()})
    models = ModelStore(folder / "store")
    models.import_file(folder / "tiny.safetensors")
    return models


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """Registrations of the tests are kept apart from those of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SVR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
