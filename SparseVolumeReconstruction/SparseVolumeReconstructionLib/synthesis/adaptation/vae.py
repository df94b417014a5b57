"""The slice VAE whose batch is one whole volume, and a VAE of whole volumes to compare it with.

What they are for: codes of the output on another scanner must be distributed as those of the real contrast.
"""

from __future__ import annotations

import itertools
import math
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn.functional import leaky_relu

from ...priors.stored import group_norm

_SLOPE = 0.2


class VaeSettings(BaseModel):
    """The shape of the VAE.

    codes_of: "slices", each of which has a code of its own, or "volumes". latent: components of a code.
    widths: channels at a half, a quarter ... of the size.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    codes_of: Literal["slices", "volumes"] = "slices"
    latent: int = Field(64, ge=1)
    widths: tuple[int, ...] = Field((16, 32, 64, 64), min_length=1)


class Vae(nn.Module):
    """Volumes (B, K, J, I) in [0, 1] to codes (B, P, L) and back; P is K for slices and 1 for volumes.

    Args:
        shape_kji: of the volumes; filled up to what the levels halve.
        settings: of the networks.
    """

    def __init__(self, shape_kji: tuple[int, int, int], settings: VaeSettings):
        super().__init__()
        self.shape_kji = shape_kji
        self._slices = settings.codes_of == "slices"
        size = shape_kji[1:] if self._slices else shape_kji
        step = 2 ** len(settings.widths)
        self._padded = tuple(math.ceil(n / step) * step for n in size)
        self._small = (settings.widths[-1], *(n // step for n in self._padded))
        conv = nn.Conv2d if self._slices else nn.Conv3d
        back = nn.ConvTranspose2d if self._slices else nn.ConvTranspose3d
        widths = [1, *settings.widths]
        pairs = list(itertools.pairwise(widths))
        self.downs = nn.ModuleList(conv(a, b, 4, 2, 1) for a, b in pairs)
        self.norms = nn.ModuleList(group_norm(b) for _, b in pairs)
        self.ups = nn.ModuleList(back(b, a, 4, 2, 1) for a, b in reversed(pairs))
        self.codes = nn.Linear(math.prod(self._small), 2 * settings.latent)
        self.start = nn.Linear(settings.latent, math.prod(self._small))

    def encode(self, volumes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log variance of the codes of volumes (B, K, J, I), each (B, P, L)."""
        images = volumes.flatten(0, 1) if self._slices else volumes
        short = [n for m, k in zip(self._padded[::-1], images.shape[:0:-1], strict=True) for n in (0, m - k)]
        x = nn.functional.pad(images, short)[:, None]
        for down, norm in zip(self.downs, self.norms, strict=True):
            x = leaky_relu(norm(down(x)), _SLOPE)
        mean, log_variance = self.codes(x.flatten(1)).float().unflatten(0, (len(volumes), -1)).chunk(2, -1)
        return mean, log_variance.clamp(-8, 8)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Volumes (B, K, J, I) in (0, 1) of codes (B, P, L)."""
        x = self.start(codes.flatten(0, 1)).unflatten(1, self._small)
        for up in self.ups:
            x = up(leaky_relu(x, _SLOPE))
        x = torch.sigmoid(x.float()).unflatten(0, codes.shape[:2])[:, :, 0]
        x = x if self._slices else x[:, 0]
        k, j, i = self.shape_kji
        volumes: torch.Tensor = x[:, :k, :j, :i]
        return volumes


def vae_loss(vae: Vae, volume: torch.Tensor, kl: float, generator: torch.Generator) -> torch.Tensor:
    """Squared error of one volume (1, K, J, I) and `kl` times the divergence of its codes, per code.

    Args:
        vae: that learns.
        volume: the batch; its slices are what a slice VAE learns of at a time.
        kl: weight of the divergence from N(0, I), nats.
        generator: of the draw of codes.
    """
    mean, log_variance = vae.encode(volume)
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)
    error = (vae.decode(mean + (0.5 * log_variance).exp() * noise) - volume).square().sum()
    divergence = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum()
    return (error + kl * divergence) / mean.shape[:2].numel()
