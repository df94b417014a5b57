"""What a flow learns: to carry draws of a posterior to the truth, or to something as likely."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ....data.config import Count, Section
from ....data.stored import Volumes
from ....training.loop.config import TrainConfig, validated
from ....training.loop.task import Task
from ..network import FlowNetwork, carried
from ..prior import to_tensors
from .cases import decoded
from .critics import Critics, critics_loss, doubt, energy_score, views_of

_SLOWEST = 0.05  # share of the learning rate at the end
_MIN_STD = 0.03
_RINGS, _TINY = 8, 1e-9
_KNOWN = 3


class FlowConfig(Section):
    """Shape and training of a flow.

    aim: "score": the energy score of two draws, and what critics of slices say; "flow": the straight way
    from a draw to the truth (Lipman et al., ICLR 2023). steps: of the way of a sample. noise: added to draws
    at the start, in standard deviations. width: of the network. critics: weight of what they say against the
    score, as a ratio of gradients. critic_width, penalty: see `critics`. views: slices that they see of each
    volume. cases: of every person. draws: of every case. folds: in which the base is fitted anew.
    """

    aim: Literal["score", "flow"] = "score"
    steps: Count = 1
    noise: float = Field(0.25, ge=0)
    width: Count = 48
    critics: float = Field(1.0, ge=0)
    critic_width: Count = 32
    penalty: float = Field(0.2, ge=0)
    views: Count = 8
    cases: Count = 4
    draws: int = Field(4, ge=2)
    folds: int = Field(5, ge=2)


class Networks(nn.Module):
    """The network of the flow, and critics where there are some."""

    def __init__(self, settings: FlowConfig):
        super().__init__()
        self.flow = FlowNetwork(settings.width)
        judged = settings.aim == "score" and settings.critics > 0
        self.critics = Critics(settings.critic_width) if judged else None


class FlowTask(Task):
    """See training.loop.task.Task.

    "Volumes" are cases (N, 4 + draws, K, H, W) uint8, see `cases.case_of`.
    """

    networks: Networks

    def __init__(self, config: TrainConfig):
        self.config = config
        self.settings = validated(FlowConfig, config.model, "model")
        self.networks = Networks(self.settings)
        self.cycle = 1 if self.networks.critics is None else 2

    def parts(self) -> list[list[nn.Parameter]]:
        """Those of the flow, and of the critics."""
        found = [list(self.networks.flow.parameters())]
        return found if self.networks.critics is None else [*found, list(self.networks.critics.parameters())]

    def rates(self, step: int) -> list[float]:
        """In turns, falling with the cosine of the time."""
        share = step / self.config.steps
        rate = _SLOWEST + (1 - _SLOWEST) * (1 + math.cos(math.pi * share)) / 2
        return [rate * (step % self.cycle == n) for n in range(self.cycle)]

    def batch(self, volumes: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Two random draws of each case; half of the cases are mirrored."""
        count = len(volumes)
        order = _random((count, volumes.shape[1] - _KNOWN - 1), volumes, generator).argsort(1)[:, :2]
        body = torch.arange(count, device=volumes.device)
        x = decoded(torch.cat([volumes[:, : _KNOWN + 1], volumes[body[:, None], _KNOWN + 1 + order]], 1))
        if self.config.augmentation.mirror:
            flip = _random((count,), volumes, generator) < 0.5
            x = torch.where(flip[:, None, None, None, None], x.flip(-1), x)
        known, draws = x[:, :_KNOWN], x[:, _KNOWN + 1 :]
        return {"known": known, "truth": x[:, _KNOWN], "draws": self._noisy(draws, known, generator)}

    def _noisy(self, draws: torch.Tensor, known: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Where the ways of draws (B, n, K, H, W) begin."""
        white = torch.randn(draws.shape, generator=generator, device=draws.device)
        return draws + self.settings.noise * known[:, 1:2] * white

    def loss(
        self, batch: dict[str, torch.Tensor], generator: torch.Generator, step: int
    ) -> tuple[torch.Tensor, dict[str, float | torch.Tensor]]:
        """Of the part whose turn it is, of what `batch` gave."""
        known, truth, draws = batch["known"], batch["truth"], batch["draws"]
        if self.settings.aim == "flow":
            return self._way(known, truth, draws[:, 0], generator)
        critics = self.networks.critics
        if critics is None or step % 2 == 0:
            both = carried(
                self.networks.flow,
                draws.transpose(0, 1).flatten(0, 1),
                torch.cat([known, known]),
                self.settings.steps,
            )
            return self._makers(both, truth, generator)
        with torch.no_grad():
            made = carried(self.networks.flow, draws[:, 0], known, self.settings.steps)
        torch.clear_autocast_cache()  # what was cast without gradients is not used with them
        views = [views_of(volumes, self.settings.views, generator) for volumes in (truth, made)]
        loss = critics_loss(critics, views[0], views[1], self.settings.penalty)
        return loss, {"critics": loss.detach()}

    def _way(
        self, known: torch.Tensor, truth: torch.Tensor, start: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, float | torch.Tensor]]:
        """The squared error of the direction at a random time, in standard deviations."""
        time = _random((len(truth),), truth, generator)
        x = torch.lerp(start, truth, time[:, None, None, None])
        error = self.networks.flow(x, known, time) - (truth - start)
        loss = (error / known[:, 1].clamp(min=_MIN_STD)).square().mean()
        return loss, {"way": loss.detach()}

    def _makers(
        self, both: torch.Tensor, truth: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, float | torch.Tensor]]:
        """The energy score, and what critics say, whose gradient is brought to a share of the score's.

        both: two samples of each case, (2 B, K, H, W).
        """
        one, other = both.float().chunk(2)
        score = energy_score(one, other, truth)
        critics = self.networks.critics
        if critics is None:
            return score, {"score": score.detach()}
        leaf = both.detach().float().requires_grad_()
        one, other = leaf.chunk(2)
        of_score = torch.autograd.grad(energy_score(one, other, truth), leaf)[0]
        doubted = doubt(critics, views_of(leaf, self.settings.views, generator))
        of_doubt = torch.autograd.grad(doubted, leaf)[0]
        ratio = self.settings.critics * of_score.norm() / of_doubt.norm().clamp(min=1e-12)
        pull = (both * (ratio * of_doubt)).sum()
        loss = score + pull - pull.detach()
        return loss, {"score": score.detach(), "doubt": doubted.detach(), "ratio": ratio}

    @torch.no_grad()
    def samples(self, cases: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """All draws of cases (N, 4 + n, K, H, W) at the end of their way, (N, n, K, H, W).

        What was observed is as in the draw.
        """
        found = []
        for case in cases:
            x = decoded(case[None])
            known, draws = x[:, :_KNOWN], x[:, _KNOWN + 1 :]
            start = self._noisy(draws, known, generator)[0]
            end = torch.cat(
                [carried(self.networks.flow, one[None], known, self.settings.steps) for one in start]
            )
            found.append(torch.where(known[:, 2] > 0.999, draws[0], end.float().clamp(min=0)))
        return torch.stack(found)

    @torch.no_grad()
    def validate(self, volumes: Volumes, generator: torch.Generator) -> dict[str, float]:
        """Of cases (N, 4 + n, K, H, W): energy score over that of the draws, and decibels of the spectrum."""
        scores, before, decibels = [], [], []
        for case in volumes:
            made, x = self.samples(case[None], generator)[0, :2], decoded(case[None])[0]
            truth, draws = x[_KNOWN], x[_KNOWN + 1 :]
            scores.append(energy_score(made[:1], made[1:2], truth[None]))
            before.append(energy_score(draws[:1], draws[1:2], truth[None]))
            decibels.append(10 * (ring_power(made).mean(0) / ring_power(truth[None])[0]).log10())
        score = float(torch.stack(scores).mean() / torch.stack(before).mean())
        off = float(torch.stack(decibels).mean(0).abs().mean())
        return {"score": score + off / 10, "energy": score, "decibels": off}

    def weights(self, volumes: Volumes) -> dict[str, torch.Tensor]:
        """The network of the flow; the base's standard deviations hold until they are measured."""
        return to_tensors(self.networks.flow.cpu(), self.settings.steps, self.settings.noise)


def ring_power(volumes: torch.Tensor) -> torch.Tensor:
    """Mean power of the axial slices of (n, K, H, W) in rings of frequencies, (n, 8) or fewer."""
    rows, columns = volumes.shape[-2:]
    window = torch.hann_window(rows)[:, None] * torch.hann_window(columns)
    power = torch.fft.fft2(volumes.float() * window.to(volumes)).abs().square().mean(1)
    radius = torch.hypot(torch.fft.fftfreq(rows)[:, None], torch.fft.fftfreq(columns))
    number = (radius * 2 * _RINGS).long().clamp(max=_RINGS).to(volumes.device)
    there = [n for n in range(_RINGS) if (number == n).any()]
    return _TINY + torch.stack([power[:, number == n].mean(1) for n in there], 1)


def _random(shape: tuple[int, ...], like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Uniform in [0, 1), where another tensor is."""
    return torch.rand(shape, generator=generator, device=like.device)
