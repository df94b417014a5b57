"""Volumes of several scanners are brought to the grey values of the first."""

import numpy as np
from training.conftest import body

from SparseVolumeReconstructionLib.training.grey_values import match_grey_values


def test_another_scanner_gets_the_grey_values_of_the_first():
    own = np.stack([body(24, seed).array for seed in range(8)]).astype(np.float16)
    first = np.arange(8) < 5
    volumes = own.copy()
    volumes[~first] = 0.9 * own[~first] ** 0.4
    before, inside = np.abs(volumes - own)[~first], own[~first] > 0.1
    match_grey_values(volumes, first)
    after = np.abs(volumes - own)[~first]
    assert np.array_equal(volumes[first], own[first]), "those of the first stay as they are"
    assert before[inside].mean() > 0.15 and after[inside].mean() < 0.25 * before[inside].mean()
    assert (volumes[own == 0] == 0).all(), "the background stays 0"
