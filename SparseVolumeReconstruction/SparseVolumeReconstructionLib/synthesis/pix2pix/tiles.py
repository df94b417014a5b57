"""A network over volumes larger than what it learned of: tiles that overlap by a quarter, blended."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch

Size = tuple[int, int, int]
_FLOATS = 4  # that one voxel of a tile needs for each channel of the first two levels


def tile_starts(length: int, tile: int) -> list[int]:
    """First voxels of tiles that cover a length, evenly, neighbours overlapping by a quarter or more."""
    last = max(0, length - tile)
    count = 1 + -(-4 * last // (3 * tile))
    return [round(last * n / max(1, count - 1)) for n in range(count)]


def tile_corners(shape: Size, tile: Size) -> list[Size]:
    """First voxels (k, j, i) of the tiles that cover a volume."""
    starts = (tile_starts(n, m) for n, m in zip(shape, tile, strict=True))
    return [(k, j, i) for k, j, i in itertools.product(*starts)]


def tile_megabytes(tile: Size, width: int) -> float:
    """What a network needs for a tile, MB.

    Args:
        tile: voxels.
        width: channels of its first two levels together.
    """
    return _FLOATS * 4 * width * float(torch.tensor(tile).prod()) / 1e6


@torch.no_grad()
def tiled(
    network: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    scans: torch.Tensor,
    tile: Size,
    step: Callable[[float], None] = lambda done: None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a network makes of scans (B, C, K, J, I), two volumes (B, K, J, I) float32.

    Args:
        network: from scans to two volumes.
        tile: voxels; all of the volume at once where that is not larger.
        step: called before each tile with the fraction done; may raise to cancel.
    """
    shape = scans.shape[2], scans.shape[3], scans.shape[4]
    size = min(tile[0], shape[0]), min(tile[1], shape[1]), min(tile[2], shape[2])
    ramps = [1 - torch.linspace(-1, 1, n + 2, device=scans.device)[1:-1].abs() for n in size]
    weight = ramps[0][:, None, None] * ramps[1][:, None] * ramps[2]
    total = torch.zeros(2, len(scans), *shape, device=scans.device)
    weights = torch.zeros(shape, device=scans.device)
    corners = tile_corners(shape, size)
    for number, corner in enumerate(corners):
        step(number / len(corners))
        k, j, i = (slice(low, low + n) for low, n in zip(corner, size, strict=True))
        box = (..., k, j, i)
        given = scans[box]
        weights[k, j, i] += weight
        if (given > 0).any():
            total[box] += weight * torch.stack([made.float() for made in network(given)])
    first, second = total / weights
    return first, second
