"""Series of one body whose scanners multiplied the grey values by other factors."""

from shutil import copy

import numpy as np
import pytest

from SparseVolumeReconstructionLib.geometry import Grid
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.reconstruction.request import SliceSpec
from SparseVolumeReconstructionLib.reconstruction.run import run_request

SCAN = Grid.centred((60, 60, 60), 3.0)
AXIAL, SAGITTAL = [20, 27, 34, 41], [22, 30, 38]


@pytest.fixture
def series(tmp_path, make_patient):
    """series(gain, name, slices): a file of the same patient whose values are `gain` times as high."""

    def write(gain, name, slices, axes=(0, 1, 2)) -> SliceSpec:
        matrix = SCAN.ijk_to_ras.copy()
        matrix[:3, :3] = matrix[:3, :3][:, axes]
        volume = make_patient(gain=400.0 * gain).volume(Grid(SCAN.shape_kji, matrix))
        write_volume(volume, tmp_path / f"{name}.nrrd")
        return SliceSpec(path=str(tmp_path / f"{name}.nrrd"), slices=slices, thickness_mm=3.0, source=name)

    return write


def reconstructed(store, request, frame="registered", **changes) -> tuple[np.ndarray, dict]:
    """The mean, and what result.json says."""
    done = run_request(
        request(spacing_mm=6.0, like=None, outputs=["mean"], frame=frame, **changes), store, Progress()
    )
    return read_volume(done["files"]["mean.nrrd"]).array, done["result"]


@pytest.mark.parametrize("gain", [0.4, 6.0])
def test_a_series_of_another_gain_is_as_good_as_one_of_the_same(store, request_for, series, gain):
    first, same, other = (
        series(g, name, k, axes)
        for g, name, k, axes in (
            (1, "first", AXIAL, (0, 1, 2)),
            (1, "same", SAGITTAL, (1, 2, 0)),
            (gain, "other", SAGITTAL, (1, 2, 0)),
        )
    )
    expected, result = reconstructed(store, request_for, contexts=[first, same])
    assert result["intensity_map"]["gains"] == {} and "times those of" not in str(result["warnings"])
    mean, result = reconstructed(store, request_for, contexts=[first, other])
    gains = result["intensity_map"]["gains"]
    assert gains["first"] == 1 and gains["other"] == pytest.approx(gain, rel=0.06)
    assert any("other: its grey values are" in w and "those of first" in w for w in result["warnings"])
    assert np.corrcoef(mean.ravel(), expected.ravel())[0, 1] > 0.99
    assert np.abs(mean - expected).mean() < 0.05 * expected.max()


@pytest.mark.slow
def test_gains_are_found_with_the_frame_and_used_again_and_completed(store, request_for, series, tmp_path):
    """As a live update does, to which a series is added."""
    contexts = [series(1, "first", AXIAL), series(2.5, "other", SAGITTAL, (1, 2, 0))]
    mean, result = reconstructed(store, request_for, contexts=contexts, frame="auto")
    found = result["intensity_map"]
    assert found["gains"] == {"first": 1, "other": pytest.approx(2.5, rel=0.06)}
    known = {"frame": str(copy(tmp_path / "out" / "frame.h5", tmp_path / "found.h5")), "contexts": contexts}
    again, repeated = reconstructed(store, request_for, **known, intensity=found)
    assert repeated["intensity_map"] == found
    np.testing.assert_allclose(again, mean, atol=1e-3 * mean.max())
    _, completed = reconstructed(store, request_for, **known, intensity=found | {"gains": {}})
    assert completed["intensity_map"]["gains"] == {"first": 1, "other": pytest.approx(2.5, rel=0.06)}
