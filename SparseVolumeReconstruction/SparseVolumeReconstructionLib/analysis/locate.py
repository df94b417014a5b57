"""Where slices lie, as a distribution over poses instead of one frame.

Many starts end in a few modes, each weighed by its evidence and the width of its peak (Laplace's
approximation, see MacKay, Information Theory, 2003, chapter 27); poses are drawn from the mixture. The
evidence is that of alignment, whose pixels are not independent and whose low-rank model is coarse, so what it
says of its own width is scaled by what was measured on people it was not fitted to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from ..alignment.pose import UNITS
from ..alignment.search import Finalists, finalists
from ..observation import Slice
from ..priors.alignment_model import AlignmentModel
from ..progress import Progress

LEVEL = 0.9
_MODES, _PARTICLES = 12, 400
_FREE_RAD = 10.0  # an orientation that says nothing
_SAME_MM = 1.0  # root mean square over the points; modes so near have ended in one place
_MIN_PROBABILITY = 1e-3  # of a mode that is told


@dataclass(frozen=True)
class Calibration:
    """How the evidence's own uncertainty is scaled, measured on held-out people.

    temperature: evidence between modes is divided by it. widening: factor on the standard deviations within a
    mode. floor_mm: standard deviation of translation along each axis that even a perfect match leaves, since
    no affine map puts one brain onto another.
    """

    temperature: float = 1.0
    widening: float = 1.0
    floor_mm: float = 0.0


CALIBRATION = Calibration(1.0, 1.2, 1.0)


@dataclass(frozen=True, eq=False)
class Mode:
    """One place where slices may lie.

    probability: 0..1. patient_to_canonical: 4x4, RAS mm. region_mm, region_deg: of the poses of this mode
    alone, see PosePosterior.
    """

    probability: float
    patient_to_canonical: np.ndarray
    region_mm: float
    region_deg: float


@dataclass(frozen=True, eq=False)
class PosePosterior:
    """The distribution over the pose of slices.

    modes: the most probable first. particles: (n, 4, 4), equally probable, patient to canonical, RAS mm.
    points: (m, 3), patient mm, of pixels that show anatomy. region_mm, region_deg: LEVEL of the probability
    lies within this distance (root mean square over the points) and this angle of the first mode.
    """

    modes: list[Mode]
    particles: np.ndarray
    points: np.ndarray
    region_mm: float
    region_deg: float

    def apart_mm(self, matrix: np.ndarray) -> float:
        """Distance of a pose from the first mode, root mean square over the points, canonical mm."""
        return float(_apart_mm(matrix[None], self.modes[0].patient_to_canonical, self.points)[0])


def pose_posterior(
    slices: list[Slice],
    model: AlignmentModel,
    progress: Progress,
    *,
    covariate: float | None = None,
    oriented: bool = True,
    calibration: Calibration = CALIBRATION,
) -> PosePosterior:
    """Where slices lie.

    Args:
        slices: of one body, patient mm, 0 outside the anatomy, in common units.
        model: what they are matched with.
        progress: told of steps, asked whether to stop.
        covariate: known value, or None to infer it.
        oriented: the files state left, front and top of the body, as those of scanners do; else nothing is
            taken from the stated orientation.
        calibration: of the widths.

    Raises:
        InputError: too little of the anatomy is shown.
        Cancelled: when asked to stop.
    """
    if not oriented:
        model = replace(model, rotation_sd=_FREE_RAD)
    found = finalists(slices, model, progress, covariate, _MODES)
    covariances = [_covariance(found, n, calibration) for n in range(len(found.evidence))]
    volume = torch.stack([torch.linalg.slogdet(c)[1] / 2 for c in covariances])
    matcher = found.matcher
    points = matcher.points[matcher.foreground()].double().numpy()
    mass = found.evidence.double() + volume
    order = torch.tensor(_distinct(found.matrices.double().numpy(), mass, points))
    weight = torch.zeros_like(mass)
    weight[order] = torch.softmax(mass[order] / calibration.temperature, 0)
    generator = torch.Generator().manual_seed(0)
    drawn = {int(n): _drawn(found, int(n), covariances[int(n)], generator) for n in order}
    best = found.matrices[order[0]].double().numpy()
    counts = np.round(weight[order].numpy() * _PARTICLES).astype(int)
    particles = np.concatenate(
        [drawn[int(n)][: max(count, 0)] for n, count in zip(order, counts, strict=True)]
    )
    modes = []
    for n in order.tolist():
        if weight[n] >= _MIN_PROBABILITY:
            at = found.matrices[n].double().numpy()
            modes.append(Mode(float(weight[n]), at, *_region(drawn[n], at, points)))
    return PosePosterior(modes, particles, points, *_region(particles, best, points))


def _distinct(matrices: np.ndarray, mass: torch.Tensor, points: np.ndarray) -> list[int]:
    """Numbers of the modes (n, 4, 4), the heaviest first; of those that ended in one place, only that."""
    kept: list[int] = []
    for n in mass.argsort(descending=True).tolist():
        if not kept or _apart_mm(matrices[kept], matrices[n], points).min() > _SAME_MM:
            kept.append(n)
    return kept


def _covariance(found: Finalists, number: int, calibration: Calibration) -> torch.Tensor:
    """Of a mode's parameters in UNITS, calibrated, (9, 9) float64."""
    one = torch.tensor([number])
    own = found.matcher.covariance(
        found.family.select(one), found.theta[one], found.value[one], found.maps[number]
    )
    floor = torch.zeros(9, dtype=torch.float64)
    floor[3:6] = (calibration.floor_mm / UNITS[3]) ** 2
    return calibration.widening**2 * own + torch.diag(floor)


def _drawn(found: Finalists, number: int, covariance: torch.Tensor, generator: torch.Generator) -> np.ndarray:
    """Poses of one mode, (_PARTICLES, 4, 4)."""
    white = torch.randn(_PARTICLES, 9, generator=generator, dtype=torch.float64)
    theta = found.theta[number].double() + white @ torch.linalg.cholesky(covariance).T
    family = found.family.select(torch.full((_PARTICLES,), number))
    matrices: np.ndarray = family.matrix(theta.float()).double().numpy()
    return matrices


def _region(particles: np.ndarray, matrix: np.ndarray, points: np.ndarray) -> tuple[float, float]:
    """Distance (mm) and angle (degrees) from a pose within which LEVEL of the particles lie."""
    angles = np.array([angle_deg(p[:3, :3], matrix[:3, :3]) for p in particles])
    return float(np.quantile(_apart_mm(particles, matrix, points), LEVEL)), float(np.quantile(angles, LEVEL))


def _apart_mm(matrices: np.ndarray, matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Root mean square distance (n,) of points moved by matrices (n, 4, 4) and by one (4, 4)."""
    between = matrices - matrix
    moved = np.einsum("nij,mj->nmi", between[:, :3, :3], points) + between[:, None, :3, 3]
    rms: np.ndarray = np.sqrt((moved**2).sum(2).mean(1))
    return rms


def angle_deg(one: np.ndarray, other: np.ndarray) -> float:
    """Angle in degrees between the rotations nearest to two 3x3 matrices."""
    turns = []
    for linear in (one, other):
        u, _, v = np.linalg.svd(linear)
        turns.append(u @ v)
    cosine = (np.trace(turns[0].T @ turns[1]) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
