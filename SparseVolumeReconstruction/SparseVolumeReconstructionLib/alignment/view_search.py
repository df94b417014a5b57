"""The search for the view of a radiograph, on few pixels and with few modes of variation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch.nn.functional import avg_pool3d, embedding_bag, grid_sample, pad

from ..observation.projection import Radiograph
from ..observation.rotations import rotation_matrices
from ..priors.alignment_model import AlignmentModel

_PIXELS, _DEPTHS = (18, 28), (20, 28)  # of the comparison, rough and fine
_STEPS = (10, 8)  # how far poses are followed, rough and fine
_COMPARED = 120  # of all starts, by their modes as well
_APART_DEG = 12.0  # starts that are followed
_MODES = 12
_NOISE = 0.12  # of the pixels, as a share of the spread of the radiograph
_INDEPENDENT = 150  # pixels at most: neighbouring ones err alike
_TURN_SD, _SHIFT_SD, _FREE = 0.035, 0.06, 3.0  # rad; of the body's size; rad where the view is unknown
_DAMPING, _EASIER, _HARDER = 1e-2, 0.2, 10.0  # of a step, and what follows where one succeeds or fails
_TOGETHER = 20  # poses that are looked at at once
_CORNERS = torch.tensor([(k, j, i) for k in (0, 1) for j in (0, 1) for i in (0, 1)])


@dataclass(frozen=True, eq=False)
class _Poses:
    """Poses with what the maps show from them, (B, maps, n), and their log evidence.

    turn: (B, 3, 3). moved: since the start, as rotation vectors in rad, and from the middle, in shares of the
    size, (B, 6).
    """

    turn: torch.Tensor
    moved: torch.Tensor
    shown: torch.Tensor
    score: torch.Tensor

    def better_of(self, other: _Poses) -> tuple[_Poses, torch.Tensor]:
        """Whichever scores more, and where that is the other, (B,) bool."""
        wins = other.score > self.score
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return _Poses(*(torch.where(wins.reshape(-1, *(1,) * (a.ndim - 1)), b, a) for a, b in pairs)), wins


class ViewSearch:
    """A radiograph on few pixels, compared with the model's mean and modes from any direction.

    side_mm: of the model's field, the longest.
    """

    def __init__(self, seen: Radiograph, model: AlignmentModel, level: int):
        """Level: 0 is rough, 1 is fine."""
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
        maps = pad(avg_pool3d(maps, block, ceil_mode=True), (1,) * 6)
        self._voxels = maps.flatten(1).T.contiguous()  # a row each, with a border of zeros
        _, _, rows, columns = maps.shape
        strides = torch.tensor([rows * columns, columns, 1])
        self._strides, self._corners = strides.flip(0).float(), (_CORNERS @ strides).int()
        self._last = torch.tensor(maps.shape[:0:-1]) - 1.0
        unit = torch.as_tensor(model.grid.ras_to_ijk, dtype=torch.float32)
        self._unit = unit[:3, :3] / block, (unit[:3, 3] - (block - 1) / 2) / block + 1
        self._points, self._lengths = self._rays(
            self._seen.plane.points_ras()[self._seen.kept_pixels.ravel()]
        )

    def _rays(self, pixels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Points (n, steps, 3) around the body in the detector's space, and the length of a step per ray."""
        half, middle = 0.87 * self.side_mm, -self._seen.body_distance_mm
        depth = middle + half * (2 * (np.arange(self._depths) + 0.5) / self._depths - 1)
        direction = np.tile([0.0, 0.0, 1.0], (len(pixels), 1))
        if self._seen.source_ras is not None:
            direction = pixels - self._seen.source_ras
            direction /= direction[:, 2:]
        points = pixels[:, None] + depth[:, None] * direction[:, None]
        lengths = np.linalg.norm(direction, axis=1) * 2 * half / self._depths
        points[..., 2] -= middle  # turned about the middle of the body
        return torch.as_tensor(points, dtype=torch.float32), torch.as_tensor(lengths, dtype=torch.float32)

    def _around(
        self, turn: torch.Tensor, shift: torch.Tensor, points: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Where points (n, steps, 3) lie from poses.

        The rows of the 8 voxels around each, (B, n, steps, 8), and how far between them it is along i, j, k,
        (B, n, steps, 3).
        """
        matrix, offset = self._unit
        onto = turn.transpose(1, 2) @ matrix.T
        at = points.reshape(-1, 3) @ onto + ((shift + self._middle) @ matrix.T + offset)[:, None]
        at = torch.minimum(at.clamp_(min=0), self._last)
        low = torch.minimum(at.floor(), self._last - 1)
        rows = (low @ self._strides).int()[..., None] + self._corners
        shape = len(turn), *points.shape[:2]
        return rows.reshape(*shape, 8), (at - low).reshape(*shape, 3)

    def _shown(
        self,
        turn: torch.Tensor,
        shift: torch.Tensor,
        voxels: torch.Tensor,
        rays: tuple[torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        """Integrals (B, maps, n) of voxels (rows, maps) from turns (B, 3, 3) and shifts (B, 3) mm."""
        points, lengths = rays
        parts = []
        for turned, moved in zip(turn.split(_TOGETHER), shift.split(_TOGETHER), strict=True):
            rows, part = self._around(turned, moved, points)
            i, j, k = part.unbind(-1)
            both = [a * b for a in (1 - k, k) for b in (1 - j, j)]
            weights = torch.stack([a * b for a in both for b in (1 - i, i)], -1)
            bags = len(turned) * len(points), -1
            parts.append(
                embedding_bag(
                    rows.reshape(bags), voxels, per_sample_weights=weights.reshape(bags), mode="sum"
                ).reshape(len(turned), len(points), -1)
            )
        return torch.cat(parts).transpose(1, 2) * lengths

    def _explained(
        self, shown: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The latents (B, modes), the gain (B,), what is left (B, n) and the scaled modes (B, modes, n)."""
        y, mean, modes = self._values, shown[:, 0], shown[:, 1:]
        gain = ((mean @ y) / (mean**2).sum(1).clamp(min=1e-9)).clamp(min=1e-6)
        for _ in range(2):
            a = gain[:, None, None] * modes / self._noise
            rest = (y - gain[:, None] * mean) / self._noise
            m = torch.eye(a.shape[1]) + a @ a.transpose(1, 2)
            z = torch.linalg.solve(m, (a @ rest[..., None]))[..., 0]
            fitted = mean + torch.einsum("bm,bmn->bn", z, modes)
            gain = ((fitted @ y) / (fitted**2).sum(1).clamp(min=1e-9)).clamp(min=1e-6)
        return z, gain, y - gain[:, None] * fitted, a

    @property
    def _noise(self) -> float:
        return _NOISE * float(self._values.std())

    @property
    def _share(self) -> float:
        """Of the pixels, those that are independent."""
        return min(1.0, _INDEPENDENT / len(self._values))

    def _evidence(self, shown: torch.Tensor) -> torch.Tensor:
        """Log evidence (B,) of what maps show, (B, maps, n)."""
        z, _, left, _ = self._explained(shown)
        return -0.5 * self._share * ((left**2).sum(1) / self._noise**2 + (z**2).sum(1))

    def likest(self, turns: torch.Tensor, rolls: torch.Tensor) -> torch.Tensor:
        """Of turns (B, 3, 3), each rolled by angles (R,), those whose mean looks most like the radiograph.

        As a roll turns the picture alone, what the mean shows is compared with pictures that are turned.
        """
        pictures, weights = self._rolled(rolls)
        side = max(self._seen.plane.shape_ji)
        at = (np.arange(side) - (side - 1) / 2) * float(self._seen.plane.spacing_ij.max())
        j, i = np.meshgrid(at, at, indexing="ij")
        rays = self._rays(np.column_stack([i.ravel(), j.ravel(), np.zeros(side**2)]))
        shown = self._shown(turns, turns.new_zeros(len(turns), 3), self._voxels[:, :1].contiguous(), rays)[
            :, 0
        ]
        count = weights.sum(1).clamp(min=1e-6)
        middle = (weights * pictures).sum(1) / count
        spread = (weights * (pictures - middle[:, None]) ** 2).sum(1)
        sums = shown @ weights.T
        both = shown @ (weights * pictures).T - sums * middle
        alike = both / ((shown**2 @ weights.T - sums**2 / count) * spread).clamp(min=1e-12).sqrt()
        best = alike.flatten().topk(min(_COMPARED, alike.numel())).indices
        c, s, o = rolls.cos(), rolls.sin(), torch.zeros_like(rolls)
        turned = torch.stack([c, -s, o, s, c, o, o, o, o + 1], 1).reshape(-1, 3, 3)
        return turns[best // len(rolls)] @ turned[best % len(rolls)]

    def _rolled(self, rolls: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The radiograph turned by angles (R,), on a square, and how much each pixel counts, (R, n) each."""
        plane = self._seen.plane
        side = max(plane.shape_ji)
        at = (torch.arange(side) - (side - 1) / 2) * float(plane.spacing_ij.max())
        v, u = torch.meshgrid(at, at, indexing="ij")
        c, s = rolls.cos()[:, None, None], rolls.sin()[:, None, None]
        to_ij = torch.as_tensor(np.linalg.inv(plane.ij_to_ras), dtype=torch.float32)
        places = torch.stack([u * c + v * s, v * c - u * s], -1) @ to_ij[:2, :2].T + to_ij[:2, 3]
        places = (2 * places + 1) / torch.tensor(plane.shape_ji[::-1]) - 1
        valid = torch.as_tensor(self._seen.kept_pixels).float()
        image = torch.stack([torch.as_tensor(self._seen.values) * valid, valid])
        found = grid_sample(image.expand(len(rolls), *image.shape), places, align_corners=False)
        values, weights = found.flatten(2).unbind(1)
        return values / weights.clamp(min=1e-6), weights

    def nearest(self, turns: torch.Tensor, many: int) -> torch.Tensor:
        """At most `many` of some turns (B, 3, 3), the likest ones that are apart, mirrored ones aside."""
        score = self._evidence(self._shown(turns, turns.new_zeros(len(turns), 3), self._voxels, self._own))
        left = turns[score.argsort(descending=True)]
        taken: list[torch.Tensor] = []
        while len(left) and len(taken) < many:
            taken.append(left[0])
            both = torch.stack([left[0], mirrored(left[0])])
            cosine = (torch.einsum("bij,nij->bn", both, left).amax(0) - 1) / 2
            left = left[cosine < np.cos(np.deg2rad(_APART_DEG))]
        return torch.stack(taken)

    @property
    def _own(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self._points, self._lengths

    def refined(
        self, turn: torch.Tensor, shift: torch.Tensor, free: bool, check: Callable[[], None]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Turns (B, 3, 3), shifts (B, 3) mm and log evidence (B,) after some steps uphill, best first.

        Steps are those of Levenberg and Marquardt, with the modes as unknowns that are solved for (variable
        projection: Golub and Pereyra, SIAM J. Numer. Anal. 1973). Where the view is not free, a body that is
        explained badly from there is no reason to leave it.
        """
        sd = turn.new_tensor([_FREE if free else _TURN_SD] * 3 + [_SHIFT_SD] * 3)
        moved = torch.cat([torch.zeros(len(turn), 3), shift / self._size], 1)
        trust = torch.ones(len(turn)) if free else self._trusted(turn, shift)
        best = self._poses(turn, moved, sd, trust)
        damping = turn.new_full((len(turn),), _DAMPING)
        for _ in range(_STEPS[self._level]):
            check()
            slope, curve = self._uphill(best, sd, trust)
            damped = curve + damping[:, None, None] * torch.diag_embed(curve.diagonal(dim1=1, dim2=2))
            step = torch.linalg.solve(damped, slope)
            tried = self._poses(rotation_matrices(step[:, :3]) @ best.turn, best.moved + step, sd, trust)
            best, wins = best.better_of(tried)
            damping = damping * torch.where(wins, _EASIER, _HARDER)
        order = best.score.argsort(descending=True)
        return best.turn[order], best.moved[order, 3:] * self._size, best.score[order]

    def _trusted(self, turn: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        """How much the evidence counts, (B,) in 0..1: less where poses leave more than the noise."""
        _, _, left, _ = self._explained(self._shown(turn, shift, self._voxels, self._own))
        return 1 / ((left / self._noise) ** 2).mean(1).clamp(min=1)

    def _poses(
        self, turn: torch.Tensor, moved: torch.Tensor, sd: torch.Tensor, trust: torch.Tensor
    ) -> _Poses:
        shown = self._shown(turn, moved[:, 3:] * self._size, self._voxels, self._own)
        return _Poses(turn, moved, shown, trust * self._evidence(shown) - 0.5 * ((moved / sd) ** 2).sum(1))

    def _uphill(self, at: _Poses, sd: torch.Tensor, trust: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The gradient of the score, (B, 6), and about its negative curvature, (B, 6, 6)."""
        z, gain, left, a = self._explained(at.shown)
        fitted = torch.cat([torch.ones(len(z), 1), z], 1) @ self._voxels.T
        rows, part = self._around(at.turn, at.moved[:, 3:] * self._size, self._points)
        value = fitted.gather(1, rows.flatten(1).long()).reshape(*rows.shape[:-1], 2, 2, 2)
        i, j, k = part.unbind(-1)
        by_i = value[..., 1] - value[..., 0]
        value = torch.lerp(value[..., 0], value[..., 1], i[..., None, None])
        by_i = torch.lerp(by_i[..., 0], by_i[..., 1], j[..., None])
        by_j = value[..., 1] - value[..., 0]
        value = torch.lerp(value[..., 0], value[..., 1], j[..., None])
        by_k = value[..., 1] - value[..., 0]
        by_i, by_j = (torch.lerp(b[..., 0], b[..., 1], k) for b in (by_i, by_j))
        slope = torch.stack([by_i, by_j, by_k], -1) @ self._unit[0]
        arm = self._points @ at.turn.transpose(1, 2)[:, None]
        moves = torch.cat([torch.linalg.cross(arm, slope), self._size * slope], -1).sum(2)
        moves = moves * (self._lengths[:, None] * gain[:, None, None] / self._noise)
        known = a.transpose(1, 2) @ torch.linalg.solve(
            torch.eye(a.shape[1]) + a @ a.transpose(1, 2), a @ moves
        )
        gradient = torch.einsum("bn,bnm->bm", left / self._noise, moves)
        curve = moves.transpose(1, 2) @ (moves - known)
        counts = (self._share * trust)[:, None]
        return counts * gradient - at.moved / sd**2, counts[..., None] * curve + torch.diag(1 / sd**2)

    def pose(self, turn: torch.Tensor, shift: torch.Tensor) -> np.ndarray:
        """4x4 from the detector's space to canonical, of a turn (3, 3) and a shift (3,) mm."""
        u, _, vt = np.linalg.svd(turn.double().numpy())
        pose = np.eye(4)
        pose[:3, :3] = u @ vt
        lift = np.array([0.0, 0.0, self._seen.body_distance_mm])
        pose[:3, 3] = self._middle.numpy() + shift.double().numpy() + pose[:3, :3] @ lift
        return pose

    def evidence(self, turn: torch.Tensor, shift: torch.Tensor) -> float:
        """Log evidence at a turn (3, 3) and a shift (3,) mm, nats."""
        return float(self._evidence(self._shown(turn[None], shift[None], self._voxels, self._own))[0])

    def fit(self, pose: np.ndarray) -> tuple[float, float]:
        """Gain (attenuation per mm) and explained share at a pose from the detector's space to canonical."""
        turn = torch.as_tensor(pose[:3, :3], dtype=torch.float32)[None]
        middle = pose[:3, :3] @ [0.0, 0.0, -self._seen.body_distance_mm] + pose[:3, 3]
        shift = torch.as_tensor(middle, dtype=torch.float32)[None] - self._middle
        _, gain, left, _ = self._explained(self._shown(turn, shift, self._voxels, self._own))
        spread = ((self._values - self._values.mean()) ** 2).sum()
        return float(gain[0]), float(1 - (left[0] ** 2).sum() / spread)


def mirrored(turn: torch.Tensor) -> torch.Tensor:
    """The turn (3, 3) from which a body shows the same as its mirror image does from `turn`."""
    return turn * torch.tensor([-1.0, 1, 1])[:, None] * torch.tensor([1.0, 1, -1])
