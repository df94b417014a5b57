"""The section of the context slices: taken from the views, listed, edited."""

from __future__ import annotations

import math

import slicer
import slicer.util

from ...geometry import InputError
from ...mrml.contexts import ContextSlice
from ...workflow.choices import NODES
from ..views import LABELS
from .section import Action, Section


class ContextSection(Section):
    """The table of the scene's contexts."""

    NAME = "contexts"
    _said = ""

    def actions(self) -> dict[str, Action]:
        """Take slices, edit and remove rows."""
        contexts = self.presenter.contexts
        return {
            "add": self._add,
            "all": self._use_all,
            "clear": contexts.clear,
            "find": self.presenter.masks.find,
            "mask": self._mask,
            "take": self.presenter.masks.take,
            "undo": contexts.undo,
            "move": lambda: contexts.move_with_view(contexts.moving is None),
            "select": lambda row: self._go(_the(contexts, row)),
            "enable": lambda row, on: contexts.edit(
                _the(contexts, row), lambda each: each.set_enabled(bool(on))
            ),
            "offset": lambda row, text: contexts.edit(
                _the(contexts, row), lambda each: each.set_offset(_number(text))
            ),
            "thickness": lambda row, text: contexts.edit(
                _the(contexts, row),
                lambda each: each.set_thickness(_number(text) if str(text).strip() else None),
            ),
            "remove": lambda row: contexts.remove(_the(contexts, row)),
        }

    def state(self) -> dict:
        """The rows, and a sentence about them."""
        contexts, masks = self.presenter.contexts, self.presenter.masks
        rows = [
            _row(context)
            | {"selected": context == contexts.selected, "moving": context == contexts.moving}
            | _motion(masks.off_mm(context))
            for context in contexts
        ]
        used = sum(row["enabled"] for row in rows)
        count = (
            f"{used} of {len(rows)} slices used"
            if rows
            else "No slices yet: the result would be the prior's own anatomy."
        )
        for number, row in enumerate(rows, 1):
            if row["moving"]:
                count += (
                    f". Slice {number} moves with the {LABELS[row['view']].lower()} view: scroll or turn it."
                )
        return {
            "rows": rows,
            "count": count,
            "undo": contexts.undone,
            "note": self._said if self._said == self.presenter.runner.status.step else "",
            "chosen": contexts.selected is not None,
            "masks": [
                {"id": node.GetID(), "name": node.GetName()}
                for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
            ],
            "proposal": masks.proposal(),
            "taken": bool(masks.proposed) and masks.taken,
        }

    def _add(self, view: str) -> None:
        self._after_first(lambda: self.presenter.contexts.add_from_view(view if view in LABELS else None))

    def _use_all(self) -> None:
        """What was not taken is said beside the button too, until something else is said."""
        self.presenter.runner.say("")
        self._after_first(self.presenter.use_all)
        self._said = self.presenter.runner.status.step

    def _mask(self, node_id: str) -> None:
        """A segmentation of the brain, or a mask volume that becomes one; "" for none."""
        p = self.presenter.parameters
        node = slicer.mrmlScene.GetNodeByID(str(node_id)) if node_id else None
        if node is not None and node.IsA("vtkMRMLScalarVolumeNode"):
            self.presenter.masks.use(node)
        elif node_id and (node is None or not node.IsA(NODES["mask"])):
            raise InputError("that mask is not in the scene any more; choose another.")
        else:
            p.mask = node

    def _after_first(self, add) -> None:
        """The first slices are something to look at in 3D."""
        first = not len(self.presenter.contexts)
        add()
        if first:
            self.app.views.fit_3d()

    def _go(self, context: ContextSlice) -> None:
        self.presenter.contexts.select(context)
        self.presenter.contexts.show(context)


def _the(contexts, row: str) -> ContextSlice:
    found = next((context for context in contexts if context.node.GetID() == row), None)
    if found is None:
        raise InputError("that slice is not in the list any more.")
    return found


def _row(context: ContextSlice) -> dict:
    """What a row shows; without a place it says so."""
    volume = context.volume
    row = {
        "id": context.node.GetID(),
        "view": context.view,
        "enabled": context.enabled,
        "volume": volume.GetName() if volume else "",
        "problem": context.problem() or "",
    }
    try:
        place = {
            "name": context.orientation,
            "offset": round(context.offset_mm, 2),
            "thickness": round(context.thickness_mm, 2),
        }
        return row | place | {"assumed": context.stated_thickness_mm is None}
    except InputError:
        return row | {"name": "unusable", "offset": "", "thickness": "", "assumed": False}


def _motion(off: tuple[float, bool] | None) -> dict:
    """How far the head lay off its path (mm) in a slice, and whether it had moved."""
    return {"off": f"{off[0]:.1f}" if off else "", "moved": bool(off) and not off[1]}


def _number(text: object) -> float:
    try:
        number = float(str(text).replace(",", "."))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f'"{str(text)[:40]}" is no number; expected mm.')
    return number
