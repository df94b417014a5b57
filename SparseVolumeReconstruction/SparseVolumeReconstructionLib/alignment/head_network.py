"""The network that reads single slices of heads, of any MR contrast.

It tells where the brain is, and where in the head each pixel lies.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import interpolate, max_pool2d, pixel_shuffle, pixel_unshuffle, silu

FIELD = 128
"""Pixels along each side of what the network sees."""
UNIT_MM = 100.0
"""What 1 stands for in the positions that go in and come out."""
CLASSES = ("outside the brain", "fluid", "grey matter", "white matter")

_WIDTHS = (16, 32, 64, 128)
_LOG_SPREAD = -1.5  # of an untrained network


class HeadNetwork(nn.Module):
    """A U-Net of 0.7 million weights on blocks of 2 x 2 pixels; skips are added, not concatenated.

    Besides its pixels it is told where they lie by what the file says of right, front and top.
    """

    def __init__(self) -> None:
        super().__init__()
        w = _WIDTHS
        self.stem = nn.Conv2d(4 + 3, w[0], 3, padding=1)
        self.down = nn.ModuleList([_Block(w[0], w[0]), *(_Block(a, b) for a, b in pairwise(w))])
        self.deep = _Block(w[3], w[3])
        self.glob = nn.Linear(w[3], w[3])
        self.pos = nn.Linear(w[3], 6)
        self.up = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in pairwise(w)])
        self.dec = nn.ModuleList([_Block(n, n) for n in w[:3]])
        self.head = nn.Conv2d(w[0], 4 * len(CLASSES) + 6, 1)

    def forward(
        self, images: torch.Tensor, offsets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits of CLASSES (B, 4, FIELD, FIELD).

        Args:
            images: (B, 1, FIELD, FIELD), 1 is as bright as tissue gets.
            offsets: (B, 3, FIELD / 2, FIELD / 2), R, A, S from the middle of the field in units of UNIT_MM.

        Returns:
            The logits, canonical R, A, S and the logarithm of their spread, both (B, 3, FIELD / 2, FIELD / 2)
            in units of UNIT_MM.
        """
        x = self.stem(torch.cat([pixel_unshuffle(images, 2) * 2 - 1, offsets], 1))
        skips = []
        for level, block in enumerate(self.down):
            x = block(max_pool2d(x, 2) if level else x)
            skips.append(x)
        x = self.deep(x)
        whole = x.mean((2, 3))
        x = x + self.glob(whole)[:, :, None, None]
        for level in (2, 1, 0):
            above = interpolate(self.up[level](x), scale_factor=2, mode="bilinear", align_corners=False)
            x = self.dec[level](skips[level] + above)
        out, shift = self.head(x), self.pos(whole)[:, :, None, None]
        count = 4 * len(CLASSES)
        place, spread = out[:, count : count + 3] + shift[:, :3], out[:, count + 3 :] + shift[:, 3:]
        return pixel_shuffle(out[:, :count], 2), offsets + place, (spread + _LOG_SPREAD).clamp(-5, 2)


class _Block(nn.Module):
    """Two convolutions and a skip, (B, inputs, H, W) -> (B, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.c1, self.n1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)
        self.c2, self.n2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return silu(self.n2(self.c2(silu(self.n1(self.c1(x))))) + self.skip(x))
