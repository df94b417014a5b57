"""What is written over the pictures, against the geometry of real slice nodes."""

import numpy as np
import pytest

pytest.importorskip(
    "slicer", reason="NO TEST OF THE BROWSER EDITION: slicer is not installed; ./run test installs it"
)

import slicer

from SparseVolumeReconstructionLib.mrml.scene import close_headless_scene, headless_scene
from SparseVolumeReconstructionLib.web.overlay import crossings, letters, meeting, place, scale
from SparseVolumeReconstructionLib.web.sections.look import slider

LETTER_OF = {(0, 1): "R", (0, -1): "L", (1, 1): "A", (1, -1): "P", (2, 1): "S", (2, -1): "I"}


@pytest.fixture(scope="module")
def nodes():
    """Slice nodes Red, Green and Yellow of 200 x 100 mm, 400 x 200 pixels, through the point (10, 20, 30)."""
    scene = headless_scene()
    found = {}
    for name, orientation in (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal")):
        node = scene.CreateNodeByClass("vtkMRMLSliceNode")
        node.SetLayoutName(name)
        node.SetSingletonTag(name)
        node.SetName(name)
        node = scene.AddNode(node)
        node.SetOrientation(orientation)
        node.SetDimensions(400, 200, 1)
        node.SetFieldOfView(200.0, 100.0, 1.0)
        node.JumpSliceByCentering(10.0, 20.0, 30.0)
        found[name] = node
    yield found
    close_headless_scene()


def matrix_of(node) -> np.ndarray:
    return slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())


@pytest.mark.parametrize(
    ("view", "wanted"),
    [
        ("Red", {"left": "R", "right": "L", "top": "A", "bottom": "P"}),
        ("Green", {"left": "R", "right": "L", "top": "S", "bottom": "I"}),
        ("Yellow", {"left": "A", "right": "P", "top": "S", "bottom": "I"}),
    ],
)
def test_letters_of_the_standard_views(nodes, view, wanted):
    assert letters(matrix_of(nodes[view])) == wanted


@pytest.mark.parametrize("seed", range(20))
def test_letters_of_any_plane_name_its_largest_direction_first(seed):
    turned, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = turned
    found = letters(matrix)
    for edge, direction in (
        ("right", turned[:, 0]),
        ("left", -turned[:, 0]),
        ("top", turned[:, 1]),
        ("bottom", -turned[:, 1]),
    ):
        axis = int(np.argmax(np.abs(direction)))
        assert found[edge][0] == LETTER_OF[axis, int(np.sign(direction[axis]))]
        assert len(found[edge]) == sum(np.abs(direction) >= 0.26)


@pytest.mark.parametrize(("width", "length"), [(250.0, 50), (100.0, 20), (33.4, 10), (8.0, 2), (1000.0, 200)])
def test_the_scale_is_a_round_length_in_proportion(width, length):
    found = scale(width)
    assert found["mm"] == f"{length} mm" and found["percent"] == pytest.approx(100 * length / width, abs=1e-3)


def test_places_of_a_picture_are_points_of_its_plane(nodes):
    red = nodes["Red"]
    np.testing.assert_allclose(place(red, 0.5, 0.5), [10, 20, 30], atol=1e-6)
    np.testing.assert_allclose(
        place(red, 0.0, 0.0), [110, 70, 30], atol=1e-6
    )  # upper left: right and front of the patient
    np.testing.assert_allclose(place(red, 1.0, 1.0), [-90, -30, 30], atol=1e-6)


@pytest.mark.parametrize("turn", [False, True])
def test_lines_lie_where_both_planes_are(nodes, turn):
    red, others = nodes["Red"], [nodes["Green"], nodes["Yellow"]]
    before = matrix_of(red).copy()
    if turn:
        oblique = before.copy()
        oblique[:3, :3] = np.linalg.qr(before[:3, :3] + 0.3 * np.random.default_rng(3).normal(size=(3, 3)))[0]
        red.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(oblique))
        red.UpdateMatrices()
    lines = crossings(red, others)
    assert [line["view"] for line in lines] == ["Green", "Yellow"]
    for line, other in zip(lines, others, strict=True):
        plane = matrix_of(other)
        for x, y in ((line["x1"], line["y1"]), (line["x2"], line["y2"])):
            assert abs((place(red, x / 100, y / 100) - plane[:3, 3]) @ plane[:3, 2]) < 0.05
    point = meeting(lines)
    for other in others:
        plane = matrix_of(other)
        assert abs((place(red, point["x"] / 100, point["y"] / 100) - plane[:3, 3]) @ plane[:3, 2]) < 0.05
    red.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(before))
    red.UpdateMatrices()


def test_parallel_planes_have_no_line(nodes):
    assert crossings(nodes["Red"], [nodes["Red"]]) == []
    line = crossings(nodes["Red"], [nodes["Green"]])
    assert meeting(line) is None is meeting(line * 2)


@pytest.mark.parametrize(
    ("low", "high", "value", "step"),
    [
        (-67.5, 60.0, 15.6, 30.0),
        (-67.53, 71.21, 6.63, 8.0),
        (0.0, 1.0, 0.0, 0.1),
        (-80.0, 80.0, 12.345, 0.97),
        (-5.0, 5.0, 9.0, 1.0),
    ],
)
def test_the_value_of_a_slider_is_one_of_its_steps(low, high, value, step):
    found = slider(low, high, value, step)
    assert found["value"] == pytest.approx(value, abs=1e-3)
    steps = (found["value"] - found["low"]) / found["step"]
    assert steps == pytest.approx(round(steps), abs=1e-6)
    assert (
        found["low"] <= found["value"] <= found["high"]
        and found["low"] >= min(low, value) - 1e-3
        and found["high"] <= max(high, value) + 1e-3
    )
    again = slider(low, high, found["low"] + found["step"] * round(steps), step)
    assert (again["low"], again["high"]) == pytest.approx(
        (found["low"], found["high"]), abs=1e-3
    )  # it does not creep
