"""A student plans slices of a hidden patient on a scout, scans them, and is told how good the plan was."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from ..geometry import Grid, InputError, Volume
from ..mrml import views
from ..mrml.i18n import _
from ..mrml.logic import Context
from ..mrml.nodes import add_volume, volume_of, world_grid
from ..mrml.planes import PlanScore, orientation_of, place_words
from ..mrml.reslice import plane_grid, read_plane
from .class_scores import Plan
from .landmarks import landmarks, near_words
from .lesson import LessonPlane, PlanSlices, plane_through
from .slice_quiz import acquired_planes, picture_grid, picture_of

if TYPE_CHECKING:
    from .lesson_run import LessonRun

SCOUTS = (("sagittal", "Yellow"), ("coronal", "Green"), ("axial", "Red"))  # the axes of RAS in their order
_SCOUT_PIXELS, _SCOUT_NOISE = 2.5, 9.0  # blur (standard deviation) and noise, of 255, of a quick picture
_LINE_MM, _REACH_MM = 100.0, 100.0
_PARALLEL = 0.97  # cosine; a plane that lies so in a scout is no line there
_SHOWN_MM = 6.0  # names are shown of structures so near to a scout


@dataclass(frozen=True, eq=False)
class PlaneInHand:
    """The plane that is being planned: a point on it and its normal, of length 1 (both (3,), RAS mm)."""

    point: np.ndarray
    normal: np.ndarray

    @property
    def matrix(self) -> np.ndarray:
        """4x4 SliceToRAS, mm."""
        return plane_through(self.point, self.normal)


@dataclass(frozen=True, eq=False)
class Scout:
    """A quick picture of the patient on which planes are lines.

    Attributes:
        picture: (rows, columns) uint8.
        grid: of its pixels, one slice, RAS mm. Places in it are shares (0..1) of its width and height.
    """

    picture: np.ndarray
    grid: Grid

    def point(self, across: float, down: float) -> np.ndarray:
        """The point (3,) in RAS mm of a place."""
        _one, rows, columns = self.grid.shape_kji
        ijk = [across * columns - 0.5, down * rows - 0.5, 0.0, 1.0]
        return (self.grid.ijk_to_ras @ ijk)[:3]

    def place(self, point: np.ndarray) -> tuple[float, float]:
        """The place of a point (3,) in RAS mm, as seen along the normal."""
        i, j = (self.grid.ras_to_ijk @ [*point, 1.0])[:2]
        _one, rows, columns = self.grid.shape_kji
        return float((i + 0.5) / columns), float((j + 0.5) / rows)

    @property
    def normal(self) -> np.ndarray:
        """(3,), of length 1."""
        return self.grid.ijk_to_ras[:3, 2] / self.grid.spacing_ijk[2]

    def line(self, plane: PlaneInHand) -> list[float] | None:
        """Places of a plane's line: x, y of both ends and of the middle; None where it has none."""
        along = np.cross(self.normal, plane.normal)
        if np.linalg.norm(along) < np.sqrt(1 - _PARALLEL**2):
            return None
        along = along / np.linalg.norm(along)
        across = np.cross(along, plane.normal)  # in the plane, towards the scout
        height = (self.grid.corners_ras()[0] - plane.point) @ self.normal
        middle = plane.point + across * height / (across @ self.normal)
        ends = (middle - _LINE_MM * along, middle + _LINE_MM * along, middle)
        return [round(share, 4) for point in ends for share in self.place(point)]


