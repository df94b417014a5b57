"""The first volume of slice-to-volume reconstruction without a template.

The average of all slices where the scanner saw them.
"""

from __future__ import annotations

import numpy as np
import torch

from ..geometry import Grid, Volume
from ..observation import Slice
from ..observation.planes import gaussian_profile, plane_operator

_MIN_WEIGHT = 1e-4


def gaussian_average(slices: list[Slice], grid: Grid) -> Volume:
    """Gaussian-weighted average of slices on a grid.

    Every pixel counts where its slice's Gaussian profile reaches.

    The profile's full width at half maximum is the slice thickness (mm); within the plane pixels are spread
    linearly over the neighbouring voxels. 0 where no slice reaches.

    Args:
        slices: in the space of the grid, values in one unit.
        grid: RAS mm.
    """
    total, weight = torch.zeros(1, *grid.shape_kji), torch.zeros(1, *grid.shape_kji)
    for image in slices:
        operator = plane_operator([image.plane], grid, profile=gaussian_profile)
        pixels = operator.join([torch.as_tensor(image.pixels)[None]])
        total += operator.adjoint(pixels)
        weight += operator.adjoint(torch.ones_like(pixels))
    average = torch.where(weight > _MIN_WEIGHT, total / weight.clamp(min=_MIN_WEIGHT), 0.0)
    return Volume(average[0].numpy().astype(np.float32), grid)
