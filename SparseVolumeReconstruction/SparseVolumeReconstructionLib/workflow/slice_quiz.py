"""The question "Where is this slice?".

A slice of the patient is shown, the student puts a view where it lies in the normative anatomy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..geometry import Grid, InputError, Volume
from ..mrml import views
from ..mrml.contexts import slices_of
from ..mrml.i18n import _
from ..mrml.nodes import volume_of
from ..mrml.reslice import read_plane
from .distance import Miss, miss

_PIXELS, _SIZE_MM = 240, 216.0
_CONTENT = 0.25  # a slice is asked for where it shows at least this share of what the fullest one shows
_CANDIDATES = 40
_MAX_VOXELS = 60_000  # of a dense volume that are looked at in order to choose a slice


@dataclass(frozen=True, eq=False)
class Question:
    """A slice whose place is asked for.

    Attributes:
        picture: (rows, columns) uint8, as the view of that name shows it.
        plane: 4x4 SliceToRAS (mm) of the slice, the answer.
        volume: the node from which the slice was cut.
        corners: (n, 3) RAS mm of the picture.
    """

    view: str
    picture: np.ndarray
    plane: np.ndarray
    corners: np.ndarray
    volume: Any


@dataclass(frozen=True, eq=False)
class Verdict:
    """How near a guess is to the slice that was asked for.

    Attributes:
        question: what was asked.
        guess: 4x4 SliceToRAS (mm) where the view stood.
        gave_up: no guess was made, so none is judged.
    """

    question: Question
    guess: np.ndarray
    miss: Miss
    gave_up: bool = False


class SliceQuiz:
    """Asks, judges, and keeps the score.

    Args:
        seed: for the same questions again.
    """

    def __init__(self, seed: int | None = None):
        self._random = np.random.default_rng(seed)
        self.question: Question | None = None
        self.verdicts: list[Verdict] = []

    def ask(self, volume) -> Question:
        """Draw a slice of a volume node.

        An acquired one of a sparse volume, else any that the views could show. Raises InputError.
        """
        planes = acquired_planes(volume) or _anywhere(volume)
        if not planes:
            raise InputError(_("{name}: no slice of it shows anything.").format(name=volume.GetName()))
        view, plane = planes[int(self._random.integers(len(planes)))]
        return self.pose(volume, plane, view)

    def pose(self, volume, plane: np.ndarray, view: str) -> Question:
        """Ask for the slice of a volume node on a plane, to be placed in the view of a name.

        Args:
            volume: the volume node.
            plane: 4x4 SliceToRAS, mm; its origin is the middle of the picture.
            view: name of a slice view that is there.
        """
        grid = picture_grid(views.plane_of(views.slice_node(view)), plane)
        self.question = Question(view, picture_of(volume, grid), plane, grid.corners_ras(), volume)
        return self.question

    def answer(self) -> Verdict:
        """Judge where the view stands now.

        Raises:
            InputError: where nothing was asked.
        """
        return self._end(gave_up=False)

    def give_up(self) -> Verdict:
        """The answer without a guess; it does not count.

        Raises:
            InputError: where nothing was asked.
        """
        return self._end(gave_up=True)

    @property
    def mean_mm(self) -> float | None:
        """Mean distance of all guesses in mm; None before the first."""
        made = [verdict.miss.distance_mm for verdict in self.verdicts if not verdict.gave_up]
        return float(np.mean(made)) if made else None

    def _end(self, gave_up: bool) -> Verdict:
        if self.question is None:
            raise InputError(_("ask for a slice first."))
        question, self.question = self.question, None
        guess = views.plane_of(views.slice_node(question.view))
        self.verdicts.append(
            Verdict(question, guess, miss(question.corners, question.plane[:3, 2], guess), gave_up)
        )
        return self.verdicts[-1]


def acquired_planes(volume) -> list[tuple[str, np.ndarray]]:
    """View and plane (4x4 SliceToRAS, mm) of the slices of a sparse volume node; none for a dense one."""
    grid = volume_of(volume).grid
    if grid.spacing_ijk[2] < 2.2 * grid.spacing_ijk[:2].max():
        return []
    return [(views.nearest_view(plane[:3, 2]), _through(grid, plane)) for plane in slices_of(volume)]


def _anywhere(volume) -> list[tuple[str, np.ndarray]]:
    """View and plane of slices through a dense volume that show enough, in the orientations of the views."""
    whole = volume_of(volume)
    found = []
    points, values = _some_voxels(whole)
    for name in ("Red", "Green", "Yellow"):
        axes = views.plane_of(views.slice_node(name))
        heights, ends = points @ axes[:3, 2], whole.grid.corners_ras() @ axes[:3, 2]
        shown, edges = np.histogram(heights, _CANDIDATES, (ends.min(), ends.max()), weights=values)
        for offset, amount in zip((edges[1:] + edges[:-1]) / 2, shown, strict=True):
            if amount > _CONTENT * shown.max() > 0:
                plane = axes.copy()
                plane[:3, 3] = plane[:3, 2] * offset
                found.append((name, _through(whole.grid, plane)))
    return found


def _some_voxels(whole: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 3) in RAS mm and values (n,) of voxels all over a volume.

    Few enough for a choice to take milliseconds.
    """
    step = max(int(np.ceil((whole.grid.size / _MAX_VOXELS) ** (1 / 3))), 1)
    kji = np.stack(
        np.meshgrid(*(np.arange(n)[step // 2 :: step] for n in whole.array.shape), indexing="ij"), -1
    ).reshape(-1, 3)
    values = whole.array[tuple(kji.T)].astype(np.float32)
    return kji[:, ::-1] @ whole.grid.ijk_to_ras[:3, :3].T + whole.grid.ijk_to_ras[:3, 3], np.clip(
        values, 0, None
    )


def _through(grid: Grid, plane: np.ndarray) -> np.ndarray:
    """The same plane (4x4), its origin where the middle of a volume's grid falls on it (mm)."""
    centred, middle = plane.copy(), grid.corners_ras().mean(0)
    centred[:3, 3] = middle + plane[:3, 2] * (plane[:3, 2] @ (plane[:3, 3] - middle))
    return centred


def picture_grid(view: np.ndarray, plane: np.ndarray) -> Grid:
    """A square of pixel centres on a plane as a view (both 4x4, mm) shows it.

    Args:
        view: SliceToRAS of the view; columns run to its right, rows downwards.
        plane: SliceToRAS; its origin is the middle of the square.

    Returns:
        One slice of 240 x 240 pixels, 216 mm wide.
    """
    normal = plane[:3, 2] * (np.sign(plane[:3, 2] @ view[:3, 2]) or 1.0)
    right = view[:3, 0] - (view[:3, 0] @ normal) * normal
    right /= np.linalg.norm(right)
    down = np.cross(normal, right)
    down *= -np.sign(down @ view[:3, 1]) or 1.0
    step = _SIZE_MM / _PIXELS
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([right * step, down * step, normal], 1)
    matrix[:3, 3] = plane[:3, 3] - (right + down) * step * (_PIXELS - 1) / 2
    return Grid((1, _PIXELS, _PIXELS), matrix)


def picture_of(volume, grid: Grid, most: float | None = None) -> np.ndarray:
    """Pixels (rows, columns) of a volume node on a grid of one slice as 0..255.

    Args:
        grid: in world RAS.
        most: value that is white, in the volume's units, where 0 is black; None: the volume's own window.
    """
    pixels, display = read_plane(volume_of(volume), grid), volume.GetDisplayNode()
    if most is not None:
        low = 0.0
        high = most
    else:
        low, high = (
            (display.GetWindowLevelMin(), display.GetWindowLevelMax())
            if display
            else (pixels.min(), pixels.max())
        )
    return np.clip((pixels - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
