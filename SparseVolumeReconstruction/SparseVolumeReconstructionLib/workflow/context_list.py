"""The list of context slices: what a user does with it, and what happens to it when the scene changes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import slicer
import vtk
from slicer.util import VTKObservationMixin

from ..geometry import InputError
from ..mrml import views
from ..mrml.contexts import (
    ContextSlice,
    add_context,
    already,
    check_is_observed,
    context_slices,
    remove_context,
    same_plane,
    slices_of,
)
from ..mrml.i18n import _
from ..mrml.nodes import parts_of
from ..mrml.results import ATTRIBUTE
from .undo import Undo

_MANY = 6


class ContextList(VTKObservationMixin):
    """The contexts of the scene, one of them selected.

    Args:
        on_change: called after every change of a context or of the list.

    Attributes:
        selected: what the user looks at.
        moving: the selected one while it moves with its view, because the user said so; no other context ever
            moves by itself.
    """

    def __init__(self, on_change: Callable[[], None]):
        super().__init__()
        self._tell = on_change
        self.selected: ContextSlice | None = None
        self.moving: ContextSlice | None = None
        self._undo = Undo()
        self._images = False
        self._looks = {}
        self._hidden: set[str] = set()
        self._thin = False
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.NodeRemovedEvent, self._node_removed)
        self.addObserver(scene, scene.NodeAddedEvent, self._node_added)
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
        """Take the plane that a slice view shows, of the scan it shows, as context and select it.

        Raises InputError.
        """
        if why := views.out_of_sight(view):
            raise InputError(why)
        node = views.slice_node(view)
        shown = views.shown_volumes(view)
        observed = [volume for volume in shown if not volume.GetAttribute(f"{ATTRIBUTE}Role")]
        volume = next(iter(observed or shown), None)
        check_is_observed(volume)
        with self._undo.step(_("slice added")):
            context = self._add(volume, views.plane_of(node), view)
        self.select(context)
        views.face(
            node, context.plane
        )  # with gaps between slices it is the acquired one, not exactly the plane that was shown
        return context

    def add_hovered(self) -> ContextSlice:
        """Take the plane of the slice view that the mouse is over now. Raises InputError."""
        return self.add_from_view(views.view_under_mouse())

    def add_all(self, volume) -> int:
        """Take every slice of a sparse acquisition that shows anything and is not in the list yet.

        How many of them were already.

        Of a scan of several parts (a gap, other directions) all are taken. Raises InputError, also where all
        of them were.
        """
        check_is_observed(volume)
        planes = [(part, plane) for part in parts_of(volume) for plane in slices_of(part)]
        new = [(part, plane) for part, plane in planes if not already(part, plane)]
        if not new:
            raise InputError(
                _("all {count} slices of {name} are in the list already.").format(
                    count=len(planes), name=volume.GetName()
                )
            )
        with self._undo.step(_("slices added")):
            added = [self._add(part, plane, views.nearest_view(plane[:3, 2])) for part, plane in new]
        self.select(added[-1])
        return len(planes) - len(new)

    def use_only(self, volume, planes: list[np.ndarray]) -> None:
        """Use these slices of a volume (4x4 SliceToRAS in world RAS, mm) and no others of it.

        Those of other volumes stay as they are.

        Args:
            volume: the volume node.
            planes: those that are no contexts yet are added, those of other contexts of it are not used.

        Raises:
            InputError: as adding does.
        """
        check_is_observed(volume)
        with self._undo.step(_("slices chosen")):
            for plane in planes:
                if not any(one.volume is volume and same_plane(one.plane, plane) for one in self):
                    self._add(volume, plane, views.nearest_view(plane[:3, 2]))
            for context in self:
                if context.volume is volume:
                    context.set_enabled(any(same_plane(context.plane, plane) for plane in planes))
                    self._draw(context)
        self._on_change()

    def select(self, context: ContextSlice | None) -> None:
        """Make a context the selected one: it is drawn stronger.

        Another one that moved with its view stays where it is.
        """
        if context == self.selected:
            return
        self.release()
        before, self.selected = self.selected, context
        for each in (before, context):
            if each is not None and each.node.GetScene() is not None:
                self._draw(each)
        self._on_change()

    def show(self, context: ContextSlice) -> None:
        """Let all views jump to a context.

        Raises:
            InputError: where it has no plane in its volume.
        """
        grid = context.grid()
        views.jump(context.plane, grid.corners_ras().mean(0), context.view)

    def edit(
        self, context: ContextSlice, change: Callable[[ContextSlice], None], undoable: bool = True
    ) -> None:
        """Apply a change to a context and redraw it.

        Args:
            undoable: whether it is a step of the user that can be taken back.

        Raises:
            InputError: as the change does, with nothing changed.
        """
        with self._undo.step(_("slice changed")) if undoable else nullcontext():
            change(context)
        self._draw(context)
        self._on_change()

    def remove(self, context: ContextSlice) -> None:
        """Take a context out of the list and the scene."""
        with self._undo.step(_("slice removed")):
            self._remove(context)
        self._on_change()

    def clear(self) -> None:
        """Remove all contexts."""
        with self._undo.step(_("all slices removed")):
            for context in self:
                self._remove(context)
        self._on_change()

    @property
    def undone(self) -> str:
        """The step that `undo` takes back, in words such as "slice removed"; "" where there is none."""
        return self._undo.what

    def undo(self) -> None:
        """Take back the last step of the user: what was added, removed, moved or changed.

        Raises:
            InputError: where there is none.
        """
        if not self._undo.what:
            raise InputError(_("there is nothing to undo."))
        self.release()
        self._undo.back()
        if self.selected not in list(self):
            self.selected = None
        for context in self:
            self._draw(context)
        self._on_change()

    def move_with_view(self, on: bool) -> None:
        """Let the selected context move with the slice view to which it belongs, or let it stay where it is.

        The view turns to it first. It ends when another context is selected or added, with `release`, and
        where the program moves the view.

        Raises:
            InputError: where none is selected, its view is not shown, or it has no plane in its volume.
        """
        self.release()
        if not on:
            return
        if self.selected is None:
            raise InputError(_("choose the slice that is to move: click its row."))
        if why := views.out_of_sight(self.selected.view):
            raise InputError(why)
        self.selected.grid()
        views.face(views.slice_node(self.selected.view), self.selected.plane)
        self.moving = self.selected
        self._journey = object()  # all of the way is one step to take back
        self._draw(self.moving)
        self._on_change()

    def release(self) -> None:
        """No context moves with its view any more."""
        context, self.moving = self.moving, None
        if context is not None:
            if context.node.GetScene() is not None:
                self._draw(context)
            self._on_change()

    def show_images(self, on: bool) -> None:
        """Show the slices' images on their frames in 3D, or the frames alone."""
        if on != self._images:
            self._images = on
            for context in self:
                self._draw(context)

    def hide(self, on: bool, why: str = "quiz") -> None:
        """Draw no contexts at all, or draw them again once there is no reason `why` left to hide them.

        Args:
            on: hide them.
            why: any word; each reason is taken away by itself.
        """
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

    def _on_change(self) -> None:
        """Tell of a change. Many frames would bury what they frame, so then their lines become thin."""
        thin = len(self) > _MANY
        if thin != self._thin:
            self._thin = thin
            for context in self:
                self._draw(context)
        self._tell()

    def _draw(self, context: ContextSlice) -> None:
        context.draw(context == self.selected, self._images, context == self.moving, self._thin)
        if self._hidden:
            context.node.GetDisplayNode().SetVisibility(False)

    def _observe(self, volume) -> None:
        moved = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
        filled = slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent
        for event in (moved, filled, vtk.vtkCommand.ModifiedEvent):
            if not self.hasObserver(volume, event, self._volume_changed):
                self.addObserver(volume, event, self._volume_changed)

    def _remove(self, context: ContextSlice) -> None:
        if self.selected == context:
            self.release()
            self.selected = None
        remove_context(context)

    def _view_changed(self, node, _event) -> None:
        """The moving context goes with its view.

        Offsets are those of the sliders, so rows change where a view is turned.
        """
        if slicer.mrmlScene.IsClosing():
            return
        if self.moving is not None and self.moving.view == node.GetLayoutName():
            self._follow(node)
        look = node.IsMappedInLayout(), tuple(views.plane_of(node)[:3, 2].round(6))
        if look != self._looks.get(node.GetID()):
            self._looks[node.GetID()] = look
            self._on_change()

    def _follow(self, node) -> None:
        if (
            views.arranged()
        ):  # only the user moves a slice: one whose view is taken away from it stays where it is
            if not same_plane(self.moving.plane, views.plane_of(node)):
                self.release()
            return
        try:
            with self._undo.step(_("slice moved"), self._journey):
                moved = self.moving.move(views.plane_of(node))
        except InputError:
            return  # the view was turned where no slice is, or where another one is: the context stays
        if moved:
            self._draw(self.moving)
            self._on_change()

    def _volume_changed(self, volume, _event) -> None:
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
            gone = [context for context in self if context.volume is None]
            for context in gone:
                self._remove(context)
            self._undo.forget(node.GetID())
        elif self.selected is not None and self.selected.node is node:
            self.release()
            self.selected = None
        if node.IsA("vtkMRMLModelNode"):
            self._on_change()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _node_added(self, _scene, _event, node) -> None:
        """A layout may bring new views."""
        if node.IsA("vtkMRMLSliceNode"):
            self._observe_view(node)

    def _observe_view(self, node) -> None:
        if not self.hasObserver(node, vtk.vtkCommand.ModifiedEvent, self._view_changed):
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._view_changed)

    def _scene_changed(self, *_) -> None:
        """After a scene was loaded or closed."""
        self.selected = self.moving = None
        self._undo.forget()
        self._adopt()
        self._on_change()

    def _adopt(self) -> None:
        """Draw the contexts that the scene has, and follow their volumes and the views."""
        for node in views.slice_nodes():
            self._observe_view(node)
        for context in self:
            if context.volume is not None:
                self._observe(context.volume)
            self._draw(context)
