"""The experiment on samples end to end, on bodies."""

import json

from SparseVolumeReconstructionLib.cli import main


def test_samples_are_measured_by_all_that_is_asked_of_them(folders, models_dir, tmp_path):
    """But for quantiles, which need 40 samples; the model of these bodies has no donors, and draws noise."""
    words = ["samples", "--cohort", folders / "some", "--split", folders / "split.json", "--scale", "tiny"]
    words += ["--no-training", "--models", models_dir, "--subjects", "1", "--samples", "2"]
    assert main(["experiment", *map(str, [*words, "--device", "cpu", "--out", tmp_path])]) == 0
    tables = json.loads((tmp_path / "findings.json").read_text())["tables"]
    rows = {row[0]: row[1:] for row in tables[0]["rows"]}
    assert [table["title"] for table in tables] == ["Samples from gaussian", "Models"]
    assert tables[0]["header"] == ["samples", "0 slices", "1 slice", "4 slices", "9 slices"]
    assert len(rows) == 13 and all(len(row) == 4 for row in rows.values())
    for name, row in rows.items():
        nothing = "donor" in name or "quantiles" in name
        assert row[1:] == [None] * 3 if nothing else None not in row[1:], name
    lowest, highest = zip(
        *(map(float, cell.split(" to ")) for cell in rows["the same in single bins"]), strict=True
    )
    whole = rows["distance from the mean over that of the truth (best 1)"]
    assert all(a - 0.01 <= b <= c + 0.01 for a, b, c in zip(lowest, whole, highest, strict=True))
    auc = rows["AUC of a network that tells samples from scans (best 0.5)"]
    assert all(0 <= value <= 1 for value in auc[1:])
    assert len(list(tmp_path.glob("*.png"))) == 8
