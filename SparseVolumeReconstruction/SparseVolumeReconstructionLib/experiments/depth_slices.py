"""What the number of depth slices does to a volume from one radiograph (paper 003)."""

from __future__ import annotations

import numpy as np
import torch

from ..geometry import Volume
from ..observation.rays import radiograph_of
from ..observation.views import VIEWS
from ..priors.base import Prior
from ..priors.xray_cnn.network import in_depth
from ..progress import Progress
from ..training.calibration import RADIOGRAPH_NOISE
from .findings import Table

DEPTHS = (8, 16, 32, 64)


def depth_slices(network: Prior, heads: dict[str, np.ndarray], progress: Progress) -> Table:
    """Errors of a network's volumes, and of the truth, with fewer slices along the rays.

    Args:
        network: sees one radiograph; its base gives the mean of all heads.
        heads: (K, J, I) on its grid, by name.
        progress: told of each head, asked whether to stop.
    """
    grid = network.grid
    atlas = network.condition([]).mean().cpu()
    errors: dict[int, list[tuple[float, ...]]] = {depth: [] for depth in DEPTHS}
    for number, (name, head) in enumerate(heads.items()):
        progress.update(f"{name}, depth slices", number / len(heads))
        truth = torch.as_tensor(head)
        for direction in map(np.array, VIEWS.values()):
            progress.check()
            seen = radiograph_of(Volume(head, grid), direction, max(grid.shape_kji), RADIOGRAPH_NOISE)
            found = network.condition([seen]).mean().cpu().clamp(min=0)
            axis = 2 - int(np.abs(direction).argmax())
            for depth in DEPTHS:
                volumes = (
                    thinned(found, axis, depth),
                    atlas + thinned(found - atlas, axis, depth),
                    thinned(truth, axis, depth),
                )
                errors[depth].append(tuple(float(((v - truth) ** 2).mean() ** 0.5) for v in volumes))
    return Table(
        "Number of depth slices",
        ["slices", "RMSE of the network", "where the mean has all slices", "of the truth itself"],
        [[depth, *np.mean(each, 0).tolist()] for depth, each in errors.items()],
        "The output of one network of 64 slices, thinned along the rays to means of neighbours and "
        "interpolated back to 64, before fusion; front, side and top. In the middle only what the network "
        "adds to the mean is thinned. Networks of fewer slices were not trained.",
    )


def thinned(volume: torch.Tensor, axis: int, depth: int) -> torch.Tensor:
    """A volume (K, J, I) on as many voxels, with `depth` slices along one of its axes (0 is k)."""
    along = volume.movedim(axis, 0)[None]
    return in_depth(in_depth(along, depth), volume.shape[axis])[0].movedim(0, axis)
