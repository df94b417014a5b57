"""A slice moves only while the user moves it, every step can be undone, and nothing is observed twice."""

from contextlib import suppress

import numpy as np
import pytest
import slicer
import slicer.util
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mrml.blobs import blob

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.mrml import hierarchy, views
from SparseVolumeReconstructionLib.workflow.context_list import ContextList


def places(contexts) -> list[tuple]:
    """What is observed, in the order of the rows."""
    return [context.observed()[1:] for context in contexts]


def scroll_everywhere(slice_views):
    """Move every view by some millimetres, one after the other."""
    for node in slice_views.values():
        node.SetSliceOffset(node.GetSliceOffset() + 1.5)


def test_a_slice_moves_only_while_the_user_moves_it(contexts, slice_views):
    slice_views["Red"].SetSliceOffset(-9.0)
    first = contexts.add_from_view("Red")
    slice_views["Red"].SetSliceOffset(0.0)
    second = contexts.add_from_view("Red")
    before = places(contexts)
    scroll_everywhere(slice_views)
    contexts.show(first)
    scroll_everywhere(slice_views)
    assert places(contexts) == before
    contexts.move_with_view(True)
    assert contexts.moving == second and places(contexts) == before, (
        "the view goes to the slice, not the slice to the view"
    )
    assert second.node.GetDisplayNode().GetColor() == pytest.approx((1.0, 0.2, 0.9))
    slice_views["Red"].SetSliceOffset(-6.0)
    assert second.offset_mm == pytest.approx(-6.0)
    slice_views["Green"].SetSliceOffset(3.0)
    slice_views["Red"].SetSliceOffset(-8.9)  # where the first one lies: it would be observed twice
    assert second.offset_mm == pytest.approx(-6.0) and first.offset_mm == pytest.approx(-9.0)
    slice_views["Red"].SetSliceOffset(500.0)
    assert second.offset_mm == pytest.approx(-6.0)
    contexts.undo()
    assert places(contexts) == before and contexts.moving is None, "all of the way is one step"


@pytest.mark.parametrize(
    "end",
    [
        "select",
        "select none",
        "add",
        "release",
        "view arranged",
        "off",
        "remove",
        "clear",
        "delete volume",
        "new scene",
    ],
)
def test_it_ends_when_the_user_does_something_else(contexts, slice_views, scan, scene, end):
    first = contexts.add_from_view("Green")
    moved = contexts.add_from_view("Red")
    moved.node.RemoveAttribute("SparseVolumeReconstruction.Colour")  # as in a scene of an earlier version
    contexts.move_with_view(True)
    slice_views["Red"].SetSliceOffset(4.0)
    {
        "select": lambda: contexts.select(first),
        "select none": lambda: contexts.select(None),
        "add": lambda: contexts.add_from_view("Yellow"),
        "release": contexts.release,
        "view arranged": lambda: views.face(slice_views["Red"], np.eye(4)),
        "off": lambda: contexts.move_with_view(False),
        "remove": lambda: contexts.remove(moved),
        "clear": contexts.clear,
        "delete volume": lambda: scene.RemoveNode(scan),
        "new scene": lambda: scene.Clear(0),
    }[end]()
    assert contexts.moving is None
    before = places(contexts)
    scroll_everywhere(slice_views)
    assert places(contexts) == before
    colours = [context.node.GetDisplayNode().GetColor() for context in contexts]
    assert colours == [pytest.approx(slice_views[context.view].GetLayoutColor()) for context in contexts]


def test_what_cannot_move_is_refused(contexts, slice_views):
    with pytest.raises(InputError, match="choose the slice"):
        contexts.move_with_view(True)
    contexts.add_from_view("Red")
    slice_views["Red"].SetMappedInLayout(0)
    with pytest.raises(InputError, match="Red view is not shown"):
        contexts.move_with_view(True)
    with pytest.raises(InputError, match="Red view is not shown"):
        contexts.add_from_view("Red")
    assert contexts.moving is None and len(contexts) == 1


