"""Small heads of three tissues, a process fitted to them as T1w MRI shows them, and scans of them."""

from dataclasses import replace

import numpy as np

from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.gaussian.fit import Rows, fit_gaussian
from SparseVolumeReconstructionLib.priors.gaussian.parameters import GaussianParameters
from SparseVolumeReconstructionLib.priors.gaussian.tissue_fit import fit_tissues
from SparseVolumeReconstructionLib.priors.gaussian.tissues import TissueContrast

GRID = Grid.centred((11, 14, 13), 8.0)
T1W = np.array([0.2, 0.55, 0.82])
T2W = TissueContrast(np.array([[900.0, 0, 0], [420, 0, 0], [260, 0, 0]]), np.full(3, 20.0))


def head(seed: int) -> np.ndarray:
    """Fractions of three shells of random thickness with random bumps, (3, K, J, I)."""
    random = np.random.default_rng(seed)
    points = GRID.points_ras() / [44, 50, 38]
    bumps = 0.08 * np.sin(points @ random.normal(size=(3, 4)) * 4 + random.uniform(0, 6, 4)).sum(1) / 2
    radius = np.linalg.norm(points, axis=1) + bumps
    edges = np.array([0.45, 0.75]) + 0.05 * random.normal(size=2)
    inside = np.clip((1.0 - np.linalg.norm(points, axis=1)) * 6, 0, 1)
    white = np.clip((edges[0] - radius) * 5 + 0.5, 0, 1)
    fluid = np.clip((radius - edges[1]) * 5 + 0.5, 0, 1)
    shares = np.stack([fluid, (1 - white) * (1 - fluid), white * (1 - fluid)]) * inside
    return shares.reshape(3, *GRID.shape_kji).astype(np.float32)


def fitted_parameters() -> GaussianParameters:
    """Fitted to 24 heads, as T1w MRI shows them, with their tissues."""
    heads = np.stack([head(n) for n in range(24)])
    mask = heads.sum(1).mean(0) > 0.02
    fractions = [heads[:, t][:, mask].astype(np.float16) for t in range(3)]
    noise = 0.01 * np.random.default_rng(0).normal(size=(24, mask.sum()))
    shown = (sum(c * f for c, f in zip(T1W, fractions, strict=True)) + noise).astype(np.float16)
    rows = Rows(shown, np.arange(24), np.zeros(24))
    fitted = fit_gaussian(rows, mask, GRID, GRID, rank=8)
    return replace(fitted, tissues=fit_tissues(rows, fractions, 8))


def scan(shares: np.ndarray, contrast: TissueContrast, places=(2, 4, 6, 8)):
    """Slices of a head in a contrast, with a little noise."""
    image = np.tensordot(contrast.shades[:, 0], shares, 1)
    image += 8 * np.random.default_rng(1).normal(size=image.shape) * (shares.sum(0) > 0)
    return image, [slice_of(Volume(image.astype(np.float32), GRID), k, 8.0) for k in places]
