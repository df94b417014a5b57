"""How slices, views and choices stand, so that a lesson can put everything back."""

from __future__ import annotations

import slicer
import slicer.util

from ..mrml import views
from .choices import NODES

_CHOICES = (
    "result",
    "layer",
    "opacity",
    "sample",
    "atlas",
    "showAtlas",
    "markObserved",
    "showBrain",
    "linkViews",
    "live",
)


class Snapshot:
    """Taken of a presenter; `restore` puts back what is still there."""

    def __init__(self, presenter):
        self._presenter = presenter
        self._choices = {name: getattr(presenter.parameters, name) for name in _CHOICES}
        self._used = {context.node.GetID(): context.enabled for context in presenter.contexts}
        self._views = [
            (node, views.plane_of(node), node.GetFieldOfView(), node.GetXYZOrigin())
            for node in views.slice_nodes()
        ]
        self._layers = {
            node.GetLayoutName(): _layers(views.composite_node(node.GetLayoutName()))
            for node in views.slice_nodes()
        }

    def used(self, context_id: str) -> bool | None:
        """Whether a slice was used; None for one that was not there."""
        return self._used.get(context_id)

    def note(self, context_id: str, used: bool) -> None:
        """The user has decided since whether this slice is used.

        Args:
            context_id: ID of its node.
            used: what is put back.
        """
        self._used[context_id] = used

    def restore_choices(self) -> None:
        """Use states and choices as they were."""
        contexts = self._presenter.contexts
        for context in contexts:
            used = self._used.get(context.node.GetID(), context.enabled)
            if context.enabled != used:
                contexts.edit(context, lambda each, used=used: each.set_enabled(used), undoable=False)
        for name, value in self._choices.items():
            gone = name in NODES and value is not None and not slicer.mrmlScene.IsNodePresent(value)
            setattr(self._presenter.parameters, name, None if gone else value)

    @views.arranging()
    def restore(self) -> None:
        """Everything: use states, choices, and what the views show where."""
        self.restore_choices()
        for name, (volumes, opacities) in self._layers.items():
            composite = views.composite_node(name)
            if composite is None:
                continue
            present = [
                identity if identity and slicer.mrmlScene.GetNodeByID(identity) else None
                for identity in volumes
            ]
            for put, identity in zip(
                ("SetBackgroundVolumeID", "SetForegroundVolumeID", "SetLabelVolumeID"), present, strict=True
            ):
                getattr(composite, put)(identity)
            composite.SetForegroundOpacity(opacities[0])
            composite.SetLabelOpacity(opacities[1])
        for node, plane, field, origin in self._views:
            if slicer.mrmlScene.IsNodePresent(node):
                node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(plane))
                node.SetFieldOfView(*field)
                node.SetXYZOrigin(*origin)
                node.UpdateMatrices()


def _layers(composite) -> tuple[list, tuple[float, float]]:
    """IDs of background, foreground and label, and the opacities of the last two."""
    if composite is None:
        return [None] * 3, (1.0, 1.0)
    volumes = [
        composite.GetBackgroundVolumeID(),
        composite.GetForegroundVolumeID(),
        composite.GetLabelVolumeID(),
    ]
    return volumes, (composite.GetForegroundOpacity(), composite.GetLabelOpacity())
