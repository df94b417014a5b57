"""The refiner's network: a U-Net that says of an axial slice what is to be added to the posterior mean.

It sees the slice and some slices above and below it (Ronneberger et al., MICCAI 2015; two by two pixels as
channels as in Shi et al., CVPR 2016).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate, pad, silu

_GROUPS = 8
_SIZES = 8  # rows and columns are a multiple of this inside
_STD_GAIN = 4.0  # standard deviations are a quarter of the grey values
_GAIN = 4.0


class Block(nn.Module):
    """Two convolutions with a way around them, (B, inputs, H, W) -> (B, outputs, H, W).

    Args:
        inputs: channels that go in.
        outputs: channels that come out, a multiple of 8.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first, self.second = (
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )
        self.norms = nn.ModuleList([nn.GroupNorm(_GROUPS, outputs), nn.GroupNorm(_GROUPS, outputs)])
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same height and width."""
        inner = silu(self.norms[0](self.first(x)))
        return silu(self.norms[1](self.second(inner)) + self.skip(x))


class RefinerNetwork(nn.Module):
    """What is to be added to slices, (B, H, W), of what `inputs_of` gives for them, (B, C, H, W).

    At first nothing is added. It is given in standard deviations and so vanishes where the volume is known.

    Args:
        width: channels of the finest of three sizes, a multiple of 24.
        offsets_mm: of the slices that it sees, 0 among them.
    """

    def __init__(self, width: int, offsets_mm: tuple[float, ...]):
        super().__init__()
        self.offsets_mm = tuple(offsets_mm)
        self.width, self._own = width, len(offsets_mm) + self.offsets_mm.index(0.0)
        widths = width, width + width // 3, 2 * width
        inputs = 2 * len(offsets_mm) + 2
        self.unshuffle, self.shuffle = nn.PixelUnshuffle(2), nn.PixelShuffle(2)
        self.down = nn.ModuleList([Block(a, b) for a, b in zip((4 * inputs, *widths), widths, strict=False)])
        self.up = nn.ModuleList(
            [Block(widths[2] + widths[1], widths[1]), Block(widths[1] + widths[0], widths[0])]
        )
        self.end = nn.Conv2d(width, 4, 3, padding=1)
        nn.init.zeros_(self.end.weight)
        assert self.end.bias is not None
        nn.init.zeros_(self.end.bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, H, W), canonical units."""
        rows, columns = inputs.shape[-2:]
        x = pad(inputs, (0, -columns % _SIZES, 0, -rows % _SIZES))
        std, x = x[:, self._own], self.unshuffle(x * _GAIN)
        kept: list[torch.Tensor] = []
        for block in self.down:
            x = block(x if not kept else avg_pool2d(x, 2))
            kept.append(x)
        kept.pop()
        for block in self.up:
            x = block(torch.cat([interpolate(x, scale_factor=2.0, mode="nearest"), kept.pop()], 1))
        return (self.shuffle(self.end(x))[:, 0] * std)[:, :rows, :columns]


def inputs_of(
    posterior: torch.Tensor, prior: torch.Tensor, index: torch.Tensor, shifts: tuple[float, ...]
) -> torch.Tensor:
    """What the network is shown of some slices, (n, 2 S + 2, H, W).

    Means of the posterior at all shifts, its standard deviations there, mean and standard deviation of the
    prior in the slice.

    Args:
        posterior: mean and standard deviation, (2, K, H, W), canonical units.
        prior: the same before anything was observed.
        index: numbers of the slices (n,).
        shifts: of the slices that are shown, in slices (S,); between slices linear, beyond the ends the last.
    """
    count = posterior.shape[1]
    place = (index[:, None] + torch.as_tensor(np.asarray(shifts, np.float32), device=index.device)).clamp(
        0, count - 1
    )
    below = place.floor().long()
    share = (place - below)[None, ..., None, None].to(posterior)
    above = (below + 1).clamp(max=count - 1)
    mean, std = (
        torch.lerp(posterior[:, below], posterior[:, above], share)
        if bool(share.any())
        else posterior[:, below]
    )
    own = prior[:, index].movedim(0, 1)
    gain = own.new_tensor([1.0, _STD_GAIN])[:, None, None]
    return torch.cat([mean, _STD_GAIN * std, own * gain], 1)
