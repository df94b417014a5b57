"""What is written into the pictures: that voxels are inferred, and the colours of an uncertainty."""

from __future__ import annotations

import slicer
import slicer.util
import vtk
from slicer.util import VTKObservationMixin

from ..mrml import views
from ..mrml.i18n import _
from ..mrml.look import unit_of

_SIZE, _COLOUR = 14, (1.0, 0.85, 0.3)


class InferredMark(VTKObservationMixin):
    """Writes what a slice view shows, if it is inferred, at the top of the view.

    In whatever module the user is, until `close`. An uncertainty that is shown has its colour legend
    beside it.
    """

    def __init__(self):
        super().__init__()
        self._actors: dict[str, vtk.vtkTextActor] = {}
        for event in (
            slicer.mrmlScene.NodeAddedEvent,
            slicer.mrmlScene.EndImportEvent,
            slicer.mrmlScene.EndCloseEvent,
        ):
            self.addObserver(slicer.mrmlScene, event, self._observe)
        self._observe()

    def update(self) -> None:
        """Look again what the views show: one that has just been made has its node before it has a widget."""
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            self._changed(composite)

    def text(self, view: str) -> str:
        """What is written in a view; "" for nothing."""
        node = views.generated_in(view)
        return "" if node is None else _("{name}\nINFERRED, not for diagnosis").format(name=node.GetName())

    def close(self) -> None:
        """Write nothing any more."""
        self.removeObservers()
        for view, actor in self._actors.items():
            if (shown := _view(view)) is not None:
                _renderer(shown).RemoveViewProp(actor)
        self._actors = {}

    def _observe(self, *_args) -> None:
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            if not self.hasObserver(composite, vtk.vtkCommand.ModifiedEvent, self._changed):
                self.addObserver(composite, vtk.vtkCommand.ModifiedEvent, self._changed)
                self._changed(composite)

    def _changed(self, composite, _event=None) -> None:
        self._legends()
        name, shown = composite.GetLayoutName(), _view(composite.GetLayoutName())
        text = self.text(name)
        if shown is None or (not text and name not in self._actors):
            return
        if name not in self._actors:
            self._actors[name] = _actor()
        actor = self._actors[name]
        if not _renderer(shown).HasViewProp(actor):  # the view may be a new one of the same name
            _renderer(shown).AddViewProp(actor)
        if actor.GetInput() != text:
            actor.SetInput(text)
            shown.scheduleRender()

    @staticmethod
    def _legends() -> None:
        seen = [node for each in views.slice_nodes() for node in views.shown_volumes(each.GetLayoutName())]
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
            if unit_of(node.GetAttribute(views.ROLE) or ""):
                _show_legend(node, node in seen)


def _show_legend(volume, shown: bool) -> None:
    """Draw the legend of a volume node in colour into the slice views that there are, or take it away."""
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(volume)
    if legend is None and shown:
        legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(volume)
        unit = unit_of(volume.GetAttribute(views.ROLE))
        legend.SetTitleText(_("INFERRED\n{unit}").format(unit=unit))
        legend.SetSize(0.12, 0.4)
        legend.SetNumberOfLabels(3)
        legend.SetLabelFormat("%6.3g")  # text is as large as there is room for
    if legend is not None:
        legend.SetVisibility3D(False)
        legend.SetVisibility(shown)
        legend.Modified()  # only then each view looks whether it shows the volume


def _actor() -> vtk.vtkTextActor:
    actor = vtk.vtkTextActor()
    actor.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
    actor.SetPosition(0.5, 0.985)
    look = actor.GetTextProperty()
    look.SetJustificationToCentered()
    look.SetVerticalJustificationToTop()
    look.SetFontSize(_SIZE)
    look.SetColor(*_COLOUR)
    look.SetShadow(True)
    return actor


def _view(name: str):
    """The widget that draws a slice view; None without one."""
    layout = slicer.app.layoutManager()
    widget = layout.sliceWidget(name) if layout is not None else None
    return widget.sliceView() if widget is not None else None


def _renderer(view):
    return view.renderWindow().GetRenderers().GetFirstRenderer()
