"""The Gaussian over the codes of a stack of slices (Volokitin et al., MICCAI 2020).

Components are independent, each with a covariance between slices: y_l = mu_l + W_l z, z ~ N(0, I), W = U S /
sqrt(N) from the singular vectors of the centred codes of N volumes. Seen codes are c = y_c + e, e ~ N(0, E_c)
with the encoder's variance E_c, so that y | c has mean mu + S_.c (S_cc + E_c)^-1 (c - mu_c), exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..base import seeded_generator


@dataclass(frozen=True, eq=False)
class SliceCodes:
    """A Gaussian over the codes of all slices of a body.

    mean: (K, L). loadings: (L, K, R). K slices, L components, R directions.
    """

    mean: torch.Tensor
    loadings: torch.Tensor

    @classmethod
    def fit(cls, codes: torch.Tensor, rank: int) -> SliceCodes:
        """From the codes (N, K, L) of whole volumes; at most `rank` directions per component.

        Args:
            codes: of N bodies.
            rank: R, which is not more than N and K either.
        """
        mean = codes.mean(0)
        u, s, _ = torch.linalg.svd((codes - mean).permute(2, 1, 0), full_matrices=False)
        return cls(mean, (u * s[:, None])[..., :rank] / math.sqrt(len(codes)))

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Tensors to store: 8-bit loadings with a scale per component and direction."""
        scale = self.loadings.abs().amax(1, keepdim=True).clamp(min=1e-8) / 127
        loadings = (self.loadings / scale).round().to(torch.int8)
        return {
            "codes.mean": self.mean.half(),
            "codes.loadings": loadings,
            "codes.loading_scale": scale.float(),
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor]) -> SliceCodes:
        """The inverse of `to_tensors`. Raises KeyError when one is missing."""
        return cls(
            tensors["codes.mean"].float(), tensors["codes.loadings"].float() * tensors["codes.loading_scale"]
        )

    def to(self, device: torch.device) -> SliceCodes:
        """The same on a device; float32 (K, L) and (L, K, R)."""
        return SliceCodes(self.mean.to(device), self.loadings.to(device))


class CodePosterior:
    """The codes of all slices given those of some.

    Args:
        codes: the Gaussian before anything was seen.
        index: numbers of the seen slices (n,); n may be 0.
        seen: mean of their codes, (n, L).
        variance: of these, (n, L).
    """

    def __init__(self, codes: SliceCodes, index: list[int], seen: torch.Tensor, variance: torch.Tensor):
        self._mean, self._loadings = codes.mean.double(), codes.loadings.double()
        self._at = self._loadings[:, index]
        self._variance = variance.double().T
        self._covariance = self._at @ self._at.mT
        self._factor = torch.linalg.cholesky(self._covariance + torch.diag_embed(self._variance))
        self._seen = seen.double().T
        self._expected = self._mean[index].T
        self.mean = (self._mean + self._pull(self._seen - self._expected).T).float()

    def _pull(self, difference: torch.Tensor) -> torch.Tensor:
        """S_.c (S_cc + E_c)^-1 difference; (L, n) -> (L, K)."""
        weights = torch.cholesky_solve(difference[..., None], self._factor)
        return (self._loadings @ (self._at.mT @ weights))[..., 0]

    def variance(self) -> torch.Tensor:
        """Posterior variance of every code, (K, L)."""
        gain = torch.linalg.solve_triangular(self._factor, self._at @ self._loadings.mT, upper=False)
        return ((self._loadings**2).sum(-1) - (gain**2).sum(1)).clamp(min=0).T.float()

    def sample(self, seed: int) -> torch.Tensor:
        """One draw of all codes, (K, L).

        A draw of the prior and of the seen codes' errors, moved by what was seen.
        """
        generator = seeded_generator(seed)
        z = torch.randn(self._loadings.shape[::2], generator=generator).to(self._loadings)
        error = (
            torch.randn(self._variance.shape, generator=generator).to(self._loadings) * self._variance.sqrt()
        )
        drawn = (self._loadings @ z[..., None])[..., 0]
        at = (self._at @ z[..., None])[..., 0]
        return (self._mean + (drawn + self._pull(self._seen - self._expected - at - error)).T).float()

    def log_evidence(self) -> float:
        """log p of the seen codes' means, nats: N(c; mu_c, S_cc + E_c), summed over components."""
        difference = (self._seen - self._expected)[..., None]
        half = torch.linalg.solve_triangular(self._factor, difference, upper=False)
        log_det = 2 * self._factor.diagonal(dim1=1, dim2=2).log().sum()
        return float(-0.5 * ((half**2).sum() + log_det + self._seen.numel() * math.log(2 * math.pi)))
