"""Processes with random parameters, and the same distributions from their whole covariance matrix."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, multivariate_t

from SparseVolumeReconstructionLib.priors.bruno.network import Bruno, BrunoSettings
from SparseVolumeReconstructionLib.priors.bruno.process import ExchangeableProcess, PoseProcess

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
    """dense_covariance(process, positions (n,), dimension): the covariance of n slices, element by
    element.
    """

    def covariance(process, positions: np.ndarray, d: int) -> np.ndarray:
        v, rho = process.variance[d].item(), process.correlation[d].item()
        out = np.empty((len(positions),) * 2)
        for i, p in enumerate(positions):
            for j, q in enumerate(positions):
                r = (
                    math.sqrt(3) * abs(p - q) / process.length[d].item()
                    if hasattr(process, "length")
                    else 0.0
                )
                w = process.share[d].item() if hasattr(process, "share") else 1.0
                out[i, j] = v if i == j else v * rho * (w + (1 - w) * (1 + r) * math.exp(-r))
        return out

    return covariance


@pytest.fixture(scope="session")
def dense_log_density():
    """dense_log_density(values (n,), covariance (n, n), dof or None) by scipy; the covariance is a variance,
    not a scale matrix.
    """

    def log_density(values: np.ndarray, covariance: np.ndarray, dof: float | None) -> float:
        if dof is None:
            return float(multivariate_normal(np.zeros(len(values)), covariance).logpdf(values))
        return float(multivariate_t(np.zeros(len(values)), covariance * (dof - 2) / dof, dof).logpdf(values))

    return log_density


@pytest.fixture(scope="session")
def make_bruno():
    """make_bruno(seed=0, **settings): a small network (8 x 8 pixels, 10 slices) in which every layer does
    something.
    """

    def make(seed: int = 0, **changes) -> Bruno:
        torch.manual_seed(seed)
        small = {
            "size": 8,
            "slices": 10,
            "checkerboard": [2, 2],
            "channel": [2, 0],
            "filters": 6,
            "blocks": 1,
            "dense": 2,
            "hidden": 8,
        }
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
