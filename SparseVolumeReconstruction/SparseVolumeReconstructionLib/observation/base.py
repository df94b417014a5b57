"""What every kind of observation offers to alignment, priors and results; numpy only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from ..geometry import Grid

if TYPE_CHECKING:
    import torch
    from typing_extensions import Self

    from .operator import LinearOperator


class IntensityMap(Protocol):
    """A monotone map of measured values to canonical ones."""

    def to_canonical(self, values: np.ndarray) -> np.ndarray:
        """Canonical intensities of measured values, same shape, float32."""


@dataclass(frozen=True, eq=False)
class ObservedVoxels:
    """Voxels of a grid that an observation shows: flat numbers (n,), values (n,) and weights (n,).

    Weights (positive) say how near the voxel's centre is to what was measured: where observations meet, their
    values are averaged with them.
    """

    index: np.ndarray
    values: np.ndarray
    weights: np.ndarray

    @classmethod
    def none(cls) -> ObservedVoxels:
        """No voxel."""
        return cls(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))


class Observation(ABC):
    """Something measured of one body: values, where in space they lie, and how a volume gives them.

    Lengths are mm, points RAS: of the patient, or, after `transformed`, of the canonical frame.

    Attributes:
        kind: the name by which requests and results tell kinds apart.
        name: what to call it in messages.
        source: the file or scan; what has the same source shows the same body in the same position.
        noise: standard deviation of the measurement's own noise, in units of `values`, beyond what a prior
            assumes of everything that is observed.
    """

    kind: ClassVar[str]
    name: str
    source: str
    noise: float

    @property
    @abstractmethod
    def values(self) -> np.ndarray:
        """The measured values, float32, in the layout of the measurement."""

    @abstractmethod
    def operator(
        self,
        grid: Grid,
        *,
        mask: np.ndarray | None = None,
        pose: torch.Tensor | None = None,
        device: torch.device | str = "cpu",
    ) -> LinearOperator:
        """How a volume on a grid gives the values.

        Args:
            grid: where the volume lives, in the same space as the observation.
            mask: (K, J, I) bool; only what is measured in it is given (everything if None).
            pose: 4x4 tensor that moves the observation first (mm to mm, RAS); what the operator gives is
                differentiable in it.
            device: where the operator computes.
        """

    def kept(self, grid: Grid, mask: np.ndarray | None = None) -> np.ndarray:
        """Which values `operator` gives with the same grid and mask, bool in the layout of `values`.

        All of them, unless a kind says otherwise; the operator gives them in the order of the layout.

        Args:
            grid: in the space of the observation.
            mask: (K, J, I) bool, None for all of the grid.
        """
        return np.ones(self.values.shape, bool)

    @abstractmethod
    def transformed(self, matrix: np.ndarray) -> Self:
        """The observation seen through a 4x4 affine (mm to mm, RAS)."""

    @abstractmethod
    def with_intensity(self, intensity: IntensityMap) -> Self:
        """The observation with values (and noise) in canonical units."""

    @abstractmethod
    def observed_voxels(self, grid: Grid) -> ObservedVoxels:
        """The voxels of a grid whose value was measured, and that value."""

    @abstractmethod
    def provenance(self) -> dict[str, Any]:
        """What a result says of it, JSON-ready; its `kind` and `name` among it."""


def observed_voxels(observations: Sequence[Observation], grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """What was observed on a grid, where observations meet averaged by their weights.

    Args:
        observations: in the space of the grid.
        grid: the voxels asked about.

    Returns:
        Mask (K, J, I) bool of the voxels that were observed, and the values there (0 elsewhere), float32.
    """
    total, weight = np.zeros(grid.size), np.zeros(grid.size)
    for observation in observations:
        seen = observation.observed_voxels(grid)
        total[seen.index] += seen.values * seen.weights
        weight[seen.index] += seen.weights
    mask = weight > 0
    values = np.where(mask, total / np.maximum(weight, 1e-12), 0).astype(np.float32)
    return mask.reshape(grid.shape_kji), values.reshape(grid.shape_kji)
