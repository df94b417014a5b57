"""The pictures of the README's tutorials: the real panel, used step by step in the test host.

    python -m host.tutorial Resources/Screenshots [--fetal FOLDER] [--head FILE]

FOLDER: three stacks of one fetus, `sub-01_run-{1,3,5}_T2w.nii.gz`, each with its `..._desc-brain_mask.nii.gz`
(MIALSRTK data, CC0). FILE: a whole head as scanned, `ds000011_sub-01_inplaneT2.nii.gz` (OpenNeuro, PDDL).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import slicer
import slicer.util

from SparseVolumeReconstructionLib.geometry.image import from_image
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.mrml import views
from SparseVolumeReconstructionLib.mrml.nodes import THICKNESS, add_volume, world_grid
from SparseVolumeReconstructionLib.mrml.sample_data import load_sparse_brain

from .harness import Host

MODULE = Path(__file__).resolve().parents[3] / "SparseVolumeReconstruction" / "SparseVolumeReconstruction.py"
SIZE = (1280, 800)
PATIENCE_S = 300
MARGIN = 8
HEAD_SLICES = (0.35, 0.5, 0.65, 0.8)  # of the stack, from below


class Tutorial:
    """The panel in the host, with the widgets of each section by name."""

    def __init__(self, host: Host, folder: Path):
        self.host, self.folder = host, folder
        self.panel = host.load(MODULE).panel
        names = ("contexts", "prior", "frame", "outputs", "run", "explore", *self.panel.presenter.tools)
        self.ui = {
            name: section.ui for name, section in zip((*names, "template"), self.panel.sections, strict=True)
        }

    def apply(self) -> None:
        """Click Apply and wait for the result."""
        self.host.click(self.ui["run"].applyButton)
        self.host.wait_until(lambda: not self.panel.presenter.runner.running, PATIENCE_S)
        self.require_no_error()
        self.host.process(0.3)

    def require_no_error(self) -> None:
        """Stop where the panel shows an error."""
        if error := self.panel.presenter.runner.status.error:
            raise SystemExit(error)

    def picture(self, name: str) -> None:
        """Write one picture."""
        self.host.process(0.3)
        self.host.picture(self.folder / f"{name}.png", SIZE)
        self.host.check()

    def brain(self) -> None:
        """The four-slice sample: use its slices, reconstruct, look at mean and uncertainty."""
        scan = load_sparse_brain()
        slicer.util.setSliceViewerLayers(background=scan, fit=True)
        self.host.choose(self.ui["contexts"].allSelector, scan.GetName())
        self.host.click(self.ui["contexts"].useAllButton)
        self.host.click(self.ui["contexts"].texturedCheckBox)
        self.picture("brain-1-slices")
        self.apply()
        self.picture("brain-2-mean")
        self.host.choose(self.ui["explore"].layerBox, "Uncertainty (sd)")
        self.picture("brain-3-uncertainty")

    def whole_head(self, source: Path) -> None:
        """Four slices of a T2w stack as scanned, skull and all: in their own contrast, and as T1w."""
        stack, red = add_volume(read_volume(source), "Head T2w"), self.host.views["Red"].logic
        views.set_background(stack)
        self.host.process(0.2)
        normal, grid = views.plane_of(views.slice_node("Red"))[:3, 2], world_grid(stack)
        for share in HEAD_SLICES:
            k = round(share * (grid.shape_kji[0] - 1))
            red.SetSliceOffset(float(normal @ grid.ijk_to_ras[:3] @ [0, 0, k, 1]))
            self.host.click(self.ui["contexts"].addRedButton)
            self.require_no_error()
        slicer.util.resetSliceViews()
        self.apply()
        self.host.click(self.ui["explore"].brainCheckBox)
        self.picture("head-1-own")
        self.host.choose(self.ui["explore"].showAsBox, "T1w, as the model")
        self.apply()
        self.picture("head-2-t1w")

    def fetal(self, source: Path) -> None:
        """Four slices of three stacks: pick them, reconstruct, hand the template over."""
        for number, view in ((1, "Red"), (3, "Green"), (5, "Yellow")):
            stack = masked_stack(source / f"sub-01_run-{number}_T2w", f"Stack {number}")
            views.set_background(stack)
            self.host.process(0.2)
            centre = brain_centre(stack)
            for shift in (-6.0, 6.0) if view == "Red" else (0.0,):
                logic = self.host.views[view].logic
                node = views.slice_node(view)
                logic.SetSliceOffset(float(views.plane_of(node)[:3, 2] @ centre) + shift)
                self.host.click(getattr(self.ui["contexts"], f"add{view}Button"))
                self.require_no_error()
        slicer.util.resetSliceViews()
        self.host.choose(
            self.ui["prior"].priorBox, next(t for t in texts(self.ui["prior"].priorBox) if "fetal-t2" in t)
        )
        self.picture("fetal-1-slices")
        self.apply()
        self.picture("fetal-2-mean")
        for section in ("contexts", "prior"):
            self.host.click(getattr(self.ui[section], f"{section}Section"))
        self.host.click(self.ui["template"].templateSection)
        with tempfile.TemporaryDirectory() as folder:
            self.ui["template"].folderEdit.currentPath = folder
            self.host.process(0.1)
            self.host.click(self.ui["template"].writeButton)
            self.picture("fetal-3-template")

    def merge(self, source: Path) -> None:
        """Three moving stacks with their masks, merged; the slices where they were found."""
        ui, label_map = self.ui["merge"], "vtkMRMLLabelMapVolumeNode"
        numbers = (1, 3, 5)
        for number in numbers:
            stem = f"{source}/sub-01_run-{number}_T2w"
            add_volume(read_volume(f"{stem}.nii.gz"), f"Stack {number}")
            add_volume(read_volume(f"{stem}_desc-brain_mask.nii.gz"), f"Stack {number} mask", label_map)
        slicer.util.setSliceViewerLayers(background=slicer.util.getNode("Stack 1"), fit=True)
        for section in ("contexts", "prior", "explore"):
            self.host.click(getattr(self.ui[section], f"{section}Section"))
        self.host.click(ui.toolSection)
        for number in numbers:
            self.host.choose(ui.toolSelector, f"Stack {number}")
            self.host.click(ui.toolAddButton)
        self.host.click(ui.toolButton)
        self.host.wait_until(lambda: not self.panel.presenter.runner.running, 10 * PATIENCE_S)
        self.require_no_error()
        self.host.click_cell(ui.sliceTable, 5, 1)
        self.picture("merge-1-slices")


def texts(combo) -> list[str]:
    """The items of a combo box."""
    return [combo.itemText(n) for n in range(combo.count)]


def masked_stack(stem: Path, name: str):
    """A stack cropped to the brain, with 0 outside of it, as Segment Editor and Crop Volume make it; the
    slices are 3 mm thick.
    """
    image, mask = sitk.ReadImage(f"{stem}.nii.gz"), sitk.ReadImage(f"{stem}_desc-brain_mask.nii.gz")
    mask.CopyInformation(image)
    j, i = np.argwhere(sitk.GetArrayViewFromImage(mask).any(0)).T
    rows, columns = (slice(int(n.min()) - MARGIN, int(n.max()) + MARGIN) for n in (j, i))
    node = add_volume(from_image(sitk.Mask(image, sitk.Cast(mask, sitk.sitkUInt8))[columns, rows]), name)
    node.SetAttribute(THICKNESS, "3.0")
    return node


def brain_centre(stack) -> np.ndarray:
    """Centre of what a masked stack shows, (3,) in RAS mm."""
    ijk = np.argwhere(slicer.util.arrayFromVolume(stack) > 0).mean(0)[::-1]
    return (world_grid(stack).ijk_to_ras @ [*ijk, 1.0])[:3]


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fetal", type=Path)
    parser.add_argument("--head", type=Path)
    arguments = parser.parse_args()
    with Host() as host:
        Tutorial(host, arguments.folder).brain()
    if arguments.head:
        with Host() as host:
            Tutorial(host, arguments.folder).whole_head(arguments.head)
    if arguments.fetal:
        with Host() as host:
            Tutorial(host, arguments.folder).fetal(arguments.fetal)
        with Host() as host:
            Tutorial(host, arguments.folder).merge(arguments.fetal)


if __name__ == "__main__":
    main()
