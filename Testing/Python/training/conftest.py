"""A cohort of tiny bodies: ellipsoids that grow with age, with a nucleus, in files whose names tell
the age.
"""

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from training.label_maps import head

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import write_volume

AGES = (20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31)
BODIES = {"fit": [f"age{n}" for n in AGES[:10]], "test": ["age30", "age31"]}


def body(age: float, seed: int) -> Volume:
    """One subject, (24, 22, 20) voxels of 5 mm; shell and nucleus grow with age and vary with the seed."""
    random = np.random.default_rng(seed)
    grid = Grid.centred((24, 22, 20), 5.0)
    points = grid.points_ras().reshape(*grid.shape_kji, 3)
    size = (0.8 + 0.02 * (age - 20)) * np.array([34.0, 42.0, 48.0])
    shell = ((points / size) ** 2).sum(-1) < 1
    centre, radius = size * [0, 0.2, 0.25], size * random.normal(0.4, 0.04, 3)
    nucleus = (((points - centre) / radius) ** 2).sum(-1) < 1
    tail = (((points + size * [0, 0.5, 0.4]) / (0.25 * size)) ** 2).sum(-1) < 1
    texture = gaussian_filter(random.normal(size=grid.shape_kji), 2)
    image = gaussian_filter(0.5 * shell + 0.35 * nucleus - 0.25 * tail + 0.6 * texture * shell, 0.6)
    return Volume(np.where(image > 0.05, image, 0).astype(np.float32), grid)


@pytest.fixture(scope="session")
def cohort_dir(tmp_path_factory):
    """Twelve subjects, one label file and one file that is no image."""
    folder = tmp_path_factory.mktemp("bodies")
    for n, age in enumerate(AGES):
        write_volume(body(age, n), folder / f"age{age}.nii.gz")
    write_volume(body(20, 0), folder / "age20_labels.nii.gz")
    (folder / "age99.nii.gz").write_bytes(b"not an image")
    return folder


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """Registrations of the tests are kept apart from those of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SVR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny tensors: more threads only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def round_bodies():
    """round_bodies(count, seed, slices=20, size=16): (count, slices, size, size), each with a brightness and
    a width of its own, layers along the stack, and noise.
    """
    import torch

    def bodies(count: int, seed: int, slices: int = 20, size: int = 16) -> torch.Tensor:
        random = torch.Generator().manual_seed(seed)
        k, j, i = torch.meshgrid(
            torch.linspace(-1, 1, slices), *[torch.linspace(-1, 1, size)] * 2, indexing="ij"
        )
        bright, wide = torch.rand(2, count, 1, 1, 1, generator=random)
        inside = ((i / (0.6 + 0.3 * wide)) ** 2 + (j / 0.8) ** 2 + (k / 1.4) ** 2) < 1
        noise = 0.02 * torch.randn(count, slices, size, size, generator=random)
        return torch.where(inside, 0.25 + 0.4 * bright + 0.15 * torch.sin(3 * k) + noise, torch.zeros(()))

    return bodies


@pytest.fixture(scope="session")
def label_dir(tmp_path_factory):
    """Six heads and one file that holds no brain."""
    folder = tmp_path_factory.mktemp("labels")
    for seed in range(6):
        write_volume(head(seed), folder / f"head{seed}_seg.nii.gz")
    empty = head(0)
    write_volume(Volume(np.where(empty.array > 500, empty.array, 0), empty.grid), folder / "skull_seg.nii.gz")
    return folder


@pytest.fixture(scope="session")
def bodies_file(cohort_dir, tmp_path_factory):
    """The command's options for the people, and the weights file of a structured Gaussian of them."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "split.json").write_text(json.dumps(BODIES))
    words = ["--cohort", str(cohort_dir), "--split", str(folder / "split.json")]
    base = folder / "bodies.safetensors"
    fit = ["--rank", "4", "--spacing-mm", "6", "--protocol-slices", "24", "--out", str(base)]
    assert main(["train", "structured-gaussian", *words, *fit]) == 0
    return words, base
