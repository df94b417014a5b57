"""A prior on a prior: all but the posterior is the base's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from ..geometry import Grid
from ..observation import Observation, Slice
from ..observation.base import IntensityMap
from .alignment_model import AlignmentModel
from .base import Conditions, Posterior, Prior, Seen
from .card import ModelCard
from .intervals import IntervalScale

if TYPE_CHECKING:
    from typing_extensions import Self

_FAR_MM = 1e3


class PriorOnBase(Prior):
    """The prior of the base with another posterior; frames, contrasts and evidence are the base's.

    Args:
        base: what it is built on.
        card: what it is.
        device: where it computes.
        intervals: of its posteriors; the base's if None.
    """

    observes: ClassVar[tuple[type[Observation], ...]] = (Observation,)

    def __init__(
        self,
        base: Prior,
        card: ModelCard,
        device: torch.device | str = "cpu",
        intervals: IntervalScale | None = None,
    ):
        super().__init__(
            card,
            base.grid,
            anatomy_mask=base.anatomy_mask,
            reference=base.reference,
            intervals=intervals or base.intervals,
            evaluation_grid=base.evaluation_grid,
            device=device,
        )
        self.base, self.draws = base, base.draws

    def base_given(self, given: Conditions) -> Posterior:
        """The base's posterior of what this prior is conditioned on."""
        return self.base.condition(
            given.observations, grid=given.grid, covariate=given.covariate, check=given.check, fast=given.fast
        )

    def drawing(self, draws: str | None) -> Self:
        """This prior with samples that start from what those of the base then do, see `Prior`."""
        other = super().drawing(draws)
        if other is not self:
            other.base = self.base.drawing(draws)
        return other

    def donors(self, grid: Grid) -> torch.Tensor:
        """Those of the base, (n, K, J, I), see `Prior`."""
        return self.base.donors(grid)

    def _make_alignment_model(self) -> AlignmentModel:
        return self.base.alignment_model()

    @property
    def knows_tissues(self) -> bool:
        """Whether the base does."""
        return self.base.knows_tissues

    def seen_by(self, slices: Sequence[Slice], intensity: IntensityMap) -> Seen | None:
        """The base in the contrast of slices, see `Prior`."""
        return self.base.seen_by(slices, intensity)

    def seen_in(self, shades: dict[str, list[float]]) -> Seen | None:
        """The base in a contrast that was found before, see `Prior`."""
        return self.base.seen_in(shades)

    def shown_in(self, seen: Prior, shades: dict[str, list[float]] | None, wider: float = 1.0) -> Prior:
        """By the base, see `Prior`."""
        return self.base.shown_in(self.base if seen is self else seen, shades, wider)

    def tissues(self, posterior: Posterior) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Those of the base's posterior, (K, J, I), see `Prior`."""
        return self.base.tissues(getattr(posterior, "base", posterior))


def distance_mm(seen: np.ndarray, grid: Grid) -> np.ndarray:
    """Distance of every voxel to the nearest one of `seen`, mm, (K, J, I); far where there is none.

    Args:
        seen: (K, J, I) bool.
        grid: of both.
    """
    spacing = tuple(float(mm) for mm in grid.spacing_ijk[::-1])
    return distance_transform_edt(~seen, sampling=spacing) if seen.any() else np.full(seen.shape, _FAR_MM)
