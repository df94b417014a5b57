"""Rotations as the vectors that searches for a pose move."""

from __future__ import annotations

import torch


def rotation_matrices(vectors: torch.Tensor) -> torch.Tensor:
    """Matrices (n, 3, 3) of rotation vectors (n, 3), radians along the axis; differentiable."""
    x, y, z = vectors.unbind(1)
    o = torch.zeros_like(x)
    cross = torch.stack([o, -z, y, z, o, -x, -y, x, o], 1).reshape(-1, 3, 3)
    turns: torch.Tensor = torch.linalg.matrix_exp(cross)
    return turns
