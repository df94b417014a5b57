""" "Where is this slice?": a slice of the patient is shown, the student puts a view where it lies in the normative anatomy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...geometry import Grid, InputError
from ...geometry.resample import resample
from .. import views
from ..contexts import slices_of
from ..i18n import _
from ..nodes import volume_of

_PIXELS, _SIZE_MM = 160, 240.0
_CONTENT = 0.25  # a slice is asked for where it shows at least this share of what the fullest one shows
_CANDIDATES = 40


@dataclass(frozen=True, eq=False)
class Question:
    """picture: (rows, columns) uint8, as the view of that name shows it. plane: 4x4 SliceToRAS (mm) of the slice, the answer."""

    view: str
    picture: np.ndarray
    plane: np.ndarray
    corners: np.ndarray


@dataclass(frozen=True)
class Verdict:
    """distance_mm: mean distance of the slice's corners from the plane of the view."""

    distance_mm: float


class SliceQuiz:
    """Asks, judges, and keeps the score. seed: for the same questions again."""

    def __init__(self, seed: int | None = None):
        self._random = np.random.default_rng(seed)
        self.question: Question | None = None
        self.verdicts: list[Verdict] = []

    def ask(self, volume) -> Question:
        """Draw a slice of a volume node: an acquired one of a sparse volume, else any that the views could show. Raises InputError."""
        planes = self._acquired(volume) or self._anywhere(volume)
        if not planes:
            raise InputError(_("{name}: no slice of it shows anything.").format(name=volume.GetName()))
        view, plane = planes[int(self._random.integers(len(planes)))]
        grid = _picture_grid(views.plane_of(views.slice_node(view)), plane)
        self.question = Question(view, _grey(resample(volume_of(volume), grid).array[0], volume), plane, grid.corners_ras())
        return self.question

    def answer(self) -> Verdict:
        """Judge where the view stands now, then let it show the slice. Raises InputError where nothing was asked."""
        if self.question is None:
            raise InputError(_("ask for a slice first."))
        question, self.question = self.question, None
        guess = views.plane_of(views.slice_node(question.view))
        self.verdicts.append(Verdict(distance_mm(question.corners, guess)))
        views.face(views.slice_node(question.view), question.plane)
        return self.verdicts[-1]

    def give_up(self) -> None:
        """Take the question back."""
        self.question = None

    @property
    def mean_mm(self) -> float | None:
        """Mean distance of all answers in mm; None before the first."""
        return float(np.mean([verdict.distance_mm for verdict in self.verdicts])) if self.verdicts else None

    @staticmethod
    def _acquired(volume) -> list[tuple[str, np.ndarray]]:
        """View and plane of the slices of a sparse volume; none for a dense one."""
        grid = volume_of(volume).grid
        if grid.spacing_ijk[2] < 2.2 * grid.spacing_ijk[:2].max():
            return []
        return [(views.nearest_view(plane[:3, 2]), _through(grid, plane)) for plane in slices_of(volume)]

    @staticmethod
    def _anywhere(volume) -> list[tuple[str, np.ndarray]]:
        """View and plane of slices through a dense volume that show enough, in the orientations of the views."""
        whole, found = volume_of(volume), []
        corners = whole.grid.corners_ras()
        for name in ("Red", "Green", "Yellow"):
            axes = views.plane_of(views.slice_node(name))
            low, high = (corners @ axes[:3, 2]).min(), (corners @ axes[:3, 2]).max()
            planes = []
            for offset in np.linspace(low, high, _CANDIDATES + 2)[1:-1]:
                plane = axes.copy()
                plane[:3, 3] = plane[:3, 2] * offset
                plane = _through(whole.grid, plane)
                shown = resample(whole, _picture_grid(axes, plane, pixels=24)).array
                planes.append((float(shown.sum()), plane))
            fullest = max(amount for amount, _plane in planes)
            found += [(name, plane) for amount, plane in planes if amount > _CONTENT * fullest > 0]
        return found


def distance_mm(corners: np.ndarray, plane: np.ndarray) -> float:
    """Mean distance in mm of points (n, 3), the corners of a slice, from a plane (4x4 SliceToRAS)."""
    return float(np.abs((corners - plane[:3, 3]) @ plane[:3, 2]).mean())


def _through(grid: Grid, plane: np.ndarray) -> np.ndarray:
    """The same plane (4x4), its origin where the middle of a volume's grid falls on it (mm)."""
    centred, middle = plane.copy(), grid.corners_ras().mean(0)
    centred[:3, 3] = middle + plane[:3, 2] * (plane[:3, 2] @ (plane[:3, 3] - middle))
    return centred


def _picture_grid(view: np.ndarray, plane: np.ndarray, pixels: int = _PIXELS) -> Grid:
    """A square of pixel centres on a plane as a view shows it: columns to the view's right, rows downwards."""
    normal = plane[:3, 2] * (np.sign(plane[:3, 2] @ view[:3, 2]) or 1.0)
    right = view[:3, 0] - (view[:3, 0] @ normal) * normal
    right /= np.linalg.norm(right)
    down = np.cross(normal, right)
    down *= -np.sign(down @ view[:3, 1]) or 1.0
    step, matrix = _SIZE_MM / pixels, np.eye(4)
    matrix[:3, :3] = np.stack([right * step, down * step, normal], 1)
    matrix[:3, 3] = plane[:3, 3] - (right + down) * step * (pixels - 1) / 2
    return Grid((1, pixels, pixels), matrix)


def _grey(array: np.ndarray, volume) -> np.ndarray:
    """Values (rows, columns) as 0..255, in the window and level of the volume's display."""
    display = volume.GetDisplayNode()
    low, high = (display.GetWindowLevelMin(), display.GetWindowLevelMax()) if display else (array.min(), array.max())
    return np.clip((array - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
