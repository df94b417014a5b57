"""The four views of the page.

Slicer's displayable managers, rendered here and sent as pictures by trame-slicer.
"""

from __future__ import annotations

import math

import numpy as np
import slicer
import vtk
from trame_slicer.core import ViewManager
from trame_slicer.rca_view import RemoteSliceViewFactory, RemoteThreeDViewFactory
from trame_slicer.views import ViewLayoutDefinition

from ..mrml import views
from .ground import ClearGround

# The hues of Slicer's views in shades that colour-blind people tell apart (Okabe and Ito); each view also
# carries its name.
COLOURS = {"Red": "#D55E00", "Green": "#009E73", "Yellow": "#F0E442"}
LABELS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
THREE_D = "ThreeD"
_SLICE_FPS, _THREE_D_FPS = (25.0, 25.0), (15.0, 4.0)  # while the mouse is over the view, and else
_QUALITY = 70
_MARGIN = 0.12  # what is inferred reaches beyond what was scanned
_CLOSER = 1.45  # the planes in 3D are larger than what they show


class Views:
    """Axial (Red), coronal (Green), sagittal (Yellow) and 3D views of the current scene.

    They are known to `server` by these names.

    Attributes:
        planes: whether the slices of the slice views are to be seen in the 3D view.
    """

    def __init__(self, server):
        self.planes = True
        application = slicer.app.applicationLogic()
        application.SetSliceLogics(vtk.vtkCollection())
        application.SetViewLogics(vtk.vtkCollection())
        for factory in (
            slicer.vtkMRMLSliceViewDisplayableManagerFactory,
            slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
        ):
            factory.GetInstance().SetMRMLApplicationLogic(application)
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        slicer.mrmlScene.AddNode(crosshair)
        self._manager = ViewManager(slicer.mrmlScene, application)
        for factory, rates in ((RemoteSliceViewFactory, _SLICE_FPS), (RemoteThreeDViewFactory, _THREE_D_FPS)):
            rates = {"target_fps": rates[0], "blur_fps": rates[1]}
            self._manager.register_factory(
                factory(server, populate_view_ui_f=None, interactive_quality=_QUALITY, **rates)
            )
        # VTK 9.6 announces, for every view, what VTK 9.7 will do otherwise
        vtk.vtkObject.GlobalWarningDisplayOff()
        for name, label in LABELS.items():
            self._manager.create_view(ViewLayoutDefinition.slice_view(label, label=name, color=COLOURS[name]))
            Steady(self.slice_view(name))
        self._three_d = self._manager.create_view(
            ViewLayoutDefinition.threed_view(name=THREE_D, background_color=("#101418", "#2a3138"))
        )
        vtk.vtkObject.GlobalWarningDisplayOn()
        for view in self._manager.get_views():
            view.render_window().SetMultiSamples(
                0
            )  # a CPU draws several times as many pictures a second without
        self._three_d.render_window().SetMultiSamples(4)  # here lines are oblique
        for renderer in self._three_d.renderers():
            renderer.SetUseDepthPeeling(False)  # too slow without a GPU
            renderer.SetUseDepthPeelingForVolumes(False)
        self._grounds = [ClearGround(slice_logic(name)) for name in LABELS]
        self._manager.set_current_view_ids([*LABELS, THREE_D])

    def slice_view(self, name: str):
        """The slice view of a name such as "Red"."""
        return self._manager.get_view(name)

    @views.arranging()
    def fit(self) -> None:
        """Let all views show the whole of what they show; slice views stay in their orientation."""
        self.show_planes()
        for name in LABELS:
            self.slice_view(name).reset_view()
            self.slice_view(name).zoom(-_MARGIN)
        self.fit_3d()
        if (anatomy := views.generated_in("Red")) is not None:
            views.fit(anatomy)

    def fit_3d(self) -> None:
        """Let the 3D view look from the front, somewhat from above and the left.

        At the volume that is shown, else at everything.
        """
        self._three_d.fit_view_to_content()
        camera = self._three_d.first_renderer().GetActiveCamera()
        camera.Azimuth(25)
        camera.Elevation(20)
        self._three_d.first_renderer().ResetCameraScreenSpace()
        self.zoom_3d(_CLOSER)
        if shown := views.shown_volumes("Red"):
            views.fit_cameras(views.box_of(views.generated_in("Red") or shown[0]))
            self._moved_3d()

    def turn_3d(self, azimuth: float, elevation: float) -> None:
        """Turn the 3D view about its middle, degrees."""
        camera = self._three_d.first_renderer().GetActiveCamera()
        camera.Azimuth(azimuth)
        camera.Elevation(elevation)
        camera.OrthogonalizeViewUp()
        self._moved_3d()

    def pan_3d(self, across: float, down: float) -> None:
        """Move what the 3D view shows by shares of the picture's width and height.

        Args:
            across: share of the width, to the right.
            down: share of the height, downwards.
        """
        renderer = self._three_d.first_renderer()
        camera = renderer.GetActiveCamera()
        width, height = self._three_d.render_window().GetSize()
        tall = 2 * camera.GetDistance() * math.tan(math.radians(camera.GetViewAngle() / 2))
        up, forward = np.array(camera.GetViewUp()), np.array(camera.GetDirectionOfProjection())
        shift = tall * (down * up - across * width / max(height, 1) * np.cross(forward, up))
        camera.SetFocalPoint(*(np.array(camera.GetFocalPoint()) + shift))
        camera.SetPosition(*(np.array(camera.GetPosition()) + shift))
        self._moved_3d()

    def zoom_3d(self, factor: float) -> None:
        """Bring the 3D view nearer by a factor."""
        self._three_d.first_renderer().GetActiveCamera().Dolly(factor)
        self._moved_3d()

    def _moved_3d(self) -> None:
        self._three_d.first_renderer().ResetCameraClippingRange()
        self._three_d.schedule_render()

    def show_planes(self) -> None:
        """Show the slices in the 3D view as `planes` says; without a volume they would be white."""
        there = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") > 0
        for name in LABELS:
            self.slice_view(name).set_visible_in_3d(self.planes and there)

    def close(self) -> None:
        """Let go of the render windows."""
        for view in self._manager.get_views():
            view.finalize()


class Steady:
    """What a slice view shows stays in sight however its window changes, and comes back as large as it was.

    Slicer keeps the height of the field of view, and so cuts what is wide where the window becomes narrow.
    """

    def __init__(self, view):
        self._node = view.get_view_node()
        self._wanted = self._given = (1.0, 1.0)  # mm
        view.interactor().AddObserver(vtk.vtkCommand.WindowResizeEvent, self._before, 1.0)
        view.interactor().AddObserver(vtk.vtkCommand.WindowResizeEvent, self._after, -1.0)

    def _before(self, *_args) -> None:
        """Remember what the user sees, unless that is what the last change of the window made of it."""
        field = self._node.GetFieldOfView()[:2]
        if not np.allclose(field, self._given):
            self._wanted = field

    def _after(self, *_args) -> None:
        shape = self._node.GetDimensions()[:2]
        pixel_mm = max(mm / max(pixels, 1) for mm, pixels in zip(self._wanted, shape, strict=True))
        self._given = tuple(pixel_mm * pixels for pixels in shape)
        self._node.SetFieldOfView(*self._given, self._node.GetFieldOfView()[2])


def slice_logic(name: str):
    """The logic of the slice view of a name."""
    return slicer.app.applicationLogic().GetSliceLogicByLayoutName(name)
