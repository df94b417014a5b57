"""What is to be seen while a slice is placed: the normative anatomy alone.

Then the slice and the guess where they lie.
"""

from __future__ import annotations

import numpy as np
import slicer

from ..geometry import InputError
from ..mrml import views
from ..mrml.drawing import draw_slice, dress
from ..mrml.nodes import world_grid
from ..mrml.reslice import plane_grid
from ..mrml.results import ATTRIBUTE
from .choices import Layer
from .slice_quiz import Verdict, picture_grid
from .snapshot import Snapshot

# sky blue, orange and bluish green: told apart by colour-blind people, too
SLICE_COLOUR, GUESS_COLOUR, BEST_COLOUR = (0.34, 0.71, 0.91), (0.9, 0.62, 0.0), (0.0, 0.75, 0.55)


class Stage:
    """From `open` to `close` the views belong to the lesson; then everything is as it was before."""

    def __init__(self, presenter):
        self._presenter = presenter
        self._before: Snapshot | None = None
        self._marks: list = []

    @property
    def is_open(self) -> bool:
        """Whether the views belong to the lesson."""
        return self._before is not None

    def open(self) -> None:
        """Remember how everything stands."""
        if self._before is None:
            self._presenter.questions.forget()  # outlines and maps would lie over the lesson
            self._before = Snapshot(self._presenter)
            self._presenter.parameters.live = False
            self._presenter.contexts.hide(True)  # they would give the answer away

    def show(self, volume) -> None:
        """Show one volume node alone in all views, without slices and without what was marked."""
        self._unmark()
        p = self._presenter.parameters
        p.showAtlas = False
        p.markObserved = p.showBrain = False
        p.layer = Layer.MEAN
        p.opacity = 1.0
        p.result = None
        views.set_background(volume)
        views.set_foreground(None, 1.0)

    def reveal(self, verdict: Verdict) -> None:
        """Let the view face the slice that was asked for.

        All views show where it lies and where the guess was.
        """
        question = verdict.question
        self._unmark()
        self._mark("The slice", question.volume, question.plane, question.view, SLICE_COLOUR)
        if not verdict.gave_up:
            self._mark("The guess", question.volume, verdict.guess, question.view, GUESS_COLOUR)
        views.composite_node(question.view).SetBackgroundVolumeID(
            question.volume.GetID()
        )  # amid the anatomy that the others show
        views.jump(question.plane, question.corners.mean(0), question.view)

    def mark_slices(
        self, volume, planes: list[np.ndarray], colour: tuple = SLICE_COLOUR, more: bool = False
    ) -> None:
        """Show slices of a volume node on planes (4x4 SliceToRAS, mm) in all views.

        Args:
            volume: the volume node.
            planes: of the slices.
            colour: RGB, 0..1, of their frames.
            more: beside what is marked already.
        """
        if not more:
            self._unmark()
        for number, plane in enumerate(planes, 1):
            self._mark(f"Slice {number}", volume, plane, views.nearest_view(plane[:3, 2]), colour)

    def close(self) -> None:
        """Put everything back."""
        self._unmark()
        before, self._before = self._before, None
        if before is not None:
            self._presenter.contexts.hide(False)
            before.restore()

    def _mark(self, name: str, volume, plane: np.ndarray, view: str, colour: tuple) -> None:
        """A frame; the view that faces it shows what is on it."""
        try:
            grid = plane_grid(world_grid(volume), plane)
        except InputError:  # a guess beside the patient
            grid = picture_grid(views.plane_of(views.slice_node(view)), plane)
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLModelNode")
        node.UnRegister(None)
        node.SetName(name)
        node.SetAttribute(f"{ATTRIBUTE}Role", "mark")
        node.SetSaveWithScene(False)
        slicer.mrmlScene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        dress(node.GetDisplayNode(), colour)
        draw_slice(node, grid, np.eye(4))
        node.GetDisplayNode().SetLineWidth(4)
        node.GetDisplayNode().SetSliceIntersectionThickness(3)
        self._marks.append(node)

    def _unmark(self) -> None:
        for node in self._marks:
            for each in (node, node.GetDisplayNode()):
                if each is not None and slicer.mrmlScene.IsNodePresent(each):
                    slicer.mrmlScene.RemoveNode(each)
        self._marks = []
