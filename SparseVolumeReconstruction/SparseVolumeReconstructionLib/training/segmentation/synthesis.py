"""Random T1-weighted images of label maps, as SynthSeg's (Billot et al., Medical Image Analysis 86, 2023).

Shape, contrast, shading, sharpness and noise vary.
"""

from __future__ import annotations

import torch
from monai.networks.layers import GaussianFilter
from pydantic import Field
from torch.nn.functional import affine_grid, avg_pool3d, grid_sample, interpolate

from ..loop.config import Count, Section
from .structures import CLASSES, MEANS, TARGETS

_FOREGROUND = 0.02


class SynthesisConfig(Section):
    """Standard deviations where nothing else is said.

    deformation, nodes: displacement (share of half the field) that is smooth over so many control points per
    axis. affine: of the entries of a linear map. shift: of its translation (share of half the field).
    contrast: of the mean intensity of each structure about its usual one. texture: of the intensities within
    a structure. gamma: log of the exponent of the intensities. bias: log of the shading at 4 control points
    per axis. blur: largest Gaussian blur, pixels of the image. noise: share of the range. reduce: pixels of
    the label map along R and along A that become one of the image, so that its pixels mix structures.
    """

    deformation: float = Field(0.025, ge=0)
    nodes: Count = 8
    affine: float = Field(0.04, ge=0)
    shift: float = Field(0.02, ge=0)
    contrast: float = Field(0.08, ge=0)
    texture: float = Field(0.06, ge=0)
    gamma: float = Field(0.15, ge=0)
    bias: float = Field(0.2, ge=0)
    blur: float = Field(1.0, ge=0)
    noise: float = Field(0.02, ge=0)
    reduce: Count = 2


@torch.no_grad()
def synthesise(
    codes: torch.Tensor, config: SynthesisConfig, chance: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A random image of each label map and its classes.

    Args:
        codes: (B, K, H, W) integers, see structures.
        config: how much varies.
        chance: all chance comes from it; on the device of `codes`.

    Returns:
        Images in [0, 1], background 0, and classes 0 to 15 (int64), each (B, K, H / reduce, W / reduce).
    """
    codes = _deformed(codes, config, chance)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(len(codes), *shape, generator=chance, device=codes.device)

    means = torch.as_tensor(MEANS, device=codes.device)
    means = (means + config.contrast * normal(len(MEANS))).clamp(0.02, 1) * (means > 0)
    images = means.gather(1, codes.flatten(1)).view(codes.shape)
    images = torch.where(codes > 0, images + config.texture * normal(*codes.shape[1:]), images).clamp(min=0)
    images = avg_pool3d(images, (1, config.reduce, config.reduce))
    sigma = config.blur * float(torch.rand((), generator=chance, device=codes.device))
    if sigma > 0:
        images = GaussianFilter(3, sigma)(images[:, None])[:, 0]
    foreground = images > _FOREGROUND
    shading = interpolate(normal(1, 4, 4, 4), images.shape[1:], mode="trilinear", align_corners=True)[:, 0]
    images = images.clamp(min=1e-6) ** torch.exp(config.gamma * normal(1, 1, 1)) * torch.exp(
        config.bias * shading
    )
    images = images + config.noise * normal(*images.shape[1:])
    images = torch.where(foreground, images, 0.0)
    peaks = torch.stack(
        [image[shown].quantile(0.999) for image, shown in zip(images, foreground, strict=True)]
    )
    return (images / peaks.clamp(min=1e-3)[:, None, None, None]).clamp(0, 1), _classes(codes, config.reduce)


def _deformed(codes: torch.Tensor, config: SynthesisConfig, chance: torch.Generator) -> torch.Tensor:
    """Label maps (B, K, H, W) under a random smooth and affine deformation, (B, K, H, W) int64."""

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(len(codes), *shape, generator=chance, device=codes.device)

    linear = torch.eye(3, device=codes.device) + config.affine * normal(3, 3)
    place = affine_grid(
        torch.cat([linear, config.shift * normal(3, 1)], 2),
        [len(codes), 1, *codes.shape[1:]],
        align_corners=False,
    )
    smooth = interpolate(
        normal(3, *[config.nodes] * 3), codes.shape[1:], mode="trilinear", align_corners=True
    )
    place = place + config.deformation * smooth.movedim(1, -1)
    return grid_sample(codes[:, None].float(), place, mode="nearest", align_corners=False)[:, 0].long()


def _classes(codes: torch.Tensor, reduce: int) -> torch.Tensor:
    """The class that fills most of every pixel, (B, K, H / reduce, W / reduce)."""
    targets = torch.as_tensor(TARGETS, device=codes.device)[codes]
    shares = torch.stack([avg_pool3d((targets == n).float(), (1, reduce, reduce)) for n in range(CLASSES)])
    return shares.argmax(0)
