"""The networks of 3D pix2pix (Isola et al., CVPR 2017), as the domain-adaptive synthesis paper has them.

A U-Net with a wide entry that makes the missing contrast, and a critic of patches.
"""

from __future__ import annotations

import itertools
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn.functional import interpolate, leaky_relu, pad, softplus

from ...priors.stored import group_norm

_SLOPE = 0.2
_NARROWEST = 0.005  # of the errors, so that no voxel is certain
Width = Annotated[int, Field(ge=1)]


class SynthesisShape(BaseModel):
    """The shape of the networks.

    entry: voxels of the first convolution along each axis, odd. widths: channels at full size, a half, a
    quarter ...
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    entry: int = Field(9, ge=1)
    widths: tuple[Width, ...] = Field((32, 64, 128, 256, 512), min_length=2)


class Generator(nn.Module):
    """Scans (B, inputs, K, J, I) in [0, 1] to the missing contrast and its expected error.

    Volumes of any size are filled up with background to what the levels halve, and cut again.

    Args:
        inputs: contrasts that are given.
        shape: of the network.
    """

    def __init__(self, inputs: int, shape: SynthesisShape):
        super().__init__()
        widths = shape.widths
        self.entry = nn.Conv3d(inputs, widths[0], shape.entry, padding=shape.entry // 2)
        pairs = list(itertools.pairwise(widths))
        self.downs = nn.ModuleList(nn.Conv3d(a, b, 4, 2, 1) for a, b in pairs)
        self.ups = nn.ModuleList(nn.Conv3d(a + b, a, 3, padding=1) for a, b in pairs)
        self.down_norms = nn.ModuleList(group_norm(b) for _, b in pairs)
        self.up_norms = nn.ModuleList(group_norm(a) for a, _ in pairs)
        self.head = nn.Conv3d(widths[0] + inputs, 2, 3, padding=1)

    def forward(self, scans: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The contrast in (0, 1), and the mean absolute error that is expected of it, each (B, K, J, I)."""
        size = scans.shape[2:]
        step = 2 ** len(self.downs)
        missing = [-n % step for n in size]
        x = pad(scans, [n for m in reversed(missing) for n in (0, m)])
        given, x = x, self.entry(x).contiguous(memory_format=torch.channels_last_3d)  # faster on CPUs
        levels = []
        for down, norm in zip(self.downs, self.down_norms, strict=True):
            levels.append(x)
            x = norm(down(leaky_relu(x, _SLOPE)))
        for up, norm, level in zip(
            reversed(self.ups), reversed(self.up_norms), reversed(levels), strict=True
        ):
            wider = interpolate(leaky_relu(x, _SLOPE), scale_factor=2, mode="trilinear", align_corners=False)
            x = norm(up(torch.cat([leaky_relu(level, _SLOPE), wider], 1)))
        made = self.head(torch.cat([leaky_relu(x, _SLOPE), given], 1)).float()
        k, j, i = size
        mean, error = made[:, :, :k, :j, :i].unbind(1)
        inside = (scans > 0).any(1)
        return torch.sigmoid(mean) * inside, (_NARROWEST + softplus(error - 3)) * inside


class Critic(nn.Module):
    """Tells made from real, patch by patch: scans beside a contrast, (B, inputs + 1, K, J, I), to scores.

    Args:
        inputs: contrasts that are given.
        width: channels after the first convolution.
    """

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.first = nn.Conv3d(inputs + 1, width, 4, 2, 1)
        self.second = nn.Conv3d(width, 2 * width, 4, 2, 1)
        self.norm = group_norm(2 * width)
        self.last = nn.Conv3d(2 * width, 1, 3, padding=1)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Scores of patches, 1 for real and 0 for made ones (least squares), float32."""
        x = self.norm(self.second(leaky_relu(self.first(volumes), _SLOPE)))
        scores: torch.Tensor = self.last(leaky_relu(x, _SLOPE))
        return scores.float()
