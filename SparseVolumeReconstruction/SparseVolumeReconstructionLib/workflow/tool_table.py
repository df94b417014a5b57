"""The tools: what can be made of scans besides a reconstruction from slices."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import slicer
import slicer.util

from ..geometry import InputError
from ..mrml import views
from ..mrml.i18n import _
from ..mrml.making import (
    Making,
    RadiographInput,
    StackInput,
    contrast_request,
    earlier_slices,
    fingerprint,
    merge_request,
    radiograph_request,
)
from ..mrml.masks import is_mask
from ..mrml.nodes import stated_thickness_of, world_grid
from ..mrml.segments import stack_of
from .model_card import embedded_networks
from .tools import Field, Menu, Tool

if TYPE_CHECKING:
    from .presenter import Presenter
    from .tool_use import ToolUse

MIN_SLICES = 3  # of a stack
_MIN_PIXELS = 16  # of a radiograph
_FETAL = "fetal-t2"  # whose brain is looked for in stacks where no model is chosen


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
    """The mask that was found in a stack, else one called after it; the thickness that its file states."""
    masks = dict(_masks(None)[1:])
    found = [key for key in masks if stack_of(slicer.mrmlScene.GetNodeByID(key)) is node]
    called = re.compile(re.escape(node.GetName()) + r"(?!\d)")  # "Stack 10 mask" is none of "Stack 1"
    own = found or [key for key, name in masks.items() if called.match(name)]
    axis = world_grid(node).ijk_to_ras[:3, 2]
    stated = stated_thickness_of(node, axis) or 0.0
    return {"mask": own[0] if own else "", "thickness_mm": round(stated, 2)}


def _priors_of_stacks(presenter: Presenter) -> Menu:
    """Models of MR scans that can give a first volume."""
    known = [(each.card.id, each.card.id) for each in _models(presenter, "slice", "MRI")]
    return [("auto", _("automatic")), ("none", _("none")), *known]


def _models(presenter: Presenter, kind: str, modality: str) -> list:
    """Entries of the models that take a kind of observation; none while packages are missing."""
    try:
        return [each for each in presenter.models.entries_for(kind) if modality in each.card.modality]
    except (ImportError, InputError):
        return []


def _card_told(entries: list, chosen: str) -> str:
    """Title and limits of the chosen one of some entries; "" where it is none of them."""
    card = next((each.card for each in entries if each.card.id == chosen), None)
    return f"{card.title}. {card.limits}" if card is not None else ""


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
    made_of = fingerprint(stacks)
    earlier = earlier_slices(use.presenter.explorer.result, made_of)
    return Making(
        "svr",
        lambda folder: merge_request(stacks, prior, spacing, folder, earlier),
        name,
        tuple(stack.node for stack in stacks),
        made_of=made_of,
    )


def _merge_tool() -> Tool:
    return Tool(
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
        masked_for=lambda use: _FETAL if use.values["prior"] in ("auto", "none") else use.values["prior"],
    )


def _is_picture(node) -> bool:
    """Whether a volume node is one image, such as a radiograph."""
    sides = sorted(node.GetImageData().GetDimensions()) if _observed(node) else (0, 0, 0)
    return sides[0] == 1 and sides[1] >= _MIN_PIXELS


def _views(_presenter: Presenter) -> Menu:
    known = [
        ("unknown", _("not known")),
        ("front", _("frontal")),
        ("side", _("lateral")),
        ("top", _("from above")),
    ]
    transforms = slicer.util.getNodesByClass("vtkMRMLLinearTransformNode")
    given = [node for node in transforms if node.GetAttribute(views.ROLE) is None]
    return [*known, *((node.GetID(), node.GetName()) for node in given)]


def _xray_models(presenter: Presenter) -> Menu:
    return [(each.card.id, each.card.id) for each in _models(presenter, "radiograph", "CT")]


def _from_radiographs(use: ToolUse) -> Making:
    radiographs = tuple(
        RadiographInput(
            each.node,
            slicer.mrmlScene.GetNodeByID(each.values["view"]) or each.values["view"],
            each.values["pixel_mm"] or None,
        )
        for each in use.inputs
    )
    prior = use.values["prior"]
    samples = int(use.values["samples"])
    return Making(
        "reconstruct",
        lambda folder: radiograph_request(radiographs, prior, samples, folder),
        _("Volume from radiographs"),
        tuple(each.node for each in radiographs),
        same_units=False,
    )


def _radiograph_tool() -> Tool:
    return Tool(
        name="xray",
        title=_("Volume from radiographs"),
        line=_("A volume from X-ray images of one body. Every voxel is inferred: not for diagnosis."),
        go=_("Infer the volume"),
        runs=_("inferring the volume"),
        input=_("Radiograph"),
        most=6,
        fields=(
            Field(
                "view",
                _("View"),
                _(
                    "From where it was taken; not known: found by evidence; a transform: from the detector "
                    "to the patient"
                ),
                default="unknown",
                menu=_views,
            ),
            Field(
                "pixel_mm",
                _("Pixel (mm)"),
                _("Size of the detector's pixels; auto: as the image states"),
                "number",
                0.0,
                high=10.0,
                decimals=3,
                at_low=_("auto"),
            ),
        ),
        options=(
            Field(
                "prior",
                _("Model:"),
                _("Of the anatomy that it shows"),
                default="head-xray",
                menu=_xray_models,
            ),
            Field(
                "samples",
                _("Samples:"),
                _("Of the posterior"),
                "number",
                0.0,
                high=64.0,
                step=1.0,
                decimals=0,
            ),
        ),
        takes=_is_picture,
        guess=lambda node: {},
        making=_from_radiographs,
        in_place=False,
        note=lambda use: _card_told(_models(use.presenter, "radiograph", "CT"), use.values["prior"]),
    )


CONTRASTS = {"t1": "T1w", "t2": "T2w", "flair": "FLAIR", "pd": "PDw"}


def _guess_contrast(node) -> dict[str, Any]:
    """The contrast that is in the name of a node."""
    name = node.GetName().lower()
    return {"contrast": next((one for one in ("flair", "t2", "pd", "t1") if one in name), "flair")}


def _networks(_presenter: Presenter) -> Menu:
    return [("", _("from a file")), *((one.card.id, one.card.title) for one in embedded_networks())]


def _convert(use: ToolUse) -> Making:
    scans: dict[str, Any] = {}
    for each in use.inputs:
        contrast = each.values["contrast"]
        if contrast in scans:
            raise InputError(
                _("{contrast} is chosen twice; choose the contrast that each scan is.").format(
                    contrast=CONTRASTS[contrast]
                )
            )
        scans[contrast] = each.node
    if use.values["model"] and use.values["file"]:
        raise InputError(_('a network and a file are chosen; choose "from a file", or clear the file.'))
    model = use.values["model"] or use.values["file"]
    if not model:
        raise InputError(_("choose a network, or the file of one that ./run train synthesis made."))
    return Making(
        "synthesize",
        lambda folder: contrast_request(scans, model, folder),
        _("Converted contrast"),
        tuple(scans.values()),
        same_units=False,
    )


def _contrast_tool() -> Tool:
    return Tool(
        name="contrast",
        title=_("Convert contrast"),
        line=_(
            "A contrast that was not scanned, from others of the same head (skull-stripped). Every voxel is "
            "inferred, lesions may be lost: not for diagnosis."
        ),
        go=_("Convert"),
        runs=_("converting the contrast"),
        input=_("Scan"),
        most=len(CONTRASTS),
        fields=(
            Field(
                "contrast",
                _("Contrast"),
                _("Of the scan"),
                default="flair",
                menu=lambda presenter: [*CONTRASTS.items()],
            ),
        ),
        options=(
            Field(
                "model",
                _("Network:"),
                _("What it makes and of what stands below"),
                default=next((one.card.id for one in embedded_networks()), ""),
                menu=_networks,
            ),
            Field("file", _("File:"), _("A network of ./run train synthesis (.safetensors)"), "file"),
        ),
        takes=_is_stack,
        guess=_guess_contrast,
        making=_convert,
        note=lambda use: _card_told(embedded_networks(), use.values["model"]),
    )


def tools() -> tuple[Tool, ...]:
    """The table, in the language of the application."""
    return _merge_tool(), _radiograph_tool(), _contrast_tool()
