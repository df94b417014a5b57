"""What slices of one contrast say of the body, shown in another contrast.

Both contrasts are sums of the same tissues and so jointly Gaussian: they share the latents z, and in every
voxel the residual of the one tells a part of that of the other.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch

from ..base import Conditions, Posterior, Prior, seeded_generator
from ..gaussian.field import GaussianField, along_axes, axis_operators
from ..gaussian.parameters import GaussianParameters
from ..gaussian.seen import residual_of, residual_variance, weights_of
from ..gaussian.stack import StackPosterior
from .posterior import OperatorPosterior

if TYPE_CHECKING:
    from typing_extensions import Self

    from ...geometry import Grid
    from ..alignment_model import AlignmentModel
    from .prior import StructuredGaussian

_FIRST_SEED = 2**42  # of what no slice tells: not that of the sample that is carried over
_ALIKE = 400  # voxels of a sample whose residuals are worth one that is independent


class ShownPrior(Prior):
    """A prior that takes slices of one contrast and shows another.

    Args:
        seen: the process in the contrast of the slices.
        shown: the same process in that of the result; canonical units are its own.
        wider: factor on standard deviations and the spread of samples.
    """

    def __init__(self, seen: StructuredGaussian, shown: StructuredGaussian, wider: float = 1.0):
        super().__init__(
            shown.card,
            shown.grid,
            anatomy_mask=shown.anatomy_mask,
            reference=shown.reference,
            intervals=shown.intervals,
            evaluation_grid=shown.evaluation_grid,
            device=shown.device,
        )
        self.observes, self.draws = seen.observes, seen.draws  # type: ignore[misc]
        self.seen, self.shown, self.wider = seen, shown, wider
        self._told = _correlation(seen.parameters, shown.parameters).to(shown.device)

    def drawing(self, draws: str | None) -> Self:
        """See `Prior`."""
        return type(self)(self.seen.drawing(draws), self.shown, self.wider)

    def donors(self, grid: Grid) -> torch.Tensor:
        """In the contrast that is shown, see `Prior`."""
        return self.shown.donors(grid)

    @property
    def knows_tissues(self) -> bool:
        """It is made of them."""
        return True

    def tissues(self, posterior: Posterior) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """As the contrast of the slices tells them, see `Prior`."""
        assert isinstance(posterior, ShownPosterior)
        return self.seen.tissues(posterior.seen)

    def _make_alignment_model(self) -> AlignmentModel:
        return self.shown.alignment_model()

    def _condition(self, given: Conditions) -> ShownPosterior:
        seen = self.seen.exact(given)
        operators = [each.to(self._told) for each in axis_operators(self.grid, seen.grid)]
        before, field = (p.field(seen.grid, given.covariate) for p in (self.seen, self.shown))
        told = along_axes(operators, self._told[None])[0]
        return ShownPosterior(seen, before, field, told, self)


class ShownPosterior(Posterior):
    """A posterior in another contrast than what was observed.

    Args:
        seen: in the contrast of the slices.
        before, field: the process on the grid of `seen`, in the contrast of the slices and in that which is
            shown.
        told: correlation of their residuals, (K, J, I).
        prior: whose intervals they are, and how much wider than the process says.
    """

    def __init__(
        self,
        seen: StackPosterior | OperatorPosterior,
        before: GaussianField,
        field: GaussianField,
        told: torch.Tensor,
        prior: ShownPrior,
    ):
        self.seen, self.grid, self.intervals, self._wider = seen, seen.grid, prior.intervals, prior.wider
        self._field, self._told = field, told
        self._known = known = seen.latents()
        self._slope = told * field.sd / before.sd
        self._shared = min(len(known.mean), len(field.loadings))
        self._loadings = known.field.widened * field.loadings

    @cached_property
    def _mean(self) -> torch.Tensor:
        return self._field.mean + self._carried(self._known.mean, residual_of(self._known, self.seen.mean()))

    def _carried(self, z: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """What is shown of latents (rank,) and of a residual (K, J, I)."""
        shared = self._shared
        return torch.tensordot(z[:shared], self._loadings[:shared], 1) + self._slope * residual

    @cached_property
    def _left(self) -> torch.Tensor:
        """Variance of the residual that the other one does not tell, (K, J, I)."""
        return (self._known.field.widened * self._field.sd) ** 2 * (1 - self._told**2)

    def mean(self) -> torch.Tensor:
        """Exact, (K, J, I); computed once."""
        return self._mean

    def std(self) -> torch.Tensor:
        """Without the covariance of z and residual after the observation, (K, J, I); computed once."""
        return self._std

    @cached_property
    def _std(self) -> torch.Tensor:
        shared = self._shared
        own = torch.tensordot(self._known.factor[:shared].T, self._loadings[:shared], 1)
        unknown = (own**2).sum(0) + (self._loadings[shared:] ** 2).sum(0) + self._left
        residual = residual_variance(self._known, self.seen.std())
        return self._wider * (unknown + self._slope**2 * residual).clamp(min=1e-12).sqrt()

    def _sample(self, seeds: list[int]) -> torch.Tensor:
        """Samples of what was seen, carried over, and chance where that tells nothing, (n, K, J, I)."""
        return torch.stack([self._one(seed) for seed in seeds])

    def _one(self, seed: int) -> torch.Tensor:
        difference = self.seen.sample([seed])[0] - self.seen.mean()
        z = self._latents_of(difference)
        residual = difference - torch.tensordot(z, self._known.field.loadings, 1)
        generator = seeded_generator(_FIRST_SEED + seed)
        chance = self._field.draw_residual([generator])[0] * (self._left.sqrt() / self._field.sd)
        unseen = self._loadings[self._shared :]
        rest = torch.randn(len(unseen), generator=generator).to(unseen)
        far = self._carried(z, residual) + torch.tensordot(rest, unseen, 1) + chance
        return self._mean + self._wider * far

    def _latents_of(self, difference: torch.Tensor) -> torch.Tensor:
        """The latents of a whole volume (K, J, I) that is known, (rank,)."""
        weighted, factor = self._regression
        right = weighted @ (difference / self._known.field.sd).flatten() / _ALIKE
        return torch.cholesky_solve(right[:, None], factor)[:, 0]

    @cached_property
    def _regression(self) -> tuple[torch.Tensor, torch.Tensor]:
        weighted = (self._known.field.loadings / self._known.field.sd).flatten(1)
        eye = torch.eye(len(weighted), dtype=weighted.dtype, device=weighted.device)
        return weighted, torch.linalg.cholesky(eye + weighted @ weighted.T / _ALIKE)

    def log_evidence(self) -> float:
        """Of what was observed, see `Posterior`."""
        return self.seen.log_evidence()


def _correlation(seen: GaussianParameters, shown: GaussianParameters) -> torch.Tensor:
    """Of the residuals of one process in two contrasts, -1..1, (K, J, I); 0 outside the anatomy."""
    assert seen.tissues is not None
    covariance = seen.tissues.residual_covariance
    shared = torch.einsum("tn,tun,un->n", weights_of(seen), covariance, weights_of(shown))
    out = torch.zeros(seen.mask.shape)
    out[torch.as_tensor(seen.mask)] = (shared / (seen.sd * shown.sd)).clamp(-1, 1)
    return out
