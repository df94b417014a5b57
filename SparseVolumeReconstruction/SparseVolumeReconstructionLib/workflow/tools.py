"""What can be made of scans besides a reconstruction from slices: a table of which front ends draw forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import slicer
import slicer.util

from ..geometry import InputError
from ..mrml import views
from ..mrml.i18n import _
from ..mrml.making import Making, StackInput, merge_request
from ..mrml.masks import is_mask
from ..mrml.nodes import stated_thickness_of, world_grid
from ..mrml.segments import stack_of

if TYPE_CHECKING:
    from .presenter import Presenter
    from .tool_use import ToolUse

Menu = list[tuple[str, str]]
MIN_SLICES = 3  # of a stack


@dataclass(frozen=True)
class Field:
    """Something to choose.

    Attributes:
        name, label, tip: the last two for people.
        kind: "choice" of a menu, "number", or the path of a "file".
        default: a value of the menu, a number, or "".
        menu: the values and their texts, as they are now.
        low, high, step: of a number.
        at_low: the text that stands for the lowest number; "" for none.
    """

    name: str
    label: str
    tip: str
    kind: Literal["choice", "number", "file"] = "choice"
    default: Any = ""
    menu: Callable[[Presenter], Menu] = lambda presenter: []
    low: float = 0.0
    high: float = 0.0
    step: float = 0.1
    at_low: str = ""


@dataclass(frozen=True)
class Tool:
    """One way to make a volume.

    Attributes:
        name: unique, part of ids. title, line: heading and one line of explanation.
        go, runs: the words on its button and while it runs; input: what it takes, in the singular.
        most: so many inputs at most. fields: to choose for every input. options: to choose once.
        takes: whether a volume node can be an input. guess: values of the fields of a new one.
        making: what is to be made. Raises InputError.
        has_slices: whether its results list slices, which can be switched off.
    """

    name: str
    title: str
    line: str
    go: str
    runs: str
    input: str
    most: int
    fields: tuple[Field, ...]
    options: tuple[Field, ...]
    takes: Callable[[Any], bool]
    guess: Callable[[Any], dict[str, Any]]
    making: Callable[[ToolUse], Making]
    has_slices: bool = False
    defaults: dict[str, Any] = field(init=False)

    def __post_init__(self):
        """Values of the options before any was chosen."""
        object.__setattr__(self, "defaults", {each.name: each.default for each in self.options})


def _observed(node) -> bool:
    """Whether a volume node shows something that was scanned, not a mask and nothing that was inferred."""
    return node.GetAttribute(views.ROLE) is None and node.GetImageData() is not None and not is_mask(node)


def _is_stack(node) -> bool:
    return _observed(node) and min(node.GetImageData().GetDimensions()) >= MIN_SLICES


def _masks(_presenter: Presenter) -> Menu:
    """Segmentations and mask volumes of the scene."""
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    masks = [node for node in volumes if node.GetAttribute(views.ROLE) is None and is_mask(node)]
    masks += slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return [("", _("no mask")), *((node.GetID(), node.GetName()) for node in masks)]


def _guess_stack(node) -> dict[str, Any]:
    """The mask that was found in a stack, or is called after it; the thickness that its file states."""
    own = [
        identity
        for identity, name in _masks(None)
        if identity
        and (name.startswith(node.GetName()) or stack_of(slicer.mrmlScene.GetNodeByID(identity)) is node)
    ]
    axis = world_grid(node).ijk_to_ras[:3, 2]
    stated = stated_thickness_of(node, axis) or 0.0
    return {"mask": own[0] if own else "", "thickness_mm": round(stated, 2)}


def _priors_of_stacks(presenter: Presenter) -> Menu:
    """Models of MR scans that can give a first volume."""
    menu = [("auto", _("automatic")), ("none", _("none"))]
    try:
        entries = presenter.models.entries()
    except (ImportError, InputError):
        return menu
    return [*menu, *((e.card.id, e.card.id) for e in entries if "MRI" in e.card.modality)]


def _merge(use: ToolUse) -> Making:
    without = use.presenter.merged.without
    stacks = tuple(
        StackInput(
            each.node,
            slicer.mrmlScene.GetNodeByID(each.values["mask"]) if each.values["mask"] else None,
            each.values["thickness_mm"] or None,
            without(each.node),
        )
        for each in use.inputs
    )
    prior, spacing = use.values["prior"], use.values["spacing_mm"]
    name = _("Merge of {n} stacks").format(n=len(stacks)) if len(stacks) > 1 else _("Merge of one stack")
    return Making(
        "svr",
        lambda folder: merge_request(stacks, prior, spacing, folder),
        name,
        tuple(stack.node for stack in stacks),
    )


def tools() -> tuple[Tool, ...]:
    """The table, in the language of the application."""
    return (
        Tool(
            name="merge",
            title=_("Merge stacks"),
            line=_(
                "One volume from 1 to 12 series of thick slices of a body that moved. Every voxel is "
                "inferred: not for diagnosis."
            ),
            go=_("Merge"),
            runs=_("merging the stacks"),
            input=_("Stack"),
            most=12,
            fields=(
                Field(
                    "mask",
                    _("Mask"),
                    _("What moves as one, for every stack or for none. Without masks fetal brains are found"),
                    menu=_masks,
                ),
                Field(
                    "thickness_mm",
                    _("Thick (mm)"),
                    _("Thickness of its slices; auto: as stated, else the spacing"),
                    "number",
                    0.0,
                    high=50.0,
                    at_low=_("auto"),
                ),
            ),
            options=(
                Field(
                    "prior",
                    _("First volume by:"),
                    _(
                        "Model whose volume is tried at first beside the stacks as they lie; slices decide. "
                        "Automatic: the fetal one where fetal brains are seen"
                    ),
                    default="auto",
                    menu=_priors_of_stacks,
                ),
                Field(
                    "spacing_mm",
                    _("Spacing (mm):"),
                    _("Of the voxels of the volume"),
                    "number",
                    0.8,
                    low=0.4,
                    high=5.0,
                ),
            ),
            takes=_is_stack,
            guess=_guess_stack,
            making=_merge,
            has_slices=True,
        ),
    )
