"""The application's Segment Editor, for masks that are to be corrected."""

from __future__ import annotations

import slicer
import slicer.util

from ..geometry import InputError
from ..mrml.i18n import _


def edit_segmentation(segmentation, volume) -> None:
    """Go to the Segment Editor with a segmentation node, over a volume node (None: whichever is there).

    Raises:
        InputError: where the application has no Segment Editor.
    """
    if not hasattr(slicer.modules, "segmenteditor"):
        raise InputError(_("this application has no Segment Editor; correct the mask in another one."))
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    editor.setSegmentationNode(segmentation)
    if volume is not None:
        editor.setSourceVolumeNode(volume)
