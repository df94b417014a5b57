"""The Segment Editor as far as panels use it: it is gone to with a segmentation over a volume."""

from __future__ import annotations

from PySide6 import QtWidgets


class Editor:
    """`qMRMLSegmentEditorWidget`: what it was given."""

    segmentation = volume = None

    def setSegmentationNode(self, node) -> None:
        """Edit this segmentation."""
        self.segmentation = node

    def setSourceVolumeNode(self, node) -> None:
        """Paint over this volume. The real one refuses it before there is a segmentation."""
        if self.segmentation is None:
            raise RuntimeError("setSourceVolumeNode: no segmentation node")
        self.volume = node


class SegmentEditorPanel(QtWidgets.QWidget):
    """The widget representation of the module; `self()` is its Python side, as in the application."""

    def __init__(self):
        super().__init__()
        QtWidgets.QVBoxLayout(self)
        self.editor = Editor()

    def self(self):
        """The scripted widget."""
        return self

    def enter(self) -> None:
        """Shown."""

    def exit(self) -> None:
        """Left."""
