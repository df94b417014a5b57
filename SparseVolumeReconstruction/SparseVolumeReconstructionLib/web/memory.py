"""What a session may hold: a budget of voxels.

And memory that goes back to the system when nodes are removed.
"""

from __future__ import annotations

import ctypes
import sys

import slicer

from ..geometry import InputError

_MMAP_THRESHOLD = -3  # of mallopt
_OWN_PAGES_BYTES = 1 << 20


def give_back_at_once() -> None:
    """Let every large array have pages of its own.

    The system gets them back when the array goes (glibc; elsewhere nothing).
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(_MMAP_THRESHOLD, _OWN_PAGES_BYTES)


class Budget:
    """Voxels of the scene against what there may be. limit_gb: GB (1e9 bytes)."""

    def __init__(self, limit_gb: float):
        self.limit_bytes = limit_gb * 1e9
        self._held = 0

    def admit(self, size: int) -> None:
        """Raise InputError where `size` more bytes are too many, which says what to remove.

        For any thread.
        """
        if self._held + size > self.limit_bytes:
            raise InputError(
                f"That needs {_gb(size)} GB more, and {self.text()}: remove a result or a scan that is not "
                "needed any more, "
                "or ask for a coarser grid or fewer samples."
            )

    def update(self) -> None:
        """Count the voxels of all volumes and of all samples. To be called in the event loop."""
        self._held = sum(map(_size, _images()))

    def text(self) -> str:
        """How much is in use."""
        return f"{_gb(self._held)} of {_gb(self.limit_bytes)} GB in use"


def _images() -> list:
    """The images of all volume nodes and samples, each once."""
    volumes = list(slicer.util.getNodesByClass("vtkMRMLVolumeNode"))
    for sequence in slicer.util.getNodesByClass("vtkMRMLSequenceNode"):
        volumes += [sequence.GetNthDataNode(n) for n in range(sequence.GetNumberOfDataNodes())]
    images = [node.GetImageData() for node in volumes if node.IsA("vtkMRMLVolumeNode")]
    return list({id(image): image for image in images if image is not None}.values())


def _size(image) -> int:
    return image.GetNumberOfPoints() * image.GetScalarSize() * image.GetNumberOfScalarComponents()


def _gb(count: float) -> str:
    return f"{round(count / 1e9, 2):.2g}"