def test_every_step_can_be_undone(contexts, slice_views):
    matrix = np.diag([2.0, 2.0, 20.0, 1.0])
    matrix[:3, 3] = (-28, -24, -30)
    sparse = blob((4, 24, 28), name="Sparse", matrix=matrix)
    steps = [
        ("slice added", lambda: contexts.add_from_view("Red")),
        ("slice added", lambda: contexts.add_from_view("Green")),
        ("slices added", lambda: contexts.add_all(sparse)),
        ("slice changed", lambda: contexts.edit(next(iter(contexts)), lambda each: each.set_offset(3.0))),
        ("slice changed", lambda: contexts.edit(list(contexts)[3], lambda each: each.set_thickness(2.5))),
        ("slice removed", lambda: contexts.remove(list(contexts)[2])),
        ("slice changed", lambda: contexts.edit(list(contexts)[1], lambda each: each.set_enabled(False))),
        ("slice removed", lambda: contexts.remove(next(iter(contexts)))),
        ("all slices removed", contexts.clear),
    ]

    def state():
        tree = hierarchy.node()
        folders = [tree.GetItemName(tree.GetItemParent(tree.GetItemByDataNode(c.node))) for c in contexts]
        assert folders == [f"{c.volume.GetName()} context slices" for c in contexts]
        return [
            (c.node.GetID(), c.enabled, c.view, c.node.GetDisplayNode().GetVisibility(), *c.observed()[1:])
            for c in contexts
        ]

    assert contexts.undone == ""
    before = []
    for what, step in steps:
        before.append(state())
        step()
        assert contexts.undone == what and state() != before[-1]
    with pytest.raises(InputError, match="slice thickness 0 mm"):
        contexts.edit(contexts.add_from_view("Red"), lambda each: each.set_thickness(0))
    contexts.undo()  # the slice that was just added; what was refused is no step
    for what, _step in reversed(steps):
        assert contexts.undone == what
        contexts.undo()
        assert state() == before.pop()
    with pytest.raises(InputError, match="nothing to undo"):
        contexts.undo()


def test_what_is_gone_does_not_come_back(contexts, scan, scene):
    contexts.add_from_view("Red")
    contexts.clear()
    scene.RemoveNode(scan)
    contexts.undo()
    assert len(contexts) == 0
    views.set_background(blob(name="Other"))
    contexts.add_from_view("Red")
    scene.Clear(0)
    assert contexts.undone == ""


def test_rows_follow_a_view_that_is_turned(contexts, slice_views):
    slice_views["Red"].SetSliceOffset(7.0)
    context, count = contexts.add_from_view("Red"), len(contexts.changes)
    slice_views["Red"].SetSliceOffset(8.0)
    assert len(contexts.changes) == count
    matrix = views.plane_of(slice_views["Red"]) @ np.diag([-1.0, 1.0, -1.0, 1.0])
    slice_views["Red"].GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(matrix))
    slice_views["Red"].UpdateMatrices()
    assert len(contexts.changes) > count and context.offset_mm == pytest.approx(-7.0)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.one_of(
            st.just("all"),
            st.tuples(st.sampled_from(("add", "offset", "move")), st.integers(0, 3), st.floats(-35, 35)),
            st.sampled_from(("undo", "remove")),
        ),
        max_size=12,
    )
)
def test_no_acquired_slice_is_observed_twice(slice_views, actions):
    matrix = np.diag([2.0, 2.0, 20.0, 1.0])
    matrix[:3, 3] = (-28, -24, -30)
    sparse, contexts = blob((4, 24, 28), name="Sparse", matrix=matrix), ContextList(lambda: None)
    views.set_background(sparse)
    do = {
        "all": lambda: contexts.add_all(sparse),
        "undo": contexts.undo,
        "remove": lambda: contexts.remove(next(iter(contexts))),
        "add": lambda _row, _mm: contexts.add_from_view("Red"),
        "offset": lambda row, mm: contexts.edit(list(contexts)[row], lambda each: each.set_offset(mm)),
        "move": lambda row, _mm: contexts.select(list(contexts)[row]) or contexts.move_with_view(True),
    }
    for action in actions:
        name, *values = [action] if isinstance(action, str) else action
        if values:
            slice_views["Red"].SetSliceOffset(values[1])
        with suppress(InputError, IndexError, StopIteration):
            do[name](*values)
        assert len({round(context.offset_mm, 3) for context in contexts}) == len(contexts) <= 4
    slicer.mrmlScene.RemoveNode(sparse)
    contexts.close()


def test_a_slice_that_is_there_already_is_named(contexts, slice_views):
    for offset in (1.0, 5.0):
        slice_views["Red"].SetSliceOffset(offset)
        contexts.add_from_view("Red")
    slice_views["Red"].SetSliceOffset(5.4)
    with pytest.raises(InputError, match=r"in the list already \(row 2, Scan axial 5.0 mm\)"):
        contexts.add_from_view("Red")
    with pytest.raises(InputError, match="row 2"):
        contexts.edit(next(iter(contexts)), lambda each: each.set_offset(5.2))
    assert [context.offset_mm for context in contexts] == pytest.approx([1.0, 5.0])
    again = blob(name="Another scan")
    views.set_background(again)
    assert contexts.add_from_view("Red").volume is again, (
        "the same place of another scan is another observation"
    )


def test_the_rest_of_an_acquisition_is_taken(contexts):
    matrix = np.diag([1.0, 1.0, 20.0, 1.0])
    matrix[:3, 3] = (-10, -12, -30)
    sparse = blob((4, 24, 20), name="Sparse", matrix=matrix)
    assert contexts.add_all(sparse) == 0
    contexts.remove(list(contexts)[1])
    assert contexts.add_all(sparse) == 3 and [c.offset_mm for c in contexts] == pytest.approx(
        [-30, 10, 30, -10]
    )
    with pytest.raises(InputError, match="all 4 slices of Sparse are in the list already"):
        contexts.add_all(sparse)
