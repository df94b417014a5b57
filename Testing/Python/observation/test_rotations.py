"""Rotation vectors against scipy's."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from SparseVolumeReconstructionLib.observation.rotations import rotation_matrices


@given(st.integers(0, 10**6), st.floats(0.0, 3.1))
def test_rotation_vectors_are_matrices(seed, size):
    """Of any axis and angle, at float64."""
    vectors = np.random.default_rng(seed).normal(size=(4, 3))
    vectors *= size / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = rotation_matrices(torch.as_tensor(vectors)).numpy()
    np.testing.assert_allclose(found, Rotation.from_rotvec(vectors).as_matrix(), atol=1e-12)
