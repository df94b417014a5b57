"""The embedded brain-t1 on real volumes: what it must refuse, and what it must not."""

import json
from dataclasses import replace

import numpy as np
import pytest

from SparseVolumeReconstructionLib.alignment.align import DOUBTFUL, TWO_BODIES, align
from SparseVolumeReconstructionLib.alignment.pose import quarter_turns
from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_affine, write_volume
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.reconstruction.request import ReconstructionRequest, SliceSpec
from SparseVolumeReconstructionLib.reconstruction.result import TISSUE_VOLUMES, read_result
from SparseVolumeReconstructionLib.reconstruction.run import run_request
from SparseVolumeReconstructionLib.zoo import ModelStore


def middle_slices(path) -> list:
    """Three slices through the middle of what a file shows."""
    volume = read_volume(path)
    shown = np.flatnonzero(volume.array.max((1, 2)) > 0.1 * volume.array.max())
    return [slice_of(volume, int(k)) for k in np.quantile(shown, [0.35, 0.5, 0.65])]


def test_another_anatomy_is_refused(brain_t1, shared_data):
    with pytest.raises(InputError, match="do not look like|lie in the anatomy"):
        align(
            middle_slices(sorted(shared_data.glob("mouse_ct/*.nii.gz"))[0]),
            brain_t1.alignment_model(),
            Progress(),
        )


def test_a_fetus_in_its_mother_is_refused_or_doubted(brain_t1, shared_data):
    try:
        score = align(
            middle_slices(shared_data / "fetal_stacks" / "sub-01_run-1_T2w.nii.gz"),
            brain_t1.alignment_model(),
            Progress(),
        ).score
    except InputError:
        score = 0.0
    assert score < DOUBTFUL


def test_slices_of_two_people_are_told_from_slices_of_one(brain_t1, shared_data):
    names = brain_t1.card.split["test"]
    first, second = (
        next((shared_data / "brain_t1").glob(f"{name}*.nii.gz")) for name in (names[0], names[2])
    )
    slices = middle_slices(first)
    one = align(
        [slices[0], slices[2], replace(slices[1], source="another file")],
        brain_t1.alignment_model(),
        Progress(),
    )
    two = align(
        [slices[0], slices[2], replace(middle_slices(second)[1], source="another file")],
        brain_t1.alignment_model(),
        Progress(),
    )
    assert one.apart < TWO_BODIES < two.apart


def test_people_who_were_not_fitted_are_not_refused(brain_t1, shared_data):
    for name in brain_t1.card.split["test"][:2]:
        file = next((shared_data / "brain_t1").glob(f"{name}*.nii.gz"))
        found = align(middle_slices(file), brain_t1.alignment_model(), Progress())
        assert found.score > 0.7


def test_flair_is_told_from_t1w_and_each_is_shown_as_the_other(brain_t1, shared_data, tmp_path, capsys):
    """On the terminal, in result.json, and as an error where warnings are errors."""
    scans = {
        kind: shared_data / "multimodal_t1_flair" / f"siteA_sub-11_{kind}.nii.gz" for kind in ("T1w", "FLAIR")
    }
    found = align(middle_slices(scans["T1w"]), brain_t1.alignment_model(), Progress())
    write_affine(found.patient_to_canonical, tmp_path / "frame.h5")
    cases = (
        ("T1w", ["--show-as", "flair"], 0),
        ("FLAIR", [], 0),
        ("FLAIR", ["--show-as", "t1w"], 0),
        ("FLAIR", ["--strict"], 2),
    )
    for kind, more, code in cases:
        indices = ",".join(str(s.volume_index) for s in middle_slices(scans[kind]))
        words = ["--context", f"{scans[kind]}:{indices}", "--frame", str(tmp_path / "frame.h5")]
        words += ["--thickness", "2", "--like", str(scans["T1w"])]
        words += ["--outputs", "mean" if more else "mean,tissues"]
        out = tmp_path / "_".join([kind, *more])
        assert main(["reconstruct", "--prior", "brain-t1", *words, *more, "--output", str(out)]) == code
        said = "the model knows T1w MRI only" in " ".join(capsys.readouterr().err.split())
        assert said is (kind == "FLAIR")
        if code:
            assert not out.exists()
            continue
        result = json.loads((out / "result.json").read_text())
        assert any("knows T1w MRI only" in warning for warning in result["warnings"]) is said
        assert result["contrast"]["found"] == f"{kind}-like"
        by_tissues = kind == "FLAIR"
        assert (result["contrast"].get("chosen") == "tissues") is by_tissues
        if by_tissues:  # evidence says so, and by which grey values
            assert result["contrast"]["nats_over_t1w"] > 20
            greys = {name: row["everywhere"] for name, row in result["contrast"]["grey_values"].items()}
            assert greys["csf"] < greys["wm"] and greys["gm"] > 0
    names = ("FLAIR", "FLAIR_--show-as_t1w", "T1w_--show-as_flair")
    as_own, as_t1w, as_flair = (read_volume(tmp_path / name / "mean.nrrd").array for name in names)
    flair, t1w = (read_volume(scans[kind]).array for kind in ("FLAIR", "T1w"))
    observed, *nothing = (read_volume(tmp_path / name / "observed.nrrd").array > 0 for name in names)
    assert observed.any() and not np.any(nothing)
    inside = (flair > 0) & (t1w > 0) & ~observed
    own, other, back = (
        {key: np.corrcoef(mean[inside], truth[inside])[0, 1] for key, truth in (("f", flair), ("t", t1w))}
        for mean in (as_own, as_t1w, as_flair)
    )
    assert own["f"] > 0.5 and own["f"] > other["f"] and other["t"] > other["f"]
    assert other["t"] > own["t"] + 0.03 and back["f"] > 0.55
    assert 0.6 < np.median(as_own[inside]) / np.median(flair[inside]) < 1.6
    tissues = read_result(tmp_path / "FLAIR").tissues
    assert set(tissues) == set(TISSUE_VOLUMES)
    fluid, grey, white = (tissues[name].array for name in ("csf", "gm", "wm"))
    assert np.median((fluid + grey + white)[inside]) == pytest.approx(1, abs=0.1)
    assert np.corrcoef(white[inside], t1w[inside])[0, 1] > 0.5 > np.corrcoef(fluid[inside], t1w[inside])[0, 1]
    assert all(0 < np.median(tissues[f"{name}_std"].array[inside]) < 0.5 for name in ("csf", "gm", "wm"))


