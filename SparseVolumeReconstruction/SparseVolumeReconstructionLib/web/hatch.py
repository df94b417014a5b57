"""Lines over everything in the slice views that was inferred, not observed."""

from __future__ import annotations

import numpy as np

from ..geometry import Grid, Volume
from ..slicerside import views
from ..slicerside.nodes import add_volume, set_volume, volume_of
from .derived import Derived

_PERIOD_MM, _SHARE = 7.0, 0.22  # of the lines, measured along R + A + S, and how much of it they take
_BODY = 0.1  # of the largest mean, below which there is nothing to be marked


class Hatch(Derived):
    """A label map of thin slanted sheets, so that every plane cuts lines out of it. Follows the mask of what was observed, and the mean."""

    def draw(self) -> None:
        """Lay the lines over the slice views; whatever marks something else there comes first again when they are gone."""
        if self.node is not None:
            views.set_label(self.node)

    def _take(self, observed, mean) -> tuple[Volume, Volume]:
        return volume_of(observed), volume_of(mean)

    def _compute(self, observed: Volume, mean: Volume) -> Volume:
        return hatched(observed, mean)

    def _put(self, made: Volume) -> None:
        if self.node is None:
            attributes = {views.ROLE: "hatch"}
            self.node = add_volume(made, "Inferred (hatched)", "vtkMRMLLabelMapVolumeNode", attributes)
            self.node.SetSaveWithScene(False)
        else:
            set_volume(self.node, made)


def hatched(observed: Volume, mean: Volume) -> Volume:
    """1 on the lines within what was inferred of the body, 0 elsewhere (uint8).

    observed: 1 where a voxel was observed; mean: on the same grid.
    """
    grid: Grid = observed.grid
    along = grid.ijk_to_ras[:3].sum(0)  # R + A + S of a voxel is linear in its indices
    k, j, i = np.ogrid[tuple(slice(size) for size in grid.shape_kji)]
    phase = ((along[0] * i + along[1] * j + along[2] * k + along[3]) / _PERIOD_MM).astype(np.float32) % 1.0
    return Volume(((phase < _SHARE) & (observed.array == 0) & (mean.array > _BODY * mean.array.max())).astype(np.uint8), grid)
