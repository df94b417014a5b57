"""What stands for a scan as it is, so that nothing is kept by a name alone."""

import numpy as np
import pytest
import slicer
import slicer.util

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.mrml.fingerprints import (
    are_of_one_body,
    digest,
    fingerprint,
    fingerprints,
)
from SparseVolumeReconstructionLib.mrml.nodes import add_transform, add_volume


def volume(array) -> Volume:
    return Volume(array, Grid(array.shape, np.eye(4)))


@pytest.fixture
def scan(scene):
    return add_volume(volume(np.arange(24.0, dtype="f4").reshape(2, 3, 4)), "Scan")


def test_another_place_and_other_voxels_are_another_scan(scan):
    first = fingerprint(scan)
    scan.SetName("Other name")
    assert fingerprint(scan) == first
    moved = np.eye(4)
    moved[0, 3] = 0.5
    scan.SetAndObserveTransformNodeID(add_transform(moved, "moved").GetID())
    assert fingerprint(scan) != first
    scan.SetAndObserveTransformNodeID(None)
    assert fingerprint(scan) == first
    slicer.util.arrayFromVolume(scan)[0, 0, 0] = 5
    slicer.util.arrayFromVolumeModified(scan)
    assert fingerprint(scan) != first


def test_type_and_shape_count():
    kinds = ((2, 3, 4), "f4"), ((2, 4, 3), "f4"), ((2, 3, 4), "i4")
    assert len({digest(volume(np.zeros(*kind))) for kind in kinds}) == 3


def test_an_empty_node_is_refused(scene):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    with pytest.raises(InputError, match="Empty"):
        fingerprint(node)


@pytest.mark.parametrize(
    ("now", "same"),
    [
        ({"a": "1"}, True),
        ({"a": "1", "c": "3"}, True),  # one more of the same visit
        ({"z": "1"}, True),  # the scene was read again
        ({"a": "9"}, False),  # moved
        ({"a": "1", "b": "9"}, False),  # one of two moved
        ({"c": "3"}, False),
        ({}, False),
    ],
)
def test_what_was_found_of_scans_holds_while_they_stay(now, same):
    assert are_of_one_body({"a": "1", "b": "2"}, now) is same


def test_a_scan_in_place_of_another_of_the_same_name_is_another(scan):
    then = fingerprints([scan])
    slicer.mrmlScene.RemoveNode(scan)
    other = add_volume(volume(np.ones((2, 3, 4), "f4")), "Scan")
    assert not are_of_one_body(then, fingerprints([other]))
