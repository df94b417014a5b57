"""What front ends say of a result's frame and slices; and that live moves do not silence the last search."""

import numpy as np
import pytest
from mrml.jobs import finish

from SparseVolumeReconstructionLib.alignment.limits import MIN_PROBABILITY
from SparseVolumeReconstructionLib.workflow.choices import Choices, ShowAs
from SparseVolumeReconstructionLib.workflow.told import frame_told, offers_contrasts, scan_told


def said(probability, found=True, frame="auto", **more):
    return {
        "frame": {"found_from_slices": found},
        "request": {"frame": frame, "mask": None},
        "frame_probability": probability,
        **more,
    }


@pytest.mark.parametrize(
    ("provenance", "text", "doubtful"),
    [
        (said(0.97), "Frame found: 97 % sure", False),
        (said(0.9999), "Frame found: 99 % sure", False),
        (said(MIN_PROBABILITY), "Frame found: 70 % sure", False),
        (said(0.6999), "Frame found: only 69 % sure", True),
        (said(0.29), "Frame found: only 29 % sure", True),
        (said(0.002), "Frame found: only less than 1 % sure", True),
        (said(None), "Frame found from the slices; how sure is not known for this model", False),
        (said(0.97, False, "frame.h5"), "Frame: given, not searched", False),
        (said(None, False, "registered"), "Frame: registered already, as chosen", False),
        (
            said(None, False, "registered", radiographs=[{"explained": 0.97}, {"explained": 0.938}]),
            "In the space of the model, which explains 93 % of the radiograph",
            False,
        ),
        (
            said(0.31, False, "registered"),
            "Frame: registered already, as chosen; it looks right with 31 % only",
            True,
        ),
        (
            said(0.99, False, "f.h5", search={"time": "12:31:02", "frame_probability": 0.6}),
            "Frame found: only 60 % sure, as of the search at 12:31:02",
            True,
        ),
    ],
)
def test_the_frame_is_told_with_its_probability(provenance, text, doubtful):
    told = frame_told(provenance)
    assert (told.text, told.doubtful) == (text, doubtful)


def test_contrast_and_extent_are_told():
    t2w = {"found": "T2w-like", "series": {"a": {}}, "other": True}
    assert scan_told(said(1, contrast=t2w, volumes=["mean", "brain_mask"])) == "T2w-like, whole head"
    assert scan_told(said(1, contrast=t2w, volumes=["mean"])) == "T2w-like"
    carried = {**t2w, "shown_as": "T1w"}
    whole = said(1, contrast=carried, volumes=["mean", "brain_mask"])
    assert scan_told(whole) == "T2w-like, whole head, shown as T1w"
    assert scan_told(said(1, contrast={**carried, "found": "T1w-like"})) == "T1w-like"
    unclear = scan_told(said(1, contrast={**t2w, "found": "unclear"}))
    assert unclear == "contrast unclear"
    fetal = said(1, contrast={"found": "not looked at"}, volumes=["brain_mask"])
    assert scan_told(fetal) == "with what is around the brain" and not offers_contrasts(fetal)
    assert scan_told({**fetal, "request": {"mask": "mask.nrrd"}}) == "brain as masked"
    assert offers_contrasts(said(1, contrast=t2w)) and offers_contrasts({"contrast": {"any": True}})
    assert not offers_contrasts(said(1, contrast={"found": "T1w-like", "series": {"a": {}}, "any": False}))
    assert not offers_contrasts({}) and scan_told({}) == ""


@pytest.fixture
def presenter(contexts, echo_client):
    """Live updates by the process that answers with what it was given; it doubts every frame it finds."""
    from SparseVolumeReconstructionLib.mrml.logic import SparseVolumeReconstructionLogic
    from SparseVolumeReconstructionLib.workflow.presenter import Presenter

    made = Presenter(Choices(), SparseVolumeReconstructionLogic(echo_client), lambda: None)
    yield made
    made.close()


def moved(volume) -> None:
    import slicer.util

    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([1.0, -1, -1, 1])))
    volume.SetAndObserveTransformNodeID(transform.GetID())


def brightened(volume) -> None:
    import slicer.util

    slicer.util.arrayFromVolume(volume)[:] *= 2
    slicer.util.arrayFromVolumeModified(volume)


def test_what_the_search_has_said_stays_while_a_slice_moves(presenter):
    explorer, p = presenter.explorer, presenter.parameters
    for view in ("Red", "Green"):
        presenter.contexts.add_from_view(view)
    p.live = True
    presenter.parameters_changed()
    finish(presenter)
    assert "two bodies" in explorer.warnings() and explorer.frame().text == "Frame found: only 60 % sure"
    first = p.result
    for offset in (3.0, 5.0):
        presenter.contexts.edit(next(iter(presenter.contexts)), lambda one, mm=offset: one.set_offset(mm))
        finish(presenter)
        assert p.result is first and explorer.result.provenance["request"]["frame"] != "auto"
        kept = [each for each in explorer.warnings() if "two bodies" in each]
        assert len(kept) == 1 and kept[0].startswith("As of the search at ")
        assert "only 60 % sure, as of the search at" in explorer.frame().text and explorer.frame().doubtful
    presenter.contexts.edit(list(presenter.contexts)[1], lambda one: one.set_enabled(False))
    finish(presenter)  # other slices are used, so the frame is searched again
    assert "two bodies" in explorer.warnings() and "as of" not in explorer.frame().text
    one = next(iter(presenter.contexts))
    for change in (moved, brightened):
        presenter.contexts.edit(one, lambda one: one.set_offset(one.offset_mm + 1))
        finish(presenter)
        assert "as of the search" in explorer.frame().text
        change(one.volume)
        finish(presenter)  # the scan is not what the frame was found of
        assert explorer.result.provenance["request"]["frame"] == "auto", change.__name__
    p.showAs = ShowAs.T1W
    presenter.parameters_changed()
    finish(presenter)
    assert explorer.result.provenance["request"]["show_as"] == "t1w" and explorer.offers_contrast
