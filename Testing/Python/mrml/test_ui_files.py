"""The .ui files: every control explains itself and is bound to a choice that exists."""

from dataclasses import fields
from xml.etree import ElementTree

import pytest

from SparseVolumeReconstructionLib.workflow.choices import Choices

CONTROLS = {
    "QPushButton", "QCheckBox", "QComboBox", "QSpinBox", "QDoubleSpinBox", "QSlider", "QLineEdit", "QPlainTextEdit", "QTextBrowser",  # noqa: E501
    "QTableWidget", "QListWidget", "QProgressBar", "ctkSliderWidget", "ctkPathLineEdit", "qMRMLNodeComboBox",
}  # fmt: skip
UNBOUND = {"prior", "showAtlas", "atlas", "sample", "svrFolder"}  # set by the sections themselves


@pytest.fixture(scope="module")
def forms(repository):
    """{file name: parsed form}"""
    folder = repository / "SparseVolumeReconstruction" / "Resources" / "UI"
    return {path.name: ElementTree.parse(path).getroot() for path in sorted(folder.glob("*.ui"))}


def named(widget, name: str):
    """The text of a property; None without it."""
    found = next((item for item in widget.findall("property") if item.get("name") == name), None)
    return None if found is None else "".join(found.itertext()).strip()


def test_every_control_has_a_tooltip(forms):
    missing = [
        f"{file}: {widget.get('name')}"
        for file, form in forms.items()
        for widget in form.iter("widget")
        if widget.get("class") in CONTROLS and not named(widget, "toolTip")
    ]
    assert len(forms) == 8
    assert missing == []


def test_names_are_unique_within_a_form(forms):
    for file, form in forms.items():
        names = [widget.get("name") for widget in form.iter("widget")]
        assert len(names) == len(set(names)), file


def test_every_choice_is_bound_once(forms):
    bound = [
        named(widget, "SlicerParameterName") for form in forms.values() for widget in form.iter("widget")
    ]
    bound = sorted(name for name in bound if name)
    assert bound == sorted({field.name for field in fields(Choices)} - UNBOUND)


def test_custom_widgets_are_declared(forms):
    for file, form in forms.items():
        used = {
            widget.get("class") for widget in form.iter("widget") if not widget.get("class").startswith("Q")
        }
        assert used == {item.findtext("class") for item in form.iter("customwidget")}, file
