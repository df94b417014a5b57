"""What a system gives to the training loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ...data.augment import augment
from ...data.stored import Volumes
from ...geometry import InputError
from ...priors.systems import all_systems
from .config import TrainConfig

Batch = torch.Tensor | dict[str, torch.Tensor]


class Task:
    """One system's networks, batches, optimisers and loss.

    Made as `Task(config)`, which validates `config.model`.

    networks: all that is trained. config: of the run. title: of the model's card, where it is not the
    system's. cycle: steps after which the same optimisers have their turn again.
    """

    networks: nn.Module
    config: TrainConfig
    title: str | None = None
    cycle: int = 1

    def batch(self, volumes: torch.Tensor, generator: torch.Generator) -> Batch:
        """What a step learns of: the chosen volumes (B, K, H, W), changed at random.

        Args:
            volumes: on the device of the networks.
            generator: on the same device; all chance of the step comes from it.

        Returns:
            What `loss` is given.
        """
        return augment(volumes, self.config.augmentation, self.config.data, generator)

    def parts(self) -> list[list[nn.Parameter]]:
        """Parameters by the optimiser that they have; always the same ones in the same order."""
        return [list(self.networks.parameters())]

    def rates(self, step: int) -> list[float]:
        """Factors on the learning rate of each part; one with 0 rests in this step."""
        return [1.0 for _ in self.parts()]

    def loss(
        self, batch: Any, generator: torch.Generator, step: int
    ) -> tuple[torch.Tensor, Mapping[str, float | torch.Tensor]]:
        """Loss (scalar) of what `batch` gave, and numbers to log.

        Args:
            batch: volumes are (B, K, H, W), [0, 1], axial slices from inferior to superior.
            generator: on their device.
            step: from 0.
        """
        raise NotImplementedError

    def validate(self, volumes: Volumes, generator: torch.Generator) -> dict[str, float]:
        """Measures of volumes (N, K, H, W) that are not trained on; "score" decides, lower is better.

        Args:
            volumes: on the device of the networks, which are in evaluation mode; those in files are read one
                after the other where the measures allow it, and all at once as `volumes[:]`.
            generator: on the same device; gives the same numbers at every validation.

        Returns:
            {name: number}; "score" is among them.
        """
        raise NotImplementedError

    def weights(self, volumes: Volumes) -> dict[str, torch.Tensor]:
        """Tensors of the prior as its class reads them.

        From the networks and the training volumes (N, K, H, W).
        """
        raise NotImplementedError


def make_task(config: TrainConfig) -> Task:
    """The task of a configuration, its networks initialised by the configuration's seed.

    Raises InputError.
    """
    systems = {name: system for name, system in all_systems().items() if system.task}
    if config.system not in systems:
        raise InputError(f'system "{config.system}" is not known; expected one of {", ".join(systems)}.')
    torch.manual_seed(config.seed)
    return systems[config.system].task_class()(config)
