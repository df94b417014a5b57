"""Encoder and decoder of pictures with skips; depth is the channels of what comes out.

After Henzler, Rasche, Ropinski and Ritschel, Single-image tomography (Computer Graphics Forum 37, 2018).
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn.functional import interpolate

from .cube import transparency

_UNIT = 0.1  # about as much as voxels differ from the atlas; the layers' numbers are of size 1


class XraySettings(BaseModel):
    """Sizes of the network.

    size: pixels of the picture along a side, and voxels of the volume across the rays. depth: slices along
    the rays. widths: channels at each resolution, the first at that of the picture; each further one has half
    of the resolution. residual: basic blocks (convolution, normalisation, ReLU) within a residual block. chi:
    extinction of the brightest voxel along one side of the cube. atlas: the network is also shown the mean of
    the training volumes from where the picture was taken, and says what to add to it; the paper's is not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    size: Annotated[int, Field(ge=8)] = 64
    depth: Annotated[int, Field(ge=4)] = 64
    widths: tuple[Annotated[int, Field(ge=2)], ...] = (32, 64, 128, 128)
    residual: Annotated[int, Field(ge=1)] = 3
    chi: float = Field(10.0, gt=0)
    atlas: bool = True


def _basic(given: int, wanted: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(given, wanted, 3, padding=1, bias=False), nn.BatchNorm2d(wanted), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Some basic blocks, and a detour around them."""

    def __init__(self, width: int, blocks: int):
        """Channels, and how many blocks."""
        super().__init__()
        self.blocks = nn.Sequential(*(_basic(width, width) for _ in range(blocks)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, width, H, W) -> the same."""
        out: torch.Tensor = x + self.blocks(x)
        return out


class XrayNetwork(nn.Module):
    """Transparency of a picture to the density of every voxel behind its pixels."""

    def __init__(self, settings: XraySettings):
        """All sizes are in the settings."""
        super().__init__()
        self.settings = s = settings
        self.first = _basic(3 + s.depth if s.atlas else 1, s.widths[0])
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        self.before = nn.ModuleList(Residual(width, s.residual) for width in s.widths)
        self.after = nn.ModuleList()
        for wide, deep in zip(s.widths, s.widths[1:], strict=False):
            self.down.append(nn.Sequential(nn.MaxPool2d(2), _basic(wide, deep)))
            self.up.append(nn.ConvTranspose2d(deep, wide, 2, 2))
            self.after.append(nn.Sequential(_basic(2 * wide, wide), Residual(wide, s.residual)))
        self.last = nn.Conv2d(s.widths[0], s.depth, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, picture: torch.Tensor, atlas: torch.Tensor) -> torch.Tensor:
        """What to add to the atlas, or to nothing where it is not shown, (B, depth, size, size).

        Args:
            picture: transparency (B, size, size), [0, 1].
            atlas: mean volumes as seen from the same direction, (B, depth, size, size), nearest first.
        """
        x = self.first(self._shown(picture, atlas))
        kept = []
        for level, before in enumerate(self.before):
            x = before(x)
            if level < len(self.down):
                kept.append(x)
                x = self.down[level](x)
        for level in reversed(range(len(self.down))):
            x = self.after[level](torch.cat([self.up[level](x), kept[level]], 1))
        out: torch.Tensor = _UNIT * self.last(x)
        return out

    def _shown(self, picture: torch.Tensor, atlas: torch.Tensor) -> torch.Tensor:
        dark = 1 - picture[:, None]
        if not self.settings.atlas:
            return dark
        expected = 1 - transparency(atlas, self.settings.chi)[:, None]
        return torch.cat([dark, expected, (dark - expected) / _UNIT, atlas / _UNIT], 1)


def in_depth(seen: torch.Tensor, depth: int) -> torch.Tensor:
    """Cubes (B, n, rows, columns) with other slices along the rays, (B, depth, rows, columns).

    Fewer are means of some, more lie between them.
    """
    if depth == seen.shape[1]:
        return seen
    slices = seen.flatten(2).transpose(1, 2)
    how = "area" if depth < seen.shape[1] else "linear"
    out: torch.Tensor = interpolate(slices, depth, mode=how).transpose(1, 2)
    return out.reshape(len(seen), depth, *seen.shape[2:])
