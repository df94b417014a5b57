"""Planes in the 3D view without the black ground around the body."""

from __future__ import annotations

import vtk

_BLACK = 14  # of 255


class ClearGround:
    """Makes what is black in a slice view clear where its plane is seen in 3D.

    The slice view itself stays as it is.

    It puts its own picture back whenever the slice moves, and the clear one follows; where it shows nothing
    there is no picture to follow.

    Args:
        logic: the slice logic of the view.
    """

    def __init__(self, logic):
        self._display = logic.GetSliceModelDisplayNode()
        picture = logic.GetExtractModelTexture().GetOutputPort()
        self._colours, self._grey = vtk.vtkImageExtractComponents(), vtk.vtkImageLuminance()
        self._opaque, self._clear = vtk.vtkImageThreshold(), vtk.vtkImageAppendComponents()
        self._colours.SetComponents(0, 1, 2)
        self._opaque.ThresholdByUpper(_BLACK)
        self._opaque.SetInValue(255)
        self._opaque.SetOutValue(0)
        self._opaque.SetOutputScalarTypeToUnsignedChar()
        self._colours.SetInputConnection(picture)
        self._grey.SetInputConnection(self._colours.GetOutputPort())
        self._opaque.SetInputConnection(self._grey.GetOutputPort())
        self._clear.AddInputConnection(self._colours.GetOutputPort())
        self._clear.AddInputConnection(self._opaque.GetOutputPort())
        self._display.AddObserver(vtk.vtkCommand.ModifiedEvent, self._follow)
        self._follow()

    def _follow(self, *_args) -> None:
        if self._display.GetTextureImageDataConnection() not in (None, self._clear.GetOutputPort()):
            self._display.SetTextureImageDataConnection(self._clear.GetOutputPort())

    def picture(self) -> vtk.vtkImageData:
        """What is seen in 3D now: RGBA, 8 bit."""
        self._clear.Update()
        return self._clear.GetOutput()
