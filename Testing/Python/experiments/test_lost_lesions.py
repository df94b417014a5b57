"""Lesions that are planted in a head, and what is told of them."""

import re

import numpy as np
import pytest
import torch
from synthesis.conftest import blind, model, visits_dir, with_a_spot  # noqa: F401 - fixtures

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.experiments import lost_lesions
from SparseVolumeReconstructionLib.experiments.lost_lesions import RADII_MM, Looked, _auc, planted
from SparseVolumeReconstructionLib.geometry import Volume
from SparseVolumeReconstructionLib.geometry.io import write_volume
from SparseVolumeReconstructionLib.synthesis.pix2pix.synthesiser import Synthesiser


@pytest.mark.slow
def test_planted_lesions_are_looked_for_by_their_size(blind, monkeypatch):  # noqa: F811
    """By a network that makes the same grey value of everything: those that fill voxels of 6 mm stand out."""
    monkeypatch.setattr(lost_lesions, "_WHITE", 0.4)
    network = Synthesiser.load(blind, torch.device("cpu"))
    looked = Looked.at(with_a_spot(20), network)
    assert looked.inside.any() and looked.scan.grid.same_as(looked.made.grid)
    found = planted(looked, network, 0)
    assert found and {radius for radius, _ in found} <= set(RADII_MM)
    for _, (told, share, *areas, change) in found:
        assert told in (0, 1) and 0 <= min(share, *areas) <= max(share, *areas) <= 1 and abs(change) < 0.01
    assert min(area for radius, (_, _, area, *_) in found if radius == 8) > 0.9
    assert found == planted(looked, network, 0)


@pytest.mark.slow
def test_people_without_lesions_stand_beside_where_real_ones_have_some(blind, tmp_path, monkeypatch):  # noqa: F811
    """By a network that makes the same grey value of everything, of people of one tissue: nothing is told."""
    monkeypatch.setattr(lost_lesions, "weights_of", lambda _: blind)
    scan = with_a_spot(20)
    inside = (scan.array > 0).astype(np.uint8)
    folders = {"labels": 2 * inside, "tissues": 3 * inside, "visits": 30 * inside}
    words = [word for option in folders for word in (f"--{option}", str(tmp_path / option))]
    for option, array in folders.items():
        (tmp_path / option).mkdir()
        write_volume(Volume(array, scan.grid), tmp_path / option / "sub-20_dlmuse.nii.gz")
    for name in ("FLAIR", "T1w"):
        write_volume(scan, tmp_path / "visits" / f"sub-20_{name}.nii.gz")
    assert main(["experiment", "004-lost-healthy", *words, "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "report.md").read_text()
    assert "| one | 2 | 0 | 0.000 | 0.000 |" in text and "| two | 2 | " in text
    assert re.search(r"sub-20 \| – \| 1 \| [\d.]+ \| 1 \|", text), text


def test_the_area_under_the_curve_is_the_share_of_pairs():
    assert _auc(np.array([2.0, 4.0]), np.array([1.0, 3.0])) == 0.75
