"""What a request may ask for, and that nothing else is made: outputs, the atlas alone, quick looks, what was
found before.
"""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_affine, read_volume, write_affine, write_volume
from SparseVolumeReconstructionLib.geometry.resample import resample
from SparseVolumeReconstructionLib.priors.structured_gaussian.prior import StructuredGaussian
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.reconstruction import patient_posterior
from SparseVolumeReconstructionLib.reconstruction.contexts import read_contexts
from SparseVolumeReconstructionLib.reconstruction.outputs import OUTPUTS, Output
from SparseVolumeReconstructionLib.reconstruction.request import SliceSpec
from SparseVolumeReconstructionLib.reconstruction.run import run_request

ALWAYS = {"frame.h5", "result.json"}


@pytest.fixture
def oblique(make_patient, registered, tmp_path):
    """A patient in a frame of its own: scan.nrrd of 6 mm, frame.h5, and three slices of it as contexts."""
    patient = make_patient((8, -6, 10), (40, -25, 300), gain=900)
    scan = patient.volume(Grid((30, 36, 34), patient.frame @ Grid.centred((30, 36, 34), 6.0).ijk_to_ras))
    write_volume(scan, tmp_path / "scan.nrrd")
    write_affine(np.linalg.inv(patient.frame), tmp_path / "frame.h5")
    contexts = [SliceSpec(path=str(tmp_path / "scan.nrrd"), slices=[10, 15, 19], thickness_mm=6.0)]
    return {"contexts": contexts, "frame": str(tmp_path / "frame.h5"), "like": str(tmp_path / "scan.nrrd")}


@pytest.mark.parametrize(
    ("outputs", "samples", "files"),
    [
        (["mean"], 0, {"mean.nrrd", "observed.nrrd"}),
        (["std"], 0, {"std.nrrd", "observed.nrrd"}),
        ([], 1, {"samples.seq.nrrd", "observed.nrrd"}),
        (["template"], 0, {"template.nrrd", "template_mask.nrrd"}),
        (["atlas"], 0, {"atlas.nrrd"}),
        (["atlas", "mean"], 0, {"atlas.nrrd", "mean.nrrd", "observed.nrrd"}),
    ],
)
def test_only_what_was_asked_for_is_written(store, request_for, tmp_path, outputs, samples, files):
    done = run_request(request_for(outputs=outputs, samples=samples), store, Progress())
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(done["files"]) == files | ALWAYS
    assert done["result"]["request"]["outputs"] == outputs


def test_what_an_output_says_stands_in_the_result(store, request_for, monkeypatch):
    """The table is the one place where a new output is entered."""
    weight = Output(
        "weight", 0.9, lambda source: True, lambda source: 3, lambda made: {"weight_g": 100 * made}
    )
    monkeypatch.setitem(OUTPUTS, "weight", weight)
    said = run_request(request_for(outputs=["mean"]), store, Progress())["result"]
    assert said["weight_g"] == 300 and "weight" in said["seconds"]
    assert said["voxels"]["inferred"] > said["voxels"]["observed"] > 0 and np.isfinite(said["log_evidence"])


def test_one_output_alone_is_the_same_as_among_all(store, request_for, tmp_path):
    run_request(
        request_for(outputs=["mean", "std", "template", "atlas"], samples=2, output=str(tmp_path / "all")),
        store,
        Progress(),
    )
    for outputs, samples in (["mean"], 0), (["std"], 0), (["template"], 0), (["atlas"], 0), ([], 2):
        done = run_request(request_for(outputs=outputs, samples=samples), store, Progress())
        for name in set(done["files"]) - ALWAYS:
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()


@pytest.mark.parametrize(("like", "times"), [(False, 3), (True, 4)], ids=["own grid", "grid of a volume"])
def test_every_volume_is_brought_to_the_patient_once(store, request_for, oblique, monkeypatch, like, times):
    """Mean, standard deviation and anatomy on one grid; on a volume's grid the template's mean is another."""
    brought = []

    def spy(volume, grid, *matrix, **options):
        brought.append(grid)
        return resample(volume, grid, *matrix, **options)

    monkeypatch.setattr(patient_posterior, "resample", spy)
    wanted = {**oblique, "like": oblique["like"] if like else None, "spacing_mm": 6.0, "samples": 0}
    run_request(request_for(**wanted, outputs=["mean", "std", "template"]), store, Progress())
    assert len(brought) == times


def test_asking_for_nothing_is_refused(request_for, refused, registered, tmp_path):
    with pytest.raises(ValidationError, match="nothing is asked for"):
        request_for(outputs=[])
    write_volume(registered, tmp_path / "head.nrrd")
    refused("--context", "head.nrrd:9", "--outputs", "", says="nothing is asked for")
    refused("--context", "head.nrrd:9", "--outputs", "mean,variance", says="--outputs variance")


