"""Random copies: reproducible, different, never folded, and still the same anatomy on a background
of 0.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.data.population import Variation, deformation, jacobian, member
from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.resample import resample


@pytest.fixture(scope="module")
def template():
    """An ellipsoid with a bright core, (30, 34, 32) voxels of 2 mm on an oblique grid."""
    grid = Grid.centred((30, 34, 32), 2.0)
    points = grid.points_ras().reshape(*grid.shape_kji, 3)
    shell, core = (((points / np.array(size)) ** 2).sum(-1) < 1 for size in ([24, 28, 22], [10, 12, 8]))
    turn = np.array([[0.8, -0.6, 0, 5], [0.6, 0.8, 0, -9], [0, 0, 1, 30], [0, 0, 0, 1]])
    return Volume((0.5 * shell + 0.4 * core).astype(np.float32), Grid(grid.shape_kji, turn @ grid.ijk_to_ras))


def test_the_same_seed_gives_the_same_member(template):
    a, b, c = member(template, [1, 2, 3]), member(template, [1, 2, 3]), member(template, [1, 2, 4])
    assert np.array_equal(a.array, b.array) and np.array_equal(a.grid.ijk_to_ras, b.grid.ijk_to_ras)
    assert np.abs(a.array - c.array).max() > 0.1


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), strength=st.sampled_from([1.0, 3.0, 10.0]))
def test_deformations_never_fold(template, seed, strength):
    variation = Variation(
        deformation=tuple((length, strength * sd) for length, sd in Variation().deformation)
    )
    grid, displacement = deformation(template, np.random.default_rng(seed), variation)
    ras = displacement * [-1, -1, 1]
    assert jacobian(ras, grid.spacing_ijk[0]).min() >= 0.2
    assert 0.2 < np.sqrt((ras**2).sum(-1).mean()) < 15


def test_jacobian_of_a_scaling_is_its_volume():
    points = Grid.centred((5, 6, 7), 2.0).points_ras().reshape(5, 6, 7, 3)
    assert jacobian(points * [0.1, 0.2, -0.3], 2.0) == pytest.approx(1.1 * 1.2 * 0.7)


def test_members_are_plausible(template):
    volume = np.prod(template.grid.spacing_ijk) * np.count_nonzero(template.array)
    sizes = []
    for seed in range(6):
        copy = member(template, [seed])
        assert copy.array.dtype == np.float32 and copy.array.min() == 0 and copy.array.max() <= 1
        assert (
            not copy.array[[0, -1]].any()
            and not copy.array[:, [0, -1]].any()
            and not copy.array[:, :, [0, -1]].any()
        )
        back = resample(copy, template.grid).array
        assert 0.85 < np.corrcoef(back.ravel(), template.array.ravel())[0, 1] < 0.995
        sizes.append(np.prod(copy.grid.spacing_ijk) * np.count_nonzero(copy.array > 0.25) / volume)
    assert 0.7 < min(sizes) < max(sizes) < 1.4


def test_contrast_change_is_monotone(template):
    still = Variation(deformation=(), scale=0.0, contrast=0.4, bias=0.0, blur_mm=0.0, noise=0.0)
    ramp = Volume(
        np.broadcast_to(np.linspace(0, 1, 32, dtype=np.float32), template.array.shape).copy(), template.grid
    )
    for seed in range(8):
        values = member(ramp, [seed], still).array
        middle = values[values.shape[0] // 2, values.shape[1] // 2]
        rising = middle[middle > 0]
        assert len(rising) > 20 and (np.diff(rising[:-2]) > -1e-4).all()
