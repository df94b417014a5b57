"""Frames found from slices alone, on a population small enough for a test."""

import numpy as np
import pytest

from SparseVolumeReconstructionLib.alignment.align import align, fixed_frame
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.progress import Cancelled, Progress

SCAN = Grid.centred((60, 60, 60), 3.0)
VOXEL_MM = 8.0


def scanned(patient, indices, axes=(0, 1, 2)) -> list:
    """Slices of a patient's scan around the head; `axes` says which of R, A, S the scanner's i, j, k are."""
    matrix = SCAN.ijk_to_ras.copy()
    matrix[:3, :3] = matrix[:3, :3][:, axes]
    matrix[:3, 3] += patient.frame[:3, 3]
    volume = patient.volume(Grid(SCAN.shape_kji, matrix))
    return [slice_of(volume, k) for k in indices]


def error_mm(found: np.ndarray, patient, prior) -> float:
    """Mean distance of anatomy points from where they should be, canonical mm."""
    points = prior.grid.points_ras()[prior.anatomy_mask.numpy().ravel()][::20]
    points = np.c_[points, np.ones(len(points))]
    return float(np.linalg.norm((points @ (found @ patient.frame).T - points)[:, :3], axis=1).mean())


@pytest.mark.parametrize(
    ("angles", "shift", "axes", "indices", "scanner"),
    [
        ((0, 0, 0), (0, 0, 0), (0, 1, 2), [20, 30, 40], {}),
        ((8, -6, 10), (40, -25, 300), (0, 1, 2), [18, 26, 34, 42], {"gamma": 0.7, "gain": 1500}),
        ((-9, 5, -7), (-20, 35, 10), (0, 2, 1), [20, 28, 36], {}),
        ((5, 8, -6), (0, 100, 10), (1, 2, 0), [22, 30, 38], {"gamma": 1.3, "gain": 30}),
    ],
)
def test_a_turned_and_shifted_patient_is_found_within_a_voxel(
    prior, make_patient, angles, shift, axes, indices, scanner
):
    patient = make_patient(angles, shift, **scanner)
    found = align(scanned(patient, indices, axes), prior.alignment_model(), Progress())
    assert error_mm(found.patient_to_canonical, patient, prior) < VOXEL_MM
    assert found.score > 0.8 and found.covariate is None
    assert 0 < found.uncertainty["translation_mm"] < 5 and 0 < found.uncertainty["rotation_deg"] < 10
    gamma, gain = scanner.get("gamma", 1.0), scanner.get("gain", 400)
    values = np.linspace(0.3, 0.7, 5)
    np.testing.assert_allclose(found.intensity.to_canonical(gain * values**gamma), values, atol=0.12)


def test_one_slice_is_enough_for_its_own_plane(prior, make_patient):
    patient = make_patient((0, 0, 8), (10, 20, -30))
    found = align(scanned(patient, [30]), prior.alignment_model(), Progress())
    centre = found.patient_to_canonical @ patient.frame @ [0, 0, 0, 1]
    assert np.linalg.norm(centre[:3]) < 15 and found.uncertainty["rotation_deg"] > 1


@pytest.mark.slow
def test_the_same_slices_give_the_same_frame(prior, make_patient):
    slices = scanned(make_patient((5, 0, 0)), [25, 35])
    first, second = (align(slices, prior.alignment_model(), Progress()) for _ in range(2))
    np.testing.assert_array_equal(first.patient_to_canonical, second.patient_to_canonical)
    assert first.uncertainty == second.uncertainty


@pytest.mark.slow
def test_what_is_not_this_anatomy_is_refused(prior):
    """A round object that is a checkerboard inside."""
    k, j, i = np.indices(SCAN.shape_kji)
    inside = np.linalg.norm(SCAN.points_ras(), axis=1).reshape(SCAN.shape_kji) < 70
    board = np.where((i // 4 + j // 4 + k // 4) % 2, 300, 50) * inside
    slices = [slice_of(Volume(board.astype(np.float32), SCAN), index) for index in (20, 30, 40)]
    with pytest.raises(InputError, match=r"do not look like head T1w \(tiny-head\)"):
        align(slices, prior.alignment_model(), Progress())


@pytest.mark.slow
def test_an_age_is_inferred_from_the_size_or_taken_as_given(store, make_patient):
    model = store.load("tiny-fetus", "cpu").alignment_model()
    ages = {}
    for size in (0.88, 1.0):
        patient = make_patient()
        patient.frame[:3, :3] *= size
        slices = scanned(patient, [22, 30, 38])
        ages[size] = align(slices, model, Progress()).covariate
        assert align(slices, model, Progress(), covariate=27.0).covariate == 27.0
    assert 20 <= ages[0.88] < 25 < ages[1.0] <= 30


def test_a_given_frame_is_kept_and_its_intensities_are_found(prior, make_patient):
    patient = make_patient((20, 30, -40), (100, 0, 0), gain=900, gamma=1.3)
    frame = np.linalg.inv(patient.frame)
    found = fixed_frame(scanned(patient, [20, 30, 40]), prior.alignment_model(), frame)
    np.testing.assert_array_equal(found.patient_to_canonical, frame)
    values = np.linspace(0.3, 0.7, 5)
    np.testing.assert_allclose(found.intensity.to_canonical(900 * values**1.3), values, atol=0.1)
    assert found.score > 0.8


@pytest.mark.slow
def test_every_update_can_cancel(prior, make_patient):
    slices, calls = scanned(make_patient(), [25, 35]), []
    model = prior.alignment_model()
    align(slices, model, Progress(cancelled=lambda: bool(calls.append(1))))
    for stop in (1, len(calls) // 2, len(calls)):
        count = iter(range(1, 10**6))
        with pytest.raises(Cancelled):
            align(slices, model, Progress(cancelled=lambda count=count, stop=stop: next(count) >= stop))
