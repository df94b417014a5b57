"""The section of the scans: the bundled sample, uploads, what is in the scene and which volume is shown."""

from __future__ import annotations

import slicer.util

from ...geometry import InputError
from ...slicerside import views
from ...slicerside.results import ATTRIBUTE, ResultNodes, remove_result
from ...slicerside.sample_data import load_sparse_brain
from .section import Action, Section

_SPARSE_SLICES = 40  # a volume of fewer slices is taken for a sparse acquisition, all slices of which may be wanted


class ScanSection(Section):
    """Volumes come in, are shown, and are taken out."""

    NAME = "scan"

    def actions(self) -> dict[str, Action]:
        """Load the sample, show a volume, remove a volume, begin anew."""
        return {
            "sample": self._sample,
            "show": self._show,
            "remove": self._remove,
            "fit": self.desk.views.fit,
            "over": self.desk.start_over,
        }

    def state(self) -> dict:
        """Menus of the volumes and results that there are."""
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        scans = [node for node in volumes if not node.GetAttribute(f"{ATTRIBUTE}Role")]
        means = [node for node in volumes if node.GetAttribute(f"{ATTRIBUTE}Role") == "mean"]
        shown = views.composite_node("Red").GetBackgroundVolumeID()
        return {
            "scans": [{"id": node.GetID(), "name": node.GetName(), "size": _size(node), "shown": node.GetID() == shown} for node in scans],
            "results": [{"id": node.GetID(), "name": node.GetName()} for node in means],
            "transforms": [
                {"id": node.GetID(), "name": node.GetName()} for node in slicer.util.getNodesByClass("vtkMRMLLinearTransformNode")
            ],
        }

    def take(self, node) -> None:
        """Show a volume that has just been loaded; one of a few slices is offered for "Use all slices"."""
        views.set_background(node)
        self.desk.views.fit()
        if node.GetImageData().GetDimensions()[2] <= _SPARSE_SLICES:
            self.presenter.parameters.allVolume = node

    def _sample(self) -> None:
        self.take(load_sparse_brain())

    def _show(self, node_id: str) -> None:
        views.set_background(_volume(node_id))
        self.desk.views.fit()

    def _remove(self, node_id: str) -> None:
        node = _volume(node_id)
        result = ResultNodes.of(node)
        if result is not None:
            remove_result(result)
        else:
            slicer.mrmlScene.RemoveNode(node)


def _volume(node_id: str):
    node = slicer.mrmlScene.GetNodeByID(str(node_id))
    if node is None or not node.IsA("vtkMRMLScalarVolumeNode"):
        raise InputError("that volume is not in the scene any more.")
    return node


def _size(node) -> str:
    dimensions, spacing = node.GetImageData().GetDimensions(), node.GetSpacing()
    return f"{' × '.join(map(str, dimensions))} voxels of {' × '.join(f'{length:.3g}' for length in spacing)} mm"