def test_the_atlas_alone_needs_the_frame_alone(store, request_for, prior, oblique, tmp_path, monkeypatch):
    whole, given = StructuredGaussian.condition, []

    def condition(self, slices, **options):
        given.append(len(slices))
        return whole(self, slices, **options)

    monkeypatch.setattr(StructuredGaussian, "condition", condition)
    run_request(request_for(**{**oblique, "frame": "auto"}, outputs=["atlas"]), store, Progress())
    assert given == [0]
    atlas, frame, scan = (
        read(tmp_path / name)
        for read, name in (
            (read_volume, "out/atlas.nrrd"),
            (read_affine, "out/frame.h5"),
            (read_volume, "scan.nrrd"),
        )
    )
    assert atlas.grid.same_as(prior.grid)
    laid = resample(atlas, scan.grid, frame, antialias=False).array
    anatomy = scan.array > 100
    assert np.corrcoef(laid[anatomy], scan.array[anatomy])[0, 1] > 0.6
    assert 0.8 < laid[anatomy].mean() / scan.array[anatomy].mean() < 1.25


def test_the_template_has_a_mask_on_its_grid(store, request_for, oblique, tmp_path):
    run_request(
        request_for(**{**oblique, "like": None}, spacing_mm=5.0, outputs=["template"]), store, Progress()
    )
    template, mask = (
        read_volume(tmp_path / "out" / f"{name}.nrrd") for name in ("template", "template_mask")
    )
    assert mask.grid.same_as(template.grid) and set(np.unique(mask.array)) == {0, 1}
    assert not template.array[mask.array == 0].any() and (template.array[mask.array == 1] > 0).mean() > 0.95


def test_a_quick_look_is_nearly_as_good_and_says_what_it_is(store, request_for, oblique, tmp_path):
    truth = read_volume(tmp_path / "scan.nrrd").array
    hidden, errors = truth > 100, {}
    hidden[[10, 15, 19]] = False
    for fast in (False, True):
        done = run_request(request_for(**oblique, outputs=["mean"], fast=fast), store, Progress())
        mean = read_volume(tmp_path / "out" / "mean.nrrd").array
        errors[fast] = np.sqrt(((mean - truth)[hidden] ** 2).mean())
        assert done["result"]["request"]["fast"] is fast and ("log_evidence" in done["result"]) is not fast
        np.testing.assert_allclose(mean[[10, 15, 19]], truth[[10, 15, 19]], atol=1e-3)
    assert errors[True] < 1.15 * errors[False] < 0.15 * truth.max()


def test_files_are_compressed_unless_time_matters_more(store, request_for, oblique, tmp_path):
    volumes = []
    for compress, encoding in ((True, b"encoding: gzip"), (False, b"encoding: raw")):
        run_request(request_for(**oblique, outputs=["mean"], samples=2, compress=compress), store, Progress())
        for name in ("mean.nrrd", "samples.seq.nrrd"):
            assert encoding in (tmp_path / "out" / name).read_bytes()[:1000]
        volumes.append(read_volume(tmp_path / "out" / "mean.nrrd").array)
    assert np.array_equal(*volumes)


def test_what_was_found_before_need_not_be_found_again(store, request_for, oblique, tmp_path):
    first = run_request(request_for(**oblique, outputs=["mean"]), store, Progress())["result"]
    mean = (tmp_path / "out" / "mean.nrrd").read_bytes()
    again = run_request(
        request_for(**oblique, outputs=["mean"], intensity=first["intensity_map"]), store, Progress()
    )["result"]
    assert (tmp_path / "out" / "mean.nrrd").read_bytes() == mean
    assert again["intensity_map"] == first["intensity_map"]
    assert again["frame"]["match"] == pytest.approx(first["frame"]["match"], abs=0.03)
    with pytest.raises(InputError, match="without the frame or the covariate"):
        run_request(
            request_for(**{**oblique, "frame": "auto"}, intensity=first["intensity_map"]), store, Progress()
        )
    with pytest.raises(InputError, match="without the frame or the covariate"):
        run_request(
            request_for(**oblique, prior="tiny-fetus", intensity=first["intensity_map"]), store, Progress()
        )
    for knots in (
        {"patient": [0, 1, 1], "canonical": [0, 1, 2]},
        {"patient": [0, 1], "canonical": [0, 1, 2]},
    ):
        with pytest.raises(ValidationError, match="both ascending"):
            request_for(intensity=knots)


def test_files_cut_from_one_volume_are_one_body_and_warned_of_once(registered, store, request_for, tmp_path):
    specs = []
    for k in (8, 11, 14):
        grid = Grid(
            (1, *registered.grid.shape_kji[1:]),
            registered.grid.ijk_to_ras @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, k], [0, 0, 0, 1]]),
        )
        write_volume(Volume(registered.array[k : k + 1], grid), tmp_path / f"{k}.nrrd")
        specs.append(SliceSpec(path=str(tmp_path / f"{k}.nrrd"), source="MRHead"))
    slices, warnings = read_contexts(specs)
    assert {s.source for s in slices} == {s.name for s in slices} == {"MRHead"}
    assert warnings == [
        "MRHead: slice thickness is not known; 5 mm, with gaps between slices 8 mm apart, was assumed."
    ]
    result = run_request(request_for(contexts=specs, outputs=["mean"]), store, Progress())["result"]
    assert [c["source"] for c in result["contexts"]] == ["MRHead"] * 3 and json.dumps(
        result["warnings"]
    ).count("nrrd") == 0
