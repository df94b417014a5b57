"""How the volumes of a result should appear: like the scan that they were made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import slicer

from .i18n import _

_TABLE = "vtkMRMLColorTableNode"
_SD_COLOURS = ("FileInferno.txt", "FileViridis.txt", "Grey")
_TISSUE_COLOURS = {"csf": "Cyan", "gm": "Magenta", "wm": "Yellow"}
WHOLE_SHARE = 1.0, 0.5
"""Window and level of the share of a tissue: from nothing to all of the voxel."""


def unit_of(role: str) -> str:
    """What the values of a volume of a result are, in words; "" for grey values of the patient."""
    return {
        "std": _("sd, grey values"),
        "surprise": _("-log10 of p"),
        "csf": _("share of fluid"),
        "gm": _("share of grey matter"),
        "wm": _("share of white matter"),
        "csf_std": _("sd, share of fluid"),
        "gm_std": _("sd, share of grey matter"),
        "wm_std": _("sd, share of white matter"),
    }.get(role, "")


def colour_node_of(role: str) -> str | None:
    """ID of the colour node of a volume that is not grey, by its role; None for grey ones."""
    if not unit_of(role):
        return None
    names = [_TISSUE_COLOURS[role]] if role in _TISSUE_COLOURS else _SD_COLOURS
    return next(_TABLE + name for name in names if slicer.mrmlScene.GetNodeByID(_TABLE + name))


def contrast_made(provenance: dict) -> str | None:
    """The contrast of a result, such as "T1w", where it is not that of its slices; else None."""
    contrast = provenance.get("contrast", {})
    shown = contrast.get("shown_as", "as observed")
    known = contrast.get("series") and shown != "as observed"
    return shown if known and contrast.get("found") != f"{shown}-like" else None


@dataclass(frozen=True)
class Look:
    """How results should appear.

    Attributes:
        window, level: grey values as on the input, None for those of the values themselves.
        sibling: a node beside which the folder is put in the subject hierarchy.
    """

    window: float | None = None
    level: float | None = None
    sibling: Any = None

    @classmethod
    def like(cls, node) -> Look:
        """The look of an input volume node."""
        display = node.GetDisplayNode()
        if display is None or not hasattr(display, "GetWindow"):
            return cls(sibling=node)
        return cls(display.GetWindow(), display.GetLevel(), node)

    def of(self, provenance: dict) -> Look:
        """The look of a result: without window and level where it is of another contrast than its slices."""
        return replace(self, window=None, level=None) if contrast_made(provenance) else self

    def apply(self, node) -> None:
        """Give a volume node's display the window and level, where there are any."""
        if self.window is not None:
            node.GetDisplayNode().SetAutoWindowLevel(False)
            node.GetDisplayNode().SetWindowLevel(self.window, self.level)
