"""What 3D Slicer made of files that it loaded itself, held against what their headers say.

The application fills in what is missing and puts slices on one even grid where they are none; this
extension's reader refuses or keeps them. Volumes that were changed after loading are the user's own.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import slicer.util
import vtk

from ..geometry import Grid, InputError
from ..geometry.io import stated_grids
from ..reconstruction.result import inferred_by
from .i18n import _
from .nodes import INFERRED, NOTICE

_SAME_MM = 0.5


def check_against_files(volume) -> tuple[str, ...]:
    """What is not as usual in the files of a volume node; only their headers are read, once.

    Raises:
        InputError: where the node does not lie where the headers say, where they do not say it, and where
            their slices are no even grid.
    """
    own = tuple((volume.GetAttribute(NOTICE) or "").splitlines())
    if not (files := _files_of(volume)):
        return own
    grids, notices = _stated(files, tuple(file.stat().st_mtime_ns for file in files))
    name = volume.GetName()
    if len(grids) > 1:
        raise InputError(
            _(
                "{name}: {notice} 3D Slicer has put its slices on one even grid. Give the files to the "
                "command line or the page, which keep every slice where it lies."
            ).format(name=name, notice=notices[0])
        )
    if grids and (apart := _apart_mm(volume, grids[0])) > _SAME_MM:
        raise InputError(
            _(
                "{name}: 3D Slicer has put it up to {apart:.3g} mm from where its file says that it lies "
                "({file}). Give the file to the command line or the page, or correct its header."
            ).format(name=name, apart=apart, file=files[0].name)
        )
    return (*own, *notices)


def check_is_no_result(volume) -> None:
    """Raise InputError where the file of a volume node is a result of this program: that was not observed."""
    how = volume.GetAttribute(INFERRED)
    for file in _files_of(volume)[:1]:
        how = how or inferred_by(file)
    if how:
        raise InputError(
            _(
                "{name} was reconstructed, not observed ({how} says how); give slices of the scan itself."
            ).format(name=volume.GetName(), how=how)
        )


def _files_of(volume) -> tuple[Path, ...]:
    """The files of a volume node that is as it was read; none of another."""
    storage = volume.GetStorageNode()
    if storage is None or volume.GetModifiedSinceRead():
        return ()
    listed = [storage.GetNthFileName(n) for n in range(storage.GetNumberOfFileNames())]
    named = dict.fromkeys([storage.GetFullNameFromFileName(), *map(storage.GetAbsoluteFilePath, listed)])
    return tuple(Path(file) for file in named if file and Path(file).is_file())


@lru_cache(maxsize=32)
def _stated(files: tuple[Path, ...], _written: tuple[int, ...]) -> tuple[list[Grid], tuple[str, ...]]:
    """Remembered until a file is written again."""
    return stated_grids(files)


def _apart_mm(volume, grid: Grid) -> float:
    """How far the corners of a volume node (without its parent transforms) lie from those of a grid.

    In whatever order: Slicer turns the axes of left-handed images.
    """
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    own = Grid(volume.GetImageData().GetDimensions()[::-1], slicer.util.arrayFromVTKMatrix(matrix))
    pairs = np.linalg.norm(own.corners_ras()[:, None] - grid.corners_ras()[None], axis=2)
    return float(pairs.min(1).max())
