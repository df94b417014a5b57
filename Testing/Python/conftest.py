"""What all tests share."""

import os
import sys
from pathlib import Path

import pytest
from markers import pytest_collection_modifyitems, pytest_runtest_setup  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def library_environment() -> dict[str, str]:
    """Environment for a Python of its own that finds the library."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT / "SparseVolumeReconstruction"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real volumes for measuring: $SVR_DATA, or shared/data beside the repository; skips where
    there is none.
    """
    folder = Path(os.environ.get("SVR_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("needs the folder of real volumes; set SVR_DATA")
    return folder


@pytest.fixture(scope="session")
def python() -> str:
    """The Python that runs the tests."""
    return sys.executable


@pytest.fixture(scope="session")
def write_weights():
    """write_weights(path, **changes of the card) writes a real, tiny structured Gaussian (12x14x13 voxels of
    12 mm, RAS).
    """
    import numpy as np
    import torch
    from safetensors.torch import save_file

    from SparseVolumeReconstructionLib.geometry import Grid
    from SparseVolumeReconstructionLib.priors.card import ModelCard
    from SparseVolumeReconstructionLib.priors.gaussian.parameters import GaussianParameters

    grid = Grid.centred((12, 14, 13), 12.0)
    radius = np.linalg.norm(grid.points_ras() / [60, 75, 62], axis=1).reshape(grid.shape_kji)
    mask = radius < 1
    shell = torch.as_tensor(0.3 + 0.5 * radius[mask], dtype=torch.float32)
    parameters = GaussianParameters(
        grid=grid,
        evaluation_grid=grid,
        mask=mask,
        means=shell[None],
        knots=torch.zeros(1),
        loadings=torch.stack([0.1 * shell, 0.05 * torch.sin(9 * shell)]),
        sd=torch.full_like(shell, 0.03),
        curves=tuple(torch.tensor([1.0, 0.5, 0.2]) for _ in "kji"),
        noise=0.02,
        multipliers=(0.67, 1.28, 1.64, 1.96),
        scale_knots=torch.tensor([[0.0, 0.1]]),
        reference=torch.as_tensor(np.where(mask, 0.3 + 0.5 * radius, 0), dtype=torch.float32),
    )
    tensors = {name: tensor.contiguous() for name, tensor in parameters.to_tensors().items()}
    words = dict.fromkeys(
        ("title", "version", "anatomy", "modality", "canonical_space", "units", "licence", "data"), "test"
    )

    def write(path: Path, **changes) -> Path:
        card = ModelCard(**{**words, "id": "tiny", "system": "structured-gaussian", **changes})
        save_file(tensors, path, metadata={"card": card.model_dump_json()})
        return path

    return write
