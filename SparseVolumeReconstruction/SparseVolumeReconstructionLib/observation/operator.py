"""What every linear measurement of a volume offers: forward, adjoint, and how many values it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
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


class StackedOperator(LinearOperator):
    """Several operators on one grid as one, their values one after the other."""

    def __init__(self, operators: Sequence[LinearOperator]):
        """At least one operator; all of them on the same grid."""
        self.operators = list(operators)
        self.shape_kji = operators[0].shape_kji

    @property
    def count(self) -> int:
        """Number of values of all operators."""
        return sum(operator.count for operator in self.operators)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """(n, K, J, I) volumes -> (n, count) values."""
        import torch

        return torch.cat([operator.forward(volumes) for operator in self.operators], 1)

    def adjoint(self, values: torch.Tensor) -> torch.Tensor:
        """(n, count) values -> (n, K, J, I), the sum of all adjoints."""
        import torch

        parts = torch.split(values, [operator.count for operator in self.operators], 1)
        pairs = zip(self.operators, parts, strict=True)
        first, *others = (operator.adjoint(part) for operator, part in pairs)
        return sum(others, start=first)
