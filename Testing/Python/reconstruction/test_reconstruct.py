"""Whole requests on a real, tiny prior: what lies in the output folder, on which grid, and that it is the
same every time.
"""

import json

import nrrd
import numpy as np
import pytest

from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import read_affine, read_volume, write_affine, write_volume
from SparseVolumeReconstructionLib.progress import Cancelled, Progress
from SparseVolumeReconstructionLib.reconstruction.request import SliceSpec
from SparseVolumeReconstructionLib.reconstruction.run import run_request

IMAGES = ("mean", "std", "observed", "template", "template_mask")


def files(folder) -> dict[str, bytes]:
    """Content of every file of a folder; result.json without times, the frame as a matrix (HDF5 stores when
    it was written).
    """
    out = {path.name: path.read_bytes() for path in folder.iterdir()} | {
        "frame.h5": read_affine(folder / "frame.h5").tobytes()
    }
    result = json.loads(out["result.json"])
    assert result.pop("seconds")
    result["request"].pop("output")
    return {**out, "result.json": json.dumps(result).encode()}


def test_slices_on_the_output_grid_are_reproduced_exactly(store, request_for, registered, tmp_path):
    done = run_request(request_for(samples=3), store, Progress())
    assert (
        set(done["files"])
        == {*(f"{name}.nrrd" for name in IMAGES), "samples.seq.nrrd", "frame.h5", "result.json"}
        == {path.name for path in (tmp_path / "out").iterdir()}
    )
    mean, std, observed = (
        read_volume(tmp_path / "out" / f"{name}.nrrd") for name in ("mean", "std", "observed")
    )
    assert mean.grid.same_as(registered.grid) and std.grid.same_as(registered.grid)
    assert np.array_equal(observed.array.any((1, 2)).nonzero()[0], [9, 15]) and observed.array[[9, 15]].all()
    np.testing.assert_array_equal(mean.array[[9, 15]], registered.array[[9, 15]])
    assert not std.array[[9, 15]].any() and std.array[12].max() > 1
    samples, header = nrrd.read(str(tmp_path / "out" / "samples.seq.nrrd"), index_order="C")
    assert samples.shape == (*registered.grid.shape_kji, 3) and header["kinds"][0] == "list"
    np.testing.assert_array_equal(
        np.moveaxis(samples, -1, 0)[:, [9, 15]], np.stack([registered.array[[9, 15]]] * 3)
    )
    assert np.abs(mean.array - registered.array)[12].mean() < 0.05 * registered.array.max()
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result == done["result"] and result["voxels"] == {
        "observed": 2 * 27 * 23,
        "inferred": 23 * 27 * 23,
    }
    assert [c["slice"] for c in result["contexts"]] == [9, 15] and not result["contexts"][0][
        "thickness_assumed"
    ]
    assert result["prior"]["sha256"] == store.entry("tiny-head").sha256 and result["device"] == "cpu"
    assert np.isfinite(result["log_evidence"]) and not result["frame"]["found_from_slices"]
    np.testing.assert_allclose(read_affine(tmp_path / "out" / "frame.h5"), np.eye(4), atol=1e-9)


def test_observed_pixels_can_be_left_to_the_model(store, request_for, registered, tmp_path):
    run_request(request_for(keep_observed=False, samples=1), store, Progress())
    mean, std, observed = (
        read_volume(tmp_path / "out" / f"{name}.nrrd").array for name in ("mean", "std", "observed")
    )
    assert observed[[9, 15]].all() and not np.array_equal(mean[[9, 15]], registered.array[[9, 15]])
    assert np.abs(mean - registered.array)[[9, 15]].mean() < 0.05 * registered.array.max()
    anatomy = registered.array[9] > 50
    assert (std[9][anatomy] > 0).all() and std[9][anatomy].mean() < std[12][registered.array[12] > 50].mean()


