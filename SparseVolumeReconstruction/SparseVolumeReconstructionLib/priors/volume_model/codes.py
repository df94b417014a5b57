"""Codes of a generator given an observation: z ~ N(0, I), y = observe(z) + e, e ~ N(0, sd^2) independently; found by descent."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

_RATE = 0.1
_CLOSE_SD, _CLOSE_STEPS = 0.3, 100  # of the error of a whole volume, where many voxels err together


@dataclass(frozen=True, eq=False)
class CodesGiven:
    """observe: codes (B, L) to what would be seen (B, n). seen, sd: (n,). latent: L.

    steps: of a descent by Adam, whose rate falls to 0 along a cosine. check: called in every step; raise from it to cancel.
    """

    observe: Callable[[torch.Tensor], torch.Tensor]
    seen: torch.Tensor
    sd: torch.Tensor
    latent: int
    steps: int = 60
    check: Callable[[], None] = lambda: None

    def cost(self, codes: torch.Tensor, centre: torch.Tensor | float, seen: torch.Tensor) -> torch.Tensor:
        """Half the squared distances of codes (B, L) from `centre` and of what they show from `seen`, in deviations; (B,)."""
        error = (self.observe(codes) - seen) / self.sd
        return 0.5 * ((codes - centre) ** 2).sum(1) + 0.5 * (error**2).sum(1)

    def log_joint(self, codes: torch.Tensor) -> torch.Tensor:
        """log p(seen, codes) of codes (B, L), nats, (B,)."""
        constant = self.sd.log().sum() + 0.5 * (self.sd.numel() + self.latent) * math.log(2 * math.pi)
        return -self.cost(codes, 0.0, self.seen) - constant

    def mode(self, starts: torch.Tensor) -> torch.Tensor:
        """The most likely code (L,) that is found from starts (B, L): a third of the steps from each, the rest from the best."""
        found = self.descend(starts, 0.0, self.seen, self.steps // 3)
        with torch.no_grad():
            best = self.cost(found, 0.0, self.seen).argmin()
        return self.descend(found[best][None], 0.0, self.seen, self.steps - self.steps // 3)[0]

    def sample(self, seeds: list[int], start: torch.Tensor) -> torch.Tensor:
        """One code for each seed, (len(seeds), L), by a descent from `start` (L,).

        Each is the most likely code of another problem, whose prior mean and observation are drawn from N(0, I) and
        N(seen, sd^2): randomise, then optimise. Exact where `observe` is linear; for a network it is an approximation, as the
        weights that would correct it (Bardsley et al. 2014) need Jacobians, and as the descent has few steps.
        """
        chances = [torch.Generator().manual_seed(seed) for seed in seeds]
        centre = torch.stack([torch.randn(self.latent, generator=c) for c in chances]).to(start)
        noise = torch.stack([torch.randn(len(self.seen), generator=c) for c in chances]).to(start)
        return self.descend(start.expand_as(centre), centre, self.seen + self.sd * noise, self.steps)

    def descend(self, start: torch.Tensor, centre: torch.Tensor | float, seen: torch.Tensor, steps: int) -> torch.Tensor:
        """Codes (B, L) of low `cost`, from `start` (B, L)."""
        codes = start.detach().clone().requires_grad_()
        optimiser = torch.optim.Adam([codes], _RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        with torch.enable_grad():
            for _ in range(steps):
                self.check()
                (codes.grad,) = torch.autograd.grad(self.cost(codes, centre, seen).sum(), codes)
                optimiser.step()
                schedule.step()
        return codes.detach()


def closest_codes(generator: Callable[[torch.Tensor], torch.Tensor], volumes: torch.Tensor, latent: int) -> torch.Tensor:
    """Codes (B, latent) whose volumes are near to `volumes` (B, D, H, W)."""
    seen = volumes.flatten(1)
    given = CodesGiven(lambda z: generator(z).flatten(1), seen, seen.new_full(seen.shape[1:], _CLOSE_SD), latent)
    return given.descend(seen.new_zeros(len(seen), latent), 0.0, seen, _CLOSE_STEPS)
