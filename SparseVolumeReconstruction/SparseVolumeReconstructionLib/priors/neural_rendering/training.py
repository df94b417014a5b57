"""Training of GQN and of the conditional VAE: the evidence bound of slices of a body given others of it."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from pydantic import Field

from ...data.stored import Volumes
from ...geometry import InputError
from ...training.loop.config import Section, TrainConfig, validated
from ...training.loop.task import Task
from .cvae import Cvae, CvaeSettings, CvaeShape
from .gqn import Gqn, GqnSettings, GqnShape
from .parts import DataShape, NetworkSettings, NeuralRenderingNetwork
from .prior import to_tensors

_VALIDATED_CONTEXTS = 3


class Learning(Section):
    """How either network learns.

    sequence: slices of a body in a step, of which a random number, none to all but one, are contexts.
    sigma_start: noise of the pixels at first, which falls linearly to the model's sigma within `anneal`
    steps. coherent: see NeuralRenderingPrior.
    """

    sequence: int = Field(9, ge=2)
    sigma_start: float = Field(2.0, gt=0)
    anneal: int = Field(500, ge=0)
    coherent: bool = True


class GqnConfig(GqnShape, Learning):
    """Shape and training of a GQN; sigma in the unit of the pixels."""


class CvaeConfig(CvaeShape, Learning):
    """Shape and training of a conditional VAE; sigma in the unit of the pixels."""


class _NeuralRenderingTask(Task):
    """See training.loop.task.Task; volumes are (N, K, H, W) in [0, 1]."""

    model: ClassVar[type[GqnConfig] | type[CvaeConfig]]
    settings: ClassVar[type[NetworkSettings]]
    network: ClassVar[type[Gqn] | type[Cvae]]
    networks: NeuralRenderingNetwork

    def __init__(self, config: TrainConfig):
        self.config = config
        self._config = validated(self.model, config.model, "model")
        if self._config.sequence > config.data.slices:
            raise InputError(
                f"model: sequence: {self._config.sequence} slices of volumes that have {config.data.slices}; "
                "expected fewer."
            )
        shape = self._config.model_dump(exclude=set(Learning.model_fields))
        data = {name: getattr(config.data, name) for name in DataShape.model_fields}
        settings: Any = validated(self.settings, {**shape, **data}, "model")
        self.networks = self.network(settings)

    def sigma(self, step: int) -> float:
        """Standard deviation of the pixels' noise in a step."""
        last = self._config.sigma
        left = max(0.0, 1 - step / self._config.anneal) if self._config.anneal else 0.0
        return last + max(0.0, self._config.sigma_start - last) * left

    def loss(
        self, batch: torch.Tensor, generator: torch.Generator, step: int
    ) -> tuple[torch.Tensor, dict[str, float | torch.Tensor]]:
        """Nats per pixel of the queries of one random sequence from each volume (B, K, H, W), at most."""
        contexts = int(torch.randint(self._config.sequence, (), generator=generator, device=batch.device))
        chance = torch.rand(batch.shape[:2], generator=generator, device=batch.device)
        index = chance.argsort(1)[:, : self._config.sequence]
        error, kl, pixels = self._terms(batch, index, contexts, generator)
        sigma = self.sigma(step)
        values: dict[str, float | torch.Tensor] = {
            "error": (error / pixels).sqrt().detach(),
            "divergence": kl.detach(),
            "sigma": sigma,
            "contexts": float(contexts),
        }
        return self._nats(error, kl, pixels, sigma), values

    @torch.no_grad()
    def validate(self, volumes: Volumes, generator: torch.Generator) -> dict[str, float]:
        """Nats per pixel of all slices of volumes (N, K, H, W) given 3, and an error.

        The error is that of what the latents' prior mean shows.
        """
        scores = []
        errors = []
        count = min(_VALIDATED_CONTEXTS, volumes.shape[1] - 1)
        for volume in (each[None] for each in volumes):
            chance = torch.rand(volume.shape[:2], generator=generator, device=volume.device)
            index = chance.argsort(1)
            error, kl, pixels = self._terms(volume, index, count, generator)
            scores.append(self._nats(error, kl, pixels, self._config.sigma))
            seen, asked = index[:, :count], index[0, count:]
            representation = self.networks.represent(volume[0, seen], seen).expand(len(asked), -1, -1, -1)
            shown, _ = self.networks(
                asked, representation, volume.new_zeros(len(asked), *self.networks.noise_shape)
            )
            errors.append(((shown - volume[0, asked]) ** 2).mean())
        return {"score": float(torch.stack(scores).mean()), "error": float(torch.stack(errors).mean().sqrt())}

    def weights(self, volumes: Volumes) -> dict[str, torch.Tensor]:
        """The network as the prior reads it; nothing depends on the volumes (N, K, H, W)."""
        return to_tensors(self.networks, self._config.coherent)

    def _terms(
        self, volumes: torch.Tensor, index: torch.Tensor, contexts: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Mean over the queries of summed squared error and of divergence, and the pixels of one.

        Slices (B, M) of each volume.

        All contexts are represented, and all queries are drawn, in one call each.
        """
        images = torch.take_along_dim(volumes, index[..., None, None], 1)
        representation = self.networks.represent(images[:, :contexts], index[:, :contexts])
        truth, asked = images[:, contexts:].flatten(0, 1), index[:, contexts:].flatten()
        noise = torch.randn(
            len(asked), *self.networks.noise_shape, generator=generator, device=volumes.device
        )
        given = representation.repeat_interleave(index.shape[1] - contexts, 0)
        drawn, divergence = self.networks(asked, given, noise, truth)
        return ((drawn - truth) ** 2).flatten(1).sum(1).mean(), divergence.mean(), truth[0].numel()

    @staticmethod
    def _nats(error: torch.Tensor, divergence: torch.Tensor, pixels: int, sigma: float) -> torch.Tensor:
        """The negative evidence bound per pixel."""
        return (0.5 * error / sigma**2 + divergence) / pixels + math.log(sigma) + 0.5 * math.log(2 * math.pi)


class GqnTask(_NeuralRenderingTask):
    """Of "gqn"; volumes (N, K, H, W)."""

    model = GqnConfig
    settings = GqnSettings
    network = Gqn


class CvaeTask(_NeuralRenderingTask):
    """Of "cvae"; volumes (N, K, H, W)."""

    model = CvaeConfig
    settings = CvaeSettings
    network = Cvae
