"""Baselines where the right answer is known."""

import numpy as np
import pytest
import torch

from SparseVolumeReconstructionLib.evaluation import baselines as b
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Plane, Volume
from SparseVolumeReconstructionLib.observation import Slice
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.base import Prior

GRID = Grid.centred((12, 10, 8), (3.0, 3.0, 2.0))
HERE = np.eye(4)


def linear_volume() -> Volume:
    random = np.random.default_rng(0)
    start, step = random.uniform(0.2, 0.4, (10, 8)), random.uniform(0.01, 0.04, (10, 8))
    return Volume((start + step * np.arange(12)[:, None, None]).astype(np.float32), GRID)


def slices(volume, positions):
    return [slice_of(volume, k) for k in positions]


def test_interpolation_is_exact_on_a_linear_volume_and_constant_outside():
    volume = linear_volume()
    out = b.LinearInterpolation(GRID).condition(slices(volume, [7, 2, 10])).mean().numpy()
    assert np.allclose(out[2:11], volume.array[2:11], atol=1e-6)
    assert np.allclose(out[:2], volume.array[2]) and np.allclose(out[11], volume.array[10])


def test_interpolation_of_one_slice_repeats_it():
    volume = linear_volume()
    out = b.LinearInterpolation(GRID).condition(slices(volume, [5])).mean().numpy()
    assert np.array_equal(out, np.broadcast_to(volume.array[5], out.shape))


def test_nearest_slice_copies():
    volume = linear_volume()
    out = b.NearestSlice(GRID).condition(slices(volume, [9, 2])).mean().numpy()
    assert np.array_equal(out[:6], np.broadcast_to(volume.array[2], (6, 10, 8)))
    assert np.array_equal(out[6:], np.broadcast_to(volume.array[9], (6, 10, 8)))


def test_a_slice_on_another_lattice_is_resampled():
    fine = GRID.with_spacing((1.5, 1.5, 2.0))
    matrix = fine.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, 2] * 4
    plane = Plane(fine.shape_kji[1:], matrix, 2.0)
    ramp = lambda points: 0.5 + points @ [0.02, 0.01, 0.0]  # noqa: E731
    image = Slice(ramp(plane.points_ras()).reshape(plane.shape_ji), plane)
    out = b.NearestSlice(GRID).condition([image]).mean().numpy()
    expected = ramp(GRID.points_ras()).reshape(GRID.shape_kji)
    assert np.allclose(out[:, 2:-2, 2:-2], expected[:, 2:-2, 2:-2], atol=0.005)


def test_a_slice_across_the_stack_is_refused():
    volume = linear_volume()
    across = Slice(volume.array[:, 3], Plane((12, 8), np.c_[GRID.ijk_to_ras[:, [0, 2, 1, 3]]], 2.0))
    with pytest.raises(InputError, match="not parallel"):
        b.LinearInterpolation(GRID).condition([across])


@pytest.fixture(scope="module")
def library():
    random = np.random.default_rng(5)
    parts = random.uniform(0, 0.2, (3, *GRID.shape_kji))
    volumes = {f"s{n}": 0.4 + np.tensordot(random.normal(0, 0.5, 3), parts, 1) for n in range(8)}
    return b.Library.of(GRID, volumes)


def test_gram_matrix_and_leaving_one_out(library):
    flat = np.stack([v.ravel() for v in library.volumes.values()]).astype(float)
    assert np.allclose(library.gram, flat @ flat.T, rtol=1e-4)
    rest = library.without("s3")
    assert "s3" not in rest.volumes and np.allclose(
        rest.gram, np.delete(np.delete(flat @ flat.T, 3, 0), 3, 1), rtol=1e-4
    )
    assert list(library.without("unknown").volumes) == list(library.volumes)


def test_nearest_volume_finds_the_subject_it_was_cut_from(library):
    truth = Volume(library.volumes["s5"].astype(np.float32), GRID)
    baseline = b.FromLibrary("nearest-volume", GRID, library, HERE, b.nearest_weights)
    assert np.allclose(baseline.condition(slices(truth, [4])).mean().numpy(), truth.array, atol=1e-3)


def test_nearest_volume_never_returns_the_subject_left_out(library):
    truth = Volume(library.volumes["s5"].astype(np.float32), GRID)
    baseline = b.FromLibrary("nearest-volume", GRID, library.without("s5"), HERE, b.nearest_weights)
    assert np.abs(baseline.condition(slices(truth, [4])).mean().numpy() - truth.array).max() > 0.02


def test_pca_recovers_a_member_of_its_subspace_from_two_slices(library, monkeypatch):
    monkeypatch.setattr(b, "PCA_RIDGE", 1e-6)
    truth = Volume(library.without("s5").combined(np.array([0.3, 0.2, -0.1, 0.2, 0.1, 0.1, 0.2])), GRID)
    baseline = b.FromLibrary("pca", GRID, library.without("s5"), HERE, b.pca_weights)
    assert np.abs(baseline.condition(slices(truth, [3, 8])).mean().numpy() - truth.array).max() < 0.01


def test_a_strong_ridge_gives_the_library_mean(library, monkeypatch):
    monkeypatch.setattr(b, "PCA_RIDGE", 1e9)
    truth = Volume(library.volumes["s0"].astype(np.float32), GRID)
    out = (
        b.FromLibrary("pca", GRID, library, HERE, b.pca_weights).condition(slices(truth, [3])).mean().numpy()
    )
    assert np.allclose(out, np.mean([v.astype(np.float32) for v in library.volumes.values()], 0), atol=1e-3)


def test_library_follows_the_frame(library):
    """A patient who lies 6 mm further along R gets the same volume on a grid that lies there too."""
    moved = GRID.ijk_to_ras.copy()
    moved[0, 3] += 6
    there = Grid(GRID.shape_kji, moved)
    frame = np.eye(4)
    frame[0, 3] = -6
    truth = Volume(library.volumes["s2"].astype(np.float32), there)
    out = (
        b.FromLibrary("nearest-volume", there, library, frame, b.nearest_weights)
        .condition(slices(truth, [6]))
        .mean()
        .numpy()
    )
    assert np.allclose(out, truth.array, atol=1e-3)


def test_small_libraries_have_no_library_baselines(library):
    few = b.Library.of(GRID, dict(list(library.volumes.items())[:2]))
    assert [x.card.id for x in b.baselines(GRID, few, HERE)] == ["nearest-slice", "linear-interpolation"]
    assert [x.card.id for x in b.baselines(GRID, library, HERE)] == [
        "nearest-slice",
        "linear-interpolation",
        "cohort-atlas",
        "nearest-volume",
        "pca",
    ]


def test_baselines_are_priors_like_any_other(library):
    """The contract of Prior and Posterior, without an uncertainty."""
    seen, other = slices(linear_volume(), [3, 8]), GRID.with_spacing((6.0, 6.0, 4.0))
    for prior in b.baselines(GRID, library, HERE):
        assert isinstance(prior, Prior) and prior.grid is GRID and prior.card.system == "baseline"
        assert prior.anatomy_mask.shape == prior.reference.array.shape == GRID.shape_kji
        posterior = prior.condition(seen)
        mean, (low, high) = posterior.mean(), posterior.interval(0.9)
        assert torch.equal(low, mean.clamp(min=0)) and torch.equal(high, mean)
        assert torch.equal(posterior.sample([4, 5]), torch.stack([mean, mean]))
        assert not posterior.std().any() and np.isnan(posterior.log_evidence())
        assert prior.condition(seen, grid=other).mean().shape == other.shape_kji
        with pytest.raises(InputError, match="give the frame"):
            prior.alignment_model()
