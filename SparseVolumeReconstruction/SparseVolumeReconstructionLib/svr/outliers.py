"""Which pixels and slices belong: a robust mixture, fitted by expectation and maximisation; and why not.

As in Kuklisova-Murgasova et al. (Med. Image Anal. 2012): residuals of what belongs are normal, all others
uniform. Nothing is dropped: everything has a probability, and what has little has a reason.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from .pixels import Pixels
from .registration import Fit

BELONGS, LITTLE_SIGNAL = 0.5, 0.7
EXCLUDED = "excluded by the user"
_SHARE, _ROUNDS = 0.95, 3  # of pixels that belong, at first
_PRIOR_PIXELS = 100.0  # that all slices together say of the noise of one
_SLICE_PRIOR = 0.9  # that a slice belongs
_WIDEST = math.log(30.0)  # residuals of spoiled slices over those of others
_NARROWEST = 0.1  # spread of the log of residuals among slices that belong


@dataclass(frozen=True, eq=False)
class Judged:
    """What is thought of pixels and slices.

    Attributes:
        pixel: (P,) probability that it belongs; slice_: (S,) the same.
        noise: (S,) standard deviation of what belongs, pose errors among it.
        ncc: (S,) correlation of what is seen with what is expected; nan where there are no pixels.
        reasons: (S,) why a slice has little weight, "" where it has.
    """

    pixel: torch.Tensor
    slice_: torch.Tensor
    noise: torch.Tensor
    ncc: torch.Tensor
    reasons: list[str]

    def precision(self, owner: torch.Tensor) -> torch.Tensor:
        """Weight (P,) of every pixel: its probability over its variance."""
        return self.certainty(owner) * self.slice_[owner]

    def certainty(self, owner: torch.Tensor) -> torch.Tensor:
        """The same (P,) if all slices belong."""
        return self.pixel / self.noise[owner] ** 2

    def cpu(self) -> Judged:
        """The same on the CPU."""
        tensors = {name: getattr(self, name).cpu() for name in ("pixel", "slice_", "noise", "ncc")}
        return replace(self, **tensors)


def judge(pixels: Pixels, fit: Fit, spread: torch.Tensor | None = None) -> Judged:
    """The probability of every pixel and slice, from what is seen and what is expected.

    Args:
        fit: of all pixels.
        spread: (P,) standard deviation of what is expected, where it is known.
    """
    residual = pixels.values - fit.gain[pixels.owner] * fit.expected
    variance = residual**2 if spread is None else residual**2 + spread**2
    density = 1 / (2 * float(pixels.values.abs().max()) + 1e-12)
    number = pixels.sums(torch.ones_like(residual))
    typical = 1.4826 * residual.abs().median()
    noise = (
        torch.sqrt(pixels.sums(variance.clamp(max=9 * float(typical) ** 2)) / number.clamp(min=1))
    ).clamp(min=0.3 * float(typical) + 1e-9)
    share = torch.full_like(noise, _SHARE)
    for _ in range(_ROUNDS):
        own = noise[pixels.owner]
        normal = share[pixels.owner] * torch.exp(-0.5 * variance / own**2) / (own * math.sqrt(2 * math.pi))
        pixel = normal / (normal + (1 - share[pixels.owner]) * density)
        kept = pixels.sums(pixel)
        overall = (pixel * variance).sum() / pixel.sum()
        noise = torch.sqrt((pixels.sums(pixel * variance) + _PRIOR_PIXELS * overall) / (kept + _PRIOR_PIXELS))
        share = ((kept + _SHARE * _PRIOR_PIXELS) / (number + _PRIOR_PIXELS)).clamp(0.5, 0.999)
    rms = torch.sqrt(pixels.sums(variance) / number.clamp(min=1)).clamp(min=1e-9)
    ncc = _correlation(pixels, fit.expected)
    belongs = _slices(rms, fit.gain, (number > 0) & (pixels.decided != 0))
    reasons = _reasons(belongs, fit.gain, ncc, number)
    for n, decided in enumerate(pixels.decided.tolist()):
        if not math.isnan(decided):
            reasons[n] = "" if decided else EXCLUDED
    return Judged(pixel, pixels.as_decided(belongs), noise, ncc, reasons)


def _slices(rms: torch.Tensor, gain: torch.Tensor, used: torch.Tensor) -> torch.Tensor:
    """Probability (S,) that a slice belongs, by its residual and its gain against those of the others."""
    odds = torch.full_like(rms, math.log(_SLICE_PRIOR / (1 - _SLICE_PRIOR)))
    for values, one_sided in ((rms.log(), 1.0), (gain.clamp(min=1e-3).log(), -1.0)):
        known = values[used]
        middle = known.median()
        spread = (1.4826 * (known - middle).abs().median()).clamp(min=_NARROWEST)
        away = ((values - middle) * one_sided / spread).clamp(min=0)
        odds += -0.5 * away**2 + math.log(_WIDEST) - torch.log(spread * math.sqrt(2 * math.pi))
    return torch.where(used, torch.sigmoid(odds), 0.0)


def _correlation(pixels: Pixels, expected: torch.Tensor) -> torch.Tensor:
    number = pixels.sums(torch.ones_like(expected)).clamp(min=1)
    a = pixels.values - (pixels.sums(pixels.values) / number)[pixels.owner]
    b = expected - (pixels.sums(expected) / number)[pixels.owner]
    return pixels.sums(a * b) / torch.sqrt(pixels.sums(a * a) * pixels.sums(b * b)).clamp(min=1e-12)


def _reasons(belongs: torch.Tensor, gain: torch.Tensor, ncc: torch.Tensor, number: torch.Tensor) -> list[str]:
    usual = float(gain[belongs > BELONGS].median()) if bool((belongs > BELONGS).any()) else 1.0
    reasons = []
    for p, g, c, n in zip(belongs.tolist(), gain.tolist(), ncc.tolist(), number.tolist(), strict=True):
        if n == 0:
            reasons.append("shows too little")
        elif p >= BELONGS:
            reasons.append("")
        elif g < LITTLE_SIGNAL * usual:
            reasons.append(f"signal loss: {100 * g / usual:.0f}% of the usual")
        else:
            reasons.append(f"does not fit anywhere (correlation {c:.2f})")
    return reasons
