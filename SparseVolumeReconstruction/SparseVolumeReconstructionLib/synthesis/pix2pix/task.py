"""What the synthesis network learns: paired scans, a critic of patches, and how far it is off itself."""

from __future__ import annotations

from functools import reduce
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import nn

from ...data.augment import augment
from ...data.cohort import FOREGROUND
from ...data.stored import Volumes
from ...priors.stored import settings_tensor, stored_state
from ...training.loop.config import Count, TrainConfig, validated
from ...training.loop.task import Task
from ..adaptation.config import AdaptationConfig
from ..adaptation.greys import grey_quantiles
from .network import Critic, Generator, SynthesisShape
from .similarity import ssim_of_slices
from .tiles import tiled

Contrast = Annotated[str, Field(pattern="^(t1|t2|flair|pd)$")]


class SynthesisConfig(SynthesisShape):
    """Contrasts, shape and training of the network.

    inputs, output: contrasts as file names tell them. shape_kji, spacing_mm: the box of a head that is seen.
    patch_kji: what a step learns of, anywhere in the head; the whole box if None. l1, structure, adversary:
    weights of the mean absolute error, of what SSIM lacks to 1, and of what the critic says; 0 for no critic.
    critic: channels of its first level. adaptation: to another scanner, where its scans are given.
    """

    inputs: tuple[Contrast, ...] = Field(("flair", "t2"), min_length=1)
    output: Contrast = "t1"
    shape_kji: tuple[Count, Count, Count] = (144, 192, 144)
    spacing_mm: float = Field(1.0, gt=0)
    patch_kji: tuple[Count, Count, Count] | None = None
    l1: float = Field(100.0, gt=0)
    structure: float = Field(0.0, ge=0)
    adversary: float = Field(1.0, ge=0)
    critic: Count = 32
    adaptation: AdaptationConfig = AdaptationConfig()

    @model_validator(mode="after")
    def _contrasts_differ(self) -> SynthesisConfig:
        if len({*self.inputs, self.output}) <= len(self.inputs):
            raise ValueError("a contrast is named twice; inputs and output must all differ")
        if self.patch_kji and any(n > m for n, m in zip(self.patch_kji, self.shape_kji, strict=True)):
            raise ValueError("patch_kji is larger than shape_kji; expected a part of it")
        return self

    @property
    def tile(self) -> tuple[int, int, int]:
        """Voxels that the network sees at a time: what it learned of."""
        return self.patch_kji or self.shape_kji

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
        """Scans or patches of them, mirrored together; the inputs are changed each by itself."""
        change, size = self.config.augmentation, self.settings.patch_kji
        if size:
            volumes = torch.stack([_patch(each, size, generator) for each in volumes])
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
        """Mean absolute error in the head, lack of SSIM, how badly the former was foretold (Laplace, nats).

        Args:
            scans: (B, inputs, K, J, I).
            truth, made, error: (B, K, J, I).
        """
        inside = (scans > FOREGROUND).any(1)
        off = (truth - made).abs()[inside]
        foretold = error[inside]
        terms = {
            "l1": self.settings.l1 * off.mean(),
            "foretold": (off.detach() / foretold + foretold.log()).mean(),
        }
        if self.settings.structure:
            terms["structure"] = self.settings.structure * (1 - ssim_of_slices(truth, made)[inside]).mean()
        return terms

    @torch.no_grad()
    def validate(self, volumes: Volumes, generator: torch.Generator) -> dict[str, float]:
        """Mean absolute error in the heads of (N, C, K, J, I), and how badly it was foretold."""
        found = []
        for one in (each[None] for each in volumes):
            scans, truth = one[:, :-1], one[:, -1]
            found.append(
                self.errors(scans, truth, *tiled(self.networks.generator, scans, self.settings.tile))
            )
        mean = {name: float(torch.stack([each[name] for each in found]).mean()) for name in found[0]}
        return {"score": mean["l1"] / self.settings.l1, "foretold": mean["foretold"]}

    def weights(self, volumes: Volumes) -> dict[str, torch.Tensor]:
        """The generator as `Synthesiser` reads it, and the grey values of what it learned of."""
        stored = stored_state(self.networks.generator.state_dict())
        greys = torch.stack([grey_quantiles(volumes[:][:, n]) for n in range(volumes.shape[1])])
        return {**stored, "settings": settings_tensor(self.settings), "greys": greys}


def _patch(volume: torch.Tensor, size: tuple[int, int, int], generator: torch.Generator) -> torch.Tensor:
    """A part (C, *size) of scans (C, K, J, I) around a voxel of the head by chance; it stays in the box."""
    head = (volume[:-1] > FOREGROUND).any(0).nonzero()
    chosen = head[torch.randint(len(head), (1,), generator=generator, device=head.device)][0].tolist()
    box = zip(chosen, size, volume.shape[1:], strict=True)
    around = [slice(low := min(max(0, at - n // 2), m - n), low + n) for at, n, m in box]
    return volume[(slice(None), *around)]
