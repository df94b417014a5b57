"""Codes of a generator given an observation, found by descent.

z ~ N(0, I), y = observe(z) + e, e ~ N(0, sd^2) independently.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..base import seeded_generator

_CLOSE_SD, _CLOSE_STEPS = 0.3, 30  # of the error of a whole volume, where many voxels err together
_MEMORY = 20


@dataclass(frozen=True, eq=False)
class CodesGiven:
    """Codes, normal a priori, given something that they show.

    observe: codes (B, L) to what would be seen (B, n). seen, sd: (n,). latent: L.

    steps: of a descent by L-BFGS, each of one call of `observe` or a few. check: called in every one; raise
    from it to cancel.
    """

    observe: Callable[[torch.Tensor], torch.Tensor]
    seen: torch.Tensor
    sd: torch.Tensor
    latent: int
    steps: int = 20
    check: Callable[[], None] = lambda: None

    def cost(self, code: torch.Tensor, centre: torch.Tensor | float, seen: torch.Tensor) -> torch.Tensor:
        """Half the squared distances of a code (L,) and of what it shows, in deviations; a number.

        Those of the code are from `centre`, those of what it shows from `seen`.

        Args:
            code: (L,).
            centre: (L,), or one number for all.
            seen: (n,).
        """
        error = (self.observe(code[None])[0] - seen) / self.sd
        return 0.5 * ((code - centre) ** 2).sum() + 0.5 * (error**2).sum()

    def log_joint(self, code: torch.Tensor) -> float:
        """log p(seen, code) of a code (L,), nats."""
        constant = self.sd.log().sum() + 0.5 * (self.sd.numel() + self.latent) * math.log(2 * math.pi)
        return -float(self.cost(code, 0.0, self.seen) + constant)

    def mode(self) -> torch.Tensor:
        """The most likely code (L,), as far as a descent from 0 finds it."""
        return self._descend(self.seen.new_zeros(self.latent), 0.0, self.seen)

    def sample(self, seed: int, start: torch.Tensor) -> torch.Tensor:
        """A code (L,), by a descent from `start` (L,).

        It is the most likely code of another problem, whose prior mean and observation are drawn from N(0, I)
        and N(seen, sd^2): randomise, then optimise. Exact where `observe` is linear; for a network it is an
        approximation, as the weights that would correct it (Bardsley et al. 2014) need Jacobians, and as the
        descent has few steps.

        Args:
            seed: the same one gives the same problem.
            start: near to the code, so that few steps lead there.
        """
        generator = seeded_generator(seed)
        centre = torch.randn(self.latent, generator=generator).to(start)
        noise = torch.randn(len(self.seen), generator=generator).to(start)
        return self._descend(start, centre, self.seen + self.sd * noise)

    def _descend(self, start: torch.Tensor, centre: torch.Tensor | float, seen: torch.Tensor) -> torch.Tensor:
        """A code (L,) of low `cost`, from `start` (L,)."""
        code = start.detach().clone().requires_grad_()
        optimiser = torch.optim.LBFGS(
            [code], max_iter=self.steps, history_size=_MEMORY, line_search_fn="strong_wolfe"
        )

        def cost() -> torch.Tensor:
            self.check()
            value = self.cost(code, centre, seen)
            (code.grad,) = torch.autograd.grad(value, code)
            return value

        with torch.enable_grad():
            optimiser.step(cost)
        return code.detach()


def closest_codes(
    generator: Callable[[torch.Tensor], torch.Tensor], volumes: torch.Tensor, latent: int
) -> torch.Tensor:
    """Codes (B, latent) whose volumes are near to `volumes` (B, D, H, W).

    Args:
        generator: codes (B, latent) to volumes (B, D, H, W).
        volumes: in [0, 1].
        latent: components of a code.
    """
    seen = volumes.flatten(1)
    sd = seen.new_full(seen.shape[1:], _CLOSE_SD)
    return torch.stack(
        [CodesGiven(lambda z: generator(z).flatten(1), one, sd, latent, _CLOSE_STEPS).mode() for one in seen]
    )