class PlanRun:
    """One plan of a lesson, from its first line to its score.

    Args:
        run: the lesson; it is given what is scanned.
        step: how many slices, and how they are scanned.

    Raises:
        InputError: for a patient of whom only some slices are there.

    Attributes:
        plane: in hand.
        scanned: planes and volume nodes of the slices that were scanned, in their order.
        score: None until the plan was judged.
    """

    def __init__(self, run: LessonRun, step: PlanSlices):
        if acquired_planes(run.patient):
            raise InputError(
                _("{name} has only some slices; a scan is planned of a whole head.").format(
                    name=run.patient.GetName()
                )
            )
        self._run, self.step = run, step
        self._random = np.random.default_rng(run.lesson.seed)
        self._middle = world_grid(run.anatomy).corners_ras().mean(0)
        self.scouts = [self._scout(axis) for axis in range(len(SCOUTS))]
        self.scanned: list[tuple[LessonPlane, Any]] = []
        self.score: PlanScore | None = None
        self._began = time.monotonic()
        self.put("axial")

    def put(self, orientation: str) -> None:
        """Take a plane through the middle of the head.

        Args:
            orientation: "sagittal", "coronal" or "axial".

        Raises:
            InputError: for another one.
        """
        names = [name for name, _view in SCOUTS]
        if orientation not in names:
            raise InputError(_("a plane begins as sagittal, coronal or axial."))
        matrix = self._run.there(self._middle, np.eye(3)[names.index(orientation)])
        self.plane = PlaneInHand(self._middle, matrix[:3, 2])

    def drag(self, scout: int, turn: bool, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Move the plane in hand as its line is dragged on a scout.

        Args:
            scout: number in `scouts`.
            turn: about the line's middle; else the plane is shifted.
            start: where it was held, place in the scout.
            end: where it is now.
        """
        seen = self.scouts[scout]
        plane = self.plane
        first, last = seen.point(*start), seen.point(*end)
        if not turn:
            self._move(plane.point + plane.normal * (plane.normal @ (last - first)), plane.normal)
            return
        line = seen.line(plane)
        if line is None:
            return
        pivot = seen.point(*line[-2:])
        one, other = first - pivot, last - pivot
        angle = np.arctan2(np.cross(one, other) @ seen.normal, one @ other)
        self.tilt(scout, float(np.degrees(angle)))

    def nudge(self, scout: int, across_mm: float, down_mm: float) -> None:
        """Shift the plane in hand as if its line were dragged so far on a scout."""
        grid = self.scouts[scout].grid
        shares = np.array([across_mm, down_mm]) / (grid.spacing_ijk[:2] * grid.shape_kji[:0:-1])
        self.drag(scout, False, (0.5, 0.5), (0.5 + float(shares[0]), 0.5 + float(shares[1])))

    def tilt(self, scout: int, degrees: float) -> None:
        """Turn the plane in hand about the normal of a scout, through the middle of its line there."""
        seen = self.scouts[scout]
        plane = self.plane
        line = seen.line(plane)
        if line is None:
            return
        turned = Rotation.from_rotvec(seen.normal * np.radians(degrees)).apply(plane.normal)
        self._move(seen.point(*line[-2:]), turned / np.linalg.norm(turned))

    def _move(self, point: np.ndarray, normal: np.ndarray) -> None:
        """Take the plane through a point (3,), RAS mm, or the nearest that is not beside every head."""
        off = normal @ (point - self._middle)
        within = np.clip(off, -_REACH_MM, _REACH_MM)
        self.plane = PlaneInHand(point + normal * (within - off), normal)

    def words(self) -> str:
        """The plane in hand: orientation, place, and what lies near it."""
        canonical = self._run.matrix(self._run.canonical(self.plane.matrix))
        named = near_words(canonical) if self._run.named else ""
        text = _("{orientation} at {place} mm").format(
            orientation=orientation_of(canonical[:3, 2]).capitalize(), place=place_words(self.plane.point)
        )
        return _("{plane}; {names}").format(plane=text, names=named) if named else text

    def names(self, scout: int) -> list[dict]:
        """Structures that a scout shows: "name" and place "x", "y"; approximate, none without names."""
        seen = self.scouts[scout]
        found = []
        for each in landmarks() if self._run.named else ():
            for point in each.points:
                there = self._run.frame[:3, :3] @ point + self._run.frame[:3, 3]
                if abs((there - seen.grid.corners_ras()[0]) @ seen.normal) <= _SHOWN_MM:
                    x, y = seen.place(there)
                    found.append({"name": each.name, "x": round(x, 3), "y": round(y, 3)})
        return found

    @property
    def left(self) -> int:
        """How many slices can still be scanned."""
        return 0 if self.score is not None else self.step.count - len(self.scanned)

    def scan(self) -> None:
        """Scan the plane in hand, and show what is known with it.

        Raises:
            InputError: where no slice is left, the plane misses the patient, or while something runs.
        """
        if not self.left:
            raise InputError(_("all slices of this plan are scanned."))
        plane = self._run.canonical(self.plane.matrix)
        node = self._scanned(self._run.placed(plane))
        self._run.keep(node)

        def known() -> None:
            self.scanned.append((plane, node))
            self._run.show_known()

        context = Context(node, thickness_mm=self.step.thickness_mm, body=self._run.patient)
        self._run.add(plane, context, known)

    def judge(self) -> None:
        """Ask how good the plan was. Raises InputError before the first slice, or while something runs."""
        if not self.scanned:
            raise InputError(_("scan a slice first."))
        self._run.judge([plane for plane, _node in self.scanned], self._take)

    def _take(self, score: PlanScore) -> None:
        self.score = score
        self._run.take_plan(
            Plan(
                step=self._run.position,
                planes=[plane for plane, _node in self.scanned],
                taken=min(max(score.taken, 0.0), 1.0),
                best=min(max(score.best_taken, 1e-4), 1.0),
                seconds=round(min(time.monotonic() - self._began, 86_400.0), 1),
            ),
            [each.matrix for each in score.best],
        )

    def _scout(self, axis: int) -> Scout:
        _name, view = SCOUTS[axis]
        plane = self._run.there(self._middle, np.eye(3)[axis])
        grid = picture_grid(views.plane_of(views.slice_node(view)), plane)
        blurred = gaussian_filter(picture_of(self._run.patient, grid).astype(float), _SCOUT_PIXELS)
        noisy = blurred + self._random.normal(0, _SCOUT_NOISE, blurred.shape)
        return Scout(np.clip(noisy, 0, 255).astype(np.uint8), grid)

    def _scanned(self, plane: np.ndarray):
        """The volume node of a slice on a plane (4x4 SliceToRAS, mm), as thick and noisy as the step says.

        What is around the anatomy stays 0, as in a scan without skull.
        """
        patient = volume_of(self._run.patient)
        thickness = self.step.thickness_mm
        grid = plane_grid(patient.grid, plane, thickness, self._run.patient.GetName())
        normal, half = grid.ijk_to_ras[:3, 2] / thickness, (thickness - 1) / 2
        parts = []
        for offset in np.linspace(-half, half, int(np.ceil(thickness))):
            moved = grid.ijk_to_ras.copy()
            moved[:3, 3] += offset * normal
            parts.append(read_plane(patient, Grid(grid.shape_kji, moved)))
        pixels = np.mean(parts, 0)
        display = self._run.patient.GetDisplayNode()
        low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
        shown = pixels > 0
        noise = self._random.normal(0, self.step.noise * high, pixels.shape)
        pixels = np.where(shown, np.maximum(pixels + noise, 1e-3 * high), 0).astype(np.float32)
        return add_volume(
            Volume(pixels[None], grid),
            _("Planned slice {n}").format(n=len(self.scanned) + 1),
            attributes={views.ROLE: "planned"},
            window=(high - low, (high + low) / 2),
        )
