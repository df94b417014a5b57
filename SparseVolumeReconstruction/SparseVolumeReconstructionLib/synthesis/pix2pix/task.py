"""What the synthesis network learns: paired scans, a critic of patches, and how far it is off itself."""

from __future__ import annotations

from functools import reduce
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import nn

from ...data.augment import augment
from ...data.cohort import FOREGROUND
from ...priors.stored import settings_tensor
from ...training.loop.config import Count, TrainConfig, validated
from ...training.loop.task import Task
from ..adaptation.config import AdaptationConfig
from .network import Critic, Generator, SynthesisShape

Contrast = Annotated[str, Field(pattern="^(t1|t2|flair|pd)$")]


class SynthesisConfig(SynthesisShape):
    """Contrasts, shape and training of the network.

    inputs, output: contrasts as file names tell them. shape_kji, spacing_mm: the box of a head that is seen.
    l1, adversary: weights of the mean absolute error and of what the critic says; 0 for no critic. critic:
    channels of its first level. adaptation: to another scanner, where its scans are given.
    """

    inputs: tuple[Contrast, ...] = Field(("flair", "t2"), min_length=1)
    output: Contrast = "t1"
    shape_kji: tuple[Count, Count, Count] = (144, 192, 144)
    spacing_mm: float = Field(1.0, gt=0)
    l1: float = Field(100.0, gt=0)
    adversary: float = Field(1.0, ge=0)
    critic: Count = 32
    adaptation: AdaptationConfig = AdaptationConfig()

    @model_validator(mode="after")
    def _contrasts_differ(self) -> SynthesisConfig:
        if len({*self.inputs, self.output}) <= len(self.inputs):
            raise ValueError("a contrast is named twice; inputs and output must all differ")
        return self

    @property
    def contrasts(self) -> tuple[str, ...]:
        """All of them, the output last."""
        return (*self.inputs, self.output)


class Networks(nn.Module):
    """The generator, and the critic where there is one."""

    def __init__(self, config: SynthesisConfig):
        super().__init__()
        self.generator = Generator(len(config.inputs), config)
        self.critic = Critic(len(config.inputs), config.critic) if config.adversary else None


class SynthesisTask(Task):
    """See training.loop.task.Task; volumes are (N, C, K, J, I) in [0, 1], the output last."""

    networks: Networks

    def __init__(self, config: TrainConfig):
        self.config = config
        self.settings = validated(SynthesisConfig, config.model, "model")
        self.networks = Networks(self.settings)
        self.cycle = 2 if self.networks.critic else 1

    def batch(self, volumes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Scans that are mirrored together, and whose inputs are changed each by itself."""
        change = self.config.augmentation
        if change.mirror:
            swap = torch.rand(len(volumes), generator=generator, device=volumes.device) < 0.5
            volumes = torch.where(swap[:, None, None, None, None], volumes.flip(-1), volumes)
        alone = change.model_copy(update={"mirror": False, "deformation_mm": 0.0})
        changed = [augment(one, alone, self.config.data, generator) for one in volumes[:, :-1].unbind(1)]
        return torch.stack([*changed, volumes[:, -1]], 1)

    def parts(self) -> list[list[nn.Parameter]]:
        """The generator, and the critic where there is one."""
        found = [list(self.networks.generator.parameters())]
        return [*found, list(self.networks.critic.parameters())] if self.networks.critic else found

    def rates(self, step: int) -> list[float]:
        """Generator and critic take turns."""
        turn = step % self.cycle
        return [float(turn == 0), float(turn == 1)][: self.cycle]

    def loss(
        self, batch: torch.Tensor, generator: torch.Generator, step: int
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Of the generator or the critic, whose turn it is, from scans (B, C, K, J, I)."""
        scans, truth = batch[:, :-1], batch[:, -1]
        made, error = self.networks.generator(scans)
        critic = self.networks.critic
        if critic and step % self.cycle:
            real, false = (critic(torch.cat([scans, one.detach()[:, None]], 1)) for one in (truth, made))
            terms = {"critic": ((real - 1) ** 2).mean() + (false**2).mean()}
        else:
            terms = self.errors(scans, truth, made, error)
            if critic:
                scores = critic(torch.cat([scans, made[:, None]], 1))
                terms["made"] = self.settings.adversary * ((scores - 1) ** 2).mean()
        return reduce(torch.add, terms.values()), {name: term.detach() for name, term in terms.items()}

    def errors(
        self, scans: torch.Tensor, truth: torch.Tensor, made: torch.Tensor, error: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Mean absolute error in the head, weighted, and how badly it was foretold (Laplace, nats).

        Args:
            scans: (B, inputs, K, J, I).
            truth, made, error: (B, K, J, I).
        """
        inside = (scans > FOREGROUND).any(1)
        off = (truth - made).abs()[inside]
        foretold = error[inside]
        return {
            "l1": self.settings.l1 * off.mean(),
            "foretold": (off.detach() / foretold + foretold.log()).mean(),
        }

    @torch.no_grad()
    def validate(self, volumes: torch.Tensor, generator: torch.Generator) -> dict[str, float]:
        """Mean absolute error in the heads of (N, C, K, J, I), and how badly it was foretold."""
        found = []
        for one in volumes.split(1):
            scans, truth = one[:, :-1], one[:, -1]
            found.append(self.errors(scans, truth, *self.networks.generator(scans)))
        mean = {name: float(torch.stack([each[name] for each in found]).mean()) for name in found[0]}
        return {"score": mean["l1"] / self.settings.l1, "foretold": mean["foretold"]}

    def weights(self, volumes: torch.Tensor) -> dict[str, torch.Tensor]:
        """The generator as `Synthesiser` reads it; nothing depends on the volumes."""
        state = self.networks.generator.state_dict()
        stored = {f"network.{name}": tensor.half() for name, tensor in state.items()}
        return {**stored, "settings": settings_tensor(self.settings)}