@pytest.fixture(scope="module")
def found_when_turned(repository, tmp_path_factory):
    """Function of a 4x4: the bundled slices with the axes of their file exchanged by it; what a run finds,
    and what it tells.
    """
    scan = (
        repository / "SparseVolumeReconstruction" / "Resources" / "SampleData" / "sparse-brain-4-slices.nrrd"
    )

    def run(mixed_up: np.ndarray) -> tuple[np.ndarray, list[str]]:
        folder, told, sample = tmp_path_factory.mktemp("turned"), [], read_volume(scan)
        write_volume(
            Volume(sample.array, Grid(sample.array.shape, mixed_up @ sample.grid.ijk_to_ras)),
            folder / "scan.nrrd",
        )
        contexts = [SliceSpec(path=str(folder / "scan.nrrd"), thickness_mm=1.0)]
        words = {"outputs": ["mean"], "spacing_mm": 8, "device": "cpu", "output": str(folder / "out")}
        request = ReconstructionRequest(prior="brain-t1", contexts=contexts, **words)
        done = run_request(request, ModelStore(folder / "none"), Progress(warned=told.append))["result"]
        assert done["warnings"] == told
        return np.array(done["frame"]["patient_to_canonical"]), told

    return run


@pytest.fixture(scope="module")
def upright(found_when_turned) -> np.ndarray:
    """Patient to canonical of the bundled slices as they are, about which there is nothing to tell."""
    matrix, told = found_when_turned(np.eye(4))
    assert told == []
    return matrix


@pytest.mark.slow
@pytest.mark.parametrize("turn", [3, 12])
def test_axes_that_were_mixed_up_are_found_and_told(found_when_turned, upright, turn):
    mixed_up = np.eye(4)
    mixed_up[:3, :3] = quarter_turns()[turn]
    matrix, told = found_when_turned(mixed_up)
    assert len(told) == 1 and "turned by" in told[0] and "LPS taken for RAS" in told[0]
    corners = np.c_[Grid.centred((160, 180, 150), 1.0).corners_ras(), np.ones(8)]
    assert np.linalg.norm(corners @ (matrix @ mixed_up - upright).T, axis=1).max() < 1.0


def test_a_given_frame_that_is_hardly_thinkable_is_told_and_not_refused(tmp_path):
    """Three slices of noise; where such a frame was found, it is refused."""
    noise = np.random.default_rng(0).normal(100, 30, (3, 72, 60)).astype(np.float32)
    write_volume(Volume(noise, Grid.centred(noise.shape, 3.0)), tmp_path / "noise.nrrd")
    upside_down = np.diag([1.0, -1.0, -1.0, 1.0])
    write_affine(upside_down, tmp_path / "frame.h5")
    request = ReconstructionRequest(
        prior="brain-t1",
        contexts=[SliceSpec(path=str(tmp_path / "noise.nrrd"))],
        frame=str(tmp_path / "frame.h5"),
        outputs=["mean"],
        spacing_mm=8.0,
        output=str(tmp_path / "out"),
    )
    said = run_request(request, ModelStore(), Progress())["result"]
    assert said["frame_probability"] < 0.01
    assert any("The frame is right" in warning for warning in said["warnings"])
