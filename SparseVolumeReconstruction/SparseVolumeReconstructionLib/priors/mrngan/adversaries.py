"""Generators and critics of slices: DCGANs, and the critic of pairs that pix2pix has.

Slices are in [-1, 1] inside these networks, as the last layer is a tanh; what they give is in [0, 1].
"""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn.functional import leaky_relu

_SLOPE = 0.2
_START = 4  # pixels of the smallest maps along a side


def _levels(size: int) -> int:
    return (size // _START).bit_length() - 1


class SliceGenerators(nn.Module):
    """As many DCGAN generators as there are places, side by side in one network (grouped convolutions).

    Args:
        places: their number.
        inputs: numbers that each draws a slice from.
        width: channels of the first maps of each, halved with every level.
        size: pixels of a slice along a side, 4 times a power of two.
    """

    def __init__(self, places: int, inputs: int, width: int, size: int):
        super().__init__()
        self.places, self.inputs = places, inputs
        widths = [max(2, width >> level) for level in range(_levels(size))]
        self.start = nn.Parameter(torch.randn(places, inputs, widths[0] * _START**2) / inputs**0.5)
        self.norms = nn.ModuleList(nn.GroupNorm(places, places * w) for w in widths)
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(places * a, places * b, 4, 2, 1, groups=places)
            for a, b in zip(widths, [*widths[1:], 1], strict=True)
        )

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Slices (B, places, H, W), float32 in (0, 1), of codes (B, places, inputs)."""
        x = torch.einsum("bpi,pio->bpo", codes, self.start).flatten(1).unflatten(1, (-1, _START, _START))
        for norm, up in zip(self.norms, self.ups, strict=True):
            x = up(torch.relu(norm(x)))
        return 0.5 + 0.5 * torch.tanh(x.float())


class SliceCritics(nn.Module):
    """A critic for each place, side by side.

    Args:
        places: their number.
        channels: images that each sees at once.
        width: channels of its first maps, doubled with every level.
        size: pixels of an image along a side.
    """

    def __init__(self, places: int, channels: int, width: int, size: int):
        super().__init__()
        self.places = places
        widths = [channels, *(width << level for level in range(_levels(size)))]
        self.downs = nn.ModuleList(
            nn.Conv2d(places * a, places * b, 4, 2, 1, groups=places) for a, b in itertools.pairwise(widths)
        )
        self.head = nn.Conv2d(places * widths[-1], places, _START, groups=places)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """How real images (B, places * channels, H, W) in [0, 1] look, (B, places), float32."""
        x = 2 * images - 1
        for down in self.downs:
            x = leaky_relu(down(x), _SLOPE)
        return self.head(x).flatten(1).float()


class PairCritic(nn.Sequential):
    """How real patches of a slice and its neighbour look, (N, 1, S, S), given also the direction.

    Args:
        width: filters of the first convolution.
    """

    def __init__(self, width: int):
        super().__init__(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(2 * width, 1, 3, 1, 1),
        )
