"""What a system gives to the training loop."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn

from ...geometry import InputError
from ...priors.systems import all_systems
from .config import TrainConfig


class Task(Protocol):
    """One system's networks and loss; made as `Task(config)`, which validates `config.model`.

    Optional: `parameter_groups(step) -> list[{"params": [...], "factor": float}]`, always the same groups in
    the same order; factor multiplies the learning rate, and 0 leaves the group as it is in that step.
    """

    networks: nn.Module

    def loss(
        self, batch: torch.Tensor, generator: torch.Generator, step: int
    ) -> tuple[torch.Tensor, dict[str, float | torch.Tensor]]:
        """Loss (scalar) of volumes (B, K, H, W), [0, 1], axial slices from inferior to superior, and numbers
        to log.
        """

    def validate(self, volumes: torch.Tensor, generator: torch.Generator) -> dict[str, float]:
        """Measures of volumes (N, K, H, W) that are not trained on; "score" decides, lower is better."""

    def weights(self, volumes: torch.Tensor) -> dict[str, torch.Tensor]:
        """Tensors of the prior, from the networks and the training volumes (N, K, H, W); as the prior's class
        reads them.
        """


def make_task(config: TrainConfig) -> Task:
    """The task of a configuration, its networks initialised by the configuration's seed.

    Raises InputError.
    """
    systems = {name: system for name, system in all_systems().items() if system.task}
    if config.system not in systems:
        raise InputError(f'system "{config.system}" is not known; expected one of {", ".join(systems)}.')
    torch.manual_seed(config.seed)
    return systems[config.system].task_class()(config)
