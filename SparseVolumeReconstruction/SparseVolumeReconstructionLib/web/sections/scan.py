"""The section of the scans: the bundled sample, uploads, what is in the scene and which volume is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import slicer.util

from ...geometry import InputError
from ...mrml import views
from ...mrml.logic import LoadedScan
from ...mrml.masks import apply_mask, is_mask
from ...mrml.nodes import NOTICE
from ...mrml.results import ATTRIBUTE, ResultNodes, remove_result
from ...mrml.sample_data import load_sparse_brain
from .section import Action, Section

if TYPE_CHECKING:
    from ..app import App

_SPARSE_SLICES = (
    40  # a volume of fewer slices is taken for a sparse acquisition, all slices of which may be wanted
)


@dataclass(frozen=True)
class Upload:
    """Files of one scan, with what each was called.

    Attributes:
        release: called when they are not needed any more.
        left_out: a notice about files that were not taken.
        choices: the series of which one has to be chosen.
    """

    files: dict[Path, str]
    name: str
    release: Callable[[], None] = lambda: None
    left_out: str = ""
    choices: tuple[dict, ...] = ()


class ScanSection(Section):
    """Volumes come in, are shown, and are taken out."""

    NAME = "scan"

    def __init__(self, app: App):
        super().__init__(app)
        self._waiting: Upload | None = None

    def actions(self) -> dict[str, Action]:
        """Load, show, remove and mask scans, choose among their series, begin anew."""
        return {
            "sample": self._sample,
            "show": self._show,
            "remove": self._remove,
            "fit": self.app.views.fit,
            "over": self.app.start_over,
            "choose": self._choose,
            "forget": self.close,
            "mask": self._mask,
        }

    def state(self) -> dict:
        """Menus of the volumes and results that there are."""
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        scans = [node for node in volumes if not node.GetAttribute(f"{ATTRIBUTE}Role")]
        means = [node for node in volumes if node.GetAttribute(f"{ATTRIBUTE}Role") == "mean"]
        transforms = slicer.util.getNodesByClass("vtkMRMLLinearTransformNode")
        shown = views.composite_node("Red").GetBackgroundVolumeID()
        self.app.budget.update()
        return {
            "memory": self.app.budget.text(),
            "scans": [_entry(node, shown) for node in scans],
            "notices": list(
                dict.fromkeys(
                    line for node in scans for line in (node.GetAttribute(NOTICE) or "").splitlines()
                )
            ),
            "choices": list(self._waiting.choices) if self._waiting else [],
            "results": [{"id": node.GetID(), "name": node.GetName()} for node in means],
            "transforms": [
                {"id": node.GetID(), "name": node.GetName()} for node in transforms if self._offered(node)
            ],
        }

    def _offered(self, transform) -> bool:
        """Frames of results belong to them.

        The one that was made the patient's frame is a transform like any other.
        """
        return transform is self.presenter.parameters.frameTransform or not transform.GetAttribute(
            f"{ATTRIBUTE}Role"
        )

    def read(self, upload: Upload, on_end: Callable[[Exception | None], None]) -> None:
        """Read an upload into nodes, or ask for the series.

        Args:
            on_end: gets what went wrong, or None.

        Raises:
            InputError: as Runner.read.
        """
        self.close()
        self._read(upload, on_end, None)

    def close(self) -> None:
        """Forget an upload of which no series was chosen."""
        if self._waiting is not None:
            self._waiting.release()
            self._waiting = None

    def _read(self, upload: Upload, on_end: Callable[[Exception | None], None], series: str | None) -> None:
        def done(scan: LoadedScan) -> None:
            if scan.choices:
                self._waiting = replace(upload, choices=scan.choices)
            else:
                upload.release()
                self._take(scan.nodes, upload.left_out)
            on_end(None)

        def fail(error: Exception) -> None:
            upload.release()
            on_end(error)

        self.presenter.runner.read(upload.files, upload.name, done, fail, series)

    def _choose(self, key: str) -> None:
        if self._waiting is None:
            raise InputError("that upload is gone; upload the files again.")
        upload, self._waiting = self._waiting, None
        try:
            self._read(upload, self._report, str(key))
        except InputError:
            self._waiting = upload
            raise

    def _report(self, error: Exception | None) -> None:
        if error is not None:
            asyncio.get_running_loop().call_soon(self.presenter.runner.report, error)

    def _take(self, nodes: Sequence, left_out: str = "") -> None:
        """Show what has just been loaded; a volume of a few slices is offered for "Use all slices"."""
        for node in nodes if left_out else ():
            node.SetAttribute(NOTICE, "\n".join(filter(None, (node.GetAttribute(NOTICE), left_out))))
        if is_mask(nodes[0]) and views.shown_volumes("Red"):
            return  # a mask is not to hide its scan
        views.set_background(nodes[0])
        self.app.views.fit()
        if nodes[0].GetImageData().GetDimensions()[2] <= _SPARSE_SLICES:
            self.presenter.parameters.allVolume = nodes[0]

    def _sample(self) -> None:
        self._take([load_sparse_brain()])

    def _mask(self, mask_id: str, scan_id: str) -> None:
        self._take([apply_mask(_volume(scan_id), _volume(mask_id))])

    def _show(self, node_id: str) -> None:
        views.set_background(_volume(node_id))
        self.app.views.fit()

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


def _entry(node, shown: str) -> dict:
    """What the list says of a volume."""
    one = {"id": node.GetID(), "name": node.GetName(), "size": _size(node)}
    return {**one, "shown": node.GetID() == shown, "mask": is_mask(node)}


def _size(node) -> str:
    dimensions, spacing = node.GetImageData().GetDimensions(), node.GetSpacing()
    return (
        f"{' × '.join(map(str, dimensions))} voxels of {' × '.join(f'{length:.3g}' for length in spacing)} mm"
    )
