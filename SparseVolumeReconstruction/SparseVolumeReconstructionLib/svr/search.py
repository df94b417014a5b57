"""The search for where the body was in every slice: volume and poses in turn, coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from scipy.fft import next_fast_len
from scipy.ndimage import binary_dilation, gaussian_filter

from ..geometry import Grid, InputError, Volume
from ..progress import Progress
from .field import FieldPosterior, FieldPrior, field_prior
from .outliers import BELONGS, Judged, judge
from .pixels import MaskedSlice, Pixels, pixels_of
from .registration import Fit, Motion, Target, best_of_starts, first_of, fit_of, neighbours_in_time, register

_MARGIN_MM = 5.0
_FIRST_NOISE = 0.3  # of the spread of grey values, before anything is known
_DOUBTED = 0.05  # a slice that is doubted weighs at least so much when it is looked for
_TOLERANCE = 1e-2  # of volumes on the way
_RIM_MM = 6.0  # around slices that are looked for far around
MAX_VOXELS = 60_000_000


@dataclass(frozen=True)
class Level:
    """One level of the search.

    Attributes:
        grid_mm, pixel_mm: of the volume and, at least, of the slices.
        rounds: of volume and poses in turn.
        started: rounds that try several starts for every slice.
        far_rounds: so many of the first rounds go by a first volume, with starts of `_FAR_STARTS`, up to 30
            degrees and 20 mm; if 0, one round does, with the usual starts.
        starts: so many, of up to `degrees` and `mm`.
        parts: in the first round the slices are placed by a volume of the others, one of so many parts after
            the other, so that none holds itself where it is; 1: by a volume of all.
    """

    grid_mm: float
    pixel_mm: float
    rounds: int
    started: int = 0
    starts: int = 0
    degrees: float = 0.0
    mm: float = 0.0
    parts: int = 1
    far_rounds: int = 0


# How many, degrees, mm; and by how many mm a first volume is blurred: from afar nothing sharp is found.
_FAR_STARTS = (((120, 30.0, 20.0), 3.0), ((40, 15.0, 10.0), 1.0))
LEVELS = (
    Level(3.2, 3.3, 8, started=6, starts=40, degrees=20.0, mm=12.0),
    Level(2.0, 2.2, 4, started=1, starts=40, degrees=20.0, mm=12.0, parts=5),
    Level(1.2, 1.1, 4),
)
FAR = replace(LEVELS[0], far_rounds=3)  # instead of the first one, where slices moved far


@dataclass(frozen=True, eq=False)
class Found:
    """Where the body was in S slices, and what is thought of them; on the CPU.

    Attributes:
        poses: (S, 4, 4) float64, scanner to body, RAS mm; sd: (S, 6), rad and mm about the centre.
        gain: (S,) of every slice, the usual one 1.
        judged: at the last pixels.
        volume: what the slices were placed by last.
        centre: (3,) mm.
    """

    poses: torch.Tensor
    sd: torch.Tensor
    gain: torch.Tensor
    judged: Judged | None
    volume: Volume | None
    centre: torch.Tensor

    @property
    def belongs(self) -> torch.Tensor:
        """Probability (S,) of every slice; 1 before they were judged."""
        return torch.ones(len(self.poses)) if self.judged is None else self.judged.slice_


def find_motion(
    slices: list[MaskedSlice],
    first: Volume | None = None,
    *,
    known: Found | None = None,
    levels: tuple[Level, ...] = LEVELS,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Found:
    """Poses of all slices.

    Args:
        slices: in scanner space, stacks in one unit.
        first: a first volume in that unit, where the body is at rest; the stacks as they lie if None.
        known: what coarser levels found; `first` is not looked at.
        levels: coarse to fine.
        seed: of the starts.
        device: that computes.
        progress: told of rounds, asked whether to stop.

    Raises:
        Cancelled: when asked to stop.
    """
    progress = progress or Progress()
    count = len(slices)
    unknown = torch.zeros(count, 6, dtype=torch.float64)
    found = known or Found(still_poses(count), unknown, torch.ones(count), None, first, middle_of(slices))
    total = sum(level.rounds for level in levels)
    done = 0
    for number, level in enumerate(levels):
        at = _AtLevel(slices, level, found, device)
        for turn in range(level.rounds):
            progress.update(f"motion, {level.grid_mm:g} mm, round {turn + 1} of {level.rounds}", done / total)
            by_first = known is None and first is not None and number == 0 and turn < max(level.far_rounds, 1)
            found = at.round(found, turn, seed, by_first, progress)
            done += 1
    return found


class _AtLevel:
    """Rounds at one level: pixels, their weights, and the prior of the volume."""

    def __init__(self, slices: list[MaskedSlice], level: Level, found: Found, device: torch.device | str):
        self.level, self.slices = level, slices
        self.pixels = pixels_of(slices, level.pixel_mm, device)
        self.prior = field_prior(self.pixels)
        self.stacks = torch.tensor([s.stack for s in slices])
        self.shots = torch.tensor([s.shot for s in slices])
        taken = torch.stack([self.stacks, self.shots], 1)
        self.groups = torch.unique(taken, dim=0, return_inverse=True)[1]  # of slices taken at once
        self.certainty = first_precision(self.pixels, self.prior)
        self.belongs = self.pixels.as_decided(found.belongs.to(self.pixels.device))
        if found.judged is not None and found.volume is not None:
            fit, _ = fit_of(self._target(found.volume, found), self.pixels, found.poses, self._precision())
            self._learn(judge(self.pixels, fit))

    def round(self, found: Found, turn: int, seed: int, by_first: bool, progress: Progress) -> Found:
        """Volume, poses, weights."""
        level, pixels = self.level, self.pixels
        parts = level.parts if turn == 0 and not by_first else 1
        poses, sd, gain = found.poses.clone(), found.sd.clone(), found.gain.clone()
        expected = torch.zeros_like(pixels.values)
        motion = self._motion(found) if turn else None
        volume = found.volume
        for part in range(parts):
            mine = self.shots % parts == part
            if not by_first:
                volume = self._volume(found, ~mine if parts > 1 else None, progress)
            assert volume is not None  # what was found by a first volume holds it
            target = self._target(volume, found)
            own = pixels.only(mine)
            chosen = mine.to(pixels.device)[pixels.owner]
            weight = self._looked_for()[chosen].clamp(min=1e-9)
            start = found.poses
            if turn < level.started:
                tried = spread_starts(level.starts, level.degrees, level.mm, seed + turn)
                start = (
                    self._far_around(volume, found, seed + turn, progress)
                    if by_first and level.far_rounds
                    else best_of_starts(target, own, start, weight, tried, self.groups, check=progress.check)
                )
            done = register(
                target, own, start, weight, self.groups, motion=motion, steps=8, check=progress.check
            )
            poses[mine], sd[mine] = done.poses[mine], done.sd[self.groups][mine]
            gain[mine] = done.fit.gain.cpu()[mine]
            expected[chosen] = done.fit.expected
        judged = judge(pixels, Fit(torch.zeros_like(gain), gain.to(pixels.device), expected))
        self._learn(judged)
        judged = judged.cpu()
        return Found(poses, sd, normal_gain(gain, judged), judged, volume, found.centre)

    def _far_around(self, volume: Volume, found: Found, seed: int, progress: Progress) -> torch.Tensor:
        """Poses (S, 4, 4) by a first volume, which is blurred, and then less."""
        poses, pixels = found.poses, self._with_rims
        weight = first_precision(pixels, self.prior)
        for number, (starts, blur_mm) in enumerate(_FAR_STARTS):
            blurred = gaussian_filter(volume.array, blur_mm / volume.grid.spacing_ijk[0])
            target = self._target(Volume(blurred, volume.grid), found)
            tried = spread_starts(*starts, seed + 1000 * number)
            poses = best_of_starts(target, pixels, poses, weight, tried, self.groups, check=progress.check)
        return poses

    @cached_property
    def _with_rims(self) -> Pixels:
        """Pixels of slices that are 0 around their masks: the outline tells where they lie from afar."""
        return pixels_of([_with_rim(s) for s in self.slices], self.level.pixel_mm, self.pixels.device)

    def _learn(self, judged: Judged) -> None:
        self.certainty = judged.certainty(self.pixels.owner)
        self.belongs = judged.slice_

    def _precision(self) -> torch.Tensor:
        """Weight (P,) of pixels in the volume."""
        return self.certainty * self.belongs[self.pixels.owner]

    def _looked_for(self) -> torch.Tensor:
        """Weight (P,) of pixels when their slices are placed: that of excluded ones is not in the volume."""
        weight = (self.belongs / _DOUBTED).clamp(max=1)
        return self.certainty * torch.where(self.pixels.decided == 0, 1.0, weight)[self.pixels.owner]

    def _volume(self, found: Found, chosen: torch.Tensor | None, progress: Progress) -> Volume:
        pixels = self.pixels
        precision = self._precision()
        if chosen is not None:
            precision = precision[chosen.to(pixels.device)[pixels.owner]]
            pixels = pixels.only(chosen)
        grid = covering(self.pixels, found.poses, self.level.grid_mm)
        gain = found.gain.to(pixels.device)[pixels.owner]
        field = FieldPosterior.of(self.prior, grid, pixels, found.poses.numpy(), gain, precision)
        mean = field.solve([], tolerance=_TOLERANCE, check=progress.check)[0]
        return Volume((mean * field.seen()).cpu().numpy(), grid)

    def _motion(self, found: Found) -> Motion | None:
        trusted = found.belongs > BELONGS
        said = neighbours_in_time(found.poses, self.stacks, self.shots, trusted, found.centre.double())
        return said and said.of(first_of(self.groups, int(self.groups.max()) + 1))

    def _target(self, volume: Volume, found: Found) -> Target:
        array = torch.as_tensor(volume.array, device=self.pixels.device)
        return Target.of(array, volume.grid, found.centre)


def _with_rim(each: MaskedSlice) -> MaskedSlice:
    """A slice that is 0 around its mask, with a rim of that in the mask."""
    width = int(np.rint(_RIM_MM / each.image.plane.spacing_ij.min()))
    alone = replace(each.image, pixels=np.where(each.mask, each.image.pixels, 0).astype(np.float32))
    return replace(each, image=alone, mask=binary_dilation(each.mask, iterations=max(width, 1)))


def still_poses(count: int) -> torch.Tensor:
    """Poses (count, 4, 4) of slices of a body that did not move, float64."""
    return torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)


def first_precision(pixels: Pixels, prior: FieldPrior) -> torch.Tensor:
    """1 / variance (P,) of pixels before anything is known of them."""
    return torch.full_like(pixels.values, 1 / (_FIRST_NOISE * prior.sd) ** 2)


def normal_gain(gain: torch.Tensor, judged: Judged) -> torch.Tensor:
    """Gains (S,) over the median of those of slices that belong."""
    good = judged.slice_ > BELONGS
    return gain / gain[good].median() if bool(good.any()) else gain


def spread_starts(count: int, degrees: float, mm: float, seed: int) -> torch.Tensor:
    """Starts (count, 6) in rad and mm, the first of them none: any axis and direction, uniform amounts."""
    generator = torch.Generator().manual_seed(seed)
    way = torch.randn(count, 2, 3, generator=generator)
    way = way / way.norm(dim=2, keepdim=True) * torch.rand(count, 2, 1, generator=generator)
    way[0] = 0
    return torch.cat([way[:, 0] * np.radians(degrees), way[:, 1] * mm], 1)


def middle_of(slices: list[MaskedSlice]) -> torch.Tensor:
    """The middle of what the masks hold, (3,) RAS mm."""
    points = [s.image.plane.points_ras()[s.mask.ravel()] for s in slices]
    return torch.as_tensor(np.concatenate(points).mean(0), dtype=torch.float32)


def covering(pixels: Pixels, poses: torch.Tensor, spacing_mm: float) -> Grid:
    """A grid around all pixels at their poses, of sizes that Fourier transforms like.

    Raises:
        InputError: it would have more than MAX_VOXELS.
    """
    moved = poses.to(pixels.points)[pixels.owner]
    at = torch.einsum("pij,pj->pi", moved[:, :3, :3], pixels.points) + moved[:, :3, 3]
    low, high = (edge.double().cpu().numpy() for edge in (at.amin(0) - _MARGIN_MM, at.amax(0) + _MARGIN_MM))
    size = np.ceil((high - low) / spacing_mm) + 1
    if float(size.prod()) > MAX_VOXELS:
        raise InputError(
            f"spacing {spacing_mm:g} mm: the volume would have {size.prod() / 1e6:.0f} million voxels; at "
            f"most {MAX_VOXELS / 1e6:.0f} million are possible: choose a coarser spacing, or give masks."
        )
    shape = tuple(next_fast_len(int(n), True) for n in size[::-1])
    return Grid.centred(shape, spacing_mm, (low + high) / 2)
