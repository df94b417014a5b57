"""Conditional VAE (Sohn et al., NeurIPS 2015): a U-Net shape without skips.

From a slice to one latent vector, and from it, pose and contexts to the slice.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from .parts import (
    Maps,
    NetworkSettings,
    NeuralRenderingNetwork,
    NeuralRenderingShape,
    divergence,
    mean_and_log_sd,
)

_NARROW = 8  # channels between the lowest maps and the latent vector


class CvaeShape(NeuralRenderingShape):
    """The shape of a conditional VAE.

    scales: resolutions, with two convolutions each. width: channels of the finest one; they double with every
    further one.
    """

    system: Literal["cvae"] = "cvae"
    scales: int = Field(4, ge=2)
    width: int = Field(64, ge=1)


class CvaeSettings(CvaeShape, NetworkSettings):
    """All that the network depends on; slices of size x size pixels."""

    @model_validator(mode="after")
    def _size_fits(self) -> CvaeSettings:
        if self.size % 2 ** (self.scales - 1):
            raise ValueError(
                f"{self.scales} scales need a size that is a multiple of {2 ** (self.scales - 1)}"
            )
        return self


def _pair(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions, (N, inputs, H, W) to (N, outputs, H, W)."""
    layers = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.GroupNorm(1, outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class Cvae(NeuralRenderingNetwork):
    """The network; a latent vector has `latent` numbers, a priori N(0, I)."""

    def __init__(self, settings: CvaeSettings):
        s = settings
        super().__init__(s, 2 ** (s.scales - 1))
        self.noise_shape = (s.latent,)
        widths = [s.width * 2**n for n in range(s.scales)]
        asked, flat = s.representation + s.pose_channels, _NARROW * self.side**2
        down: list[nn.Module] = [_pair(1, widths[0])]
        for inputs, outputs in pairwise(widths[:-1]):
            down += [nn.MaxPool2d(2), _pair(inputs, outputs)]
        self.down = nn.Sequential(*down, nn.MaxPool2d(2))
        self.bottom = nn.Sequential(
            _pair(widths[-2] + asked, widths[-1]), nn.Conv2d(widths[-1], _NARROW, 1), nn.Flatten()
        )
        self.posterior = nn.Linear(flat, 2 * s.latent)
        self.latents = Maps(s.latent, _NARROW, self.side)
        up: list[nn.Module] = [_pair(_NARROW + asked, widths[-1])]
        for inputs, outputs in pairwise(reversed(widths)):
            up += [nn.ConvTranspose2d(inputs, outputs, 2, 2), _pair(outputs, outputs)]
        self.up = nn.Sequential(*up, nn.Conv2d(widths[0], 1, 1))
        # faster on a CPU; torch's stubs do not know the argument
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self,
        index: torch.Tensor,
        representation: torch.Tensor,
        noise: torch.Tensor,
        truth: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See NeuralRenderingNetwork; (N, H, W) and (N,)."""
        asked = torch.cat([representation, self.pose(index)], 1)
        latents = noise
        total = noise.new_zeros(len(index))
        if truth is not None:
            lowest = self.bottom(torch.cat([self.down(truth[:, None]), asked], 1))
            mean, log_sd = mean_and_log_sd(self.posterior(lowest))
            latents = mean + log_sd.exp() * noise
            total = divergence(mean, log_sd, torch.zeros_like(mean), torch.zeros_like(mean))
        drawn = self.up(torch.cat([self.latents(latents), asked], 1))
        return torch.sigmoid(drawn.float())[:, 0], total
