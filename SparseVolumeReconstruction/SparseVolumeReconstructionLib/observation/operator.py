"""What every linear measurement of a volume offers: forward, adjoint, and how many values it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class LinearOperator(ABC):
    """A linear map A from the voxels of a grid (K, J, I) to `count` measured values.

    `adjoint` is the exact transpose of `forward`: <A x, y> = <x, A' y>.
    """

    shape_kji: tuple[int, int, int]

    @property
    @abstractmethod
    def count(self) -> int:
        """Number of measured values."""

    @abstractmethod
    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """(n, K, J, I) volumes -> (n, count) values."""

    @abstractmethod
    def adjoint(self, values: torch.Tensor) -> torch.Tensor:
        """(n, count) values -> (n, K, J, I) volumes."""
