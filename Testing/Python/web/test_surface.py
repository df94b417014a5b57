"""The surface of a mean, lines over what was inferred, and planes in 3D without the ground around the
body.
"""

import asyncio
import time

import numpy as np
import pytest

pytest.importorskip(
    "slicer", reason="NO TEST OF THE BROWSER EDITION: slicer is not installed; ./run test installs it"
)

import slicer
from vtk.util.numpy_support import vtk_to_numpy

from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.mrml.nodes import add_volume
from SparseVolumeReconstructionLib.mrml.scene import close_headless_scene, headless_scene
from SparseVolumeReconstructionLib.web.ground import ClearGround
from SparseVolumeReconstructionLib.web.hatch import hatched
from SparseVolumeReconstructionLib.web.surface import Surface, surface_of

RADIUS_MM, CENTRE = 40.0, np.array([5.0, -10.0, 20.0])


def ball(spacing: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A ball of 100 grey values (k, j, i) whose axes are turned, a standard deviation that is high on its
    right half, and its 4x4.
    """
    size, axes = int(110 / spacing), np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    matrix = np.eye(4)
    matrix[:3, :3] = axes * spacing
    matrix[:3, 3] = CENTRE - matrix[:3, :3] @ np.full(3, (size - 1) / 2)
    k, j, i = np.meshgrid(*[np.arange(size)] * 3, indexing="ij")
    points = np.stack([i, j, k], -1) @ matrix[:3, :3].T + matrix[:3, 3] - CENTRE
    inside = np.linalg.norm(points, axis=-1)
    return np.clip((RADIUS_MM + 1 - inside) * 50, 0, 100), 20.0 * (points[..., 0] > 0), matrix


def test_it_lies_where_the_body_ends_and_is_clear_where_it_is_unsure():
    mean, std, matrix = ball(2.5)
    shape = surface_of((mean, matrix), (std, matrix))
    points, colours = (
        vtk_to_numpy(shape.GetPoints().GetData()),
        vtk_to_numpy(shape.GetPointData().GetScalars()),
    )
    assert np.abs(np.linalg.norm(points - CENTRE, axis=1) - RADIUS_MM).max() < 1.5
    right = points[:, 0] - CENTRE[0]
    assert colours[right > 5, 3].max() < 60 and colours[right < -5, 3].min() > 240
    assert surface_of((np.zeros_like(mean), matrix), None).GetNumberOfPoints() == 0


@pytest.fixture
def scene():
    yield headless_scene()
    close_headless_scene()


def test_it_follows_the_result_and_the_button(scene):
    mean, std, matrix = ball(1.0)
    nodes = [
        add_volume(Volume(array.astype(np.float32), Grid(array.shape, matrix)), "volume")
        for array in (mean, std)
    ]
    models = lambda: slicer.util.getNodesByClass("vtkMRMLModelNode")  # noqa: E731

    async def use() -> None:
        surface, now = Surface(lambda: None), time.perf_counter
        surface.toggle()
        surface.follow(*nodes)
        until = now() + 20
        while not models() and now() < until:
            await asyncio.sleep(0.01)
        assert models()[0].GetPolyData().GetNumberOfPoints() > 1000 and not models()[0].GetSaveWithScene()
        surface.follow(*nodes)
        assert len(models()) == 1
        surface.toggle()
        surface.follow(*nodes)
        assert not models()

    asyncio.run(use())


def test_everything_inferred_of_the_body_is_hatched_and_nothing_observed():
    mean, _, matrix = ball(1.0)
    observed = np.zeros(mean.shape, np.uint8)
    observed[50:60] = 1
    found = hatched(*(Volume(array, Grid(mean.shape, matrix)) for array in (observed, mean))).array
    body = mean > 10
    assert found[observed == 1].max() == 0 and found[~body].max() == 0
    inferred = body & (observed == 0)
    assert 0.15 < found[inferred].mean() < 0.33  # whole voxels of 1 mm in a period of 7
    for axis in range(3):  # lines in every direction in which one can cut
        plane = np.take(found, 40, axis)
        assert (
            0.1 < plane[np.take(inferred, 40, axis)].mean() < 0.35
            and np.abs(np.diff(plane.astype(int), axis=0)).sum() > 100
        )


def test_lines_over_a_coarse_result_are_as_thin():
    mean, _, matrix = ball(5.0)
    coarse = Grid(mean.shape, matrix)
    found = hatched(Volume(np.zeros(mean.shape, np.uint8), coarse), Volume(mean, coarse))
    np.testing.assert_allclose(found.grid.spacing_ijk, 1.0)
    first, last = (
        np.array([[-0.5] * 3, np.array(grid.shape_kji[::-1]) - 0.5]) for grid in (coarse, found.grid)
    )
    for here, there in zip(first, last, strict=True):  # the same box
        np.testing.assert_allclose(
            matrix[:3, :3] @ here + matrix[:3, 3], found.grid.ijk_to_ras[:3] @ [*there, 1.0]
        )
    assert 0.15 < found.array[mean.repeat(5, 0).repeat(5, 1).repeat(5, 2) > 10].mean() < 0.33


def test_the_ground_around_a_body_is_clear_in_3d_also_after_scrolling(scene):
    mean, _, matrix = ball(2.0)
    volume = add_volume(Volume(mean.astype(np.float32), Grid(mean.shape, matrix)), "mean")
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    logic.SetMRMLScene(scene)
    node = logic.AddSliceNode("Red")
    logic.ResizeSliceNode(200, 200)
    logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
    logic.FitSliceToBackground()
    node.SetSliceVisible(True)
    ground = ClearGround(logic)
    for offset in (0.0, 7.0):
        logic.SetSliceOffset(CENTRE[2] + offset)
        shown = logic.GetSliceModelDisplayNode().GetTextureImageDataConnection().GetProducer()
        assert shown.IsA("vtkImageAppendComponents")
        rgba = vtk_to_numpy(ground.picture().GetPointData().GetScalars())
        clear = rgba[:, 3] == 0
        assert 0.2 < clear.mean() < 0.9 and rgba[clear, :3].max() <= 16 and rgba[~clear, :3].mean() > 100
    slicer.mrmlScene.RemoveNode(volume)
    assert (
        logic.GetSliceModelDisplayNode().GetTextureImageDataConnection() is None
    )  # nothing is drawn from nothing
