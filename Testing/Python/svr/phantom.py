"""A small body without symmetry, and stacks of it as files."""

import numpy as np
from scipy.ndimage import gaussian_filter

from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import write_volume
from SparseVolumeReconstructionLib.svr.simulate import Scan, Simulated, simulate

SCAN = Scan(pixel_mm=2.0, thickness_mm=4.0)


def body(size: int = 32, spacing_mm: float = 2.0) -> Volume:
    """An ellipsoid of soft blobs, 0 outside, in [0, 1]."""
    grid = Grid.centred((size, size, size), spacing_mm, (5.0, -7.0, 11.0))
    noise = gaussian_filter(np.random.default_rng(3).standard_normal(grid.shape_kji), 2.0)
    points = grid.points_ras().reshape(*grid.shape_kji, 3) - np.array([5.0, -7.0, 11.0])
    inside = ((points / (np.array([20.0, 24.0, 18.0]))) ** 2).sum(-1) < 1
    array = np.where(inside, 0.5 + 0.15 * noise / noise[inside].std(), 0)
    return Volume(np.clip(array, 0, 1).astype(np.float32), grid)


def moving(max_mm: float = 3.0, max_deg: float = 4.0, **words) -> Simulated:
    """Three stacks of the body."""
    return simulate(body(), SCAN, max_mm, max_deg, **words)


def write_stacks(found: Simulated, folder, value: float = 400.0, masks: bool = False) -> list[str]:
    """The stacks as NIfTI files, 0 outside of the masks; their paths."""
    paths = []
    for stack in sorted({s.stack for s in found.slices}):
        own = [s for s in found.slices if s.stack == stack]
        first, last = own[0].place, own[-1].place
        matrix = own[0].image.plane.ij_to_ras.copy()
        step = (own[-1].image.plane.centre - own[0].image.plane.centre) / (last - first)
        matrix[:3, 2] = step
        array = np.zeros((last - first + 1, *own[0].image.pixels.shape), np.float32)
        for s in own:
            seen = np.where(s.mask, np.maximum(s.image.pixels, 0.01), 0) * value
            array[s.place - first] = s.mask if masks else seen
        path = folder / f"{'mask' if masks else 'stack'}-{stack + 1}.nii.gz"
        write_volume(Volume(array, Grid(array.shape, matrix)), path)
        paths.append(str(path))
    return paths
