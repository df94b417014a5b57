"""Approximate inverses of covariances: of stationary ones on lattices, of a low-rank one more, in blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from .conjugate_gradients import Apply


class Lattices(Protocol):
    """Values that lie on one or more regular lattices, as those of `observation.planes.PlaneOperator` do."""

    def split(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """(m, n) -> one (m, rows, columns) image per lattice."""

    def join(self, images: list[torch.Tensor]) -> torch.Tensor:
        """The inverse of `split`: (m, n)."""


def circulant_inverse(lattices: Lattices, spectra: list[torch.Tensor], sd: torch.Tensor) -> Apply:
    """Approximately (D B D)^-1 of (m, n), for B that is stationary on every lattice.

    There it is (nearly) diagonal under the 2D Fourier transform of a padded image (T. Chan, SIAM J. Sci.
    Stat. Comput. 1988). Lattices are treated as independent.

    Args:
        lattices: where the values lie.
        spectra: eigenvalues of B per lattice, in the layout of rfft2 of the padded image.
        sd: diagonal of D, (n,).
    """

    def apply(values: torch.Tensor) -> torch.Tensor:
        solved = []
        for image, spectrum in zip(lattices.split(values / sd), spectra, strict=True):
            size = (spectrum.shape[0], 2 * (spectrum.shape[1] - 1))
            out = torch.fft.irfft2(torch.fft.rfft2(image, s=size) / spectrum, s=size)
            solved.append(out[:, : image.shape[1], : image.shape[2]])
        return lattices.join(solved) / sd if solved else values

    return apply


def block_inverse(inverses: Sequence[Apply], counts: Sequence[int]) -> Apply:
    """One inverse for each block of values (m, n), whose sizes are `counts`; blocks are independent.

    Args:
        inverses: of each block, of (m, count).
        counts: one a block; their sum is n. Not looked at for a single block.
    """
    if len(inverses) == 1:
        return inverses[0]
    return lambda values: torch.cat(
        [inverse(part) for inverse, part in zip(inverses, torch.split(values, list(counts), 1), strict=True)],
        1,
    )


class LowRankPreconditioner:
    """Approximate inverse of S = R + L' L, by the Woodbury identity.

    Called with (m, n), it gives approximately S^-1 of it.

    Attributes:
        residual_inverse: approximately R^-1 of (m, n).
        m_factor: Cholesky factor of M = I + L R^-1 L', (rank, rank).
    """

    def __init__(self, residual_inverse: Apply, low_rank: torch.Tensor):
        """What is known of the covariance.

        Args:
            residual_inverse: approximately R^-1 of (m, n).
            low_rank: L, (rank, n).
        """
        self.residual_inverse, self._low_rank = residual_inverse, low_rank
        self._solved = residual_inverse(low_rank)
        m = low_rank.double() @ self._solved.double().T
        eye = torch.eye(len(m), dtype=m.dtype, device=m.device)
        self.m_factor = torch.linalg.cholesky(eye + (m + m.T) / 2).to(low_rank.dtype)

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Approximately S^-1 of (m, n)."""
        direct = self.residual_inverse(values)
        z = torch.cholesky_solve((values @ self._solved.T).T, self.m_factor)
        return direct - z.T @ self._solved