def test_the_same_request_gives_the_same_bytes(store, request_for, models_dir, tmp_path):
    """In one process, and with a model loaded anew; all but the measured times and the name of the folder."""
    run_request(request_for(samples=2, seed=5), store, Progress())
    run_request(
        request_for(samples=2, seed=5, output=str(tmp_path / "again")), type(store)(models_dir), Progress()
    )
    run_request(request_for(samples=2, seed=6, output=str(tmp_path / "other")), store, Progress())
    first, again, other = (files(tmp_path / name) for name in ("out", "again", "other"))
    assert first == again
    assert first["mean.nrrd"] == other["mean.nrrd"] and first["samples.seq.nrrd"] != other["samples.seq.nrrd"]


def test_fewer_samples_are_the_first_of_more(store, request_for, tmp_path):
    got = {}
    for count in (2, 6):
        run_request(request_for(samples=count, seed=3), store, Progress())
        got[count] = nrrd.read(str(tmp_path / "out" / "samples.seq.nrrd"), index_order="C")[0]
    np.testing.assert_array_equal(got[2], got[6][..., :2])


def test_a_frame_from_a_file_and_an_output_of_its_own_spacing(
    store, request_for, make_patient, registered, tmp_path
):
    patient = make_patient((10, -20, 15), (30, -40, 500))
    grid = Grid(registered.grid.shape_kji, patient.frame @ registered.grid.ijk_to_ras)
    write_volume(patient.volume(grid), tmp_path / "patient.nrrd")
    write_affine(np.linalg.inv(patient.frame), tmp_path / "frame.h5")
    contexts = [SliceSpec(path=str(tmp_path / "patient.nrrd"), slices=[9, 15])]
    run_request(
        request_for(contexts=contexts, frame=str(tmp_path / "frame.h5"), like=None, spacing_mm=6.0),
        store,
        Progress(),
    )
    mean, template = (read_volume(tmp_path / "out" / f"{name}.nrrd") for name in ("mean", "template"))
    np.testing.assert_allclose(mean.grid.ijk_to_ras[:3, :3], 6 * np.eye(3), atol=1e-6)
    assert template.grid.same_as(mean.grid) and template.array.any()
    truth = patient.volume(mean.grid).array
    anatomy = truth > 40
    assert np.corrcoef(mean.array[anatomy], truth[anatomy])[0, 1] > 0.85
    low, high = mean.grid.corners_ras().min(0), mean.grid.corners_ras().max(0)
    assert ((low < [-10, -90, 440]) & (high > [70, 10, 560])).all()
    np.testing.assert_allclose(
        read_affine(tmp_path / "out" / "frame.h5"), np.linalg.inv(patient.frame), atol=1e-6
    )
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["contexts"][0]["thickness_assumed"] and any(
        "8 mm apart, was assumed" in w for w in result["warnings"]
    )


def test_an_unregistered_patient_on_its_own_oblique_grid(
    store, request_for, make_patient, registered, tmp_path
):
    patient = make_patient((8, -6, 10), (40, -25, 300), gain=900)
    matrix = registered.grid.ijk_to_ras.copy()
    matrix[:3, 3] += patient.frame[:3, 3]
    scan = patient.volume(Grid(registered.grid.shape_kji, matrix))
    write_volume(scan, tmp_path / "scan.nrrd")
    contexts = [SliceSpec(path=str(tmp_path / "scan.nrrd"), slices=[7, 11, 15, 18])]
    done = run_request(
        request_for(contexts=contexts, frame="auto", like=str(tmp_path / "scan.nrrd")), store, Progress()
    )
    mean, observed = (read_volume(tmp_path / "out" / f"{name}.nrrd") for name in ("mean", "observed"))
    assert mean.grid.same_as(scan.grid)
    np.testing.assert_array_equal(mean.array[[7, 11, 15, 18]], scan.array[[7, 11, 15, 18]])
    assert observed.array.sum() == 4 * 27 * 23
    hidden = scan.array > 100
    hidden[[7, 11, 15, 18]] = False
    assert np.corrcoef(mean.array[hidden], scan.array[hidden])[0, 1] > 0.7
    assert done["result"]["frame"]["found_from_slices"] and done["result"]["frame"]["match"] > 0.8


