"""The list of context slices: what a user does with it, and what happens to it when the scene changes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import slicer
import vtk
from slicer.util import VTKObservationMixin

from ...geometry import InputError
from .. import views
from ..contexts import ContextSlice, add_context, check_is_observed, context_slices, remove_context, slices_of
from ..results import ATTRIBUTE


class ContextList(VTKObservationMixin):
    """The contexts of the scene, one of them selected. `on_change` is called after every change of a context or of the list."""

    def __init__(self, on_change: Callable[[], None]):
        super().__init__()
        self._on_change = on_change
        self.selected: ContextSlice | None = None
        self._images, self._hovered = False, None
        self._hidden: set[str] = set()
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.NodeRemovedEvent, self._node_removed)
        for event in (scene.EndImportEvent, scene.EndCloseEvent):
            self.addObserver(scene, event, self._scene_changed)
        self._adopt()

    def __iter__(self):
        return iter(context_slices())

    def __len__(self) -> int:
        return len(context_slices())

    def enabled(self) -> list[ContextSlice]:
        """The contexts that are used."""
        return [context for context in self if context.enabled]

    def add_from_view(self, view: str | None) -> ContextSlice:
        """Take the plane that a slice view shows, of the scan it shows, as context and select it. Raises InputError."""
        node = views.slice_node(view) if view else None
        if node is None:
            raise InputError("no slice view is under the mouse; move it over a view and press the shortcut, or click the view's button.")
        shown = views.shown_volumes(view)
        observed = [volume for volume in shown if not volume.GetAttribute(f"{ATTRIBUTE}Role")]
        volume = next(iter(observed or shown), None)
        check_is_observed(volume)
        context = self._add(volume, views.plane_of(node), view)
        self.select(context)
        views.face(node, context.plane)  # with gaps between slices it is the acquired one, not exactly the plane that was shown
        return context

    def add_hovered(self) -> ContextSlice:
        """Take the plane of the slice view that the mouse is over, or was last. Raises InputError."""
        return self.add_from_view(self._hovered)

    def add_all(self, volume) -> None:
        """Take every slice of a sparse acquisition that shows anything. Raises InputError."""
        check_is_observed(volume)
        planes = slices_of(volume)
        view = views.nearest_view(planes[0][:3, 2])
        self.select([self._add(volume, plane, view) for plane in planes][-1])

    def select(self, context: ContextSlice | None) -> None:
        """Make a context the selected one: it is drawn stronger, and live updates move it."""
        if context == self.selected:
            return
        before, self.selected = self.selected, context
        for each in (before, context):
            if each is not None and each.node.GetScene() is not None:
                self._draw(each)
        self._on_change()

    def show(self, context: ContextSlice) -> None:
        """Let all views jump to a context. Raises InputError where it has no plane in its volume."""
        grid = context.grid()
        views.jump(context.plane, grid.corners_ras().mean(0), context.view)

    def edit(self, context: ContextSlice, change: Callable[[ContextSlice], None]) -> None:
        """Apply a change to a context and redraw it. Raises InputError, as the change does, with nothing changed."""
        change(context)
        self._draw(context)
        self._on_change()

    def remove(self, context: ContextSlice) -> None:
        """Take a context out of the list and the scene."""
        if self.selected == context:
            self.selected = None
        remove_context(context)
        self._on_change()

    def clear(self) -> None:
        """Remove all contexts."""
        for context in self:
            self.remove(context)

    def follow(self, on: bool) -> None:
        """While on, the selected context moves with the slice view to which it belongs."""
        self.removeObservers(self._view_moved)
        for node in views.slice_nodes() if on else []:
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._view_moved)

    def show_images(self, on: bool) -> None:
        """Show the slices' images on their frames in 3D, or the frames alone."""
        if on != self._images:
            self._images = on
            for context in self:
                self._draw(context)

    def hide(self, on: bool, why: str = "quiz") -> None:
        """Draw no contexts at all, or draw them again once there is no reason `why` left to hide them."""
        before = bool(self._hidden)
        self._hidden = self._hidden | {why} if on else self._hidden - {why}
        if bool(self._hidden) != before:
            for context in self:
                self._draw(context)

    def close(self) -> None:
        """Stop observing the scene."""
        self.removeObservers()

    def _add(self, volume, plane: np.ndarray, view: str) -> ContextSlice:
        node = views.slice_node(view)
        context = add_context(volume, plane, view, node.GetLayoutColor() if node else (1.0, 1.0, 0.0))
        self._observe(volume)
        self._draw(context)
        return context

    def _draw(self, context: ContextSlice) -> None:
        context.draw(selected=context == self.selected, image=self._images)
        if self._hidden:
            context.node.GetDisplayNode().SetVisibility(False)

    def _observe(self, volume) -> None:
        event = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
        if not self.hasObserver(volume, event, self._volume_moved):
            self.addObserver(volume, event, self._volume_moved)

    def _view_moved(self, node, _event) -> None:
        context = self.selected
        if context is None or context.view != node.GetLayoutName():
            return
        try:
            moved = context.move(views.plane_of(node))
        except InputError:
            return  # the view was turned where no slice is: the context stays
        if moved:
            self._draw(context)
            self._on_change()

    def _mouse_moved(self, *_) -> None:
        self._hovered = views.view_under_mouse() or self._hovered

    def _volume_moved(self, volume, _event) -> None:
        for context in self:
            if context.volume is volume:
                self._draw(context)
        self._on_change()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _node_removed(self, _scene, _event, node) -> None:
        """A context whose volume is deleted goes with it."""
        if slicer.mrmlScene.IsClosing():
            return
        if node.IsA("vtkMRMLVolumeNode"):
            for context in self:
                if context.volume is None:
                    self.remove(context)
        elif self.selected is not None and self.selected.node is node:
            self.selected = None
        if node.IsA("vtkMRMLModelNode"):
            self._on_change()

    def _scene_changed(self, *_) -> None:
        """After a scene was loaded or closed."""
        self.selected = None
        self._adopt()
        self._on_change()

    def _adopt(self) -> None:
        """Draw the contexts that the scene has, and follow their volumes and the mouse."""
        crosshair = views.crosshair_node()
        if crosshair is not None and not self.hasObserver(crosshair, crosshair.CursorPositionModifiedEvent, self._mouse_moved):
            self.addObserver(crosshair, crosshair.CursorPositionModifiedEvent, self._mouse_moved)
        for context in self:
            if context.volume is not None:
                self._observe(context.volume)
            self._draw(context)
