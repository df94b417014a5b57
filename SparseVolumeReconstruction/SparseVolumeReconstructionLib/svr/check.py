"""How well slices are predicted from the others, with and without the motion that was found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..progress import Progress
from .field import FieldPosterior, field_prior
from .outliers import judge
from .pixels import MaskedSlice, pixels_of
from .registration import Fit
from .search import Found, covering, first_precision, still_poses

PARTS = 4  # every slice is left out once, together with each fourth one of its stack
_GRID_MM, _PIXEL_MM = 1.6, 1.6


@dataclass(frozen=True)
class Prediction:
    """Of each slice, from a volume that was made without it: correlation, and PSNR (dB) over its brightest.

    nan where a slice has no pixels.
    """

    ncc: np.ndarray
    psnr: np.ndarray


def predictions(slices: list[MaskedSlice], found: Found, progress: Progress) -> tuple[Prediction, Prediction]:
    """How well slices are predicted where the scanner saw them, and where the body was found to be."""
    before = _predicted(
        slices, still_poses(len(slices)), torch.ones(len(slices)), None, progress.part(0.0, 0.5)
    )
    after = _predicted(slices, found.poses, found.gain, found, progress.part(0.5, 1.0))
    return before, after


def _predicted(
    slices: list[MaskedSlice],
    poses: torch.Tensor,
    gain: torch.Tensor,
    found: Found | None,
    progress: Progress,
) -> Prediction:
    pixels = pixels_of(slices, _PIXEL_MM)
    prior, times = field_prior(pixels), torch.tensor([s.time for s in slices])
    precision = first_precision(pixels, prior)
    if found is not None and found.judged is not None:
        precision = (found.belongs / found.judged.noise**2)[pixels.owner]
    grid = covering(pixels, poses, _GRID_MM)
    everything = FieldPosterior.of(prior, grid, pixels, poses.numpy(), gain[pixels.owner], precision)
    expected = torch.zeros_like(pixels.values)
    for part in range(PARTS):
        progress.update("each slice from the others", part / PARTS)
        left_out = (times % PARTS == part)[pixels.owner]
        weight = torch.where(left_out, 0.0, precision)
        mean = everything.with_precision(weight).solve([], tolerance=1e-2, check=progress.check)
        expected = torch.where(left_out, everything.operator.forward(mean)[0], expected)
    cross, square = pixels.sums(torch.stack([pixels.values * expected, expected**2], 1)).T
    scale = (cross / square.clamp(min=1e-9))[pixels.owner]
    number = pixels.sums(torch.ones_like(expected))
    error = pixels.sums((pixels.values - scale * expected) ** 2) / number.clamp(min=1)
    peak = torch.stack(
        [
            pixels.values[pixels.owner == n].max() if number[n] else torch.tensor(1.0)
            for n in range(len(slices))
        ]
    )
    psnr = 10 * torch.log10(peak**2 / error.clamp(min=1e-12))
    ncc = judge(pixels, Fit(torch.zeros_like(gain), gain, expected)).ncc
    used = (number > 0).numpy()
    return Prediction(np.where(used, ncc.numpy(), np.nan), np.where(used, psnr.numpy(), np.nan))
