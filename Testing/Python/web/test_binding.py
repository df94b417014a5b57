"""What comes from a page is not trusted: values of another kind are refused, numbers stay in their range,
names become no paths.
"""

from dataclasses import fields

import pytest

pytest.importorskip(
    "slicer", reason="NO TEST OF THE BROWSER EDITION: slicer-core is not installed; ./run test installs it"
)

import slicer

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.mrml.scene import headless_scene
from SparseVolumeReconstructionLib.web.binding import PREFIX, WatchedChoices, from_page, to_page
from SparseVolumeReconstructionLib.web.sections.run import without_folders
from SparseVolumeReconstructionLib.workflow.choices import NODES, RANGES, Choices, FrameMode, Layer, forget


@pytest.fixture
def scene():
    """A new real scene."""
    return headless_scene()


def test_every_choice_goes_to_the_page_and_back(scene):
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Scan")
    choices = Choices(
        allVolume=volume,
        frameMode=FrameMode.REGISTERED,
        layer=Layer.STD,
        samples=3,
        spacing=1.5,
        live=True,
        name="Two words",
    )
    page = to_page(choices)
    assert all(isinstance(value, str | int | float | bool) for value in page.values())
    assert {
        name: from_page(name, page[PREFIX + name]) for name in (field.name for field in fields(Choices))
    } == vars(choices)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layer", "everything"),
        ("device", {"a": 1}),
        ("samples", "many"),
        ("spacing", float("nan")),
        ("seed", None),
        ("opacity", [1]),
        ("allVolume", "vtkMRMLScalarVolumeNode99"),
    ],
)
def test_values_of_another_kind_are_refused(scene, name, value):
    with pytest.raises(InputError):
        from_page(name, value)


def test_numbers_stay_in_their_range(scene):
    for name, (low, high) in RANGES.items():
        assert (from_page(name, -1e9), from_page(name, "1e9")) == (low, high)
        assert type(from_page(name, 1)) is type(getattr(Choices(), name))


def test_nodes_of_another_class_are_refused(scene):
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "T")
    assert (
        from_page("frameTransform", transform.GetID()) is transform
        and from_page("frameTransform", "") is None
    )
    for name in NODES.keys() - {"frameTransform"}:
        with pytest.raises(InputError, match="not in the scene"):
            from_page(name, transform.GetID())


def test_texts_are_not_endless(scene):
    assert len(from_page("name", "x" * 10_000)) == 200


def test_choices_tell_of_changes_only_and_forget_what_is_gone(scene):
    told = []
    choices = WatchedChoices(told.append)
    choices.samples = choices.samples
    assert told == []
    choices.reference = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "R")
    choices.samples = 5
    assert told == ["reference", "samples"]
    forget(choices, choices.reference)
    assert choices.reference is None and told[2:] == ["reference"]
    slicer.mrmlScene.Clear(False)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("a b_c-1.nii.gz", "a b_c-1.nii.gz"),
        ("<script>alert(1)</script>.nii", "script_.nii"),
        ("...", "upload"),
        ("", "upload"),
        ("x\0y\n.nii", "x_y_.nii"),
    ],
)
def test_names_that_are_sent_become_no_paths(sent, kept):
    pytest.importorskip("trame_slicer")
    from SparseVolumeReconstructionLib.web.transfer import clean_name

    assert clean_name(sent) == kept


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "/tmp/svr-web-1/svr-2/result.json: cannot be read; reconstruct again.",
            "result.json: cannot be read; reconstruct again.",
        ),
        ('  File "/usr/lib/python3.11/x/run.py", line 3, in f', '  File "run.py", line 3, in f'),
        (r"C:\Users\somebody\scan.nii: damaged", "scan.nii: damaged"),
        ("head.nii: 3/4 of it, 12 mm/s, GA 30 +/- 1; see https://example.org/a/b", None),
        ("Choose a scan and/or a slice", None),
    ],
)
def test_messages_name_files_but_not_where_they_lie(text, shown):
    assert without_folders(text) == (text if shown is None else shown)
