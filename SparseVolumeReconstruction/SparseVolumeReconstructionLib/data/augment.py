"""Random changes of training volumes, on their device."""

from __future__ import annotations

import torch
from torch.nn.functional import affine_grid, grid_sample, interpolate

from .config import AugmentationConfig, DataConfig

_FOREGROUND = 0.02


def augment(
    batch: torch.Tensor, config: AugmentationConfig, data: DataConfig, chance: torch.Generator
) -> torch.Tensor:
    """Volumes (B, K, H, W), [0, 1], each deformed, mirrored, with another contrast, shading and noise.

    The background stays 0.

    Args:
        batch: (B, K, H, W) in [0, 1], background 0.
        config: how much varies.
        data: gives the extent of the stack in mm, in which the deformation is measured.
        chance: on the device of the batch.

    Returns:
        (B, K, H, W) in [0, 1]; the batch itself is not changed.
    """

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(len(batch), *shape, generator=chance, device=batch.device)

    def smooth(channels: int) -> torch.Tensor:
        """(B, channels, K, H, W), unit variance at the control points."""
        return interpolate(
            normal(channels, *[config.nodes] * 3), batch.shape[1:], mode="trilinear", align_corners=True
        )

    if config.deformation_mm > 0:
        extent = torch.tensor(
            [data.field_mm or 218.0, data.field_mm or 218.0, data.height_mm or 120.0], device=batch.device
        )
        shift = smooth(3).movedim(1, -1) * (2 * config.deformation_mm / extent)
        place = affine_grid(
            torch.eye(3, 4, device=batch.device)[None], [1, 1, *batch.shape[1:]], align_corners=False
        )
        batch = grid_sample(batch[:, None], place + shift, padding_mode="border", align_corners=False)[:, 0]
    if config.mirror:
        swap = torch.rand(len(batch), generator=chance, device=batch.device) < 0.5
        batch = torch.where(swap[:, None, None, None], batch.flip(-1), batch)
    foreground = batch > _FOREGROUND
    changed = batch.clamp(min=1e-6) ** torch.exp(config.gamma * normal(1, 1, 1))
    if config.bias > 0:
        changed = changed * torch.exp(config.bias * smooth(1)[:, 0])
    if config.noise > 0:
        changed = changed + config.noise * normal(*batch.shape[1:])
    return torch.where(foreground, changed.clamp(0, 1), batch)
