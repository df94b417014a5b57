"""A small process on a small grid, and its posterior by a dense float64 solve; a small stack of axial
slices.
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from SparseVolumeReconstructionLib.geometry import Grid, Plane, Volume
from SparseVolumeReconstructionLib.priors.axial import AxialSpace
from SparseVolumeReconstructionLib.priors.card import ModelCard
from SparseVolumeReconstructionLib.priors.gaussian.field import GaussianField, correlation_matrix
from SparseVolumeReconstructionLib.priors.gaussian.parameters import GaussianParameters

CURVE = torch.tensor([1.0, 0.8, 0.5, 0.3, 0.2, 0.1])


@pytest.fixture(scope="session")
def make_field():
    """make_field(shape_kji, rank=4, seed=0): a process of 2 mm voxels with correlated residual."""

    def make(shape_kji=(8, 7, 6), rank=4, seed=0, noise=0.05) -> GaussianField:
        g = torch.Generator().manual_seed(seed)
        mean, sd = torch.rand(shape_kji, generator=g), torch.rand(shape_kji, generator=g) * 0.2 + 0.05
        loadings = torch.randn(rank, *shape_kji, generator=g) * 0.2
        return GaussianField(
            Grid.centred(shape_kji, 2.0),
            mean,
            loadings,
            sd,
            tuple(correlation_matrix(CURVE, n) for n in shape_kji),
            noise,
        )

    return make


@dataclass
class Dense:
    """Posterior of pixels (count,) seen through a dense A (count, voxels) of a field.

    Everything in float64.
    """

    field: GaussianField
    a: torch.Tensor
    pixels: torch.Tensor
    own_variance: float | torch.Tensor = 0.0  # of the measurement's own noise, (count,) or the same for all

    def __post_init__(self):
        f, a = self.field, self.a.double()
        eye = torch.eye(f.grid.size).reshape(-1, *f.grid.shape_kji)
        w = f.loadings.flatten(1).double()
        self.prior = f.residual_covariance(eye).flatten(1).double() + w.T @ w
        sd = (a @ f.sd.flatten().double()).clamp(min=float(f.sd.min()))
        s = a @ self.prior @ a.T + torch.diag(f.noise * sd**2 + self.own_variance)
        difference = self.pixels.double() - a @ f.mean.flatten().double()
        gain = torch.linalg.solve(s, a @ self.prior)
        self.mean = (f.mean.flatten().double() + gain.T @ difference).reshape(f.grid.shape_kji)
        self.covariance = self.prior - (a @ self.prior).T @ gain
        self.std = self.covariance.diagonal().sqrt().reshape(f.grid.shape_kji)
        quadratic = difference @ torch.linalg.solve(s, difference)
        self.log_evidence = float(
            -0.5 * (quadratic + torch.logdet(s) + len(difference) * math.log(2 * math.pi))
        )


@pytest.fixture(scope="session")
def dense():
    """dense(field, A, pixels): the exact posterior."""
    return Dense


@pytest.fixture(scope="session")
def make_plane():
    """make_plane(seed, thickness_mm=4, size=7, pixel_mm=2): a square plane at a random pose near the
    origin.
    """

    def make(seed: int, thickness_mm=4.0, size=7, pixel_mm=2.0) -> Plane:
        random = np.random.default_rng(seed)
        q, _ = np.linalg.qr(random.normal(size=(3, 3)))
        matrix = np.eye(4)
        matrix[:3, :3] = q * [pixel_mm, pixel_mm, 1]
        matrix[:3, 3] = random.normal(size=3) - matrix[:3, :2] @ np.full(2, (size - 1) / 2)
        return Plane((size, size), matrix, thickness_mm)

    return make


@pytest.fixture(scope="session")
def space() -> AxialSpace:
    """10 slices of 8 x 8 pixels of a round body, 12 mm apart."""
    grid = Grid.centred((10, 8, 8), 12.0)
    radius = torch.as_tensor(
        np.linalg.norm(grid.points_ras() / [40, 40, 60], axis=1).reshape(grid.shape_kji), dtype=torch.float32
    )
    mask = radius < 1
    atlas = torch.where(mask, 0.3 + 0.4 * radius, 0.0)
    n = int(mask.sum())
    gaussian = GaussianParameters(
        grid=grid,
        evaluation_grid=grid,
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
def make_ball_space():
    """make_ball_space(slices, size): a ball in a stack of slices 12 mm apart, of size x size pixels
    of 10 mm.
    """

    def make(slices: int, size: int) -> AxialSpace:
        stack = Grid.centred((slices, size, size), (10.0, 10.0, 12.0), (1.0, -2.0, 3.0))
        grid = Grid.centred((12, 14, 13), 14.0)

        def ball(on):
            return (
                np.clip(1.2 - np.linalg.norm(on.points_ras() / 70, axis=1), 0, 1)
                .reshape(on.shape_kji)
                .astype(np.float32)
            )

        mask = ball(grid) > 0
        count = int(mask.sum())
        gaussian = GaussianParameters(
            grid,
            stack,
            mask,
            torch.as_tensor(ball(grid)[mask])[None],
            torch.zeros(1),
            0.05 * torch.randn(3, count, generator=torch.Generator().manual_seed(2)),
            torch.full((count,), 0.05),
            tuple(torch.tensor([1.0, 0.5, 0.2]) for _ in "kji"),
            0.02,
            (0.67, 1.28, 1.64, 1.96),
            torch.tensor([[0.0, 0.1]]),
            torch.zeros(grid.shape_kji),
        )
        return AxialSpace(gaussian, Volume(ball(grid), grid), torch.as_tensor(ball(stack)))

    return make


@pytest.fixture(scope="session")
def card() -> ModelCard:
    """Of a model that knows nothing."""
    words = ("title", "version", "anatomy", "modality", "canonical_space", "units", "licence", "data")
    return ModelCard(**dict.fromkeys(words, "test"), id="tiny", system="tiny")


@pytest.fixture
def body(space) -> Volume:
    """One body on the stack's grid, as the prior stores images."""
    noise = 0.2 * torch.rand(space.atlas.shape, generator=torch.Generator().manual_seed(1))
    return Volume(
        torch.where(space.atlas > 0, space.atlas + noise, 0.0).clamp(0, 1).numpy(), space.reference.grid
    )
