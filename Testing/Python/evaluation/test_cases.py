"""Contexts, cohorts and the choice of test subjects."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import SimpleITK as sitk

from SparseVolumeReconstructionLib.data import bids, cohort
from SparseVolumeReconstructionLib.data.registration import on_grid
from SparseVolumeReconstructionLib.evaluation import cases
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume
from SparseVolumeReconstructionLib.geometry.resample import resample
from SparseVolumeReconstructionLib.progress import Progress


@pytest.mark.parametrize(
    ("length", "positions"),
    [
        (120, [60]),
        (120, [30, 60, 90]),
        (120, [15, 45, 75, 105]),
        (120, [20, 40, 60, 80, 100]),
        (120, [12, 24, 36, 48, 60, 72, 84, 96, 108]),
        (80, [40]),
        (80, [20, 40, 60]),
        (80, [10, 30, 50, 70]),
        (80, [10, 20, 30, 40, 50, 60, 70]),
        (80, []),
    ],
)
def test_contexts_lie_where_the_paper_puts_them(length, positions):
    assert cases.context_positions(len(positions), length) == positions


def test_more_contexts_than_fit_are_refused():
    with pytest.raises(InputError, match="expected 0 to 5"):
        cases.context_positions(6, 10)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (0, 2, 1)])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1), (1, -1, 1)])
def test_axial_moves_no_voxel(order, flips):
    matrix = np.zeros((4, 4))
    matrix[list(order), range(3)] = np.array([1.0, 2.0, 3.0]) * flips
    matrix[:, 3] = [5, -7, 11, 1]
    turn = np.array([[0.98, -0.17, 0.1], [0.17, 0.985, 0], [-0.1, 0.02, 0.99]])
    matrix[:3, :3] = np.linalg.qr(turn)[0] * np.sign(np.diag(np.linalg.qr(turn)[1])) @ matrix[:3, :3]
    volume = Volume(
        np.random.default_rng(0).uniform(size=(6, 7, 8)).astype(np.float32), Grid((6, 7, 8), matrix)
    )
    out = cases.axial(volume)
    assert (np.diag(out.grid.ijk_to_ras)[:3] > 0).all()
    assert np.abs(np.diag(out.grid.ijk_to_ras)[:3] / out.grid.spacing_ijk).min() > 0.9
    assert np.allclose(resample(volume, out.grid, antialias=False).array, out.array, atol=1e-5)
    assert sorted(out.array.ravel()) == sorted(volume.array.ravel())


def test_a_folder_is_sorted_into_volumes_and_others(cohort_dir):
    found = cohort.list_cohort(cohort_dir, modality="T1w MRI")
    assert len(found.files) == 12 and "sub-99_T1w" in found.files
    assert found.skipped == {"sub-00_dseg.nii.gz": "label file", "sub-00_FLAIR.nii.gz": "not T1w MRI"}
    assert "sub-00_FLAIR" in cohort.list_cohort(cohort_dir).files
    assert len(cohort.list_cohort(cohort_dir, skip=("sub-0*",)).files) == 2


def test_wrong_folders_are_named(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        cohort.list_cohort(tmp_path / "nothing")
    with pytest.raises(InputError, match="holds no volume"):
        cohort.list_cohort(tmp_path)


def test_intensities_are_normalised_by_the_foreground():
    array = np.zeros((10, 40, 40), np.float32)
    array[2:8, 5:30, 5:30] = 500 - np.arange(25)
    array[3, 6, 6] = 90000
    out = cohort.normalised(Volume(array, Grid.centred(array.shape, 1.0))).array
    assert out.min() == 0 and out[3, 6, 6] == 1 and out[4, 10, 5] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("bad", [np.zeros((8, 8, 8)), np.full((8, 8, 8), 5.0), np.full((8, 8, 8), np.nan)])
def test_volumes_without_content_are_refused(bad):
    with pytest.raises(InputError, match=r"scan\.nii"):
        cohort.normalised(Volume(bad.astype(np.float32), Grid.centred(bad.shape, 1.0)), "scan.nii")


@pytest.mark.parametrize("labels", [[1], [1, 2, 3, 4]])
def test_masks_and_label_maps_are_no_images(labels):
    array = np.random.default_rng(0).choice([0, *labels], (8, 9, 10)).astype(np.float32)
    with pytest.raises(InputError, match=r"m\.nii: only \d different values above 0; a mask or label map"):
        cohort.normalised(Volume(array, Grid.centred(array.shape, 1.0)), "m.nii")


def test_folders_of_a_bids_data_set_are_one_cohort(cohort_dir, tmp_path):
    source = (cohort_dir / "sub-00_T1w.nii.gz").read_bytes()
    for place in (
        "sub-01/anat/sub-01_T1w",
        "sub-02/ses-1/anat/sub-02_ses-1_T1w",
        "sub-02/ses-1/func/sub-02_ses-1_bold",
    ):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / f"{place}.nii.gz").write_bytes(source)
    (tmp_path / "sub-01/anat/sub-01_T2w.nii.gz").symlink_to(tmp_path / "annex" / "not-fetched")
    found = cohort.list_cohort(tmp_path)
    assert list(found.files) == ["sub-01_T1w", "sub-02_ses-1_T1w"]
    assert found.unusable == {"sub-01_T2w.nii.gz": "a link to a file that is not there; fetch it first"}


def larger(volume: Volume) -> Volume:
    """The same body in another unit of length."""
    return Volume(
        volume.array, Grid(volume.array.shape, np.diag([2.5, 2.5, 2.5, 1]) @ volume.grid.ijk_to_ras)
    )


def cut(volume: Volume) -> Volume:
    """The same file, of which only the beginning arrived."""
    return Volume(np.where(np.arange(len(volume.array))[:, None, None] < 9, volume.array, 0), volume.grid)


@pytest.mark.parametrize(
    ("spoilt", "says"), [(larger, "times as large"), (cut, "does not look like the others")]
)
def test_who_does_not_look_like_the_others_is_left_out_and_told(cohort_dir, tmp_path, store, spoilt, says):
    for n in range(8):
        (tmp_path / f"p{n}.nii.gz").write_bytes((cohort_dir / f"sub-{n:02d}_T1w.nii.gz").read_bytes())
    write_volume(spoilt(read_volume(cohort_dir / "sub-09_T1w.nii.gz")), tmp_path / "p9.nii.gz")
    found, told = cohort.list_cohort(tmp_path), []
    assert list(found.registered(store.load("tiny").reference)) == [f"p{n}" for n in range(8)]
    found.warn(Progress(warned=told.append))
    assert len(told) == 1 and told[0].startswith("p9.nii.gz was left out (1 of 1): ") and says in told[0]


def in_microns(volume: Volume) -> Volume:
    return Volume(volume.array, Grid(volume.array.shape, np.diag([1e3] * 3 + [1]) @ volume.grid.ijk_to_ras))


def as_mask(volume: Volume) -> Volume:
    return Volume((volume.array > 0).astype(np.float32), volume.grid)


def test_one_cohort_with_every_fault_is_as_good_as_one_without(cohort_dir, tmp_path, store):
    """In the folders of a BIDS data set; all faults are found, named and counted, and nothing stops it."""

    def place(number: int):
        folder = tmp_path / f"sub-{number:02d}" / "anat"
        folder.mkdir(parents=True)
        return folder / f"sub-{number:02d}_T1w.nii.gz"

    good = [place(n) for n in range(8)]
    for n, path in enumerate(good):
        path.write_bytes((cohort_dir / f"sub-{n:02d}_T1w.nii.gz").read_bytes())
    sample = read_volume(good[0])
    changes = {cut: "like the others", larger: "times as large", in_microns: "voxels of", as_mask: "mask"}
    says = {}
    for n, (change, words) in enumerate(changes.items()):
        path = place(20 + n)
        write_volume(change(sample), path)
        says[path.name] = words
    place(30).write_bytes(good[0].read_bytes()[:3000])
    place(31).symlink_to(tmp_path / "annex" / "not-fetched")
    place(32).write_text("/annex/objects/MD5E-s20034--0123.nii.gz")
    sitk.WriteImage(sitk.Image([8, 8, 8, 3], sitk.sitkFloat32), str(place(33)))
    for number, words in ((30, "not complete"), (31, "not there"), (32, "datalad get"), (33, "4D")):
        says[f"sub-{number}_T1w.nii.gz"] = words
    found, told = cohort.list_cohort(tmp_path, modality="T1w"), []
    assert list(found.registered(store.load("tiny").reference)) == [f"sub-{n:02d}_T1w" for n in range(8)]
    found.warn(Progress(warned=told.append))
    assert len(told) == len(says)
    for name, words in says.items():
        (line,) = (line for line in told if line.startswith(f"{name} was left out ("))
        assert words in line and f"of {len(says)}): " in line, line


def test_brain_mask_fills_dark_ventricles():
    array = np.zeros((1, 20, 20), np.float32)
    array[0, 4:16, 4:16] = 0.5
    array[0, 8:11, 8:11] = 0
    assert cohort.brain_mask(array).sum() == 144


@dataclass
class Split:
    split: dict = field(default_factory=dict)


@dataclass
class PriorWithSplit:
    card: Split


def test_everything_but_the_test_part_of_the_split_counts_as_seen():
    prior = PriorWithSplit(
        Split({"fit": ["a"], "calibration": ["b"], "test": ["c"], "test_other": ["d"], "rule": "by subject"})
    )
    assert cases.fitted_on(prior) == {"a", "b"}


def test_registration_finds_the_frame_keeps_it_and_names_the_damaged_file(cohort_dir, store, monkeypatch):
    prior = store.load("tiny")
    found = cohort.list_cohort(cohort_dir, modality="T1w")
    reference = prior.reference
    names = ["sub-08_T1w", "sub-99_T1w"]
    matrices = found.registered(reference, names)
    assert list(matrices) == ["sub-08_T1w"] and "damaged" in found.skipped["sub-99_T1w.nii.gz"]
    aligned = on_grid(found.volume("sub-08_T1w"), prior.grid, matrices["sub-08_T1w"])
    unaligned = on_grid(found.volume("sub-08_T1w"), prior.grid, np.eye(4))
    before, after = (np.corrcoef(v.ravel(), reference.array.ravel())[0, 1] for v in (unaligned, aligned))
    assert after > 0.95 and after > before + 0.015
    monkeypatch.setattr(cohort, "ProcessPoolExecutor", None)
    assert np.array_equal(found.registered(reference, names[:1])["sub-08_T1w"], matrices["sub-08_T1w"])


def test_a_cancelled_registration_stops(cohort_dir, store):
    prior = store.load("tiny")
    reference = Volume(prior.reference.array * 0.9, prior.grid)

    def cancel(step, fraction):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cohort.list_cohort(cohort_dir).registered(reference, ["sub-08_T1w"], cancel)


def test_test_subjects_and_library_follow_the_split(cohort_dir, store):
    prior = store.load("tiny")
    bench = cases.prepare(
        cohort.list_cohort(cohort_dir, modality="T1w"), [prior], "registered", lambda step, done: None
    )
    assert bench.test == ["sub-08_T1w", "sub-09_T1w", "sub-10_T1w"]
    assert bench.library_kind == "fit subjects" and len(bench.library.volumes) == 8
    case = bench.load("sub-09_T1w")
    assert case.truth.grid.same_as(prior.evaluation_grid) and case.positions(4) == [4, 11, 19, 26]
    assert all(s.plane.thickness_mm == pytest.approx(5) for s in case.slices([4, 11]))


def test_a_folder_of_strangers_is_its_own_library(tmp_path, cohort_dir, store):
    for n in (8, 9, 10):
        (tmp_path / f"other-{n}.nii.gz").write_bytes((cohort_dir / f"sub-{n:02d}_T1w.nii.gz").read_bytes())
    bench = cases.prepare(
        cohort.list_cohort(tmp_path), [store.load("tiny")], "patient", lambda step, done: None
    )
    assert (
        bench.test == list(bench.library.volumes) == ["other-10", "other-8", "other-9"]
        and bench.library_kind == "leave one out"
    )
    case = bench.load("other-8")
    first, length = case.extent
    assert case.brain[first].any() and not case.brain[:first].any()
    assert first < case.positions(1)[0] < first + length - 1


def test_whole_heads_are_scored_as_the_stripped_ones_and_shown_whole(tmp_path, cohort_dir, store):
    """With label maps beside them; in the registered frame slices are stripped, too."""
    for folder in ("whole", "bare"):
        (tmp_path / folder).mkdir()
    for n in (8, 9):
        body = read_volume(cohort_dir / f"sub-{n:02d}_T1w.nii.gz")
        around = np.random.default_rng(n).uniform(100, 900, body.array.shape)
        head = np.where(body.array > 0, body.array, around).astype(np.float32)
        write_volume(body, tmp_path / "bare" / f"h{n}_T1w.nii.gz")
        write_volume(Volume(head, body.grid), tmp_path / "whole" / f"h{n}_T1w.nii.gz")
        labels = Volume((body.array > 0).astype(np.uint8), body.grid)
        write_volume(labels, tmp_path / "whole" / f"h{n}_parts.nii.gz")
    whole = cohort.list_cohort(tmp_path / "whole").stripped_by("parts")
    assert list(whole.files) == ["h8_T1w", "h9_T1w"]
    for frame in cases.FRAMES:
        shown, stripped = (
            cases.prepare(c, [store.load("tiny")], frame, lambda step, done: None).load("h8_T1w")
            for c in (whole, cohort.list_cohort(tmp_path / "bare"))
        )
        np.testing.assert_array_equal(shown.truth.array, stripped.truth.array)
        k = shown.positions(1)
        (seen,), (bare,) = shown.slices(k), stripped.slices(k)
        inside = (bare.pixels > 0) & (bare.pixels < 1)
        np.testing.assert_allclose(seen.pixels[inside], bare.pixels[inside], rtol=1e-5)
        assert bool((seen.pixels > 0).all() and seen.pixels.max() > 2) is (frame == "patient")
    with pytest.raises(InputError, match="no volume has a label map called SUBJECT_dlmuse beside it"):
        cohort.list_cohort(tmp_path / "bare").stripped_by("dlmuse")


def test_a_folder_of_fitted_subjects_alone_is_refused(tmp_path, cohort_dir, store):
    write_volume(
        Volume(np.ones((8, 8, 8), np.float32), Grid.centred((8, 8, 8), 1.0)), tmp_path / "sub-01_T1w.nii.gz"
    )
    with pytest.raises(InputError, match="has not seen"):
        cases.prepare(
            cohort.list_cohort(tmp_path), [store.load("tiny")], "registered", lambda step, done: None
        )
    with pytest.raises(InputError, match="expected one of registered, patient"):
        cases.prepare(cohort.list_cohort(cohort_dir), [store.load("tiny")], "mni", lambda step, done: None)


@pytest.mark.parametrize(
    ("files", "modality", "taken", "other"),
    [
        ("a_T1w a_FLAIR b_T1w b_FLAIR", None, "a_T1w b_T1w", False),
        ("a_T1w a_FLAIR b_T1w b_FLAIR", "flair", "a_FLAIR b_FLAIR", True),
        ("a_T1w a_PDw", "pdw", "a_PDw", True),
        ("a_FLAIR b_FLAIR", None, "a_FLAIR b_FLAIR", True),
        ("a_FLAIR b", None, "b", False),
        ("a b", "t2w", "a b", True),
        ("a_T2w a_FLAIR", None, "volumes of several contrasts (FLAIR, T2w); choose one", None),
        ("a_T1w", "t2w", "holds no volume", None),
    ],
)
def test_the_contrast_of_a_cohort_is_what_was_asked_the_models_or_the_only_one(
    tmp_path, files, modality, taken, other
):
    for name in files.split():
        (tmp_path / f"{name}.nii.gz").touch()
    try:
        found = cohort.cohort_of(tmp_path, cohort.LABEL_FILES, "T1w MRI", modality)
    except InputError as error:
        assert other is None and taken in str(error)
    else:
        assert list(found.files) == taken.split() and found.other is other
        assert found.contrast == (bids.contrast_in(modality or taken) if other else None)
