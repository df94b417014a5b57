"""The stages of a training, one after the other in one run, and all networks that learn in them."""

from __future__ import annotations

from itertools import accumulate
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import nn

from ...data.config import Count, Section
from ..stored import pose_table
from .adversaries import PairCritic, SliceCritics, SliceGenerators
from .localisers import KINDS, make_localiser
from .network import Mrngan, MrnganSettings, MrnganShape

STAGES = ("localise", "generalise", "tune", "flow", "recur")
Share = Annotated[float, Field(gt=0)]


class Schedule(Section):
    """How a run's steps and rates are shared out.

    shares: of the run's steps, for each of STAGES. rates: factors on the learning rate in each; within a
    stage it falls to a tenth. generator_steps: of generators for one of their critics.
    """

    shares: tuple[Share, Share, Share, Share, Share] = (1, 1, 1, 1, 2)
    rates: tuple[Share, Share, Share, Share, Share] = (1.0, 0.2, 0.2, 0.2, 1.0)
    generator_steps: Count = 3


class MrnganConfig(MrnganShape, Schedule):
    """Shape and training of all networks.

    gan, critic: filters of the largest maps of a DCGAN's generator, and of the first ones of its critic.
    latent: numbers that it draws a slice from. anchors: places, evenly spaced, whose DCGANs are trained;
    those between are tuned from the nearest one. views: slices (pairs of them) of each volume in a step.
    flow_l1: weight of pix2pix's absolute error. l1, l2: weights of the recurrent model's errors. chain, burn:
    slices that gradients go through, and at most before these. sequences: of each volume in a step.
    from_general: share of them that begin at the general brain.
    """

    gan: int = Field(256, ge=2)
    critic: int = Field(32, ge=1)
    latent: int = Field(100, ge=1)
    anchors: int = Field(10, ge=1)
    views: Count = 8
    flow_l1: float = Field(100.0, ge=0)
    l1: float = Field(1.0, gt=0)
    l2: float = Field(0.5, ge=0)
    chain: Count = 12
    burn: int = Field(36, ge=0)
    sequences: Count = 2
    from_general: float = Field(0.1, ge=0, le=1)

    @model_validator(mode="after")
    def _weights_agree(self) -> MrnganConfig:
        if self.l1 <= self.l2:
            raise ValueError("expected l1 above l2, which keeps slices from being blurred")
        return self


class Stage:
    """Where in a run a step is.

    Attributes:
        number: of STAGES, from 0.
        critics: it is the turn of the critics.
        rate: factor on the learning rate.
    """

    def __init__(self, schedule: Schedule, steps: int, step: int):
        ends = [round(end / sum(schedule.shares) * steps) for end in accumulate(schedule.shares)]
        self.number = sum(step >= end for end in ends[:-1])
        start = ends[self.number - 1] if self.number else 0
        self._step, self._length = step - start, max(1, ends[self.number] - start)
        adversarial = self.name in ("generalise", "tune", "flow")
        self.critics = adversarial and step % (schedule.generator_steps + 1) == schedule.generator_steps
        self.rate = schedule.rates[self.number] * (1 - 0.9 * self._step / self._length)

    def turn(self, count: int) -> tuple[int, bool, bool]:
        """Which of `count` equal parts of the stage this step is of; whether it is its first, its last."""
        before, this, after = (step * count // self._length for step in range(self._step - 1, self._step + 2))
        return min(this, count - 1), this != before, this != after

    @property
    def name(self) -> str:
        """One of STAGES."""
        return STAGES[self.number]


class Networks(nn.Module):
    """What the prior keeps, and what only serves training and the paper's tables and figures.

    Attributes:
        places: of the DCGANs that are trained; `tuned` are their copies, which go from place to place.
        drawn: a slice that each place's DCGAN drew, (K, H, W).
    """

    places: torch.Tensor
    poses: torch.Tensor
    drawn: torch.Tensor

    def __init__(self, config: MrnganConfig, settings: MrnganSettings):
        super().__init__()
        s, places = settings, min(config.anchors, settings.slices)
        self.model = Mrngan(settings)
        self.others = nn.ModuleDict(
            {
                kind: make_localiser(kind, s.size, s.localiser, s.dense, s.pool)
                for kind in KINDS
                if kind != "cnn"
            }
        )
        self.anchors, self.tuned = (
            SliceGenerators(places, config.latent, config.gan, s.size) for _ in range(2)
        )
        self.anchor_critics, self.tuned_critics = (
            SliceCritics(places, 1, config.critic, s.size) for _ in range(2)
        )
        poses = pose_table(s.slices, "fourier")
        self.conditional = SliceGenerators(1, config.latent + poses.shape[1], config.gan, s.size)
        self.conditional_critic = SliceCritics(1, 2, config.critic, s.size)
        self.pair_critic = PairCritic(config.critic)
        self.register_buffer("poses", poses, persistent=False)
        self.register_buffer("places", anchor_places(s.slices, places), persistent=False)
        self.register_buffer("drawn", torch.zeros_like(self.model.general))

    def localisers(self) -> dict[str, nn.Module]:
        """All of KINDS."""
        return {kind: self.model.localiser if kind == "cnn" else self.others[kind] for kind in KINDS}

    def conditional_slices(self, codes: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """What the conditional GAN draws of codes (N, latent) at places (N,): (N, H, W)."""
        return self.conditional(torch.cat([codes, self.poses[places]], 1)[:, None])[:, 0]

    def parts(self) -> list[tuple[str, bool, list[nn.Module]]]:
        """(stage, whether critics, networks) of each part that has an optimiser of its own."""
        return [
            ("localise", False, list(self.localisers().values())),
            ("generalise", False, [self.anchors, self.conditional]),
            ("generalise", True, [self.anchor_critics, self.conditional_critic]),
            ("tune", False, [self.tuned]),
            ("tune", True, [self.tuned_critics]),
            ("flow", False, [self.model.flow]),
            ("flow", True, [self.pair_critic]),
            ("recur", False, [self.model.cell]),
        ]

    def start_tuning(self) -> None:
        """The copies become what the DCGANs at the intervals are."""
        self.tuned.load_state_dict(self.anchors.state_dict())
        self.tuned_critics.load_state_dict(self.anchor_critics.state_dict())

    def tuned_places(self, offset: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The places at a distance from the anchors, (A,), and for which of them no other anchor is nearer.

        Args:
            offset: slices, up where it is positive.
        """
        wanted = self.places + offset
        places = wanted.clamp(0, len(self.poses) - 1)
        nearest = (places[:, None] - self.places).abs().argmin(1)
        return places, (nearest == torch.arange(len(places), device=places.device)) & (places == wanted)

    def offsets(self) -> list[int]:
        """Distances from an anchor that are tuned: 0, 1, -1, 2, ... up to that of the furthest slice."""
        every = torch.arange(len(self.poses), device=self.places.device)
        far = int((every[:, None] - self.places).abs().amin(1).max())
        return [0, *(sign * d for d in range(1, far + 1) for sign in (1, -1))]


def anchor_places(slices: int, count: int) -> torch.Tensor:
    """Numbers (count,) of slices in the middle of so many equal parts of a stack."""
    return ((torch.arange(count) + 0.5) * slices / count).long()
