"""Cohort folders, covariates in file names, copies."""

import shutil

import numpy as np
import pytest

from SparseVolumeReconstructionLib.data.subjects import (
    CovariateRule,
    chance_split,
    list_subjects,
)
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import write_volume
from SparseVolumeReconstructionLib.priors.gaussian.fit import (
    hat_functions,
    knots_over,
    scale_statistics,
)

RULE = CovariateRule.parse("age:years:age([0-9]+)")


def test_covariate_is_read_from_the_name():
    assert RULE.value("sub-age27_T2w") == 27
    assert CovariateRule.parse("ga:weeks:GA([0-9.]+)").value("GA30.5_operated") == 30.5
    assert CovariateRule.parse("t:s:a:b([0-9]+)").value("a:b3") == 3, "the expression may hold colons"


@pytest.mark.parametrize(
    "text, says",
    [
        ("age", "NAME:UNIT:REGEX"),
        ("age:years", "NAME:UNIT:REGEX"),
        (":years:([0-9]+)", "NAME:UNIT:REGEX"),
        ("age:years:age([0-9]+", "not a regular expression"),
        ("age:years:age[0-9]+", "0 groups; expected one"),
        ("age:years:(a)([0-9]+)", "2 groups; expected one"),
    ],
)
def test_wrong_rules_are_refused(text, says):
    with pytest.raises(InputError, match=says):
        CovariateRule.parse(text)


def test_name_without_a_number_is_refused():
    for name in ("sub-01", "ageless"):
        with pytest.raises(InputError, match=f"{name}: its name tells no age"):
            CovariateRule.parse("age:years:age(.*)").value(name)


def test_subjects_of_two_folders(cohort_dir, tmp_path):
    shutil.copy(cohort_dir / "age20.nii.gz", tmp_path / "other_age40.nii.gz")
    subjects = list_subjects([cohort_dir, tmp_path], "phantom", (2, 0), RULE, seed=5)
    assert subjects.covariate["age24"] == 24 and subjects.covariate["other_age40"] == 40
    assert subjects.members(["age24", "other_age40"]) == [
        ("age24", 0),
        ("age24", 1),
        ("age24", 2),
        ("other_age40", 0),
    ]
    assert "age20_labels.nii.gz" in subjects.cohort.skipped
    itself, copy = subjects.volume("age24"), subjects.volume("age24", 1)
    assert (
        np.array_equal(copy.array, subjects.volume("age24", 1).array)
        and copy.array.shape != itself.array.shape
    )
    other = list_subjects([cohort_dir], "phantom", (2,), RULE, seed=6).volume("age24", 1)
    assert not np.array_equal(copy.array, other.array), "the seed chooses the copies"


def test_whole_heads_are_stripped_by_the_labels_beside_them(tmp_path):
    grid = Grid.centred((8, 8, 8), 4.0)
    head = np.random.default_rng(0).uniform(1, 2, grid.shape_kji).astype(np.float32)
    inside = np.zeros(grid.shape_kji, np.float32)
    inside[2:6, 1:7, 1:6] = 7
    for folder, name in (("whole", "a"), ("whole", "b"), ("bare", "c")):
        (tmp_path / folder).mkdir(exist_ok=True)
        write_volume(Volume(head, grid), tmp_path / folder / f"{name}_T1w.nii.gz")
    corner = grid.ijk_to_ras.copy()
    corner[:3, 3] += corner[:3, 2]
    cropped = Grid((6, 8, 8), corner)  # label maps are often cropped otherwise
    write_volume(Volume(inside[1:7], cropped), tmp_path / "whole" / "a_dlmuse.nii.gz")
    folders = [tmp_path / "whole", tmp_path / "bare"]
    subjects = list_subjects(folders, "T1w", (0,), None, 0, ("dlmuse", ""))
    assert list(subjects.cohort.files) == ["a_T1w", "c_T1w"]
    assert subjects.cohort.skipped["b_T1w.nii.gz"] == "no label map (dlmuse) beside it"
    assert subjects.folder == dict(zip(("a_T1w", "c_T1w"), folders, strict=True))
    np.testing.assert_array_equal(subjects.volume("a_T1w").array > 0, inside > 0)
    assert (subjects.volume("c_T1w").array > 0).all()
    with pytest.raises(InputError, match="3 words of label maps for 2 cohorts"):
        list_subjects(folders, "T1w", (0,), None, 0, ("dlmuse", "", ""))


def test_wrong_folders_are_refused(cohort_dir, tmp_path):
    with pytest.raises(InputError, match="age20 is also in another cohort"):
        list_subjects([cohort_dir, cohort_dir], "phantom", (0,), RULE, 0)
    with pytest.raises(InputError, match="3 numbers of copies for 2 cohorts"):
        list_subjects([cohort_dir, tmp_path], "phantom", (1, 2, 3), RULE, 0)
    with pytest.raises(InputError, match="holds no volume"):
        list_subjects([tmp_path], "phantom", (0,), RULE, 0)
    shutil.copy(cohort_dir / "age20.nii.gz", tmp_path / "nobody.nii.gz")
    with pytest.raises(InputError, match="nobody: its name tells no age"):
        list_subjects([tmp_path], "phantom", (0,), RULE, 0)


def test_knots_cover_the_values():
    assert knots_over([21.0, 30, 34], 2.0).tolist() == [21, 23, 25, 27, 29, 31, 33, 35]
    assert knots_over([22.0, 34], 2.0).tolist() == [22, 24, 26, 28, 30, 32, 34]
    assert knots_over([5.0], 2.0).tolist() == [5]


def test_scale_at_the_knots_is_that_of_the_registrations():
    ages = np.array([20.0, 22, 24, 26, 28])
    knots = np.array([20.0, 24, 28])
    matrices = [np.diag([*(np.exp(0.1 * (age - 24)) * np.array([1.1, 1, 1 / 1.1])), 1.0]) for age in ages]
    mean, sd = scale_statistics(matrices, hat_functions(ages, knots)).T
    assert mean == pytest.approx([0.4, 0, -0.4], abs=0.02), "a large patient is shrunk"
    assert sd.tolist() == [0.03] * 3


def test_all_scans_of_a_person_are_on_one_side_of_a_split_by_chance():
    names = [f"sub-{n:02d}_ses-{visit}_T1w" for n in range(12) for visit in (1, 2)]
    split = chance_split(names, 3)
    people = {part: {name[:6] for name in split[part]} for part in split}
    assert len(people["test"]) == 3 and len(people["fit"]) == 9 and not people["fit"] & people["test"]
    assert sorted(split["fit"] + split["test"]) == names
