"""Visits of small heads in two contrasts, and a network that was taught by them through the command line."""

import numpy as np
import pytest
import torch

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import write_volume
from SparseVolumeReconstructionLib.zoo.weights import read_tensors, save_weights, stored_card

SPACING = 6.0


def visit(seed: int) -> dict[str, Volume]:
    """T1w and FLAIR of a ball with a core and a hole, (20, 28, 28) voxels: bright and dark change places."""
    random = np.random.default_rng(seed)
    grid = Grid.centred((20, 28, 28), SPACING)
    points = grid.points_ras().reshape(*grid.shape_kji, 3).astype(float)
    centre, radius = random.normal(0, 4, 3), random.uniform(0.9, 1.1, 3)
    reach = np.linalg.norm((points - centre) / radius, axis=-1)
    core, inside = reach < random.uniform(20, 35), reach < 50
    hole = np.linalg.norm(points - centre - [20, 10, 0], axis=-1) < 9
    found = {}
    for name, (shell, middle, fluid) in {"T1w": (0.5, 0.9, 0.15), "FLAIR": (0.8, 0.4, 0.1)}.items():
        array = np.where(hole, fluid, np.where(core, middle, shell)) + random.normal(0, 0.01, reach.shape)
        found[name] = Volume(np.where(inside, array.clip(0.02, 1), 0).astype(np.float32), grid)
    return found


@pytest.fixture(scope="session")
def visits_dir(tmp_path_factory):
    """Eight visits, one without FLAIR, and one whose file is damaged."""
    folder = tmp_path_factory.mktemp("visits")
    for seed in range(8):
        for name, volume in visit(seed).items():
            write_volume(volume, folder / f"sub-{seed:02d}_{name}.nrrd")
    write_volume(visit(8)["T1w"], folder / "sub-08_T1w.nrrd")
    write_volume(visit(9)["T1w"], folder / "sub-09_T1w.nrrd")
    (folder / "sub-09_FLAIR.nrrd").write_bytes(b"not an image")
    return folder


@pytest.fixture(scope="session")
def model(visits_dir, tmp_path_factory):
    """The weights file of a network that makes T1w from FLAIR."""
    out = tmp_path_factory.mktemp("synthesis") / "tiny"
    words = ["--cohort", str(visits_dir), "--config", "pix2pix-tiny", "--out", str(out), "--modality", "MRI"]
    assert main(["train", "synthesis", *words]) == 0
    return out / "tiny.safetensors"


@pytest.fixture(scope="session")
def blind(model):
    """The file of a network that makes the same grey value of everything."""
    tensors = read_tensors(model)
    last = [name for name in tensors if "head." in name]
    assert last
    path = model.with_name("blind.safetensors")
    save_weights(tensors | {n: torch.zeros_like(tensors[n]) for n in last}, stored_card(model), path)
    return path


def with_a_spot(seed: int) -> Volume:
    """A FLAIR as grey as white matter everywhere but in a spot of 18 mm."""
    scan = visit(seed)["FLAIR"]
    array = (scan.array > 0) * np.random.default_rng(seed).normal(0.6, 0.02, scan.array.shape)
    array[9:12, 13:16, 13:16] = 1
    return Volume(array.astype(np.float32), scan.grid)
