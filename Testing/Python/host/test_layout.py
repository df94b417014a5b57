"""The panel at the sizes of common screens: nothing cut off, nothing overlapping. The pictures are kept for looking at."""

import itertools
from dataclasses import fields

import pytest
import slicer.util

from SparseVolumeReconstructionLib.slicerside.sample_data import load_sparse_brain
from SparseVolumeReconstructionLib.slicerside.workflow.choices import Choices

SIZES = ((1600, 1000), (1280, 720))


@pytest.fixture
def panel(host, repository):
    """The real panel with the sample's slices."""
    widget = host.load(repository / "SparseVolumeReconstruction" / "SparseVolumeReconstruction.py")
    scan = load_sparse_brain()
    slicer.util.setSliceViewerLayers(background=scan, fit=True)
    contexts = widget.panel.sections[0].ui
    host.choose(contexts.allSelector, scan.GetName())
    host.click(contexts.useAllButton)
    yield widget.panel
    host.unload("SparseVolumeReconstruction")


def shown(root) -> list:
    """All visible widgets below a widget."""
    from host.qtstyle import qt

    return [child for child in root.findChildren(qt.QWidget) if child.isVisible()]


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_cut_off_or_overlaps(host, panel, size, tmp_path):
    for section in panel.sections:
        if hasattr(section.widget, "collapsed"):
            section.widget.collapsed = False
    host.process(0.2)
    host.picture(tmp_path / f"panel-{size[0]}x{size[1]}.png", size)
    small = [
        f"{w.objectName}: {w.width} x {w.height} of {w.minimumSizeHint().width()} x {w.minimumSizeHint().height()}"
        for w in shown(panel.sections[0].widget.parentWidget())
        if w.objectName.endswith(ENDINGS) and (w.width < w.minimumSizeHint().width() or w.height < w.minimumSizeHint().height())
    ]
    assert small == []
    overlapping = [
        f"{a.objectName} and {b.objectName}"
        for section in panel.sections
        for parent in [section.widget, *shown(section.widget)]
        for a, b in itertools.combinations([c for c in shown(parent) if c.parentWidget() is parent and c.objectName.endswith(ENDINGS)], 2)
        if a.geometry.intersects(b.geometry)
    ]
    assert overlapping == []


ENDINGS = ("Button", "Box", "Edit", "Label", "Selector", "Slider", "Table", "Browser", "Bar", "Frame")


def test_the_scene_keeps_every_choice(panel):
    """The parameter node has the members of Choices with the same defaults."""
    kept = {name for name in vars(type(panel.parameters)) if not name.startswith("_")}
    for field in fields(Choices):
        assert field.name in kept
        if field.name not in ("allVolume", "svrFolder"):
            assert getattr(panel.parameters, field.name) == field.default, field.name
