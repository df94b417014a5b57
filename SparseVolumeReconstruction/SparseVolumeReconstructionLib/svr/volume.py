"""The volume itself, once the motion is known: mean, standard deviation and samples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import binary_closing, binary_fill_holes, gaussian_filter

from ..geometry import Volume
from ..progress import Progress
from .field import FieldPosterior, field_prior
from .lengths import SHARP_MM
from .outliers import Judged, judge
from .pixels import MaskedSlice, pixels_of
from .registration import GAIN_PULL, Fit
from .search import Found, covering, first_precision, normal_gain

SPREAD_SAMPLES = 4  # from which standard deviations are estimated
_SMOOTH_MM = 2.0  # over which variances hardly change
_FINE, _ROUGH = 1e-3, 2e-2  # tolerances of the mean, and of samples around it
_ROUNDS = 3  # of volume and weights
_GAP_MM = 4.0  # between slices that moved apart; what is inferred there is worth something


@dataclass(frozen=True, eq=False)
class Merged:
    """The volume given all slices.

    Attributes:
        mean, std: float32, units of the slices; 0 and the spread of the body around what was seen. In gaps
            between slices they are what the slices around let expect.
        seen: uint8, voxels that a slice reaches.
        samples: (n, K, J, I) float32, None where none are wanted.
        judged: pixels and slices, at full resolution.
        gain: (S,); owner: (P,) which slice each pixel is of.
    """

    mean: Volume
    std: Volume
    seen: Volume
    samples: np.ndarray | None
    judged: Judged
    gain: torch.Tensor
    owner: torch.Tensor


def merged_volume(
    slices: list[MaskedSlice],
    found: Found,
    spacing_mm: float,
    *,
    length_mm: float = SHARP_MM,
    samples: int = 0,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Merged:
    """The posterior of the body given slices at the poses that were found.

    Noise and weights are estimated with what is uncertain of the volume itself: from a sample of it.

    Args:
        slices: in scanner space, stacks in one unit.
        spacing_mm: of the voxels.
        length_mm: over which voxels are alike; more is smoother, and tells more of what lies between slices.
        samples: so many are kept.
        seed: of the first sample; the next ones count from there.
        device: that computes; what is returned is on the CPU.
        progress: told of steps, asked whether to stop.

    Raises:
        InputError: too many voxels.
    """
    progress = progress or Progress()
    field, judged, gain, owner = _weighted(slices, found, spacing_mm, length_mm, seed, device, progress)
    progress.update("the volume itself", 0.55)
    best = field.solve([], tolerance=_FINE, check=progress.check)[0].cpu()
    drawn = []
    for number in range(max(samples, SPREAD_SAMPLES)):
        progress.update("its uncertainty", 0.65 + 0.35 * number / max(samples, SPREAD_SAMPLES))
        rough, sample = field.solve([seed + number], tolerance=_ROUGH, check=progress.check).cpu()
        drawn.append((best + sample - rough).numpy())
    seen = field.seen().cpu().numpy()
    inside = _without_gaps(seen, spacing_mm)
    grid = field.grid
    mean = np.where(inside, best.numpy(), 0).astype(np.float32)
    variance = np.mean([(sample - best.numpy()) ** 2 for sample in drawn], 0)
    smooth = _SMOOTH_MM / spacing_mm
    level = gaussian_filter(inside.astype(np.float32), smooth)
    variance = gaussian_filter(np.where(inside, variance, 0), smooth) / np.maximum(level, 1e-3)
    std = np.where(inside, np.sqrt(variance), field.prior.sd).astype(np.float32)
    kept = np.stack([np.where(inside, sample, 0) for sample in drawn[:samples]]) if samples else None
    of_mean, of_std, of_seen = (Volume(array, grid) for array in (mean, std, seen.astype(np.uint8)))
    return Merged(of_mean, of_std, of_seen, kept, judged.cpu(), gain.cpu(), owner.cpu())


def _without_gaps(seen: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Voxels (K, J, I) that a slice reaches, and those in gaps between them."""
    reach = max(round(_GAP_MM / 2 / spacing_mm), 1)
    closed = binary_closing(np.pad(seen, reach), iterations=reach)[(slice(reach, -reach),) * 3]
    return binary_fill_holes(closed | seen)


def _weighted(
    slices: list[MaskedSlice],
    found: Found,
    spacing_mm: float,
    length_mm: float,
    seed: int,
    device: torch.device | str,
    progress: Progress,
) -> tuple[FieldPosterior, Judged, torch.Tensor, torch.Tensor]:
    """The posterior with the weights, gains and noise that agree with it; owner of each pixel."""
    pixels = pixels_of(slices, 0.0, device)
    prior = field_prior(pixels, length_mm)
    grid = covering(pixels, found.poses, spacing_mm)
    gain = found.gain.to(pixels.device)
    precision = first_precision(pixels, prior)
    if found.judged is not None:
        precision = (found.belongs / found.judged.noise**2).to(pixels.device)[pixels.owner]
    field = FieldPosterior.of(prior, grid, pixels, found.poses.numpy(), gain[pixels.owner], precision)
    for turn in range(_ROUNDS):
        progress.update(f"volume, {spacing_mm:g} mm, round {turn + 1} of {_ROUNDS}", 0.1 + 0.15 * turn)
        both = field.solve([seed], tolerance=_ROUGH, check=progress.check)
        expected, drawn = field.operator.forward(both)
        products = torch.stack([pixels.values * expected, expected**2], 1)
        cross, square = pixels.sums(products * precision[:, None]).T
        gain = (cross + GAIN_PULL) / (square + GAIN_PULL)
        spread = gain[pixels.owner] * (drawn - expected)
        judged = judge(pixels, Fit(torch.zeros_like(gain), gain, expected), spread)
        gain = normal_gain(gain, judged)
        precision = judged.precision(pixels.owner)
        field = replace(field, scale=gain[pixels.owner], precision=precision).preserving_edges(both[1])
    return field, judged, gain, pixels.owner
