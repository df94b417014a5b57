"""Training of conditional BRUNO: the joint likelihood of slices of a body given others of it."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ...data.stored import Volumes
from ...geometry import InputError
from ...training.loop.config import TrainConfig, validated
from ...training.loop.task import Task
from ..monte_carlo import MeanOf
from .network import Bruno, BrunoSettings, BrunoShape
from .prior import to_tensors

_VALIDATED_CONTEXTS = 3


class BrunoConfig(BrunoShape):
    """Shape and training of a conditional BRUNO.

    sequence: slices of a body in a step, of which a random number, none to all but one, are contexts. hold:
    steps in which one part stays as it is while the other learns, and the cohort's mean and deviation are
    found. held: which part; a process that learns first keeps the flow from latents that tell nothing of
    other slices. process_rate: factor on the learning rate of the few parameters of the process. mean_of: see
    BrunoPrior.
    """

    sequence: int = Field(9, ge=2)
    hold: int = Field(500, ge=0)
    held: Literal["process", "flow"] = "process"
    process_rate: float = Field(10.0, ge=0)
    mean_of: MeanOf = "samples"


class BrunoTask(Task):
    """See training.loop.task.Task; volumes are (N, K, H, W) in [0, 1]."""

    networks: Bruno

    def __init__(self, config: TrainConfig):
        self.config = config
        self._config = validated(BrunoConfig, config.model, "model")
        self.title = "Pose-aware conditional BRUNO" if self._config.process == "pose" else None
        if self._config.sequence > config.data.slices:
            raise InputError(
                f"model: sequence: {self._config.sequence} slices of volumes that have {config.data.slices}; "
                "expected fewer."
            )
        shape = {name: getattr(self._config, name) for name in BrunoShape.model_fields}
        data = {"size": config.data.size, "slices": config.data.slices}
        self.networks = Bruno(validated(BrunoSettings, {**shape, **data}, "model"))

    def parts(self) -> list[list[nn.Parameter]]:
        """The flow and the process."""
        named = list(self.networks.named_parameters())
        return [
            [p for name, p in named if name.startswith("process.") == process] for process in (False, True)
        ]

    def rates(self, step: int) -> list[float]:
        """One of both is held at first."""
        free = {part: step >= self._config.hold or part != self._config.held for part in ("flow", "process")}
        return [1.0 * free["flow"], self._config.process_rate * free["process"]]

    def loss(
        self, batch: torch.Tensor, generator: torch.Generator, step: int
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Nats per pixel of the queries of one random sequence from each volume (B, K, H, W)."""
        contexts = int(torch.randint(self._config.sequence, (), generator=generator, device=batch.device))
        images, index = self._sequences(batch, generator)
        if step < max(1, self._config.hold):
            self.networks.observe(batch, step)
        if step == (self._config.hold if self._config.held == "flow" else 0):
            self.networks.initialise(images.flatten(0, 1), index.flatten())
            self._agree()
        return self._nats(images, index, contexts, generator), {"contexts": float(contexts)}

    @torch.no_grad()
    def validate(self, volumes: Volumes, generator: torch.Generator) -> dict[str, float]:
        """Nats per pixel of slices of volumes (N, K, H, W) given 3, and the decoded mean's error."""
        nats, errors = [], []
        for volume in volumes:
            images, index = self._sequences(volume[None], generator)
            contexts = min(_VALIDATED_CONTEXTS, index.shape[1] - 1)
            nats.append(self._nats(images, index, contexts, generator))
            z, _ = self.networks.encode(images[:, :contexts], index[:, :contexts])
            at = self.networks.positions(index)
            mean = self.networks.process.predict(z, at[:, :contexts], at[:, contexts:]).mean
            errors.append(
                ((self.networks.decode(mean, index[:, contexts:]) - images[:, contexts:]) ** 2).mean()
            )
        return {"score": float(torch.stack(nats).mean()), "error": float(torch.stack(errors).mean().sqrt())}

    def weights(self, volumes: Volumes) -> dict[str, torch.Tensor]:
        """The network as the prior reads it; nothing depends on the volumes (N, K, H, W)."""
        return to_tensors(self.networks, self._config.mean_of)

    def _sequences(
        self, volumes: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Different slices of each volume in random order, (B, M, H, W), and their numbers (B, M)."""
        chance = torch.rand(volumes.shape[:2], generator=generator, device=volumes.device)
        index = chance.argsort(1)[:, : self._config.sequence]
        return torch.take_along_dim(volumes, index[..., None, None], 1), index

    def _nats(
        self, images: torch.Tensor, index: torch.Tensor, contexts: int, generator: torch.Generator
    ) -> torch.Tensor:
        """Negative log likelihood of the queries, per pixel."""
        noise = torch.rand(images.shape, generator=generator, device=images.device)
        return -self.networks(images, index, contexts, noise).mean() / images[0, contexts:].numel()

    def _agree(self) -> None:
        """After the start from data, all processes continue from the first one's parameters."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for parameter in self.networks.parameters():
                torch.distributed.broadcast(parameter.data, 0)
