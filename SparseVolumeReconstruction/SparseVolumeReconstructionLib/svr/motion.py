"""Stacks of thick slices of a body that moves from slice to slice."""

from __future__ import annotations

import numpy as np
import torch

from ..geometry import Grid, Plane, Volume
from ..observation import Slice
from ..observation.planes import plane_operator


def stack_planes(
    grid: Grid, axis: int, pixel_mm: float, spacing_mm: float, thickness_mm: float
) -> list[Plane]:
    """Parallel planes through the box of a grid, from its first voxel on.

    Args:
        grid: RAS mm.
        axis: the index axis that they are normal to (0, 1, 2: i, j, k).
        pixel_mm: of square pixels.
        spacing_mm: between neighbouring planes.
        thickness_mm: of each.
    """
    across = [n for n in range(3) if n != axis]
    steps = grid.ijk_to_ras[:3, :3] / grid.spacing_ijk
    extent = grid.spacing_ijk * (np.array(grid.shape_kji[::-1]) - 1)
    columns, rows = (int(np.floor(extent[n] / pixel_mm + 1e-6)) + 1 for n in across)
    matrix = np.eye(4)
    matrix[:3, :2] = steps[:, across] * pixel_mm
    matrix[:3, 2] = steps[:, axis]
    planes = []
    for depth in np.arange(0, extent[axis] + 1e-6, spacing_mm):
        matrix[:3, 3] = grid.ijk_to_ras[:3, 3] + steps[:, axis] * depth
        planes.append(Plane((rows, columns), matrix, thickness_mm))
    return planes


def random_translations(count: int, max_mm: float, seed: int) -> np.ndarray:
    """Translations (count, 3) in mm, each component uniform between -max_mm and max_mm.

    Args:
        count: how many.
        max_mm: 0 or more.
        seed: the same one gives the same translations.
    """
    return np.random.default_rng(seed).uniform(-max_mm, max_mm, (count, 3))


def acquire(volume: Volume, planes: list[Plane], shifts_mm: np.ndarray) -> list[Slice]:
    """What a scanner sees on planes (n) while the body is shifted by shifts_mm (n, 3).

    The slices say where the scanner was, not where the body was. Planes that show nothing are left out.

    Args:
        volume: the body, RAS mm.
        planes: where the scanner looks, in the same space.
        shifts_mm: along R, A, S, from where the body is in `volume`; one for each plane.
    """
    data = torch.as_tensor(volume.array, dtype=torch.float32)[None]
    found = []
    for number, (plane, shift) in enumerate(zip(planes, shifts_mm, strict=True)):
        back = np.eye(4)
        back[:3, 3] = -shift
        operator = plane_operator([plane.transformed(back)], volume.grid)
        pixels = operator.split(operator.forward(data))[0][0].numpy()
        if np.ptp(pixels) > 0:
            found.append(Slice(pixels, plane, f"slice {number}", thickness_assumed=False))
    return found