def test_oblique_slices_mark_what_they_pass_through(store, request_for, make_patient, registered, tmp_path):
    tilted = make_patient((20, 10, 0)).frame
    cut = make_patient().volume(Grid((1, 40, 40), tilted @ Grid.centred((1, 40, 40), 5.0).ijk_to_ras))
    write_volume(cut, tmp_path / "cut.nrrd")
    run_request(request_for(contexts=[SliceSpec(path=str(tmp_path / "cut.nrrd"))]), store, Progress())
    mean, observed = (read_volume(tmp_path / "out" / f"{name}.nrrd").array for name in ("mean", "observed"))
    distance = np.abs((registered.grid.points_ras() @ tilted[:3, :3])[:, 2]).reshape(mean.shape)
    assert observed[(distance < 4) & (registered.array > 0)].all() and not observed[distance > 8].any()
    seen = (observed > 0) & (registered.array > 60) & (distance < 1)
    np.testing.assert_allclose(mean[seen], registered.array[seen], atol=60)


def test_no_context_is_the_prior_itself(store, request_for, prior, tmp_path):
    done = run_request(request_for(contexts=[], samples=2), store, Progress())
    mean, observed = (read_volume(tmp_path / "out" / f"{name}.nrrd").array for name in ("mean", "observed"))
    np.testing.assert_allclose(mean, prior.condition([]).mean().clamp(min=0), atol=1e-5)
    assert not observed.any() and done["result"]["contexts"] == [] and done["result"]["log_evidence"] == 0


@pytest.mark.slow
def test_two_hundred_slices_work(store, request_for, make_patient, tmp_path):
    write_volume(make_patient().volume(Grid.centred((200, 24, 24), (8, 8, 0.7))), tmp_path / "many.nrrd")
    contexts = [SliceSpec(path=str(tmp_path / "many.nrrd"), thickness_mm=0.7)]
    done = run_request(request_for(contexts=contexts), store, Progress())
    assert (
        len(done["result"]["contexts"]) == 200
        and np.isfinite(read_volume(tmp_path / "out" / "mean.nrrd").array).all()
    )


def test_slices_without_content_of_a_whole_file_are_left_out_and_said(
    store, request_for, registered, tmp_path
):
    array = registered.array.copy()
    array[:5] = 0
    write_volume(Volume(array, registered.grid), tmp_path / "part.nrrd")
    done = run_request(
        request_for(contexts=[SliceSpec(path=str(tmp_path / "part.nrrd"), thickness_mm=8.0)]),
        store,
        Progress(),
    )
    assert any("left out (0.." in warning for warning in done["result"]["warnings"])
    assert min(c["slice"] for c in done["result"]["contexts"]) >= 5


@pytest.mark.slow
def test_cancelling_at_any_time_leaves_the_folder_as_it_was(store, request_for, tmp_path):
    run_request(request_for(), store, Progress())
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    names, calls, steps = sorted(p.name for p in tmp_path.iterdir()), [], []
    request = request_for(samples=2, seed=1, frame="auto", output=str(tmp_path / "reference"))
    run_request(
        request, store, Progress(lambda event: steps.append(event.step), lambda: bool(calls.append(1)))
    )
    assert len(set(steps)) >= 8 and steps[-1] == "done"
    for stop in np.unique(np.linspace(1, len(calls), 8).astype(int)):
        count = iter(range(1, 10**6))
        with pytest.raises(Cancelled):
            run_request(
                request_for(samples=2, seed=1, frame="auto"),
                store,
                Progress(cancelled=lambda c=count, s=stop: next(c) >= s),
            )
        assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*names, "reference"])
