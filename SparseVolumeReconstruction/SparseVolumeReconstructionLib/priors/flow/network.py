"""The network of a flow: a 3D U-Net that says where a draw is to be carried.

Four slices of a stack are its channels: rows and columns are coarser than slices are apart, and the finest of
its three sizes is about as fine in all directions.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import pad, silu

from ..stored import group_norm

_TOGETHER = 4  # slices in the channels of one
_SIZES = 4  # rows, columns and groups of slices are a multiple of this inside
_STD_GAIN = 4.0  # standard deviations are a quarter of the grey values
_MIN_STD = 1e-3
_FAR = 6.0  # standard deviations from the mean
_INPUTS = 6
REACH_MM = 10.0  # of what is called close to something that was observed


class Block(nn.Module):
    """Two convolutions with a way around them, (B, inputs, D, H, W) -> (B, outputs, D, H, W).

    The first looks at slices above and below where `through`, the other within the slice.

    Args:
        inputs: channels that go in.
        outputs: channels that come out.
        through: whether it looks at neighbouring slices.
    """

    def __init__(self, inputs: int, outputs: int, through: bool = True):
        super().__init__()
        depth = 3 if through else 1
        self.first = nn.Conv3d(inputs, outputs, (depth, 3, 3), padding=(depth // 2, 1, 1))
        self.second = nn.Conv3d(outputs, outputs, (1, 3, 3), padding=(0, 1, 1))
        self.norms = nn.ModuleList([group_norm(outputs), group_norm(outputs)])
        self.skip = nn.Conv3d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same size."""
        inner = silu(self.norms[0](self.first(x)))
        return silu(self.norms[1](self.second(inner)) + self.skip(x))


class FlowNetwork(nn.Module):
    """How volumes (B, K, H, W) are carried on, of what is known of them.

    At first nothing is. It is given in standard deviations and so vanishes where the volume is known.

    Args:
        width: channels of the finest of three sizes.
    """

    def __init__(self, width: int):
        super().__init__()
        self.width = width
        widths = width, 2 * width, 3 * width
        self.down = nn.ModuleList(
            [Block(a, b) for a, b in zip((_TOGETHER * _INPUTS, *widths), widths, strict=False)]
        )
        self.up = nn.ModuleList(
            [Block(widths[2] + widths[1], widths[1]), Block(widths[1] + widths[0], widths[0], through=False)]
        )
        self.end = nn.Conv3d(width, _TOGETHER, 3, padding=1)
        nn.init.zeros_(self.end.weight)
        assert self.end.bias is not None
        nn.init.zeros_(self.end.bias)

    def forward(self, volumes: torch.Tensor, known: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """(B, K, H, W), canonical units per unit of time.

        Args:
            volumes: on their way, (B, K, H, W).
            known: mean and standard deviation of the posterior, and closeness, see `known_of`, (B, 3, ...).
            time: 0 where the way begins, 1 at its end, (B,).
        """
        slices, rows, columns = volumes.shape[1:]
        std = known[:, 1]
        clock = time[:, None, None, None].expand_as(volumes)
        away = ((volumes - known[:, 0]) / std.clamp(min=_MIN_STD)).clamp(-_FAR, _FAR)
        x = torch.stack([away, volumes, known[:, 0], _STD_GAIN * std, known[:, 2], clock], 1)
        x = pad(x, (0, -columns % _SIZES, 0, -rows % _SIZES, 0, -slices % (_TOGETHER * _SIZES)))
        x = x.unflatten(2, (-1, _TOGETHER)).movedim(3, 2).flatten(1, 2)
        kept: list[torch.Tensor] = []
        for block in self.down:
            x = block(x if not kept else coarser(x, (2, 2, 2)))
            kept.append(x)
        kept.pop()
        for block in self.up:
            x = block(torch.cat([_finer(x), kept.pop()], 1))
        out = self.end(x).float().movedim(1, 2).flatten(1, 2)
        return out[:, :slices, :rows, :columns] * std


def carried(network: FlowNetwork, start: torch.Tensor, known: torch.Tensor, steps: int) -> torch.Tensor:
    """Volumes (B, K, H, W) at the end of their way, by Euler's method.

    Args:
        start: where it begins.
        known: see FlowNetwork.
        steps: of the way.
    """
    x = start
    for step in range(steps):
        x = x + network(x, known, x.new_full((len(x),), step / steps)) / steps
    return x


def coarser(x: torch.Tensor, sizes: tuple[int, int, int]) -> torch.Tensor:
    """Means of blocks of volumes (..., D, H, W); what fills no block is left out, (..., d, h, w).

    Args:
        x: volumes (..., D, H, W), in any unit.
        sizes: of a block, voxels; as large as the volume at most.
    """
    a, b, c = (min(pair) for pair in zip(x.shape[-3:], sizes, strict=True))
    d, h, w = (n // size for n, size in zip(x.shape[-3:], (a, b, c), strict=True))
    cut = x[..., : d * a, : h * b, : w * c]
    return cut.reshape(*x.shape[:-3], d, a, h, b, w, c).mean((-5, -3, -1))


def _finer(x: torch.Tensor) -> torch.Tensor:
    """Each voxel eight times; unlike that of interpolation, its gradient is the same on every run."""
    b, c, d, h, w = x.shape
    return (
        x[:, :, :, None, :, None, :, None].expand(b, c, d, 2, h, 2, w, 2).reshape(b, c, 2 * d, 2 * h, 2 * w)
    )


def known_of(mean: torch.Tensor, std: torch.Tensor, distance_mm: torch.Tensor) -> torch.Tensor:
    """What the network is shown of a posterior, (3, K, H, W).

    Args:
        mean, std: of the posterior, canonical units, (K, H, W).
        distance_mm: to the nearest observed voxel, (K, H, W).
    """
    return torch.stack([mean, std, torch.exp(-distance_mm.to(mean) / REACH_MM)])
