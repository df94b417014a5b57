"""The experiments on mental maps end to end, as their users run them, on bodies."""

import json
import re

import pytest

from SparseVolumeReconstructionLib.cli import main


@pytest.fixture(scope="module")
def run(folders, models_dir, tmp_path_factory):
    """run(name): the folder that an experiment has written."""

    def go(name):
        out = tmp_path_factory.mktemp(name)
        data = ["--cohort", folders / "some"]
        data += ["--spina-bifida", folders / "others"] if name != "000-exp1" else []
        words = [
            "--split",
            folders / "split.json",
            "--scale",
            "tiny",
            "--no-training",
            "--models",
            models_dir,
            "--samples",
            2,
        ]
        assert (
            main([str(word) for word in ["experiment", name, *data, *words, "--device", "cpu", "--out", out]])
            == 0
        )
        return out

    return go


def tables(out) -> dict[str, dict[str, list]]:
    """The tables of an experiment: {title: {row: cells}}."""
    content = json.loads((out / "findings.json").read_text())
    return {table["title"]: {row[0]: row[1:] for row in table["rows"]} for table in content["tables"]}


def stands_alone(out, pictures: int) -> str:
    """The report's text, when it refers to nothing and all its pictures lie beside it too."""
    text = (out / "report.html").read_text()
    assert not re.search(r"(src|href)=['\"](?!data:)", text) and "http" not in re.sub(
        r"base64,[^']+", "", text
    )
    files = sorted(out.glob("*.png"))
    assert text.count("data:image/png;base64") == len(files) == pictures
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 2000 for path in files)
    return text


def test_brains(run):
    out = run("000-exp1")
    text, found = stands_alone(out, 2 + 4 + 6 + 1), tables(out)
    ssim = found["SSIM of the mean, all slices"]
    assert list(ssim) == [
        *("structured-gaussian", "slice-vae", "bruno"),
        *(
            "mean-atlas",
            "cohort-atlas",
            "nearest-slice",
            "linear-interpolation",
            "nearest-volume",
            "pca",
            "conditional BRUNO, ADNI (printed)",
        ),
    ]
    assert ssim["conditional BRUNO, ADNI (printed)"] == [None, 0.695, 0.719, None, 0.733, 0.736]
    printed = found["Correlation of samples with the truth, per slice"]["conditional BRUNO, ADNI (printed)"]
    assert printed == [None, 0.913, 0.917, None, 0.919, 0.922] and 'class="printed"' in text
    gaussian = ssim["structured-gaussian"]
    assert gaussian[1:] == sorted(gaussian[1:]) and gaussian[0] == pytest.approx(
        ssim["mean-atlas"][0], abs=1e-4
    )
    assert ssim["pca"][0] is None and ssim["bruno"] == ssim["slice-vae"], "they are the same weights here"
    difference = found["Difference between two samples (root mean square, hidden foreground)"][
        "structured-gaussian"
    ]
    assert difference[1:] == sorted(difference[1:], reverse=True) and min(difference) > 0
    assert (
        found["SSIM of samples, all slices"]["slice-vae"][3] < 1
        and found["Seconds"]["slice-vae: mean volume"][3] > 0
    )
    assert found["Gain over mean-atlas"]["structured-gaussian"][2].startswith("+")
    own, none, _, others, _ = found["Are the contexts used?"]["structured-gaussian"]
    assert own > none and others is None, "there is only one test subject"
    assert found["Models"]["bruno-pose"][0].startswith("left out: there is no model brain-t1-bruno-pose")
    assert "bruno-pose was left out" in text and "2 samples of each posterior were scored" in text


def test_fetuses_and_motion(run):
    out = run("000-exp2")
    stands_alone(out, 2 + 4 + 5 + 2 + 1 + 1)
    found = tables(out)
    assert found["SSIM of the mean, all slices"]["conditional BRUNO, 20 fetuses (printed)"] == [
        0.665,
        0.676,
        0.679,
        0.684,
    ]
    motion = found["First volumes for slice-to-volume reconstruction"]
    assert (
        motion["Gaussian average, 10 mm (printed)"][0] == 0.297
        and motion["BRUNO from 4 slices (printed)"][0] == 0.679
    )
    average, template = (
        motion[name]
        for name in (
            "Gaussian average of three stacks, motion of up to 10 mm",
            "template from 4 slices: structured-gaussian",
        )
    )
    assert all(a < t for a, t in zip(average, template, strict=True)) and average[3] > 0.5
    assert template[0] == found["SSIM of the mean, all slices"]["structured-gaussian"][2]


def test_gqn_and_cvae(run):
    out = run("000-initial")
    stands_alone(out, 2 + 2 + 1)
    found = tables(out)["The same for all slices, or an average of the contexts?"]
    assert (
        found["truth"][0] == pytest.approx(1)
        and found["truth"][2] == pytest.approx(1)
        and found["truth"][1] < 0.98
    )
    assert found["structured-gaussian"][2] > 0.9 and set(found) == {
        *("truth", "structured-gaussian", "gqn", "cvae", "mean-atlas", "linear-interpolation")
    }


def test_wrong_input_is_one_clear_line(folders, tmp_path, capsys):
    def refused(*words) -> str:
        code = main([str(word) for word in ("experiment", *words)])
        lines = capsys.readouterr().err.splitlines()
        assert code == 2 and len(lines) == 1 and lines[0].startswith("error: ")
        return lines[0]

    out = ["--out", tmp_path / "out"]
    assert "000-exp3" in refused("000-exp3", "--cohort", folders, *out) and "NAME" in refused()
    assert "--cohort expects a folder" in refused("000-exp1", "--cohort", tmp_path / "none", *out)
    assert "--spina-bifida" in refused("000-exp2", "--cohort", folders / "some", *out)
    assert "--samples" in refused("000-exp1", "--cohort", folders, *out, "--samples", "0")
    tiny = ["--scale", "tiny", "--no-training", "--device", "cpu", "--split", folders / "split.json"]
    assert "no system is left" in refused("000-exp1", "--cohort", folders / "some", *out, *tiny)
    assert "not a split file" in refused(
        "000-exp1", "--cohort", folders / "some", *out, "--split", folders / "some" / "age20.nii.gz"
    )
    assert not (tmp_path / "out").exists()
