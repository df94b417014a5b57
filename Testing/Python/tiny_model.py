"""A real, tiny structured Gaussian: 12 x 14 x 13 voxels of 12 mm, RAS."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from SparseVolumeReconstructionLib.geometry import Grid
from SparseVolumeReconstructionLib.priors.card import ModelCard
from SparseVolumeReconstructionLib.priors.gaussian.parameters import GaussianParameters

WORDS = ("title", "version", "anatomy", "modality", "canonical_space", "units", "licence", "data")


def parameters() -> GaussianParameters:
    """An ellipsoid that is brighter outside, with two directions of variation."""
    grid = Grid.centred((12, 14, 13), 12.0)
    radius = np.linalg.norm(grid.points_ras() / [60, 75, 62], axis=1).reshape(grid.shape_kji)
    mask = radius < 1
    shell = torch.as_tensor(0.3 + 0.5 * radius[mask], dtype=torch.float32)
    return GaussianParameters(
        grid=grid,
        evaluation_grid=grid,
        mask=mask,
        means=shell[None],
        knots=torch.zeros(1),
        loadings=torch.stack([0.1 * shell, 0.05 * torch.sin(9 * shell)]),
        sd=torch.full_like(shell, 0.03),
        curves=tuple(torch.tensor([1.0, 0.5, 0.2]) for _ in "kji"),
        noise=0.02,
        multipliers=(0.67, 1.28, 1.64, 1.96),
        scale_knots=torch.tensor([[0.0, 0.1]]),
        reference=torch.as_tensor(np.where(mask, 0.3 + 0.5 * radius, 0), dtype=torch.float32),
    )


def write_tiny(path: Path, **changes) -> Path:
    """Write the model "tiny"; changes: fields of its card."""
    tensors = {name: tensor.contiguous() for name, tensor in parameters().to_tensors().items()}
    fields = {**dict.fromkeys(WORDS, "test"), "id": "tiny", "system": "structured-gaussian", **changes}
    save_file(tensors, path, metadata={"card": ModelCard(**fields).model_dump_json()})
    return path
