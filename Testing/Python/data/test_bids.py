"""Names of files as BIDS and others give them."""

import pytest

from SparseVolumeReconstructionLib.data.bids import contrast_of, parse_bids
from SparseVolumeReconstructionLib.data.cohort import list_cohort, subject_name

# file, its entities (None: not of BIDS), its contrast
NAMES = [
    ("sub-01_T1w.nii.gz", {"sub": "01"}, "t1"),
    ("sub-01_ses-02_T2w.nii", {"sub": "01", "ses": "02"}, "t2"),
    ("sub-A1_acq-mprage_run-2_T1w.nii.gz", {"sub": "A1", "acq": "mprage", "run": "2"}, "t1"),
    ("sub-01_FLAIR.nii.gz", {"sub": "01"}, "flair"),
    ("sub-01_PDw.nii.gz", {"sub": "01"}, "pd"),
    ("sub-01_PDT2.nii.gz", {"sub": "01"}, "pd and t2"),
    ("sub-01_T2starw.nii.gz", {"sub": "01"}, "t2 star"),
    ("sub-01_inplaneT2.nii.gz", {"sub": "01"}, "t2"),
    ("sub-01_inv-1_UNIT1.nii.gz", {"sub": "01", "inv": "1"}, "t1"),
    ("sub-01_angio.nii.gz", {"sub": "01"}, "angiography"),
    ("sub-01_space-MNI152NLin2009cAsym_desc-preproc_T1w.nii.gz",
     {"sub": "01", "space": "MNI152NLin2009cAsym", "desc": "preproc"}, "t1"),
    ("sub-01_T1map.nii.gz", {"sub": "01"}, "T1 map"),
    ("sub-01_inv-1_MP2RAGE.nii.gz", {"sub": "01", "inv": "1"}, "mp2rage"),
    ("sub-01_part-phase_T1w.nii.gz", {"sub": "01", "part": "phase"}, "phase"),
    ("sub-01_part-mag_T1w.nii.gz", {"sub": "01", "part": "mag"}, "t1"),
    ("sub-01_task-rest_bold.nii.gz", {"sub": "01", "task": "rest"}, "no anatomy"),
    ("sub-01_desc-brain_mask.nii.gz", {"sub": "01", "desc": "brain"}, None),
    ("SUB-01_T1w.nii.gz", None, "t1"),
    ("sub-01.nii.gz", None, None),
    ("sub-_T1w.nii.gz", None, "t1"),
    ("sub-01_sub-02_T1w.nii.gz", None, "t1"),
    ("ses-02_sub-01_T1w.nii.gz", None, "t1"),
    ("sub-01_mprage_T1w.nii.gz", None, "t1"),
    ("sub-01_T1w_brain.nii.gz", None, None),
    ("head_t1.nrrd", None, "t1"),
    ("knee_T2.mha", None, "t2"),
    ("ds11_sub-01_inplaneT2.nii.gz", None, "t2"),
    ("T1w.nii.gz", None, None),
    ("age24.nii.gz", None, None),
    ("", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("file", "entities", "contrast"), NAMES)
def test_names(file, entities, contrast):
    name = subject_name(file)
    parsed = parse_bids(name)
    assert (parsed and parsed.entities) == entities
    assert contrast_of(name) == contrast


def test_a_cohort_takes_the_files_of_its_modality(tmp_path):
    for file, *_ in NAMES:
        if file:
            (tmp_path / file).touch()
    (tmp_path / "._sub-01_T1w.nii.gz").touch()  # macOS leaves these on disks of others
    cohort = list_cohort(tmp_path, modality="T1w MRI")
    expected = {subject_name(file) for file, _, contrast in NAMES if file and contrast in ("t1", None)}
    assert set(cohort.files) | {"sub-01_desc-brain_mask"} == expected
    assert cohort.skipped["sub-01_PDw.nii.gz"] == "not T1w MRI"
    assert cohort.skipped["sub-01_desc-brain_mask.nii.gz"] == "label file"
