"""Lines over everything in the slice views that was inferred, not observed."""

from __future__ import annotations

import numpy as np
import slicer

from ..geometry import Grid, Volume
from ..mrml import views
from ..mrml.nodes import add_volume, set_volume, volume_of
from .derived import Derived
from .views import LABELS

_VOXEL_MM = 1.0
_AMBER = (1.0, 0.69, 0.0)
_OPACITY = 0.6
_PERIOD_MM, _SHARE = 7.0, 0.22  # of the lines, measured along R + A + S, and how much of it they take
_BODY = 0.1  # of the largest mean, below which there is nothing to be marked


class Hatch(Derived):
    """A label map of thin slanted sheets, so that every plane cuts lines out of it.

    Follows the mean, and the mask of what was observed; without that nothing was: all of it is inferred.
    """

    def draw(self) -> None:
        """Lay the lines over the slice views.

        Whatever marks something else there comes first again when they are gone.
        """
        if self.node is not None:
            views.set_label(self.node)
            for name in LABELS:
                views.composite_node(name).SetLabelOpacity(_OPACITY)

    def _take(self, mean, observed) -> tuple[Volume, Volume]:
        whole = volume_of(mean)
        nothing = Volume(np.zeros(whole.grid.shape_kji, np.uint8), whole.grid)
        return volume_of(observed) if observed is not None else nothing, whole

    def _compute(self, observed: Volume, mean: Volume) -> Volume:
        return hatched(observed, mean)

    def _put(self, made: Volume) -> None:
        if self.node is None:
            attributes = {views.ROLE: "hatch"}
            self.node = add_volume(made, "Inferred (hatched)", "vtkMRMLLabelMapVolumeNode", attributes)
            self.node.SetSaveWithScene(False)
            self.node.GetDisplayNode().SetAndObserveColorNodeID(_lines().GetID())
        else:
            set_volume(self.node, made)


def hatched(observed: Volume, mean: Volume) -> Volume:
    """1 on the lines within what was inferred of the body, 0 elsewhere (uint8).

    On the grid, or a finer one of about 1 mm.

    Args:
        observed: 1 where a voxel was observed.
        mean: on the same grid.
    """
    grid, finer = _refined(observed.grid)
    along = grid.ijk_to_ras[:3].sum(0)  # R + A + S of a voxel is linear in its indices
    k, j, i = np.ogrid[tuple(slice(size) for size in grid.shape_kji)]
    phase = ((along[0] * i + along[1] * j + along[2] * k + along[3]) / _PERIOD_MM).astype(np.float32) % 1.0
    inferred = (observed.array == 0) & (mean.array > _BODY * mean.array.max())
    for axis, count in enumerate(finer[::-1]):
        inferred = inferred.repeat(count, axis)
    return Volume(((phase < _SHARE) & inferred).astype(np.uint8), grid)


def _refined(grid: Grid) -> tuple[Grid, np.ndarray]:
    """The grid with voxels small enough to draw lines with, and into how many each is parted (i, j, k)."""
    finer = np.maximum(np.round(np.asarray(grid.spacing_ijk) / _VOXEL_MM), 1).astype(int)
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, :3] /= finer
    matrix[:3, 3] -= matrix[:3, :3] @ ((finer - 1) / 2)
    return Grid(tuple(np.asarray(grid.shape_kji) * finer[::-1]), matrix), finer


def _lines():
    """The colour of the lines: that of the mark "INFERRED"."""
    name = "Inferred (hatched) colour"
    table = slicer.mrmlScene.GetFirstNodeByName(name)
    if table is None:
        table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", name)
        table.SetTypeToUser()
        table.SetHideFromEditors(True)
        table.SetSaveWithScene(False)
        table.SetNumberOfColors(2)
        table.SetColor(0, 0.0, 0.0, 0.0, 0.0)
        table.SetColor(1, *_AMBER, 1.0)
    return table
