"""Approximate inverse of a covariance whose values lie on lattices."""

from __future__ import annotations

from typing import Protocol

import torch


class Lattices(Protocol):
    """Values that lie on one or more regular lattices, as those of `observation.planes.PlaneOperator` do."""

    def split(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """(m, n) -> one (m, rows, columns) image per lattice."""

    def join(self, images: list[torch.Tensor]) -> torch.Tensor:
        """The inverse of `split`: (m, n)."""


class CirculantPreconditioner:
    """Callable: (m, n) -> approximately S^-1 of it, for S = D B D + L' L.

    On one lattice B is a stationary function, so it is (nearly) diagonal under the 2D Fourier transform of a
    padded image (T. Chan, SIAM J. Sci. Stat. Comput. 1988); lattices are treated as independent, and the
    low-rank part is added by the Woodbury identity.

    Attributes:
        m_factor: Cholesky factor of M = I + L (D B D)^-1 L', (rank, rank).
    """

    def __init__(
        self, lattices: Lattices, spectra: list[torch.Tensor], sd: torch.Tensor, low_rank: torch.Tensor
    ):
        """
        Args:
            lattices: where the values lie.
            spectra: eigenvalues of B per lattice, in the layout of rfft2 of the padded image.
            sd: diagonal of D, (n,).
            low_rank: L, (rank, n).
        """
        self._lattices, self._spectra, self._sd, self._low_rank = lattices, spectra, sd, low_rank
        self._solved = self.residual_inverse(low_rank)
        m = low_rank.double() @ self._solved.double().T
        eye = torch.eye(len(m), dtype=m.dtype, device=m.device)
        self.m_factor = torch.linalg.cholesky(eye + (m + m.T) / 2).to(low_rank.dtype)

    def residual_inverse(self, values: torch.Tensor) -> torch.Tensor:
        """Approximately (D B D)^-1 of (m, n)."""
        solved = []
        for image, spectrum in zip(self._lattices.split(values / self._sd), self._spectra, strict=True):
            size = (spectrum.shape[0], 2 * (spectrum.shape[1] - 1))
            out = torch.fft.irfft2(torch.fft.rfft2(image, s=size) / spectrum, s=size)
            solved.append(out[:, : image.shape[1], : image.shape[2]])
        return self._lattices.join(solved) / self._sd if solved else values

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Approximately S^-1 of (m, n)."""
        direct = self.residual_inverse(values)
        z = torch.cholesky_solve((values @ self._solved.T).T, self.m_factor)
        return direct - z.T @ self._solved
