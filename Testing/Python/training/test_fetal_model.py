"""The embedded fetal model on templates it was not fitted on, lying anywhere in the scanner."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from SparseVolumeReconstructionLib.data.cohort import normalised
from SparseVolumeReconstructionLib.evaluation.baselines import atlas
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Plane, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.geometry.resample import resample
from SparseVolumeReconstructionLib.observation import Slice
from SparseVolumeReconstructionLib.reconstruction.patient_posterior import condition_patient
from SparseVolumeReconstructionLib.zoo import ModelStore


@pytest.fixture(scope="module")
def prior():
    """The model; skips where it is not part of the installation."""
    try:
        return ModelStore().load("fetal-t2", "cpu")
    except InputError as error:
        pytest.skip(str(error))


def test_card(prior):
    card = prior.card
    assert (card.covariate.name, card.covariate.unit) == ("gestational_age", "weeks")
    assert card.covariate.low <= 22 and card.covariate.high >= 35
    assert "research use" in card.licence.lower() and "not for diagnosis" in card.notice.lower()
    assert not set(card.split["test"]) & set(card.split["fit"])
    for count in ("1", "3", "4", "7"):
        assert card.quality["SSIM"][count] > card.quality["SSIM of the prior mean"][count] + 0.05
        assert 0.85 <= card.quality["coverage of 90 % intervals"][count] <= 0.97


def test_the_brain_grows(prior):
    model = prior.alignment_model()
    scale = model.log_scale(model.covariate_values()).exp()
    assert (scale.diff() < 0).all() and 1.4 < scale[0] / scale[-1] < 2, (
        "it is 1.4 to 2 times as long at the end"
    )
    young, middle, old = (prior.condition([], covariate=age).mean().flatten() for age in (22, 28, 34))
    assert (young - old).norm() > max((young - middle).norm(), (middle - old).norm())
    with pytest.raises(InputError, match="gestational_age 38 weeks is out of range"):
        prior.condition([], covariate=38)


def turned(volume: Volume, seed: int) -> tuple[Volume, np.ndarray]:
    """The volume under a random turn and shift, and the 4x4 matrix that moved its points (mm)."""
    move = np.eye(4)
    move[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    move[:3, 3] = np.random.default_rng(seed).uniform(-40, 40, 3)
    return Volume(volume.array, Grid(volume.grid.shape_kji, move @ volume.grid.ijk_to_ras)), move


def four_slices(volume: Volume) -> list[Slice]:
    """Four slices of 3 mm across the middle of the volume, along its own k axis."""
    slices = []
    for share in (0.28, 0.42, 0.56, 0.7):
        matrix = volume.grid.ijk_to_ras.copy()
        matrix[:3, 3] += matrix[:3, 2] * round(share * volume.grid.shape_kji[0])
        matrix[:3, 2] *= 3.0 / volume.grid.spacing_ijk[2]
        thick = Grid((1, *volume.grid.shape_kji[1:]), matrix)
        slices.append(
            Slice(300 * resample(volume, thick).array[0], Plane(thick.shape_kji[1:], matrix, 3.0), f"{share}")
        )
    return slices


@pytest.mark.parametrize("name", ["GA25_T2w", "GA30_T2w", "GA31_operated_T2w"])
def test_slices_of_a_fetus_that_lies_anyhow(prior, shared_data, name):
    assert name in prior.card.split["test"]
    template = normalised(read_volume(next(shared_data.glob(f"fetal_atlas_*/{name}.nii.gz"))), name)
    places = []
    for seed in (1, 2):
        volume, move = turned(template, seed)
        found = condition_patient(prior, four_slices(volume), grid=volume.grid)
        anatomy = volume.array > 0.05
        cc = [
            np.corrcoef(x[anatomy], volume.array[anatomy])[0, 1] for x in (found.mean(), atlas(prior, found))
        ]
        assert cc[0] > 0.6 and cc[0] > cc[1] + 0.15, (name, seed, cc)
        assert abs(found.covariate - float(name[2:4])) < 4
        assert found.alignment.score > 0.65
        corners = np.c_[template.grid.corners_ras(), np.ones(8)] * [0.8, 0.8, 0.8, 1]
        places.append((corners @ move.T @ found.patient_to_canonical.T)[:, :3])
    assert np.linalg.norm(places[0] - places[1], axis=1).mean() < 4, (
        "the frame does not depend on how the fetus lies"
    )


def test_an_adult_brain_is_refused(prior, shared_data):
    adult = normalised(read_volume(next((shared_data / "brain_t1").glob("*.nii.gz"))), "adult")
    with pytest.raises(InputError, match=r"do not look like fetal brain T2w MRI .*times as large"):
        condition_patient(prior, four_slices(adult), grid=prior.grid)
