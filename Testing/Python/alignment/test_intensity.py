"""The monotone intensity map: a known scanner is found, and the map goes both ways."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.alignment.intensity import MonotoneMap
from SparseVolumeReconstructionLib.geometry import InputError


def population(count=6000, seed=0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Canonical values of pixels with what a prior predicts for them: mean and variance."""
    random = np.random.default_rng(seed)
    mean = np.clip(np.concatenate([random.normal(c, 0.05, count // 3) for c in (0.2, 0.5, 0.8)]), 0.03, None)
    variance = np.full(len(mean), 0.05**2)
    return np.clip(mean + random.normal(0, 0.05, len(mean)), 0.01, None), mean, variance


@given(st.floats(0.6, 1.6), st.floats(1, 4000))
@settings(max_examples=30, deadline=None)
def test_a_known_gain_and_gamma_are_found(gamma, gain):
    canonical, mean, variance = population()
    found = MonotoneMap.fit(gain * canonical**gamma, mean, variance)
    inner = np.linspace(0.1, 0.9, 20)
    np.testing.assert_allclose(found.to_canonical(gain * inner**gamma), inner, atol=0.06)
    assert np.abs(found.to_canonical(gain * canonical**gamma) - canonical).mean() < 0.025


@given(st.lists(st.floats(0.01, 3), min_size=60, max_size=60), st.floats(0.1, 1000))
@settings(max_examples=50, deadline=None)
def test_every_map_is_strictly_increasing_and_invertible(values, gain):
    _, mean, variance = population()
    try:
        found = MonotoneMap.fit(gain * np.array(values), mean, variance)
    except InputError as error:
        assert "contrast" in str(error)
        return
    assert (np.diff(found.patient) > 0).all() and (np.diff(found.canonical) > 0).all()
    assert found.patient[0] == found.canonical[0] == 0
    grid = np.linspace(-0.5, 1.5, 400)
    assert (np.diff(found.to_patient(grid)) > 0).all()
    np.testing.assert_allclose(found.to_canonical(found.to_patient(grid)), grid, atol=1e-3)


def test_the_identity_and_beyond_the_ends():
    same = MonotoneMap.identity()
    np.testing.assert_allclose(same.to_patient(np.array([-1, 0, 0.3, 2])), [-1, 0, 0.3, 2], atol=1e-6)
    bent = MonotoneMap(np.array([0.0, 10, 40]), np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(
        bent.to_canonical(np.array([-10, 5, 25, 100])), [-0.5, 0.25, 0.75, 2.0], atol=1e-6
    )
    np.testing.assert_allclose(
        bent.spread_to_patient(np.array([0.25, 0.75, 0.5]), np.array([0.1, 0.1, 0.1])), [2, 6, 4], atol=1e-4
    )


def test_too_few_pixels_and_too_little_contrast_are_refused():
    canonical, mean, variance = population()
    with pytest.raises(InputError, match="Only 20 pixels"):
        MonotoneMap.fit(canonical[:20], mean[:20], variance[:20])
    with pytest.raises(InputError, match="contrast"):
        MonotoneMap.fit(np.full(1000, 5.0), mean[:1000], variance[:1000])


def test_almost_black_pixels_do_not_make_the_map_steep():
    """Interpolation at an edge leaves values such as 1e-9; a knot there would send a slightly negative value
    far away.
    """
    canonical, mean, variance = population()
    values = np.where(np.arange(len(canonical)) % 8, 400 * canonical, 1e-9)
    found = MonotoneMap.fit(values, mean, variance)
    assert abs(float(found.to_canonical(np.array([-1.0]))[0])) < 0.1
