"""./run reconstruct --format dicom, from a DICOM folder: patients are data of files, and never told."""

import sys

import numpy as np
import pydicom
from geometry.dicom_files import change, write_series

from SparseVolumeReconstructionLib.cli import main


def test_a_patient_stays_in_the_files(tmp_path, models_dir, environment, monkeypatch, capsys):
    monkeypatch.setenv("SVR_MODELS_DIR", environment["SVR_MODELS_DIR"])
    scan = np.pad(40 + np.random.default_rng(0).integers(0, 60, (4, 12, 10)), ((0, 0), (2, 2), (2, 2)))
    places = [(-50, -60, 20 * k - 30) for k in range(4)]
    write_series(tmp_path / "scan", places, scan, spacing=(9, 9), FrameOfReferenceUID="1.2.7")
    for file in (tmp_path / "scan").iterdir():
        change(file, PatientName="Doe^Jane", PatientID="Secret-1")
    words = ["--context", str(tmp_path / "scan"), "--frame", "registered", "--spacing", "12"]
    out = tmp_path / "out"
    command = ["reconstruct", "--prior", "tiny", *words, "--samples", "1", "--format", "dicom"]
    assert main([*command, "--output", str(out)]) == 0
    printed = capsys.readouterr()
    assert str(out / "dicom") in printed.out.splitlines()
    mean = pydicom.dcmread(out / "dicom" / "mean" / "0001.dcm")
    assert (str(mean.PatientName), mean.FrameOfReferenceUID) == ("Doe^Jane", "1.2.7")
    for text in (printed.out, printed.err, (out / "result.json").read_text()):
        assert "Doe" not in text and "Secret-1" not in text
    again = ["--context", str(out / "dicom" / "mean"), "--output", str(tmp_path / "no")]
    assert main(["reconstruct", "--prior", "tiny", *again]) == 2
    assert "was reconstructed, not observed" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "highdicom", None)  # as where it is not installed
    assert main([*command, "--output", str(tmp_path / "no")]) == 2
    assert "needs the package highdicom; install it" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
