"""FILE[:k1,k2,...], and requests made of arguments."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.cli.context import build_request, parse_context
from SparseVolumeReconstructionLib.cli.reconstruct import reconstruct
from SparseVolumeReconstructionLib.geometry import InputError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "name", "slices"),
    [
        ("head.nii.gz", "head.nii.gz", None),
        ("head.nii.gz:40", "head.nii.gz", [40]),
        ("head.nii.gz:40,7,100", "head.nii.gz", [40, 7, 100]),
        ("head.nii.gz:7,7,9", "head.nii.gz", [7, 9]),
        ("folder with space/a:b.nrrd:0,1", "folder with space/a:b.nrrd", [0, 1]),
        ("C:\\data\\head.nii", "C:\\data\\head.nii", None),
        ("C:\\data\\head.nii:3,4", "C:\\data\\head.nii", [3, 4]),
        ("C:/data/head.nii", "C:/data/head.nii", None),
        ("a:b.nrrd", "a:b.nrrd", None),
    ],
)
def test_file_and_slices(text, name, slices):
    context = parse_context(text)
    assert (context.path, context.slices) == (str(Path(name).absolute()), slices)


def test_an_existing_file_with_such_a_name_is_that_file(folder):
    (folder / "scan:3").touch()
    assert parse_context("scan:3").slices is None
    assert parse_context("scan:3:5").slices == [5] and parse_context("scan:3:5").path == str(
        folder / "scan:3"
    )


def test_a_series_of_a_folder(folder):
    (folder / "dicom").mkdir()
    context = parse_context("dicom#3.2:4,5")
    assert (context.path, context.series, context.slices) == (str(folder / "dicom"), "3.2", [4, 5])
    (folder / "scan#1.nii").touch()
    assert parse_context("scan#1.nii").series is None and parse_context("dicom").series is None


@pytest.mark.parametrize("tail", ["-1", "1,", "1-4", "x", "1.5", ""])
def test_a_list_of_slices_that_is_none_is_explained(folder, tail):
    (folder / "head.nrrd").touch()
    with pytest.raises(InputError, match="is no list of slices"):
        parse_context(f"head.nrrd:{tail}")


@given(
    st.from_regex(r"\A[A-Za-z][\w .-]*\.(nii\.gz|nrrd|mha)\Z"),
    st.lists(st.integers(0, 999), min_size=1, unique=True),
)
def test_what_is_joined_is_parted(name, slices):
    context = parse_context(f"{name}:{','.join(map(str, slices))}")
    assert Path(context.path).name == name and context.slices == slices


def request(*words):
    context = reconstruct.make_context("reconstruct", ["--prior", "brain-t1", "--output", "out", *words])
    return build_request(
        **{name: value for name, value in context.params.items() if name not in ("strict", "json_progress")}
    )


def test_arguments_become_a_request(folder):
    made = request(
        "--context",
        "a.nrrd:1,2",
        "--context",
        "b.nrrd",
        "--gestational-age",
        "29.5",
        "--samples",
        "4",
        "--seed",
        "7",
        "--like",
        "v.nrrd",
    )
    assert [context.slices for context in made.contexts] == [[1, 2], None]
    assert (made.covariate, made.samples, made.seed, made.device) == (29.5, 4, 7, "auto")
    assert (made.like, made.output, made.frame) == (str(folder / "v.nrrd"), str(folder / "out"), "auto")
    assert made.keep_observed and not request("--alter-observed").keep_observed


def test_no_context_is_a_request_too():
    assert request().contexts == [] and request("--spacing", "2").spacing_mm == 2


def test_outputs_are_a_list():
    assert request().outputs == ["mean", "std", "template"]
    assert request("--outputs", "atlas,mean").outputs == ["atlas", "mean"]
    assert request("--outputs", "", "--samples", "2").outputs == []


def test_frame_is_a_word_or_a_file(folder):
    assert request("--frame", "registered").frame == "registered"
    assert request("--frame", "frame.h5").frame == str(folder / "frame.h5")


def test_thickness_is_that_of_every_context():
    made = request("--thickness", "5", "--context", "a.nrrd", "--context", "b.nrrd:1")
    assert [context.thickness_mm for context in made.contexts] == [5, 5]


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["--samples", "-1"], "--samples"),
        (["--samples", "100000"], "--samples"),
        (["--seed", "-3"], "--seed"),
        (["--outputs", "mean,colour"], "--outputs colour"),
        (["--outputs", ""], "--outputs"),
        (["--spacing", "0"], "--spacing"),
        (["--context", "a.nrrd", "--thickness", "-2"], "--thickness"),
    ],
)
def test_values_out_of_range_name_their_option(words, option):
    with pytest.raises(InputError, match=option):
        request(*words)
