"""Domain-adaptive synthesis: all rows of the table on small bodies, and what stands beside the network."""

import json

import numpy as np
import pytest
import torch

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.experiments.domains import PRINTED, _differences, _over_seeds, finished
from SparseVolumeReconstructionLib.experiments.kept import ROWS
from SparseVolumeReconstructionLib.experiments.real_sites import grey_map
from SparseVolumeReconstructionLib.experiments.tissue_network import tissue_dice, tissue_network
from SparseVolumeReconstructionLib.experiments.transfer import (
    AUGMENTED,
    BATCHES,
    COUNTS,
    LOWER,
    MATCHED,
    NO_SHIFT,
    REAL,
    SLICES,
    VOLUMES,
)
from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import write_volume
from SparseVolumeReconstructionLib.training.loop.config import digest, read_config


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
def test_every_row_stands_beside_the_printed_ones(tmp_path, capsys):
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
            LOWER,
            AUGMENTED,
            VOLUMES,
            SLICES,
            MATCHED,
            "supervised adaptation, n = 2",
            NO_SHIFT,
            REAL,
        ):
            assert f"| {row} | " in part
    assert "| one to two: 8 slices a step | " in text and "| two to one: 2 volumes | " in text
    assert "| one to two, Dice: minus without adaptation | " in text
    assert (tmp_path / "out" / "sites" / "one" / "person01_FLAIR.nii.gz").is_file()
    _check_resume(tmp_path / "out", words, text, capsys)


def _check_resume(out, words, text, capsys):
    """Rows that are there are kept, one that is cut off is made again alike, other ones are refused."""
    rows = out / "rows.jsonl"
    lines = rows.read_text().splitlines()
    assert len(lines) == 2 * (9 + len(BATCHES) + len(COUNTS))
    rows.write_text("\n".join([*lines[:-1], lines[-1][:40]]))
    assert main(["experiment", "004-table2", *words]) == 0
    assert rows.read_text().splitlines() == [*lines[:-1], lines[-1][:40], lines[-1]]
    assert (out / "report.md").read_text() == text
    rows.write_text(json.dumps(json.loads(lines[0]) | {"config": "another"}))
    assert main(["experiment", "004-table2", *words]) == 2
    assert "rows.jsonl: made with another configuration" in capsys.readouterr().err


def test_differences_are_those_of_one_person_and_seed(tmp_path):
    """In whatever order processes wrote their rows; of seeds that both rows have."""
    config = read_config("pix2pix-tiny")
    about = {"direction": "one to two", "people": ["a", "b"], "config": digest(config)}
    seeds = {LOWER: (0, 2, 1), SLICES: (1, 0)}
    lines = [
        about
        | {"row": row, "seed": seed, "scores": [[0.1 * seed + 0.01 * (row == SLICES), 20, n] for n in (0, 1)]}
        for row, chosen in seeds.items()
        for seed in chosen
    ]
    (tmp_path / ROWS).write_text("\n".join(map(json.dumps, lines)))
    ssim, psnr, dice = _differences(finished(tmp_path, config)).rows
    assert ssim[0] == f"one to two, SSIM: minus {LOWER}" and ssim[4:6] == [4, 4]
    assert ssim[1:4] == [pytest.approx(0.01)] * 3
    assert psnr[1] == dice[1] == 0
    ((name, seeds, ssim, *_),) = _over_seeds(finished(tmp_path, config)).rows
    assert (name, seeds, ssim) == (f"one to two: {SLICES}", 2, "+0.010 (+0.010 to +0.010)")


def test_dice_of_tissues_as_a_network_sees_them(tmp_path):
    """A network that learned of three grey values knows them in another body, and not in another order."""
    tissues = torch.zeros(4, 16, 16, 16)
    for n, one in enumerate(tissues):
        one[2:14, 2:14, 2 + n % 2 : 14] = (1 + torch.arange(12) // 2 % 3)[:, None, None]
    grey = torch.tensor([0, 0.2, 0.55, 0.85])[tissues.long()]
    pairs = torch.stack([grey, tissues], 1)
    config = read_config("pix2pix-tiny").model_copy(update={"steps": 50})
    network = tissue_network(pairs[:3], pairs[3:], config, tmp_path / "tissues")
    assert tissue_dice(network, grey[3], tissues[3]) > 0.9
    assert tissue_dice(network, torch.where(grey[3] > 0, 1.05 - grey[3], 0), tissues[3]) < 0.7


def test_a_grey_map_is_the_median_that_people_show():
    given = np.random.default_rng(0).uniform(0.1, 1, (20, 20, 20))
    mapped = grey_map([(given, 1 - given)])
    assert np.abs(mapped(given) - (1 - given)).max() < 0.02
