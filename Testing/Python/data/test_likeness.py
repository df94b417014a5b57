"""Who lies turned or is in another unit is found by registration; who does not is left alone."""

import numpy as np
import pytest

from SparseVolumeReconstructionLib.data.likeness import Likeness, register_subject, unlike_others
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume

from .test_registration import body

TURNS = {
    "about the front-back axis": (np.diag([-1.0, 1, -1]), 180),
    "about the vertical axis": (np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), 90),
    "axes mixed up": (np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]), 120),
}


def moved(volume: Volume, change: np.ndarray, shift=(0, 0, 0)) -> Volume:
    """What a header says that is wrong: a 3x3 change of all places, and a shift in mm."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = change, shift
    return Volume(volume.array, Grid(volume.array.shape, matrix @ volume.grid.ijk_to_ras))


@pytest.mark.parametrize("turn", TURNS)
def test_who_lies_turned_is_found(turn):
    change, degrees = TURNS[turn]
    found = register_subject(body(), moved(body(), change, (4, -3, 20)), "head.nii")
    assert found.turned and found.turned_degrees == pytest.approx(degrees) and found.turned_fit > 0.95
    (reason,) = unlike_others({"a": found, **{f"s{n}": Likeness(np.eye(4), 0.9) for n in range(3)}}).values()
    assert f"lies turned by {degrees} degrees" in reason


def test_who_lies_as_the_reference_is_not_turned():
    small = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
    found = register_subject(body(), moved(body(), small, (4, -3, 20)), "head.nii")
    assert found.fit > 0.95 and not found.turned


@pytest.mark.parametrize(("factor", "unit"), [(0.1, "cm"), (1000.0, "microns")])
def test_another_unit_is_named_before_anything_is_registered(factor, unit):
    with pytest.raises(InputError, match=f"head.nii: .* times as large as the reference: is the unit {unit}"):
        register_subject(body(), moved(body(), factor * np.eye(3)), "head.nii")


def test_where_most_are_turned_nobody_is_named():
    turned = {f"t{n}": Likeness(np.eye(4), 0.5, 0.9, 180.0) for n in range(3)}
    straight = {f"s{n}": Likeness(np.eye(4), 0.9) for n in range(2)}
    assert unlike_others({"s": straight["s0"], **turned}) == {}
    assert list(unlike_others({"t0": turned["t0"], **straight})) == ["t0"]


def test_another_contrast_lies_as_the_reference_or_turned():
    """Bright and dark exchanged: the correlation ratio sees what correlation takes for something else."""
    exchanged = Volume(np.where(body().array > 0.02, 1.05 - body().array, 0).astype(np.float32), body().grid)
    found = register_subject(body(), moved(exchanged, np.eye(3), (4, -3, 20)), "head.nii", alike=False)
    assert found.fit > 0.9 and not found.turned and np.allclose(found.matrix[:3, 3], [4, -3, 20], atol=1.5)
    change, degrees = TURNS["axes mixed up"]
    found = register_subject(body(), moved(exchanged, change), "head.nii", alike=False)
    assert found.turned and found.turned_degrees == pytest.approx(degrees) and found.turned_fit > 0.9
