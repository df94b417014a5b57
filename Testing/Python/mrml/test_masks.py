"""A mask is told from a scan, never used as one, and cuts a scan without changing it."""

import numpy as np
import pytest
import slicer

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.mrml.contexts import add_context, check_is_observed
from SparseVolumeReconstructionLib.mrml.masks import apply_mask, is_mask, mask_shown_scan
from SparseVolumeReconstructionLib.mrml.nodes import THICKNESS, add_transform, add_volume, volume_of

SHAPE = (4, 20, 24)


@pytest.fixture
def scan(scene):
    """A scan of 4 thick slices."""
    array = np.random.default_rng(0).integers(1, 900, SHAPE).astype(np.int16)
    node = add_volume(Volume(array, Grid.centred(SHAPE, (2, 2, 6))), "Scan")
    node.SetAttribute(THICKNESS, "5.0")
    return node


def ball(grid: Grid, radius=12.0, value=1, dtype=np.uint8) -> Volume:
    inside = np.linalg.norm(grid.points_ras(), axis=1).reshape(grid.shape_kji) < radius
    return Volume((inside * value).astype(dtype), grid)


@pytest.mark.parametrize(
    ("value", "dtype", "mask"),
    [(1, np.uint8, True), (255, np.uint8, True), (1, np.float32, True), (0.5, np.float32, False)],
)
def test_a_mask_holds_two_values(scan, value, dtype, mask):
    node = add_volume(ball(Grid.centred(SHAPE, 2.0), value=value, dtype=dtype), "m")
    assert is_mask(node) == mask and not is_mask(scan)
    slicer.util.updateVolumeFromArray(node, np.random.default_rng(0).random(SHAPE).astype(np.float32))
    assert not is_mask(node)


def test_a_label_map_is_a_mask_and_what_shows_nothing_is_none(scan):
    assert is_mask(add_volume(ball(Grid.centred(SHAPE, 2.0), value=7), "labels", "vtkMRMLLabelMapVolumeNode"))
    assert not is_mask(add_volume(Volume(np.zeros(SHAPE, np.uint8), Grid.centred(SHAPE, 2.0)), "nothing"))
    assert not is_mask(add_volume(Volume(np.full(SHAPE, 3, np.uint8), Grid.centred(SHAPE, 2.0)), "constant"))


def test_a_mask_is_never_taken_for_a_scan(scan):
    mask = add_volume(ball(Grid.centred(SHAPE, 2.0)), "mask")
    with pytest.raises(InputError, match="is a mask, not a scan"):
        add_context(mask, np.eye(4), "Red", (1, 0, 0))
    with pytest.raises(InputError, match="is a mask, not a scan"):
        check_is_observed(mask)


@pytest.mark.parametrize("spacing", [(2, 2, 6), (1, 1, 1), (3, 3, 3)])
def test_outside_the_mask_is_0_and_the_scan_is_as_it_was(scan, spacing):
    before = slicer.util.arrayFromVolume(scan).copy()
    size = tuple(int(n) for n in np.ceil(np.array([24, 40, 48]) / spacing[::-1]))
    mask = add_volume(ball(Grid.centred(size, spacing)), "mask")
    made = apply_mask(scan, mask)
    whole, cut = volume_of(scan), volume_of(made)
    distance = np.linalg.norm(whole.grid.points_ras(), axis=1).reshape(SHAPE)
    half = 0.5 * np.linalg.norm(spacing) + 1e-3
    assert (
        made.GetName() == "Scan masked" and cut.grid.same_as(whole.grid) and cut.array.dtype == before.dtype
    )
    assert (cut.array[distance > 12 + half] == 0).all()
    np.testing.assert_array_equal(cut.array[distance < 12 - half], before[distance < 12 - half])
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(scan), before)
    assert made.GetAttribute(THICKNESS) == "5.0"


def test_a_scan_that_was_moved_is_masked_where_it_is(scan):
    shift = np.eye(4)
    shift[:3, 3] = 100, 0, 0
    mask = add_volume(ball(Grid.centred(SHAPE, (2, 2, 6))), "mask")
    scan.SetAndObserveTransformNodeID(add_transform(shift, "moved").GetID())
    with pytest.raises(InputError, match="covers no voxel of Scan"):
        apply_mask(scan, mask)
    mask.SetAndObserveTransformNodeID(scan.GetTransformNodeID())
    assert volume_of(apply_mask(scan, mask)).grid.same_as(volume_of(scan).grid)


def test_what_is_no_mask_is_refused(scan):
    mask = add_volume(ball(Grid.centred(SHAPE, (2, 2, 6))), "mask")
    for pair, says in (
        ((scan, scan), "Scan is no mask"),
        ((mask, mask), "no mask"),
        ((mask, add_volume(ball(Grid.centred(SHAPE, 2.0)), "m2")), "a mask itself"),
    ):
        with pytest.raises(InputError, match=says):
            apply_mask(*pair)
    with pytest.raises(InputError, match="show the scan"):
        mask_shown_scan(mask)
