"""Domain-adaptive synthesis: all rows of the table on small bodies, and what stands beside the network."""

import numpy as np
import pytest

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.experiments.domains import PRINTED, SLICES, VOLUMES, tissue_dice
from SparseVolumeReconstructionLib.experiments.real_sites import grey_map
from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import write_volume


def labels(folder, numbers, count):
    """Balls: fluid in white matter in grey matter, 4 mm."""
    folder.mkdir()
    grid = Grid.centred((30, 30, 30), 4.0)
    reach = np.linalg.norm(grid.points_ras().reshape(30, 30, 30, 3), axis=-1)
    for n in range(count):
        shells = np.select([reach < 14 + 2 * n, reach < 38, reach < 52], numbers, 0)
        write_volume(Volume(shells.astype(np.uint8), grid), folder / f"map{n}.nii.gz")
    return str(folder)


@pytest.mark.slow
def test_every_row_stands_beside_the_printed_ones(tmp_path):
    """In both directions; a trial of few steps."""
    folders = {
        "labels": labels(tmp_path / "fs", [4, 2, 3], 3),
        "tissues": labels(tmp_path / "bw", [1, 3, 2], 3),
    }
    words = [word for name, folder in folders.items() for word in (f"--{name}", folder)]
    words += ["--scale", "tiny", "--out", str(tmp_path / "out")]
    assert main(["experiment", "004-table2", *words]) == 0
    text = (tmp_path / "out" / "report.md").read_text()
    for direction in ("one to two", "two to one"):
        part = text.split(f"## Simulated scanners, {direction}")[1].split("## ")[0]
        for row in PRINTED:
            assert f"| printed: {row} |" in part
        for row in (
            "without adaptation",
            VOLUMES,
            SLICES,
            "without domain shift",
            "supervised adaptation, n = 2",
        ):
            assert f"| {row} | " in part
    assert (tmp_path / "out" / "sites" / "one" / "person01_FLAIR.nii.gz").is_file()


def test_dice_of_tissues_by_grey_values():
    """Three grey values in the right places are the tissues; noise without order is not."""
    tissues = np.zeros((12, 12, 12), int)
    tissues[2:10, 2:10, 2:10] = 1 + np.arange(8) % 3
    greys = np.array([0, 0.2, 0.55, 0.85])[tissues] + np.random.default_rng(0).normal(0, 0.02, tissues.shape)
    assert tissue_dice(np.where(tissues > 0, greys, 0), tissues) > 0.95
    assert tissue_dice(np.where(tissues > 0, greys[..., ::-1], 0), tissues) < 0.8


def test_a_grey_map_is_the_median_that_people_show():
    given = np.random.default_rng(0).uniform(0.1, 1, (20, 20, 20))
    mapped = grey_map([(given, 1 - given)])
    assert np.abs(mapped(given) - (1 - given)).max() < 0.02
