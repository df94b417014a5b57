"""The mental map with a real worker and a tiny model: step by step, and back."""

from contextlib import closing

import numpy as np
import pytest
import slicer
import slicer.util
from mrml.jobs import finish

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.mrml.contexts import add_context, context_slices
from SparseVolumeReconstructionLib.mrml.nodes import add_volume, volume_of, world_grid
from SparseVolumeReconstructionLib.workflow.choices import Choices, FrameMode
from SparseVolumeReconstructionLib.workflow.mental_map import MentalMap
from SparseVolumeReconstructionLib.workflow.presenter import Presenter


@pytest.fixture
def teaching(scene, tiny_logic):
    """A presenter with three slices of a head-sized ball, registered to the model."""
    grid = Grid.centred((12, 14, 13), 12.0)
    radius = np.linalg.norm(grid.points_ras() / [60, 75, 62], axis=1).reshape(grid.shape_kji)
    array = np.where(radius < 1, 30 + 60 * radius, 0).astype(np.float32)
    scan = add_volume(Volume(array, grid), "Head")
    with closing(
        Presenter(Choices(prior="tiny", frameMode=FrameMode.REGISTERED), tiny_logic, lambda: None)
    ) as presenter:
        for height in (-24.0, 0.0, 24.0):
            plane = np.eye(4)
            plane[2, 3] = height
            add_context(scan, plane, "Red", (1, 0, 0))
        yield presenter, scan


def test_every_slice_makes_the_picture_more_certain_and_back_shows_what_was(teaching):
    presenter, _ = teaching
    learning = MentalMap(presenter)
    learning.start()
    finish(presenter)
    assert learning.position == 0 and [context.enabled for context in context_slices()] == [False] * 3
    for count in (1, 2, 3):
        learning.forward()
        finish(presenter)
        assert [context.enabled for context in context_slices()] == [n < count for n in range(3)]
    certain = [step.uncertainty for step in learning.steps]
    assert certain == sorted(certain, reverse=True) and certain[-1] < 0.95 * certain[0]
    assert learning.steps[0].change is None and all(step.change > 0 for step in learning.steps[1:])
    assert all(
        world_grid(step.result.mean).same_as(world_grid(learning.steps[0].result.mean))
        for step in learning.steps
    )
    learning.back()
    assert presenter.parameters.result is learning.steps[2].result.mean and not presenter.runner.busy
    learning.forward()
    assert presenter.parameters.result is learning.steps[3].result.mean and not presenter.runner.busy
    with pytest.raises(InputError, match="all slices are in use"):
        learning.forward()


def test_the_first_step_is_the_priors_anatomy(teaching):
    presenter, _ = teaching
    learning = MentalMap(presenter)
    learning.start()
    finish(presenter)
    first = volume_of(learning.steps[0].result.mean)
    assert learning.steps[0].result.provenance["contexts"] == []
    assert first.array.max() > 0 and volume_of(learning.steps[0].result.std).array.max() > 0


def test_a_slice_taken_later_comes_last(teaching):
    presenter, scan = teaching
    learning = MentalMap(presenter)
    learning.start()
    finish(presenter)
    plane = np.eye(4)
    plane[2, 3] = 12.0
    late = add_context(scan, plane, "Red", (1, 0, 0))
    for _ in range(4):
        learning.forward()
        finish(presenter)
    assert len(learning.steps) == 5 and late.enabled


@pytest.mark.parametrize("end", ["stop", "a slice is removed", "a step is removed"])
def test_only_ticked_slices_take_part_and_the_end_puts_everything_back(teaching, end):
    presenter, _ = teaching
    middle = context_slices()[1]
    presenter.contexts.edit(middle, lambda each: each.set_enabled(False))
    presenter.parameters.live = True
    finish(presenter)
    result = presenter.parameters.result
    learning = MentalMap(presenter)
    learning.start()
    finish(presenter)
    for used in ([True, False, False], [True, False, True]):
        learning.forward()
        finish(presenter)
        assert [context.enabled for context in context_slices()] == used
    with pytest.raises(InputError, match="all slices are in use"):
        learning.forward()
    learning.back()
    nodes = [step.result.mean for step in learning.steps]
    if end == "stop":
        learning.stop()
    elif end == "a slice is removed":
        learning.forget_removed(context_slices()[2].node)
    else:
        slicer.mrmlScene.RemoveNode(nodes[1])
        learning.forget_removed(nodes[1])
    assert [context.enabled for context in context_slices()] == [True, False, True] and not learning.running
    assert all(node.GetScene() is None for node in nodes)
    assert presenter.parameters.live and presenter.parameters.result is result
    presenter.parameters.live = False
    finish(presenter)


def test_an_error_or_a_cancelled_start_changes_nothing(teaching):
    presenter, _ = teaching
    presenter.contexts.edit(context_slices()[0], lambda each: each.set_enabled(False))
    learning = MentalMap(presenter)
    learning.start()
    presenter.runner.cancel()
    finish(presenter)
    assert [context.enabled for context in context_slices()] == [False, True, True] and not learning.running
    learning.start()
    finish(presenter)
    learning.forward()
    learning.stop()  # while the step is computed
    finish(presenter)
    assert [context.enabled for context in context_slices()] == [False, True, True] and not learning.running
    assert not [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if node.GetName().startswith("Mental map")
    ]


def test_a_slice_that_is_removed_ends_the_map(teaching):
    presenter, _ = teaching
    learning = MentalMap(presenter)
    learning.start()
    finish(presenter)
    learning.forget_removed(context_slices()[1].node)
    assert not learning.running and learning.position == -1


def test_it_needs_slices_and_a_start(teaching):
    presenter, _ = teaching
    learning = MentalMap(presenter)
    with pytest.raises(InputError, match="start the map first"):
        learning.forward()
    presenter.contexts.clear()
    with pytest.raises(InputError, match="take some slices first"):
        learning.start()
