"""Where the detector of a radiograph was, by evidence: direction, roll, shift and attenuation.

The radiograph is compared with what a model's mean and its modes of variation would show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch

from ..geometry import InputError
from ..geometry.io import read_affine
from ..observation.projection import CHI, Radiograph
from ..observation.views import VIEWS, half_directions, view_axes
from ..priors.alignment_model import AlignmentModel
from .view_search import ViewSearch, mirrored

UNKNOWN = "unknown"
_DIRECTIONS, _ROLLS = 150, 12  # looked at where the view is unknown
_QUARTERS = 4  # of a named view
_FOLLOWED = 12, 3  # how many of them, where the view is unknown
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
    fine = ViewSearch(seen, model, 1)
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
    seen: Radiograph, model: AlignmentModel, fine: ViewSearch, check: Callable[[], None]
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
        turn, shift, margin = _followed(ViewSearch(seen, model, 0), check)
    else:
        turn, shift, margin = fine.nearest(fine.likest(*_starts(view)), 1), torch.zeros(1, 3), None
    turn, shift, _ = fine.refined(turn, shift, free, check)
    best, moved, ahead = _of_two_sides(turn[0], shift[0], fine, VIEWS.get(view, USUAL))
    return fine.pose(best, moved), margin, ahead


def _followed(rough: ViewSearch, check: Callable[[], None]) -> tuple[torch.Tensor, torch.Tensor, float]:
    """The best of all directions: turns (B, 3, 3), shifts (B, 3) mm, and the margin of the first."""
    many, few = _FOLLOWED
    start = rough.nearest(rough.likest(*_starts(UNKNOWN)), many)
    turn, shift, score = rough.refined(start, torch.zeros(len(start), 3), True, check)
    same = torch.stack([turn[0, :, 2], mirrored(turn[0])[:, 2]])
    apart = torch.rad2deg(torch.arccos((turn[:, :, 2] @ same.T).abs().amax(1).clamp(max=1))) > _OTHER_DEG
    margin = float(score[0] - score[apart].max()) if bool(apart.any()) else float("inf")
    return turn[:few], shift[:few], margin


def _of_two_sides(
    turn: torch.Tensor, shift: torch.Tensor, fine: ViewSearch, towards: tuple[float, ...]
) -> tuple[torch.Tensor, torch.Tensor, float | None]:
    """A turn (3, 3) and shift (3,), or those from which the mirrored body looks the same.

    Of two that the evidence does not tell apart, the one whose rays run more along `towards`; and by how many
    nats the other one is less probable, None where it is hardly another view.
    """
    other, moved = mirrored(turn), shift * torch.tensor([-1.0, 1, 1])
    if torch.rad2deg(torch.arccos((turn[:, 2] @ other[:, 2]).clamp(-1, 1))) < _OTHER_DEG:
        return turn, shift, None
    ahead = fine.evidence(turn, shift) - fine.evidence(other, moved)
    nearer = (other[:, 2] - turn[:, 2]) @ torch.tensor(towards)
    is_other = bool(nearer > 0) if abs(ahead) < _TOLD_NATS else ahead < 0
    return (other, moved, -ahead) if is_other else (turn, shift, ahead)


@cache
def _starts(view: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Turns (B, 3, 3) from the detector's axes (columns, rows, rays) to canonical ones, and rolls, rad."""
    half = half_directions(_DIRECTIONS) if view == UNKNOWN else np.array([VIEWS[view]])
    count = _ROLLS if view == UNKNOWN else _QUARTERS
    axes = np.stack([view_axes(direction).T for direction in np.concatenate([half, -half])])
    return torch.as_tensor(axes, dtype=torch.float32), 2 * np.pi * torch.arange(count) / count
