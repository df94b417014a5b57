"""Label maps of small heads: ellipsoids with FreeSurfer's numbers, fluid around them, and a skull."""

import numpy as np

from SparseVolumeReconstructionLib.geometry import Grid, Volume


def head(seed: int) -> Volume:
    """Labels on (44, 40, 36) voxels of 4 mm; sizes and places vary with the seed."""
    random = np.random.default_rng(seed)
    grid = Grid.centred((44, 40, 36), 4.0, random.normal(0, 5, 3))
    points = (
        grid.points_ras().reshape(*grid.shape_kji, 3) - (grid.corners_ras()[0] + grid.corners_ras()[-1]) / 2
    )
    labels = np.zeros(grid.shape_kji, np.int16)

    def fill(centre, radius, left: int, right: int) -> None:
        radius = np.array(radius) * random.normal(1, 0.05, 3)
        inside = (((points - centre) / radius) ** 2).sum(-1) < 1
        labels[inside] = np.where(points[inside][:, 0] < 0, left, right)

    fill((0, 0, 0), (66, 74, 80), 507, 507)
    fill((0, 0, 0), (58, 66, 72), 24, 24)
    fill((0, 0, 0), (50, 58, 62), 3, 42)
    fill((0, -10, -40), (14, 14, 30), 16, 16)
    fill((0, 0, 5), (38, 44, 48), 2, 41)
    fill((0, 8, 18), (16, 26, 14), 4, 43)
    fill((0, -8, -8), (20, 16, 14), 10, 49)
    return Volume(labels.astype(np.float32), grid)
