"""How near views of radiographs are found by evidence: unknown ones, and those that are only named."""

from __future__ import annotations

import numpy as np

from ..alignment.radiographs import UNKNOWN, USUAL, place
from ..geometry import InputError, Volume
from ..observation.rays import radiograph_of, unplaced
from ..observation.views import VIEWS
from ..priors.base import Prior
from ..progress import Progress
from ..training.calibration import RADIOGRAPH_NOISE
from .findings import Table

_EACH = 3  # unknown views of every head
_NEAR_DEG = 10.0


def found_views(prior: Prior, heads: dict[str, np.ndarray], progress: Progress) -> Table:
    """Angles between the rays that were found and the true ones.

    Args:
        prior: finds the views.
        heads: (K, J, I) on its grid, by name.
        progress: told of each head, asked whether to stop.
    """
    off: dict[str, list[float]] = {UNKNOWN: [], "named": []}
    for number, (name, head) in enumerate(heads.items()):
        progress.update(f"{name}, views", number / len(heads))
        random = np.random.default_rng(number)
        drawn = random.normal(size=(_EACH, 3))
        for direction in drawn * np.sign(drawn @ USUAL)[:, None]:
            off[UNKNOWN].append(angle_found(prior, head, UNKNOWN, direction, random.uniform(0, 2 * np.pi)))
        for view, along in VIEWS.items():
            off["named"].append(angle_found(prior, head, view, np.array(along), 0.0))
    rows: list[list] = [
        [words, len(each), float(np.mean(np.array(each) < _NEAR_DEG)), float(np.median(each)), max(each)]
        for words, each in off.items()
    ]
    return Table(
        "Views found by evidence",
        ["view", "radiographs", "within 10 degrees", "median angle, degrees", "largest"],
        rows,
        "Unknown: from random directions in front or above, turned in their plane. Heads are nearly "
        "symmetric: the mirrored head seen from the mirrored side shows the same, and one radiograph cannot "
        "tell which; of the two the view from in front or above is taken. Named: front, side and top.",
    )


def angle_found(prior: Prior, head: np.ndarray, view: str, direction: np.ndarray, roll: float) -> float:
    """Degrees between the rays that were found and `direction`; 180 where the radiograph was refused.

    Args:
        prior: finds the view.
        head: (K, J, I) on its grid.
        view: what is said of it.
        direction: of the rays, (3,).
        roll: of the detector in its plane, rad.
    """
    grid = prior.grid
    seen = radiograph_of(Volume(head, grid), direction, max(grid.shape_kji), RADIOGRAPH_NOISE, roll)
    try:
        found = place(
            unplaced(seen, view), prior.alignment_model(), np.eye(4), lambda: None
        ).radiograph.plane.normal
    except InputError:
        return 180.0
    cosine = found @ direction / np.linalg.norm(direction)
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))
