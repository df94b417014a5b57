"""Where the detector of a radiograph was, by evidence: direction, roll, shift and attenuation.

The radiograph is compared with what a model's mean and its modes of variation would show.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn.functional import avg_pool3d, grid_sample

from ..geometry import InputError
from ..geometry.io import read_affine
from ..observation.projection import CHI, Radiograph
from ..observation.rotations import rotation_matrices
from ..observation.views import VIEWS, half_directions, rolled, view_axes
from ..priors.alignment_model import AlignmentModel
from ..solvers.adam import Adam

UNKNOWN = "unknown"
_DIRECTIONS, _ROLLS = 150, 12  # looked at where the view is unknown
_QUARTERS = 4  # of a named view
_PIXELS, _DEPTHS = (18, 28), (20, 28)  # of the comparison, rough and fine
_STEPS = (25, 15)  # how far poses are followed, rough and fine
_PACE = (0.04, 0.015)  # rad, and of the body's size, in the first of them
_COMPARED = 120  # of all starts, by their modes as well
_FOLLOWED = 12, 3  # how many of them, where the view is unknown
_APART_DEG = 12.0  # starts that are followed
_MODES = 12
_NOISE = 0.12  # of the pixels, as a share of the spread of the radiograph
_TURN_SD, _SHIFT_SD, _FREE = 0.035, 0.06, 3.0  # rad; of the body's size; rad where the view is unknown
_OWN_ATTENUATION = 0.7  # a log ratio beyond which the attenuation is not the usual one
_MIN_EXPLAINED = 0.75  # heads explain 97 % of radiographs of heads, and up to 68 % of one of a hand
_OTHER_DEG = 15.0
_TOLD_NATS = 3.0  # less does not tell a body from its mirror image
USUAL = (0.0, -0.7, -0.8)  # rays of an unknown view run about so: the body is seen from in front or above


@dataclass(frozen=True, eq=False)
class Placed:
    """A radiograph whose detector has its place in canonical space.

    explained: share of its variance that the model explains. margin: nats between the best place and the best
    one that is turned by more than 15 degrees, mirrored ones aside; None where the view is known.
    gain: attenuation per mm that fits best. mirrored: by how many nats the mirrored body from the mirrored
    side is less probable; None where that is the same view, or the place was given.
    """

    radiograph: Radiograph
    explained: float
    margin: float | None
    gain: float
    mirrored: float | None = None

    def provenance(self) -> dict[str, float | None]:
        """For result.json."""
        margin = None if self.margin is None or np.isinf(self.margin) else round(self.margin, 2)
        return {
            "explained": round(self.explained, 4),
            "margin_nats": margin,
            "mirrored_nats": None if self.mirrored is None else round(self.mirrored, 2),
            "gain": round(self.gain, 6),
        }


def place(seen: Radiograph, model: AlignmentModel, frame: np.ndarray, check: Callable[[], None]) -> Placed:
    """Find the place of a radiograph that is in the space of its own detector.

    Args:
        seen: as `RadiographSpec.read` gives it.
        model: of the prior.
        frame: 4x4 patient to canonical, RAS mm.
        check: called between steps; raise from it to cancel.

    Raises:
        InputError: it does not show the model's anatomy, or its view is neither a known word nor a file.
    """
    fine = _Search(seen, model, 1)
    if seen.view in (*VIEWS, UNKNOWN, None):
        pose, margin, mirrored = _found(seen, model, fine, check)
    else:
        pose, margin, mirrored = frame @ read_affine(str(seen.view)), None, None
    gain, explained = fine.fit(pose)
    if explained < _MIN_EXPLAINED:
        raise InputError(
            f"{seen.name}: does not look like a radiograph of the {model.name}: it explains "
            f"{100 * max(explained, 0):.0f}% of it (at least {100 * _MIN_EXPLAINED:.0f}% expected); check "
            "anatomy, view, pixel size and whether grey values are inverted."
        )
    usual = CHI / fine.side_mm
    known = seen.attenuation_per_mm or (usual if abs(np.log(gain / usual)) < _OWN_ATTENUATION else gain)
    placed = replace(seen.transformed(pose), attenuation_per_mm=known)
    return Placed(placed, explained, margin, gain, mirrored)


def _found(
    seen: Radiograph, model: AlignmentModel, fine: _Search, check: Callable[[], None]
) -> tuple[np.ndarray, float | None, float | None]:
    """4x4 pose from the detector's space to canonical, and by how many nats no other direction is better.

    A named view is only adjusted; which side is up comes from the picture. Of a body whose sides mirror each
    other, the mirrored body shows the same from the mirrored side. The last number says by how many nats it
    is worse; where the evidence tells neither, the view is taken that is nearer to the named one, or from in
    front or above.
    """
    view = seen.view or UNKNOWN
    free = view == UNKNOWN
    if free:
        turn, shift, margin = _followed(_Search(seen, model, 0), check)
    else:
        turn, shift, margin = fine.nearest(_starts(view), 1), torch.zeros(1, 3), None
    turn, shift, _ = fine.refined(turn, shift, free, check)
    best, moved, ahead = _of_two_sides(turn[0], shift[0], fine, VIEWS.get(view, USUAL))
    return fine.pose(best, moved), margin, ahead


def _followed(rough: _Search, check: Callable[[], None]) -> tuple[torch.Tensor, torch.Tensor, float]:
    """The best of all directions: turns (B, 3, 3), shifts (B, 3) mm, and the margin of the first."""
    many, few = _FOLLOWED
    start = rough.nearest(_starts(UNKNOWN), many)
    turn, shift, score = rough.refined(start, torch.zeros(len(start), 3), True, check)
    same = torch.stack([turn[0, :, 2], _mirrored(turn[0])[:, 2]])
    apart = torch.rad2deg(torch.arccos((turn[:, :, 2] @ same.T).abs().amax(1).clamp(max=1))) > _OTHER_DEG
    margin = float(score[0] - score[apart].max()) if bool(apart.any()) else float("inf")
    return turn[:few], shift[:few], margin


def _of_two_sides(
    turn: torch.Tensor, shift: torch.Tensor, fine: _Search, towards: tuple[float, ...]
) -> tuple[torch.Tensor, torch.Tensor, float | None]:
    """A turn (3, 3) and shift (3,), or those from which the mirrored body looks the same.

    Of two that the evidence does not tell apart, the one whose rays run more along `towards`; and by how many
    nats the other one is less probable, None where it is hardly another view.
    """
    other, moved = _mirrored(turn), shift * torch.tensor([-1.0, 1, 1])
    if torch.rad2deg(torch.arccos((turn[:, 2] @ other[:, 2]).clamp(-1, 1))) < _OTHER_DEG:
        return turn, shift, None
    ahead = fine.evidence(turn, shift) - fine.evidence(other, moved)
    nearer = (other[:, 2] - turn[:, 2]) @ torch.tensor(towards)
    is_other = bool(nearer > 0) if abs(ahead) < _TOLD_NATS else ahead < 0
    return (other, moved, -ahead) if is_other else (turn, shift, ahead)


def _mirrored(turn: torch.Tensor) -> torch.Tensor:
    """The turn (3, 3) from which a body shows the same as its mirror image does from `turn`."""
    return turn * torch.tensor([-1.0, 1, 1])[:, None] * torch.tensor([1.0, 1, -1])


def _starts(view: str) -> torch.Tensor:
    """Turns (B, 3, 3) from the detector's axes (columns, rows, rays) to canonical ones."""
    half = half_directions(_DIRECTIONS) if view == UNKNOWN else np.array([VIEWS[view]])
    count = _ROLLS if view == UNKNOWN else _QUARTERS
    rolls = [2 * np.pi * n / count for n in range(count)]
    both = itertools.product(np.concatenate([half, -half]), rolls)
    starts = [rolled(view_axes(direction), roll).T for direction, roll in both]
    return torch.as_tensor(np.stack(starts), dtype=torch.float32)


