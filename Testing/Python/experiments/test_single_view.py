"""The experiment of single-image tomography: its methods, and the surfaces that it compares."""

import numpy as np
import pytest
import torch
from reconstruction.conftest import GRID, head, models_dir, store

from SparseVolumeReconstructionLib.experiments import found_views, single_view_heads
from SparseVolumeReconstructionLib.experiments.base import Setting
from SparseVolumeReconstructionLib.experiments.depth_slices import depth_slices, thinned
from SparseVolumeReconstructionLib.experiments.single_view import (
    ATLAS,
    EXACT,
    NEAREST,
    ORACLE,
    SMEAR,
    Bench,
)
from SparseVolumeReconstructionLib.experiments.surfaces import Studio, dssim
from SparseVolumeReconstructionLib.geometry import Grid
from SparseVolumeReconstructionLib.progress import Progress

__all__ = ["models_dir", "store"]  # the tiny models of the reconstruction tests


@pytest.fixture(scope="module")
def bodies():
    """Heads (n, K, J, I) on the grid of the tiny model; the first is the one that is looked for."""
    return torch.as_tensor(
        np.stack([head(GRID.points_ras(), n).reshape(GRID.shape_kji) for n in (1000, *range(6))])
    )


def test_methods_keep_their_order_and_the_smear_its_sum(store, bodies):
    bench = Bench(store.load("tiny-head", "cpu"), None, bodies[1:], None)
    truth = bodies[0].numpy()
    seen = bench.seen(truth, (1.0, 0.0, 0.0))
    operator, values = seen.operator(GRID), torch.as_tensor(seen.values.ravel())
    exact = bench.prior.condition([seen])
    found = bench.volumes(truth, seen, operator, values, exact)
    off = {name: float(((volume.numpy() - truth) ** 2).mean()) for name, volume in found.items()}
    assert off[EXACT] < off[ATLAS] < off[SMEAR] and off[ORACLE] <= off[NEAREST]
    assert float(min(volume.min() for volume in found.values())) >= 0
    assert float(operator.forward(found[SMEAR][None]).sum()) == pytest.approx(float(values.sum()), rel=1e-4)
    known = Bench(bench.prior, None, bodies, None).volumes(truth, seen, operator, values, exact)
    assert torch.equal(known[NEAREST], bodies[0]) and torch.equal(known[ORACLE], bodies[0])


def test_fewer_slices_lose_what_lies_along_the_rays(store, bodies):
    prior, body = store.load("tiny-head", "cpu"), bodies[0]
    for axis in range(3):
        flat = thinned(body, axis, 1)
        assert torch.allclose(flat, body.mean(axis, keepdim=True).expand_as(body), atol=1e-6)
        assert torch.equal(thinned(body, axis, body.shape[axis]), body)
    few, *_, all_of_them = depth_slices(prior, {"one": body.numpy()}, Progress()).rows
    assert few[0] == 8 and few[3] > 0.01 > all_of_them[3] and few[2] < few[1]


def test_surfaces_are_alike_only_where_bodies_are():
    pytest.importorskip("vtk")
    grid = Grid.centred((24,) * 3, 1.0)
    radius = np.linalg.norm(grid.points_ras(), axis=1).reshape(grid.shape_kji)
    small, large = (np.clip(r - radius, 0, 1) for r in (6.0, 9.0))
    studio, view = Studio(grid, 96), np.array([0.7, -0.6, -0.4])
    one, again, other = (studio.pictures(body, [view])[0] for body in (small, small, large))
    assert dssim(one, again) == 0 and dssim(one, other) > 0.02
    inside = one.min(2) < 250
    assert np.pi * 6**2 * 16 == pytest.approx(inside.sum(), rel=0.1), "4 pixels per mm"
    assert one[inside].std() > 10, "lamps"
    both = studio.anaglyph(studio.surface(small), view)
    assert both.shape == one.shape and np.abs(both[..., 0].astype(int) - both[..., 1]).max() > 20


def test_views_that_are_found_are_measured_by_their_rays(store, bodies, monkeypatch):
    """A radiograph that is refused counts as far off."""
    prior, body = store.load("tiny-head", "cpu"), bodies[0].numpy()
    named = found_views.angle_found(prior, body, "side", np.array([1.0, 0, 0]), 0.0)
    assert named < 10
    assert found_views.angle_found(prior, body, "side", np.array([0.0, 0, -1]), 0.0) > 60
    angles = iter([2.0, 4.0, 180.0, 1.0, 1.0, 3.0])
    monkeypatch.setattr(found_views, "angle_found", lambda *words: next(angles))
    table = found_views.found_views(prior, {"one": body}, Progress())
    assert table.rows == [["unknown", 3, pytest.approx(2 / 3), 4.0, 180.0], ["named", 3, 1.0, 1.0, 3.0]]


def test_heads_are_measured_by_every_method(store, bodies, monkeypatch, tmp_path):
    """By a tiny model in place of that of human heads, and views as if they were found."""
    heads = bodies[1:], {"one": bodies[0].numpy()}
    monkeypatch.setattr("SparseVolumeReconstructionLib.zoo.ModelStore", lambda: store)
    monkeypatch.setattr(store, "load", lambda name, device, load=store.load: load("tiny-head", device))
    monkeypatch.setattr(single_view_heads, "_heads", lambda setting, prior: heads)
    monkeypatch.setattr(found_views, "angle_found", lambda *words: 1.0)
    setting = Setting({}, tmp_path, "cpu", None, True, Progress())
    found = single_view_heads.single_view_heads(setting)
    off = {(method, given): row[0] for method, given, *row in found.tables[0].rows}
    for view in ("front", "side", "top"):
        assert off[EXACT, view] < off[ATLAS, view] and off[ORACLE, view] <= off[NEAREST, view]
    assert off[EXACT, "front and side"] < off[EXACT, "side"]
    assert off[EXACT, "side and the slice"] < min(off[EXACT, "side"], off[EXACT, "one axial slice"])
    assert 0.7 < found.tables[1].rows[0][1] <= 1 and found.tables[2].rows[0][2] == 1
    assert len(found.figures) == 1
