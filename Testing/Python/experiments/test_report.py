"""What is found is written so that it can be read without anything else."""

import json
import re
from types import SimpleNamespace

import pytest

from SparseVolumeReconstructionLib.experiments.base import EXPERIMENTS
from SparseVolumeReconstructionLib.experiments.findings import Figure, Findings, Table
from SparseVolumeReconstructionLib.experiments.models import POPULATIONS
from SparseVolumeReconstructionLib.experiments.report import shown, write_findings
from SparseVolumeReconstructionLib.geometry import InputError

PNG = bytes.fromhex("89504e470d0a1a0a") + b"picture"
TABLE = Table(
    "A < B",
    ["system", "1 slice"],
    [["ours & theirs", 0.12345], ["the paper (printed)", None], ["a|b", 7]],
    "a note",
)
FINDINGS = Findings("x", "A title", "Why?", [TABLE], [Figure("Two views!", PNG, "seen")], ["mind <this>"])


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "–"),
        (0.12345, "0.123"),
        (-1.0, "-1.000"),
        (12.345, "12.3"),
        (1234.5, "1234"),
        (7, "7"),
        ("x", "x"),
    ],
)
def test_cells(cell, text):
    assert shown(cell) == text


def test_files(tmp_path):
    report = write_findings(FINDINGS, SimpleNamespace(out=tmp_path / "new" / "out"))
    assert sorted(path.name for path in report.parent.iterdir()) == [
        "01-two-views.png",
        "findings.json",
        "report.html",
        "report.md",
    ]
    text = report.read_text()
    assert (
        "A &lt; B" in text
        and "ours &amp; theirs" in text
        and "mind &lt;this&gt;" in text
        and "Not for diagnosis" in text
    )
    assert '<tr class="printed"><td>the paper (printed)</td><td>–</td></tr>' in text
    assert not re.search(r"(src|href)=['\"](?!data:)", text)
    assert (report.parent / "01-two-views.png").read_bytes() == PNG
    content = json.loads((report.parent / "findings.json").read_text())
    assert (
        content["tables"][0]["rows"][0] == ["ours & theirs", 0.12345]
        and content["figures"][0]["file"] == "01-two-views.png"
    )
    lines = (report.parent / "report.md").read_text().splitlines()
    assert "![Two views!](01-two-views.png)" in lines
    assert "| ours & theirs | 0.123 |" in lines and "| a\\|b | 7 |" in lines and "- mind <this>" in lines


def test_nothing_is_written_where_it_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="could not be written"):
        write_findings(FINDINGS, SimpleNamespace(out=tmp_path / "file"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_there(name):
    experiment = EXPERIMENTS[name]
    assert (
        callable(experiment.function())
        and experiment.population in POPULATIONS
        and set(experiment.fit) <= set(experiment.data)
    )
