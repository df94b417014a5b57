"""The four views: Slicer's own displayable managers and interaction, rendered offscreen and shown in
labels.
"""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from vtkmodules.util.numpy_support import vtk_to_numpy

from . import qtstyle  # noqa: F401 - its manners are used below

SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLLinearTransformsDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)
THREE_D_MANAGERS = (
    "vtkMRMLVolumeRenderingDisplayableManager",
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLTransformsDisplayableManager3D",
    "vtkMRMLLinearTransformsDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
)
SLICES = {
    "Red": ("Axial", (0.953, 0.290, 0.200)),
    "Yellow": ("Sagittal", (0.929, 0.835, 0.298)),
    "Green": ("Coronal", (0.431, 0.690, 0.294)),
}
BUTTONS = {
    QtCore.Qt.LeftButton: "LeftButton",
    QtCore.Qt.RightButton: "RightButton",
    QtCore.Qt.MiddleButton: "MiddleButton",
}


class View(QtWidgets.QLabel):
    """One view: a picture of a render window, to which the mouse is passed on."""

    def __init__(self, application_logic, name: str, factory, managers, style):
        super().__init__()
        self.view_name = name
        self.renderer, self.window = vtk.vtkRenderer(), vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.AddRenderer(self.renderer)
        self.interactor, self.style = vtk.vtkRenderWindowInteractor(), style
        self.interactor.SetRenderWindow(self.window)
        self.interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self.interactor.Initialize()
        factory = factory.GetInstance()
        factory.SetMRMLApplicationLogic(application_logic)
        for manager in managers:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self.group = slicer.vtkMRMLDisplayableManagerGroup()
        self.group.SetRenderer(self.renderer)
        self.group.Initialize(factory, self.renderer)
        self.style.SetDisplayableManagers(self.group)
        self.setMouseTracking(True)
        self._soon = QtCore.QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.connect("timeout()", self.refresh)
        self.setMinimumSize(120, 120)
        self.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Ignored)

    def picture(self) -> np.ndarray:
        """What the view shows now, (height, width, 3) uint8."""
        self.window.Render()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self.window)
        grabber.ReadFrontBufferOff()
        grabber.ShouldRerenderOff()
        grabber.Update()
        image = grabber.GetOutput()
        width, height, _ = image.GetDimensions()
        return np.ascontiguousarray(
            vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3]
        )

    def refresh(self) -> None:
        """Render and show the picture."""
        pixels = self.picture()
        height, width, _ = pixels.shape
        image = QtGui.QImage(pixels.data, width, height, 3 * width, QtGui.QImage.Format_RGB888)
        self.setPixmap(QtGui.QPixmap.fromImage(image.copy()))

    def schedule(self) -> None:
        """Render soon, once for many requests, and not in the middle of what changes the scene."""
        self._soon.start(0)

    def resizeEvent(self, event) -> None:
        """Keep the render window at the size of the label."""
        self.resize_window(max(event.size().width(), 1), max(event.size().height(), 1))

    def resize_window(self, width: int, height: int) -> None:
        """Set the size of the render window in pixels."""
        self.window.SetSize(width, height)
        self.interactor.UpdateSize(width, height)

    def _pass_on(self, event, name: str) -> None:
        place, keys = event.position(), event.modifiers()
        control, shift = bool(keys & QtCore.Qt.ControlModifier), bool(keys & QtCore.Qt.ShiftModifier)
        self.interactor.SetEventInformation(
            int(place.x()), self.window.GetSize()[1] - 1 - int(place.y()), control, shift
        )
        self.interactor.InvokeEvent(name)

    def enterEvent(self, event) -> None:
        """The mouse comes in."""
        self._pass_on(event, "EnterEvent")

    def leaveEvent(self, event) -> None:
        """The mouse leaves."""
        self.interactor.InvokeEvent("LeaveEvent")

    def mouseMoveEvent(self, event) -> None:
        """The mouse moves, with or without a button."""
        self._pass_on(event, "MouseMoveEvent")

    def mousePressEvent(self, event) -> None:
        """A button goes down."""
        self._pass_on(event, BUTTONS[event.button()] + "PressEvent")

    def mouseReleaseEvent(self, event) -> None:
        """A button goes up."""
        self._pass_on(event, BUTTONS[event.button()] + "ReleaseEvent")

    def wheelEvent(self, event) -> None:
        """The wheel turns."""
        self._pass_on(
            event, "MouseWheelForwardEvent" if event.angleDelta().y() > 0 else "MouseWheelBackwardEvent"
        )

    def close_view(self) -> None:
        """Let go of the scene and of the render window."""
        self._soon.stop()
        self.style.SetInteractor(None)
        self.group.SetMRMLDisplayableNode(None)
        self.logic.SetMRMLScene(None)
        self.window.Finalize()


