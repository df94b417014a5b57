"""Pictures of iso-surfaces, as the paper on single-image tomography compares volumes by."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from skimage.metrics import structural_similarity

from ..geometry import Grid, InputError
from ..observation.views import middle_of

ISO = 0.1
_PIXELS = 192
_EYES_DEG = 4.0  # between two eyes


class Studio:
    """One off-screen renderer for all pictures: a kit of five lamps, parallel projection, white ground.

    Raises:
        InputError: there is no VTK here.
    """

    def __init__(self, grid: Grid, pixels: int = _PIXELS):
        """Volumes of `grid`; pictures of so many pixels along each side."""
        if sys.platform == "linux":
            os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")  # needs no screen
        try:
            import vtk
        except ImportError as error:
            raise InputError(
                "Surfaces are drawn with VTK, which is not installed; it comes with ./run web."
            ) from error
        self._vtk: Any = vtk
        self._grid = grid
        self._middle = middle_of(grid)
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetSize(pixels, pixels)
        self._renderer = vtk.vtkRenderer()
        self._renderer.SetBackground(1, 1, 1)
        self._window.AddRenderer(self._renderer)
        vtk.vtkLightKit().AddLightsToRenderer(self._renderer)
        camera = self._renderer.GetActiveCamera()
        camera.ParallelProjectionOn()
        camera.SetParallelScale(float(grid.spacing_ijk.max()) * max(grid.shape_kji) / 2)

    def surface(self, volume: np.ndarray) -> Any:
        """What `picture` shows: the surface at ISO of (K, J, I)."""
        from vtk.util.numpy_support import numpy_to_vtk

        vtk = self._vtk
        image = vtk.vtkImageData()
        image.SetDimensions(*volume.shape[::-1])
        image.SetSpacing(*map(float, self._grid.spacing_ijk))
        image.SetOrigin(*map(float, self._grid.ijk_to_ras[:3, 3]))
        image.GetPointData().SetScalars(numpy_to_vtk(volume.astype(np.float32).ravel(), deep=True))
        contour = vtk.vtkFlyingEdges3D()
        contour.SetInputData(image)
        contour.SetValue(0, ISO)
        mapper = vtk.vtkPolyDataMapper()
        mapper.SetInputConnection(contour.GetOutputPort())
        mapper.ScalarVisibilityOff()
        actor = vtk.vtkActor()
        actor.SetMapper(mapper)
        actor.GetProperty().SetColor(0.93, 0.88, 0.78)
        return actor

    def picture(self, surface: Any, direction: np.ndarray) -> np.ndarray:
        """What is seen along a direction (RAS), (pixels, pixels, 3) uint8, first row at the top."""
        from vtk.util.numpy_support import vtk_to_numpy

        vtk, renderer = self._vtk, self._renderer
        renderer.RemoveAllViewProps()
        renderer.AddActor(surface)
        along = np.asarray(direction, float) / np.linalg.norm(direction)
        camera = renderer.GetActiveCamera()
        camera.SetFocalPoint(*self._middle)
        camera.SetPosition(*(self._middle - 100 * along))
        camera.SetViewUp(*((0.0, 0.0, 1.0) if abs(along[2]) < 0.9 else (0.0, 1.0, 0.0)))
        renderer.ResetCameraClippingRange()
        self._window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self._window)
        grab.ReadFrontBufferOff()
        grab.Update()
        shown = grab.GetOutput()
        columns, rows, _ = shown.GetDimensions()
        pixels: np.ndarray = vtk_to_numpy(shown.GetPointData().GetScalars()).reshape(rows, columns, 3)
        return pixels[::-1].copy()

    def pictures(self, volume: np.ndarray, directions: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The surface of (K, J, I) from some directions, as `picture` gives it."""
        surface = self.surface(volume)
        return [self.picture(surface, direction) for direction in directions]

    def anaglyph(self, surface: Any, direction: np.ndarray) -> np.ndarray:
        """For glasses with a red left and a cyan right eye, (pixels, pixels, 3) uint8."""
        half = np.deg2rad(_EYES_DEG / 2)
        left, right = (
            self.picture(surface, turned_about(np.asarray(direction, float), a)) for a in (half, -half)
        )
        both = np.repeat(left.mean(2, keepdims=True), 3, 2)
        both[..., 1:] = right.mean(2, keepdims=True)
        return both.astype(np.uint8)


def turned_about(direction: np.ndarray, angle: float) -> np.ndarray:
    """A direction (3,) after a turn about S, rad."""
    c, s = np.cos(angle), np.sin(angle)
    moved: np.ndarray = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ direction
    return moved


def dssim(one: np.ndarray, other: np.ndarray) -> float:
    """(1 - SSIM) / 2 of two pictures (rows, columns, 3) uint8; 0 where they are the same."""
    grey = [picture.mean(2) / 255 for picture in (one, other)]
    return (1 - float(structural_similarity(*grey, data_range=1.0))) / 2
