"""3D networks of whole volumes.

A generator from codes, towers that encode or judge volumes, and a judge of codes.

All levels halve or double the volume by convolutions of 4 voxels with stride 2. Where the models this follows
normalise by batch, groups of channels of one volume are normalised here: batches are small, no volume's
result depends on others, and a gradient penalty is defined per volume.
"""

from __future__ import annotations

import copy
import math
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn
from torch.nn.functional import interpolate, leaky_relu

from ..stored import group_norm, settings_text

_SLOPE = 0.2


class VolumeShape(BaseModel):
    """The shape of the networks, apart from that of the data.

    depth: slices that the networks know; the stack is resampled to them. latent: components of a code.
    widths: channels at a half, a quarter ... of the volume's sides.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    depth: int = Field(64, ge=2)
    latent: int = Field(1000, ge=1)
    widths: tuple[Annotated[int, Field(ge=1)], ...] = Field((64, 128, 256, 512), min_length=1)


class VolumeSettings(VolumeShape):
    """All that makes the networks.

    size: pixels of a slice along a side. slices: those of the stack.
    """

    size: int = Field(64, ge=4)
    slices: int = Field(120, ge=2)

    @model_validator(mode="after")
    def _sides_halve(self) -> VolumeSettings:
        step = 2 ** len(self.widths)
        if self.depth % step or self.size % step:
            raise ValueError(
                f"{len(self.widths)} widths need a depth and a size that are multiples of {step}"
            )
        return self

    @property
    def start(self) -> tuple[int, int, int, int]:
        """Channels and sides of the smallest level, (C, D, H, W)."""
        step = 2 ** len(self.widths)
        return self.widths[-1], self.depth // step, self.size // step, self.size // step


def read_settings(stored: torch.Tensor) -> VolumeSettings:
    """What `settings_tensor` stored, (n,). Raises ValueError for other content."""
    return VolumeSettings.model_validate_json(settings_text(stored))


def along_stack(slices: int, wanted: int) -> torch.Tensor:
    """Weights (wanted, slices) that resample a stack linearly, without aliasing where it is made coarser.

    Rows sum to 1.

    Args:
        slices: of the stack.
        wanted: slices of the new one, of the same extent.
    """
    identity = torch.eye(slices)[None, None]
    return interpolate(identity, (wanted, slices), mode="bilinear", antialias=True)[0, 0]


class Generator(nn.Module):
    """Codes (B, latent) to volumes (B, depth, size, size) in (0, 1)."""

    def __init__(self, settings: VolumeSettings):
        super().__init__()
        self.settings = settings
        self.start = nn.Linear(settings.latent, math.prod(settings.start))
        down = settings.widths[::-1]
        self.norms = nn.ModuleList(group_norm(width) for width in down)
        self.ups = nn.ModuleList(
            nn.ConvTranspose3d(a, b, 4, 2, 1) for a, b in zip(down, [*down[1:], 1], strict=True)
        )

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Volumes (B, depth, size, size), float32 in (0, 1)."""
        x = self.start(codes).unflatten(1, self.settings.start)
        for norm, up in zip(self.norms, self.ups, strict=True):
            x = up(leaky_relu(norm(x), _SLOPE))
        return torch.sigmoid(x[:, 0].float())

    def with_codes(self, mean: torch.Tensor, covariance: torch.Tensor) -> Generator:
        """A generator that shows of z ~ N(0, I) what this one shows of codes from N(mean, covariance).

        Args:
            mean: (L,), float64.
            covariance: (L, L), float64, positive definite.
        """
        other = copy.deepcopy(self)
        weight = self.start.weight.double()
        with torch.no_grad():
            other.start.weight.copy_(weight @ torch.linalg.cholesky(covariance))
            other.start.bias.add_(weight @ mean)
        return other


class Tower(nn.Module):
    """Volumes (B, depth, size, size) to (B, outputs).

    Args:
        settings: of the networks.
        outputs: numbers of each volume.
        normalise: over groups of channels; not where a gradient penalty is taken.
    """

    def __init__(self, settings: VolumeSettings, outputs: int, normalise: bool):
        super().__init__()
        widths = settings.widths
        self.downs = nn.ModuleList(
            nn.Conv3d(a, b, 4, 2, 1) for a, b in zip([1, *widths], widths, strict=False)
        )
        norms = [nn.Identity(), *(group_norm(width) if normalise else nn.Identity() for width in widths[1:])]
        self.norms = nn.ModuleList(norms)
        self.head = nn.Linear(math.prod(settings.start), outputs)

    def features(self, volumes: torch.Tensor) -> torch.Tensor:
        """What the head sees, (B, C, D, H, W)."""
        x = volumes[:, None]
        for down, norm in zip(self.downs, self.norms, strict=True):
            x = leaky_relu(norm(down(x)), _SLOPE)
        return x

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """(B, outputs), float32."""
        return self.head(self.features(volumes).flatten(1)).float()


class CodeCritic(nn.Sequential):
    """Codes (B, latent) to (B, 1): how much they look drawn from N(0, I).

    Args:
        latent: components of a code.
        hidden: units of each of two layers.
    """

    def __init__(self, latent: int, hidden: int):
        inner = (
            nn.Linear(latent, hidden),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(_SLOPE),
        )
        super().__init__(*inner, nn.Linear(hidden, 1))