class SliceView(View):
    """A slice view. Its `node` and `logic` are what the panel finds through the layout manager."""

    def __init__(self, scene, application_logic, name: str):
        factory, style = (
            slicer.vtkMRMLSliceViewDisplayableManagerFactory,
            slicer.vtkMRMLSliceViewInteractorStyle(),
        )
        super().__init__(application_logic, name, factory, SLICE_MANAGERS, style)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        mapper = vtk.vtkImageMapper()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        self._image = vtk.vtkActor2D()
        self._image.SetMapper(mapper)
        self._image.GetProperty().SetDisplayLocationToBackground()
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(application_logic)
        application_logic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(scene)
        self.node = self.logic.AddSliceNode(name)
        orientation, colour = SLICES[name]
        self.node.SetOrientation(orientation)
        self.node.SetOrientationToDefault()
        self.node.SetLayoutColor(*colour)
        self.node.SetLayoutLabel(name[0])
        self.node.SetMappedInLayout(1)
        self.group.SetMRMLDisplayableNode(self.node)
        self.style.SetSliceLogic(self.logic)
        self.style.SetInteractor(self.interactor)

    @property
    def composite(self):
        """The node that names the volumes which the view shows."""
        return self.logic.GetSliceCompositeNode()

    def resize_window(self, width: int, height: int) -> None:
        """Set the size in pixels of the render window and of the slice."""
        super().resize_window(width, height)
        self.logic.ResizeSliceNode(width, height)

    def picture(self) -> np.ndarray:
        """What the view shows now, (height, width, 3) uint8."""
        connection = self.logic.GetImageDataConnection()
        if connection is None:
            self.renderer.RemoveViewProp(self._image)
        else:
            self._image.GetMapper().SetInputConnection(connection)
            if not self.renderer.HasViewProp(self._image):
                self.renderer.AddViewProp(self._image)
        return super().picture()


class ThreeDView(View):
    """The 3D view."""

    def __init__(self, scene, application_logic, name: str = "1"):
        factory, style = (
            slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
            slicer.vtkMRMLThreeDViewInteractorStyle(),
        )
        super().__init__(application_logic, name, factory, THREE_D_MANAGERS, style)
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(application_logic)
        application_logic.GetViewLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(scene)
        self.node = self.logic.AddViewNode(name)
        self.node.SetMappedInLayout(1)
        self.group.SetMRMLDisplayableNode(self.node)
        self.style.SetInteractor(self.interactor)

    def camera_node(self):
        """The node of the camera."""
        return self.group.GetDisplayableManagerByClassName("vtkMRMLCameraDisplayableManager").GetCameraNode()

    def reset_camera(self) -> None:
        """Look at all that the view shows, from the front right above."""
        self.window.Render()
        node = self.camera_node()
        node.RotateTo(slicer.vtkMRMLCameraNode.Anterior)
        node.GetCamera().Azimuth(30)
        node.GetCamera().Elevation(20)
        self.renderer.ResetCamera()
        self.renderer.ResetCameraClippingRange()
