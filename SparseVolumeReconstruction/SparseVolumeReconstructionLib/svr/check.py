"""How well slices are predicted from the others, with and without the motion that was found; and stacks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..progress import Progress
from .field import FieldPosterior, field_prior
from .outliers import judge
from .pixels import MaskedSlice, Pixels, pixels_of
from .registration import Fit
from .search import Found, covering, first_precision, still_poses

PARTS = 4  # every slice is left out once, together with each fourth one of its stack
_GRID_MM, _PIXEL_MM = 1.6, 1.6


@dataclass(frozen=True)
class Prediction:
    """Of each slice, from a volume that was made without it: correlation, and PSNR (dB) over its brightest.

    nan where a slice has no pixels. Means are over the slices that are not excluded by the user.
    """

    ncc: np.ndarray
    psnr: np.ndarray
    used: np.ndarray

    @property
    def mean_ncc(self) -> float:
        """Of the slices that are used."""
        return float(np.nanmean(self.ncc[self.used]))

    @property
    def mean_psnr(self) -> float:
        """The same in dB."""
        return float(np.nanmean(self.psnr[self.used]))


@dataclass(frozen=True)
class Check:
    """Slices where the scanner saw them, and where the body was found to be.

    stacks: correlation of what each stack shows with what the other stacks let expect, and none where there
    is one stack alone.
    """

    before: Prediction
    after: Prediction
    stacks: list[float]


def checked(slices: list[MaskedSlice], found: Found, device: torch.device | str, progress: Progress) -> Check:
    """Each slice, and each stack, predicted from the others; device: that computes."""
    pixels = pixels_of(slices, _PIXEL_MM, device)
    parts = torch.tensor([s.place % PARTS for s in slices])
    stacks = torch.tensor([s.stack for s in slices])
    precision = first_precision(pixels, field_prior(pixels))
    lying = _field(pixels, still_poses(len(slices)), torch.ones(len(slices)), precision)
    if found.judged is not None:
        precision = (found.belongs / found.judged.noise**2).to(pixels.device)[pixels.owner]
    merged = _field(pixels, found.poses, found.gain, precision)
    before = _prediction(
        pixels, torch.ones_like(found.gain), _expected(lying, pixels, parts, progress.part(0, 0.4))
    )
    after = _prediction(pixels, found.gain, _expected(merged, pixels, parts, progress.part(0.4, 0.8)))
    if len(stacks.unique()) == 1:
        return Check(before, after, [])
    expected = _expected(merged, pixels, stacks, progress.part(0.8, 1.0))
    return Check(before, after, _stack_correlations(pixels, stacks, expected))


def _field(
    pixels: Pixels, poses: torch.Tensor, gain: torch.Tensor, precision: torch.Tensor
) -> FieldPosterior:
    grid = covering(pixels, poses, _GRID_MM)
    scale = gain.to(pixels.device)[pixels.owner]
    return FieldPosterior.of(field_prior(pixels), grid, pixels, poses.numpy(), scale, precision)


def _expected(
    everything: FieldPosterior, pixels: Pixels, groups: torch.Tensor, progress: Progress
) -> torch.Tensor:
    """What the slices of all other groups let expect of each pixel, (P,); groups: (S,) of the slices."""
    expected = torch.zeros_like(pixels.values)
    names = groups.unique()
    for number, name in enumerate(names):
        progress.update("each slice and stack from the others", number / len(names))
        left_out = (groups == name).to(pixels.device)[pixels.owner]
        weight = torch.where(left_out, 0.0, everything.precision)
        mean = everything.with_precision(weight).solve([], tolerance=1e-2, check=progress.check)
        expected = torch.where(left_out, everything.operator.forward(mean)[0], expected)
    return expected


def _prediction(pixels: Pixels, gain: torch.Tensor, expected: torch.Tensor) -> Prediction:
    cross, square = pixels.sums(torch.stack([pixels.values * expected, expected**2], 1)).T
    scale = (cross / square.clamp(min=1e-9))[pixels.owner]
    number = pixels.sums(torch.ones_like(expected))
    error = pixels.sums((pixels.values - scale * expected) ** 2) / number.clamp(min=1)
    peak = torch.stack(
        [
            pixels.values[pixels.owner == n].max() if number[n] else number.new_tensor(1.0)
            for n in range(pixels.count)
        ]
    )
    psnr = 10 * torch.log10(peak**2 / error.clamp(min=1e-12))
    ncc = judge(pixels, Fit(torch.zeros_like(gain), gain.to(pixels.device), expected)).ncc
    some, used = (number > 0).cpu().numpy(), (pixels.decided != 0).cpu().numpy()
    alike, level = (np.where(some, each.cpu().numpy(), np.nan) for each in (ncc, psnr))
    return Prediction(alike, level, used)


def _stack_correlations(pixels: Pixels, stacks: torch.Tensor, expected: torch.Tensor) -> list[float]:
    """By stack, over the pixels that are not 0: those around a stripped body say nothing of its contrast."""
    shows = pixels.values != 0
    of = stacks.to(pixels.device)[pixels.owner]
    pairs = [(shows & (of == n)) for n in stacks.unique()]
    return [float(torch.corrcoef(torch.stack([pixels.values[m], expected[m]]))[0, 1]) for m in pairs]