class _Search:
    """A radiograph on few pixels, compared with the model from any direction."""

    def __init__(self, seen: Radiograph, model: AlignmentModel, level: int):
        size = float(seen.plane.spacing_ij.max())
        self._seen = seen.no_finer(max(size, size * max(seen.plane.shape_ji) / _PIXELS[level]))
        self._level, self._depths = level, _DEPTHS[level]
        self._values = torch.as_tensor(self._seen.values[self._seen.kept_pixels])
        corners = model.grid.corners_ras()
        self.side_mm = float(np.ptp(corners, axis=0).max() + model.grid.spacing_ijk.max())
        self._middle = torch.as_tensor((corners[0] + corners[-1]) / 2, dtype=torch.float32)
        self._size = model.size
        maps = torch.cat([model.maps[:1], model.maps[2 + len(model.knots) - 1 :][:_MODES]])
        pixel = float(self._seen.plane.spacing_ij.max())
        block = max(1, int(pixel / float(model.grid.spacing_ijk.max()) + 1e-6))  # as smooth as the pixels
        self._maps = avg_pool3d(maps, block, ceil_mode=True)
        unit = torch.as_tensor(model.grid.ras_to_ijk, dtype=torch.float32)
        scale = 2 / (torch.tensor(self._maps.shape[:0:-1]) - 1) / block
        self._unit = unit[:3, :3] * scale[:, None], (unit[:3, 3] - (block - 1) / 2) * scale - 1
        self._points, self._lengths = self._rays()

    def _rays(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Points (steps, n, 3) around the body in the detector's space, and the length of a step per ray."""
        pixels = self._seen.plane.points_ras()[self._seen.kept_pixels.ravel()]
        half, middle = 0.87 * self.side_mm, -self._seen.body_distance_mm
        depth = middle + half * (2 * (np.arange(self._depths) + 0.5) / self._depths - 1)
        direction = np.tile([0.0, 0.0, 1.0], (len(pixels), 1))
        if self._seen.source_ras is not None:
            direction = pixels - self._seen.source_ras
            direction /= direction[:, 2:]
        points = pixels + depth[:, None, None] * direction
        lengths = np.linalg.norm(direction, axis=1) * 2 * half / self._depths
        points[..., 2] -= middle  # turned about the middle of the body
        return torch.as_tensor(points, dtype=torch.float32), torch.as_tensor(lengths, dtype=torch.float32)

    def _shown(self, turn: torch.Tensor, shift: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """Integrals (B, maps, n) of maps from poses: turns (B, 3, 3), shifts (B, 3) mm in canonical space."""
        flat = self._points.reshape(-1, 3)
        at = flat @ turn.transpose(1, 2) + (shift + self._middle)[:, None]
        matrix, offset = self._unit
        grid = (at @ matrix.T + offset)[:, None, None]
        sampled = grid_sample(maps.expand(len(turn), *maps.shape), grid, align_corners=True)
        steps, count = self._points.shape[:2]
        return sampled.reshape(len(turn), len(maps), steps, count).sum(2) * self._lengths

    def _evidence(self, shown: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Log evidence (B,), explained share (B,), gain (B,) of what maps show, (B, maps, n)."""
        y, mean, modes = self._values, shown[:, 0], shown[:, 1:]
        gain = ((mean @ y) / (mean**2).sum(1).clamp(min=1e-9)).clamp(min=1e-6)
        noise = _NOISE * y.std()
        for _ in range(2):
            a = gain[:, None, None] * modes / noise
            rest = (y - gain[:, None] * mean) / noise
            m = torch.eye(a.shape[1]) + a @ a.transpose(1, 2)
            z = torch.linalg.solve(m, (a @ rest[..., None]))[..., 0]
            fitted = mean + torch.einsum("bm,bmn->bn", z, modes)
            gain = ((fitted @ y) / (fitted**2).sum(1).clamp(min=1e-9)).clamp(min=1e-6).detach()
        misfit = ((y - gain[:, None] * fitted) ** 2).sum(1) / noise**2 + (z**2).sum(1)
        explained = 1 - ((y - gain[:, None] * fitted) ** 2).sum(1) / ((y - y.mean()) ** 2).sum()
        # neighbouring pixels err alike: so many independent ones
        share = min(1.0, 150 / len(y))
        return -0.5 * share * misfit, explained, gain

    def nearest(self, turns: torch.Tensor, many: int) -> torch.Tensor:
        """At most `many` of some turns (B, 3, 3) that are apart, mirrored ones aside.

        Those from which the mean looks most like the radiograph, and of them the most probable ones.
        """
        with torch.no_grad():
            shown = torch.cat([self._from(part, self._maps[:1]) for part in turns.split(60)])[:, 0]
            values = self._values - self._values.mean()
            alike = (shown - shown.mean(1, keepdim=True)) @ values / shown.std(1).clamp(min=1e-9)
            turns = turns[alike.topk(min(_COMPARED, len(turns))).indices]
            score = torch.cat([self._evidence(self._from(t, self._maps))[0] for t in turns.split(20)])
        left = turns[score.argsort(descending=True)]
        taken: list[torch.Tensor] = []
        while len(left) and len(taken) < many:
            taken.append(left[0])
            both = torch.stack([left[0], _mirrored(left[0])])
            cosine = (torch.einsum("bij,nij->bn", both, left).amax(0) - 1) / 2
            left = left[cosine < np.cos(np.deg2rad(_APART_DEG))]
        return torch.stack(taken)

    def _from(self, turns: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """What maps show from turns (B, 3, 3) about the middle, (B, maps, n)."""
        return self._shown(turns, turns.new_zeros(len(turns), 3), maps)

    def refined(
        self, turn: torch.Tensor, shift: torch.Tensor, free: bool, check: Callable[[], None]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Turns (B, 3, 3), shifts (B, 3) mm and log evidence (B,) after some steps uphill, best first."""
        theta = torch.cat([torch.zeros(len(turn), 3), shift / self._size], 1).requires_grad_()
        steps, pace = _STEPS[self._level], _PACE[self._level]
        adam = Adam([theta], lr=pace, betas=(0.8, 0.95))
        for step in range(steps):
            check()
            if self._level:  # what is found is not to lie half a step beside the best place
                adam.param_groups[0]["lr"] = pace * (1 - step / steps)
            adam.zero_grad()
            (-self._score(turn, theta, free)).sum().backward()
            adam.step()
        with torch.no_grad():
            score = self._score(turn, theta, free)
            order = score.argsort(descending=True)
            turned, moved = self._pose(turn, theta)
        return turned[order], moved[order], score[order]

    def pose(self, turn: torch.Tensor, shift: torch.Tensor) -> np.ndarray:
        """4x4 from the detector's space to canonical, of a turn (3, 3) and a shift (3,) mm."""
        u, _, vt = np.linalg.svd(turn.double().numpy())
        pose = np.eye(4)
        pose[:3, :3] = u @ vt
        lift = np.array([0.0, 0.0, self._seen.body_distance_mm])
        pose[:3, 3] = self._middle.numpy() + shift.double().numpy() + pose[:3, :3] @ lift
        return pose

    def _score(self, start: torch.Tensor, theta: torch.Tensor, free: bool) -> torch.Tensor:
        turn, shift = self._pose(start, theta)
        found = self._evidence(self._shown(turn, shift, self._maps))[0]
        sd = _FREE if free else _TURN_SD
        return found - 0.5 * ((theta[:, :3] / sd) ** 2 + (theta[:, 3:] / _SHIFT_SD) ** 2).sum(1)

    def _pose(self, start: torch.Tensor, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turns (B, 3, 3), and shifts (B, 3) mm: theta is a rotation vector (rad) and shares of the size."""
        return rotation_matrices(theta[:, :3]) @ start, theta[:, 3:] * self._size

    def evidence(self, turn: torch.Tensor, shift: torch.Tensor) -> float:
        """Log evidence at a turn (3, 3) and a shift (3,) mm, nats."""
        with torch.no_grad():
            return float(self._evidence(self._shown(turn[None], shift[None], self._maps))[0][0])

    def fit(self, pose: np.ndarray) -> tuple[float, float]:
        """Gain (attenuation per mm) and explained share at a pose from the detector's space to canonical."""
        turn = torch.as_tensor(pose[:3, :3], dtype=torch.float32)[None]
        middle = pose[:3, :3] @ [0.0, 0.0, -self._seen.body_distance_mm] + pose[:3, 3]
        shift = torch.as_tensor(middle, dtype=torch.float32)[None] - self._middle
        with torch.no_grad():
            _, explained, gain = self._evidence(self._shown(turn, shift, self._maps))
        return float(gain[0]), float(explained[0])
