"""Processes with random parameters, and the same distributions from their whole covariance matrix."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, multivariate_t

from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.priors.axial import AxialSpace
from SparseVolumeReconstructionLib.priors.bruno.network import Bruno, BrunoSettings
from SparseVolumeReconstructionLib.priors.bruno.process import ExchangeableProcess, PoseProcess
from SparseVolumeReconstructionLib.priors.card import ModelCard
from SparseVolumeReconstructionLib.priors.structured_gaussian import GaussianParameters

DIMENSIONS = 3


@pytest.fixture(scope="session")
def make_process():
    """make_process(name, kind, seed): in float64, of 3 dimensions, with random parameters."""

    def make(name: str, kind: str, seed: int):
        random = torch.Generator().manual_seed(seed)
        process = {"exchangeable": ExchangeableProcess, "pose": PoseProcess}[name](DIMENSIONS, kind).double()
        with torch.no_grad():
            for parameter in process.parameters():
                parameter.copy_(torch.randn(DIMENSIONS, generator=random, dtype=torch.float64))
            if name == "pose":
                process.raw_length -= 1.5
        return process

    return make


@pytest.fixture(scope="session")
def dense_covariance():
    """dense_covariance(process, positions (n,), dimension): the covariance of n slices, element by element."""

    def covariance(process, positions: np.ndarray, d: int) -> np.ndarray:
        v, rho = process.variance[d].item(), process.correlation[d].item()
        out = np.empty((len(positions),) * 2)
        for i, p in enumerate(positions):
            for j, q in enumerate(positions):
                r = math.sqrt(3) * abs(p - q) / process.length[d].item() if hasattr(process, "length") else 0.0
                w = process.share[d].item() if hasattr(process, "share") else 1.0
                out[i, j] = v if i == j else v * rho * (w + (1 - w) * (1 + r) * math.exp(-r))
        return out

    return covariance


@pytest.fixture(scope="session")
def dense_log_density():
    """dense_log_density(values (n,), covariance (n, n), dof or None) by scipy; the covariance is a variance, not a scale matrix."""

    def log_density(values: np.ndarray, covariance: np.ndarray, dof: float | None) -> float:
        if dof is None:
            return float(multivariate_normal(np.zeros(len(values)), covariance).logpdf(values))
        return float(multivariate_t(np.zeros(len(values)), covariance * (dof - 2) / dof, dof).logpdf(values))

    return log_density


@pytest.fixture(scope="session")
def make_bruno():
    """make_bruno(seed=0, **settings): a small network (8 x 8 pixels, 10 slices) in which every layer does something."""

    def make(seed: int = 0, **changes) -> Bruno:
        torch.manual_seed(seed)
        small = {"size": 8, "slices": 10, "checkerboard": [2, 2], "channel": [2, 0], "filters": 6, "blocks": 1, "dense": 2, "hidden": 8}
        network = Bruno(BrunoSettings(**{**small, "embedding": 5, **changes}))
        size, count = network.settings.size, network.settings.slices
        network.observe(torch.rand(3, count, size, size), 0)
        network.initialise(torch.rand(16, size, size), torch.arange(16) % count)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if ".head." in name:
                    parameter.normal_(0, 0.05)
                if ".raw_" in name:
                    parameter.add_(0.3 * torch.randn_like(parameter))
        return network

    return make


@pytest.fixture(scope="session")
def space() -> AxialSpace:
    """10 slices of 8 x 8 pixels of a round body, 12 mm apart."""
    grid = Grid.centred((10, 8, 8), 12.0)
    radius = torch.as_tensor(np.linalg.norm(grid.points_ras() / [40, 40, 60], axis=1).reshape(grid.shape_kji), dtype=torch.float32)
    mask = radius < 1
    atlas = torch.where(mask, 0.3 + 0.4 * radius, 0.0)
    n = int(mask.sum())
    gaussian = GaussianParameters(
        grid=grid,
        protocol_grid=grid,
        mask=mask.numpy(),
        means=atlas[mask][None],
        knots=torch.zeros(1),
        loadings=0.05 * torch.ones(1, n),
        sd=torch.full((n,), 0.05),
        curves=tuple(torch.tensor([1.0, 0.5, 0.2]) for _ in "kji"),
        noise=0.02,
        multipliers=(0.67, 1.28, 1.64, 1.96),
        scale_knots=torch.tensor([[0.0, 0.1]]),
        reference=atlas,
    )
    return AxialSpace(gaussian, Volume(atlas.numpy(), grid), atlas)


@pytest.fixture(scope="session")
def card() -> ModelCard:
    """Of a model that knows nothing."""
    words = ("title", "version", "anatomy", "modality", "canonical_space", "units", "licence", "data")
    return ModelCard(**dict.fromkeys(words, "test"), id="tiny", system="bruno")
