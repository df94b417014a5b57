"""The workflow of every front end, without any toolkit.

Contexts, validation with reasons, runs, live updates, results.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property

import numpy as np
import slicer
import vtk
from slicer.util import VTKObservationMixin

from ..geometry import InputError
from ..mrml import views
from ..mrml.i18n import _
from ..mrml.logic import ReconstructionInputs, SparseVolumeReconstructionLogic
from ..mrml.nodes import add_transform, affine_of, world_grid
from ..mrml.results import ATTRIBUTE, ResultNodes, remove_result
from . import quality
from .choices import FrameMode, Layer
from .context_list import ContextList
from .explorer import Explorer
from .live import Live
from .merged import MergedSlices
from .questions import Questions
from .requirements import why_missing
from .runner import Runner
from .stack_masks import StackMasks
from .tool_table import tools
from .tool_use import ToolUse


class Presenter(VTKObservationMixin):
    """What the user can do, whatever shows it.

    Args:
        parameters: an object with the attributes of Choices.
        logic: starts the computing process when needed.
        on_change: called after every change that a front end should show.
    """

    def __init__(self, parameters, logic: SparseVolumeReconstructionLogic, on_change: Callable[[], None]):
        super().__init__()
        self.parameters, self._on_change = parameters, on_change
        self.runner = Runner(logic, on_change)
        self.explorer = Explorer(parameters)
        self._live = Live(self)
        self._request = self._key()
        self._left = False
        self.contexts = ContextList(self._contexts_changed)
        self.masks = StackMasks(self)
        self.questions = Questions(self, on_change)
        self.merged = MergedSlices(self, on_change)
        self.tools = {tool.name: ToolUse(tool, self, on_change) for tool in tools()}
        self._observed = self._observation()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self._node_removed)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeAddedEvent, self._node_added)

    @cached_property
    def models(self):
        """The store of models. Raises ImportError while packages are missing."""
        from ..zoo.store import ModelStore

        return ModelStore()

    def verify_model(self) -> None:
        """Compare the weights of the chosen model with their SHA-256, and say so.

        Raises:
            InputError: where they differ.
        """
        self.models.verify(self.parameters.prior)
        self.runner.say(_("The weights file is whole: its SHA-256 is that of the manifest."))

    def reason(self) -> str | None:
        """Why Apply is not possible now; None when it is."""
        p = self.parameters
        if missing := why_missing():
            return missing
        try:
            self.models.path(p.prior)
            for context in self.contexts.enabled():
                if problem := context.problem():
                    return problem
            self.frame()
            if p.likeVolume:
                world_grid(p.likeVolume)
        except InputError as error:
            return str(error)
        return None if p.name.strip() else _("Give the result a name.")

    def outputs(self) -> tuple[str, ...]:
        """The volumes that are wanted, as in a request."""
        p = self.parameters
        wanted = {"mean": True, "std": p.makeStd, "template": p.makeTemplate, "tissues": p.makeTissues}
        return tuple(name for name, on in wanted.items() if on)

    def frame(self):
        """The frame as ReconstructionInputs take it.

        Raises:
            InputError: where a transform is wanted and there is none.
        """
        p = self.parameters
        if p.frameMode != FrameMode.TRANSFORM:
            return p.frameMode.value
        if p.frameTransform is None:
            raise InputError(
                _("Choose the transform that places the atlas on the patient, or another frame.")
            )
        affine_of(p.frameTransform)  # raises where it is not linear
        return p.frameTransform

    def inputs(self, **changes) -> ReconstructionInputs:
        """What is chosen now, with changes. Raises InputError."""
        p = self.parameters
        fields = {
            "prior": p.prior,
            "contexts": tuple(context.asked() for context in self.contexts.enabled()),
            "frame": self.frame(),
            "like": p.likeVolume,
            "spacing_mm": None if p.likeVolume else p.spacing,
            "samples": p.samples,
            "draws": p.draws.value if self.offers_draws else None,
            "seed": p.seed,
            "covariate": self.covariate(),
            "device": p.device.value,
            "keep_observed": p.keepObserved,
            "name": p.name.strip(),
            "outputs": self.outputs(),
            "show_as": p.showAs.value,
            "mask": p.mask,
        }
        return ReconstructionInputs(**fields | changes)

    def covariate(self) -> float | None:
        """The known covariate (such as gestational age).

        None when it is to be inferred or the prior has none.
        """
        known = self.models.entry(self.parameters.prior).card.covariate
        return self.parameters.covariate if known and self.parameters.covariateKnown else None

    @property
    def offers_draws(self) -> bool:
        """Whether the chosen model leaves a choice what samples start from: it carries donors."""
        try:
            card = self.models.entry(self.parameters.prior).card
        except (ImportError, InputError):
            return False
        return bool(card.split.get("donors"))

    def offer(self, usual: str) -> tuple[str, str]:
        """Text and explanation of the button of `apply`: the usual text.

        Without slices in use, that only the prior is shown.
        """
        if self.contexts.enabled():
            return usual, _("Reconstruct the volume")
        return _("Show the prior's anatomy"), _(
            "No slice is used: this shows anatomy as the prior knows it, no patient's. For a patient take "
            "slices of a scan."
        )

    def apply(self) -> None:
        """Start the reconstruction. Raises InputError with the reason where it cannot."""
        if reason := self.reason():
            raise InputError(reason)
        self.contexts.release()
        self.runner.run(self.inputs(name=self._title()), self.show_result, _("starting"))

    @property
    def unplaced(self) -> bool:
        """Whether nothing that is chosen now says where the patient lies: neither a slice nor a frame."""
        return self.parameters.frameMode == FrameMode.AUTO and not self.contexts.enabled()

    def _title(self) -> str:
        """What a result made now is called: telling, and no other's in a saved scene."""
        p = self.parameters
        count = len(self.contexts.enabled())
        now = time.strftime("%H:%M:%S")
        if self.unplaced:
            return _("{prior} anatomy (no patient) {time}").format(prior=p.prior, time=now)
        slices = _("1 slice") if count == 1 else _("{n} slices").format(n=count)
        return f"{p.name.strip()} {p.prior} {slices} {now}"

    def use_all(self) -> None:
        """Take every slice of the chosen sparse volume that is not in the list yet, and say where some were.

        Raises InputError.
        """
        count = self.contexts.add_all(self.parameters.allVolume)
        if count == 1:
            self.runner.say(_("1 slice was in the list already and was not taken again."))
        elif count:
            self.runner.say(
                _("{count} slices were in the list already and were not taken again.").format(count=count)
            )

    def show_atlas(self, shown: bool) -> None:
        """Lay the prior's mean, in the frame that is chosen or found, over the slices, or take it away.

        Raises InputError.
        """
        if shown:
            if reason := self.atlas_reason():
                raise InputError(reason)
            wanted = self.inputs(outputs=("atlas",), samples=0, name=f"{self.parameters.prior} atlas")
            self.runner.run(wanted, self._take_atlas, _("placing the atlas"))
        else:
            self.parameters.showAtlas = False

    def atlas_reason(self) -> str | None:
        """Why the atlas cannot be laid over the slices now; None when it can."""
        if self.unplaced:
            return _(
                "Nobody knows yet where the patient lies: take a slice first, or choose the transform that "
                "places the atlas."
            )
        return self.reason()

    def edit_frame(self) -> None:
        """Make the frame a transform node that can be edited.

        The given one, the one found last, or one at the slices' middle.
        """
        p = self.parameters
        if p.frameTransform is None:
            result = self.explorer.result
            found = affine_of(result.frame) if result and result.frame else np.eye(4)
            used = self.contexts.enabled()
            if np.array_equal(found, np.eye(4)) and used:
                found[:3, 3] = np.mean([context.grid().corners_ras().mean(0) for context in used], 0)
            p.frameTransform = add_transform(found, _("Atlas to patient"))
        if p.atlas:
            ResultNodes.of(p.atlas).move_atlas(p.frameTransform)
        p.frameMode = FrameMode.TRANSFORM

    def frame_handles(self) -> bool:
        """Whether the frame's transform has handles in the views."""
        display = self._frame_display()
        return bool(display is not None and display.GetEditorVisibility())

    def show_frame_handles(self, on: bool) -> None:
        """Handles to translate and rotate the transform in the views; they make it the frame.

        Raises InputError as `edit_frame`.
        """
        if on:
            self.edit_frame()
            self.parameters.frameTransform.CreateDefaultDisplayNodes()
        display = self._frame_display()
        if display is not None:
            display.SetEditorVisibility(on)
            display.SetEditorSliceIntersectionVisibility(on)
            display.SetEditorTranslationEnabled(True)
            display.SetEditorRotationEnabled(True)
            display.SetEditorScalingEnabled(False)

    def _frame_display(self):
        node = self.parameters.frameTransform
        return node.GetDisplayNode() if node is not None else None

    def parameters_changed(self) -> None:
        """To be called when a parameter changed.

        Shows what is chosen and updates the live result where that depends on it.
        """
        self.contexts.show_images(self.parameters.textured)
        self._observe_frame()
        self.explorer.show()
        self.contexts.hide(self.explorer.alone or not self.parameters.showFrames, "frames")
        self.questions.refresh()
        self.merged.refresh()
        if not self._left and self._request != self._key():
            self._request = self._key()
            self._live.forget_frame()
            self.update_live()

    def update_live(self) -> None:
        """Ask for a live update of the mean where live updates are on and possible."""
        if not self._left:
            self._live.update()

    def leave(self) -> None:
        """The user has turned to something else: no slice moves and nothing is updated until `enter`.

        What runs goes on.
        """
        self._left = True
        self.contexts.release()
        self.runner.drop_live()

    def enter(self) -> None:
        """The user is back: what has changed in the meantime is caught up with."""
        self._left = False
        self.parameters_changed()
        self._contexts_changed()

    def close(self) -> None:
        """Stop observing and drop what waits."""
        self.runner.drop_live()
        self.contexts.close()
        self.removeObservers()

    def _key(self) -> tuple:
        """The parameters on which a live result depends."""
        p = self.parameters
        transform = p.frameTransform.GetID() if p.frameTransform else None
        return (
            p.live,
            p.prior,
            p.covariate,
            p.covariateKnown,
            p.frameMode,
            transform,
            p.keepObserved,
            p.device,
            p.showAs,
            p.mask and p.mask.GetID(),
        )

    def _observation(self) -> list[tuple]:
        """What is observed, as far as a live result depends on it."""
        return [context.observed() for context in self.contexts.enabled()]

    def _contexts_changed(self) -> None:
        if not self._left and self._observed != (now := self._observation()):
            self._observed = now
            self.update_live()
        self.questions.refresh()
        self._on_change()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _node_removed(self, scene, _event, node) -> None:
        """Comparisons go with the mean that was compared."""
        if not scene.IsClosing() and node.GetAttribute(f"{ATTRIBUTE}Role") == "mean":
            quality.forget(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _node_added(self, scene, _event, node) -> None:
        """A slice view that a new layout brings shows what the others show."""
        if node.IsA("vtkMRMLSliceCompositeNode") and not scene.IsImporting() and not scene.IsClosing():
            views.show_like_others(node)
            self.explorer.show()
            self._on_change()

    def _observe_frame(self) -> None:
        """Editing the transform by hand moves the live result."""
        node, event = self.parameters.frameTransform, slicer.vtkMRMLTransformableNode.TransformModifiedEvent
        if self.observer(event, self._frame_moved) is not node:
            self.removeObservers(self._frame_moved)
            if node is not None:
                self.addObserver(node, event, self._frame_moved)

    def _frame_moved(self, *_args) -> None:
        if self.parameters.frameMode == FrameMode.TRANSFORM:
            self.questions.frame_moved()
            self.update_live()

    def show_result(self, result: ResultNodes) -> None:
        """Look at a result that has just been made."""
        p = self.parameters
        p.showAtlas = False
        p.layer = Layer.MEAN
        p.result = result.main
        views.fit(result.main)

    def _take_atlas(self, result: ResultNodes) -> None:
        """Keep the atlas of a new alignment instead of the old one.

        It lies under the transform that the user may edit.
        """
        p = self.parameters
        given = p.frameTransform if p.frameMode == FrameMode.TRANSFORM else None
        old = ResultNodes.of(p.atlas) if p.atlas else None
        if old is not None:
            remove_result(old, keep=(given,))
        p.atlas = result.atlas
        if given is not None:
            result.move_atlas(given)
            slicer.mrmlScene.RemoveNode(result.frame)
        elif p.frameTransform is None:
            p.frameTransform = result.frame  # to begin with, should it be edited by hand
        p.showAtlas = True
