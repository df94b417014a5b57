"""What alignment needs of a prior."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..geometry import Grid

ANATOMY = 0.02


@dataclass(frozen=True, eq=False)
class AlignmentModel:
    """What alignment needs of a prior, on a coarse canonical grid.

    maps: (Q + 1 + rank, K, J, I): means at the covariate's knots, residual sd, loadings. knots: (Q,).
    scale_knots: (Q, 2) mean and sd of log(canonical size / patient size). rotation_sd: rad; above 1 the
    patient's orientation says nothing. min_score: below it the slices are refused.
    """

    name: str
    grid: Grid
    maps: torch.Tensor
    knots: torch.Tensor
    scale_knots: torch.Tensor
    rotation_sd: float
    min_score: float

    @property
    def has_covariate(self) -> bool:
        """Whether the mean depends on a covariate."""
        return len(self.knots) > 1

    @property
    def anatomy(self) -> torch.Tensor:
        """(K, J, I) bool: where the mean shows anatomy."""
        return self.maps[: len(self.knots)].mean(0) > ANATOMY

    @property
    def centre(self) -> torch.Tensor:
        """Centre of the anatomy, RAS mm."""
        return self._extent()[0]

    @property
    def size(self) -> float:
        """Largest extent of the anatomy in mm."""
        return float(self._extent()[1].max())

    @property
    def scale_sd(self) -> float:
        """Standard deviation of the log scale around its expectation."""
        return float(self.scale_knots[:, 1].mean())

    def _extent(self) -> tuple[torch.Tensor, torch.Tensor]:
        kji = self.anatomy.nonzero().float()
        matrix = torch.tensor(self.grid.ijk_to_ras, dtype=torch.float32)
        ras = kji.flip(1) @ matrix[:3, :3].T + matrix[:3, 3]
        return ras.mean(0), ras.amax(0) - ras.amin(0)

    def knot_weights(self, value: torch.Tensor) -> torch.Tensor:
        """Linear interpolation weights (B, Q) of covariate values (B,), differentiable."""
        if not self.has_covariate:
            return value.new_ones(len(value), 1)
        step = self.knots[1] - self.knots[0]
        position = ((value - self.knots[0]) / step).clamp(0, len(self.knots) - 1)
        return (1 - (position[:, None] - torch.arange(len(self.knots))).abs()).clamp(min=0)

    def log_scale(self, value: torch.Tensor) -> torch.Tensor:
        """Expected log of canonical over patient size, (B,)."""
        return self.knot_weights(value) @ self.scale_knots[:, 0].float()

    def covariate_values(self, count: int = 15) -> torch.Tensor:
        """(count,) values spread over the covariate's range; one zero where there is no covariate."""
        return (
            torch.linspace(float(self.knots[0]), float(self.knots[-1]), count)
            if self.has_covariate
            else torch.zeros(1)
        )
