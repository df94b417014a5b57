"""How long a live update takes: from a view that moves to the views that show the new mean."""

from __future__ import annotations

import time
from contextlib import closing

import numpy as np
import slicer

from ..geometry import InputError
from ..workflow.choices import Choices, FrameMode
from ..workflow.live import LIVE_SPACING_MM
from ..workflow.presenter import Presenter
from . import views
from .logic import ReconstructionInputs, SparseVolumeReconstructionLogic
from .results import ATTRIBUTE
from .scene import headless_scene

STEPS = 30
_VIEWS = (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal"))
_SIZE = (500, 400)
_FIXED_MM = (("Red", 25.0), ("Green", 0.0), ("Yellow", 20.0))
_FIRST_MM = -15.0  # where the slice that moves begins
_TIMEOUT_S = 60.0


def live_latency(prior_id: str, steps: int = STEPS) -> list[float]:
    """Seconds from the request to the display of each of `steps` live updates, warm.

    The scan is the mean of the prior itself, the frame is known, three slices stay and a fourth moves 1 mm a
    step. Display means that the images of three slice views of 500 x 400 pixels are made.

    Args:
        prior_id: id of the model.
        steps: how many updates are timed; one more before them is not.

    Raises:
        InputError: for an unknown prior.
    """
    headless_scene()
    with closing(SparseVolumeReconstructionLogic()) as logic:
        scan = logic.reconstruct(
            ReconstructionInputs(prior_id, frame="registered", spacing_mm=LIVE_SPACING_MM, outputs=("mean",))
        ).mean
        for word in ("Role", "Result"):
            scan.RemoveAttribute(f"{ATTRIBUTE}{word}")  # here it plays the scan
        shown = {name: _slice_view(name, orientation) for name, orientation in _VIEWS}
        choices = Choices(prior=prior_id, frameMode=FrameMode.REGISTERED, live=True)
        presenter = Presenter(choices, logic, lambda: None)
        with closing(presenter):
            views.set_background(scan)
            for view, offset in _FIXED_MM:
                shown[view].SetSliceOffset(offset)
                presenter.contexts.add_from_view(view)
            shown["Red"].SetSliceOffset(_FIRST_MM - 1.0)
            presenter.contexts.add_from_view("Red")
            presenter.contexts.move_with_view(True)
            presenter.parameters_changed()
            _display(presenter, shown)
            return [_step(presenter, shown, _FIRST_MM + n) for n in range(steps + 1)][1:]


def _step(presenter: Presenter, shown: dict, offset_mm: float) -> float:
    start = time.perf_counter()
    shown["Red"].SetSliceOffset(offset_mm)
    _display(presenter, shown)
    return time.perf_counter() - start


def _display(presenter: Presenter, shown: dict) -> None:
    """Wait for the mean and make the images of the views."""
    until = time.monotonic() + _TIMEOUT_S
    while presenter.runner.busy:
        presenter.runner.poll()
        time.sleep(0.002)
        if time.monotonic() > until:
            raise InputError(
                "live update: no answer from the computing process; run ./run reconstruct to see why."
            )
    if presenter.runner.status.error:
        raise InputError(f"live update: {presenter.runner.status.error}")
    presenter.explorer.show()
    for logic in shown.values():
        logic.GetImageDataConnection().GetProducer().Update()


def _slice_view(name: str, orientation: str):
    """The logic of a slice view without a window."""
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    logic.SetMRMLScene(slicer.mrmlScene)
    node = logic.AddSliceNode(name)
    node.SetOrientation(orientation)
    node.SetMappedInLayout(1)
    logic.ResizeSliceNode(*_SIZE)
    return logic


def table(seconds: list[float]) -> str:
    """The latencies as text."""
    return (
        f"live update, request to display, {len(seconds)} steps, 4 slices: median {np.median(seconds):.3f} "
        "s, "
        f"95th percentile {np.percentile(seconds, 95):.3f} s"
    )
