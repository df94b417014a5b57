"""Posterior of the structured Gaussian for planes at any pose.

The preconditioner knows the planes' lattices. The standard deviation is exact for small problems; otherwise
each voxel is conditioned on the nearest pixels of its nearest planes (exact for one plane under a separable
kernel, slightly too wide elsewhere).
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from ...geometry import Plane
from ...observation.operator import LinearOperator
from ...observation.planes import PlaneOperator
from ...solvers import Apply
from ..gaussian.field import GaussianField
from ..intervals import IntervalScale
from .plane_variance import foot_point_variance
from .posterior import TOLERANCE, Measured, OperatorPosterior
from .preconditioner import planes_inverse


def measured_planes(
    planes: list[Plane], operator: PlaneOperator, pixels: torch.Tensor, noises: list[float]
) -> Measured:
    """Pixels (count,) of planes, with what it takes to condition on them.

    Args:
        planes: in canonical space.
        operator: of them on a grid.
        pixels: as the operator gives them, canonical units.
        noises: standard deviation of each plane's own noise, canonical units.
    """
    counts = [int(keep.sum()) for keep in operator.keep]
    own = [pixels.new_full((n,), sd**2) for n, sd in zip(counts, noises, strict=True)]

    def inverse(field: GaussianField, _: LinearOperator, sd: torch.Tensor, own_noise: torch.Tensor) -> Apply:
        return planes_inverse(field, planes, operator, sd, own_noise)

    return Measured(operator, pixels, torch.cat([pixels.new_zeros(0), *own]), inverse)


class PlanesPosterior(OperatorPosterior):
    """Posterior given pixels observed on planes, canonical units."""

    def __init__(
        self,
        field: GaussianField,
        planes: list[Plane],
        operator: PlaneOperator,
        pixels: torch.Tensor,
        intervals: IntervalScale,
        check: Callable[[], None] = lambda: None,
        tolerance: float = TOLERANCE,
        noises: list[float] | None = None,
        donor: Callable[[int], torch.Tensor] | None = None,
    ):
        """Condition a process.

        Args:
            field: the process.
            planes: what was observed.
            operator: of the planes on the field's grid.
            pixels: what was seen, (count,).
            intervals: of the posterior.
            check: called in every solver iteration; raise from it to cancel.
            tolerance: relative residual of the mean's solution.
            noises: standard deviation of each plane's own noise, beyond that of the field (0 if None).
            donor: see `OperatorPosterior`.
        """
        measured = measured_planes(planes, operator, pixels, noises or [0.0] * len(planes))
        super().__init__(field, [measured], intervals, check, tolerance, donor)
        self._planes, self._plane_operator = planes, operator

    def _large_variance(self) -> torch.Tensor:
        return foot_point_variance(
            self._field,
            self._planes,
            self._plane_operator,
            self._sd,
            self._low_rank,
            self._own_variance / self._sd**2,
            self._precondition.m_factor,
            self._check,
        )
