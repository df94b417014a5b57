"""Context slices as model nodes of the scene.

Each is the thin slab of one slice of a volume, drawn in all views. The node is the only place where a context
lives: its plane, thickness and state are attributes, the volume is a node reference. So contexts are saved
with the scene, follow their volume's transforms, and are gone when their node is deleted.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import slicer
import slicer.util

from ..geometry import Grid, InputError
from ..geometry.plane import check_thickness
from . import hierarchy, views
from .drawing import draw_slice, dress
from .fingerprints import fingerprint
from .i18n import _
from .loaded import check_against_files, check_is_no_result
from .logic import Context
from .masks import is_mask
from .nodes import stated_thickness_of, volume_of, world_grid, world_matrix
from .planes import orientation_of
from .reslice import plane_grid
from .results import ATTRIBUTE

ROLE = "context"
MAX_SLICES = 100
_VOLUME = f"{ATTRIBUTE}Volume"
MOVING_COLOUR = (1.0, 0.2, 0.9)  # of the slice that moves with its view: no view has it, and no image
_SHOWN_MM = 0.005  # offsets are shown with two decimals
_GAP_MM, _GAP_RATIO, _NEARLY_PARALLEL = 2.0, 2.2, 0.7


@dataclass(frozen=True)
class ContextSlice:
    """One context: what its node says. Two are equal when they are the same node."""

    node: Any

    @property
    def volume(self):
        """The volume node that the slice is taken from; None when it was deleted."""
        return self.node.GetNodeReference(_VOLUME)

    @property
    def name(self) -> str:
        """Name of the slice for people, e.g. "MRHead axial 12.0 mm"."""
        volume = self.volume
        return f"{volume.GetName() if volume else '?'} {self.orientation} {self.offset_mm:.1f} mm"

    @property
    def view(self) -> str:
        """Name of the view (such as "Red") in which it was picked, or that shows its orientation best."""
        return self._get("View") or ""

    @property
    def enabled(self) -> bool:
        """Whether the slice is used."""
        return self._get("Enabled") != "0"

    @property
    def plane(self) -> np.ndarray:
        """4x4 SliceToRAS of the plane in world RAS (mm), with orthonormal columns.

        Raises InputError under a non-linear transform.
        """
        volume, local = self.volume, np.array(json.loads(self._get("Plane") or "")).reshape(4, 4)
        return _orthonormal(world_matrix(volume) @ local) if volume else local

    @property
    def offset_mm(self) -> float:
        """Place of the plane in mm: what the offset slider of its view says when the view shows it."""
        plane = self.plane
        return float(views.facing(plane[:3, 2], self.view) @ plane[:3, 3])

    @property
    def orientation(self) -> str:
        """Axial, coronal, sagittal, or "oblique" with the angle to the nearest of them."""
        return orientation_of(self.plane[:3, 2])

    @property
    def stated_thickness_mm(self) -> float | None:
        """Thickness that the user or the image's header gave; None where it has to be assumed."""
        text = self._get("Thickness")
        return float(text) if text else None

    @property
    def thickness_mm(self) -> float:
        """The stated thickness, else the voxel size of the volume along the normal.

        Raises InputError as `grid` does.
        """
        return float(self.grid().spacing_ijk[2])

    def grid(self) -> Grid:
        """Pixels of the slice in world RAS, the spacing along the normal is the thickness.

        Raises InputError where the volume is gone or empty, or the plane misses it.
        """
        if self.volume is None:
            raise InputError("the volume of a context slice was deleted; remove the slice.")
        grid = world_grid(self.volume)
        return _grid(
            grid.shape_kji,
            grid.ijk_to_ras.tobytes(),
            self.plane.tobytes(),
            self.stated_thickness_mm,
            self.volume.GetName(),
        )

    def asked(self) -> Context:
        """The slice as inputs of a reconstruction take it."""
        return Context(self.volume, plane=self.plane, thickness_mm=self.stated_thickness_mm)

    def observed(self) -> tuple:
        """Voxels, place and thickness as one value: another where something else is observed."""
        volume = self.volume
        seen: tuple = ()
        with suppress(InputError):
            seen = self.plane.tobytes(), volume and fingerprint(volume)
        return self.node.GetID(), volume, seen, self.stated_thickness_mm

    def problem(self) -> str | None:
        """Why the slice cannot be used; None when it can."""
        try:
            self.grid()
            volume_of(self.volume)
        except InputError as error:
            return str(error)
        return None

    def move(self, plane: np.ndarray) -> bool:
        """Put the slice on another plane (4x4 SliceToRAS in world RAS, mm); False where it is there already.

        In a volume with gaps it is the acquired slice nearest to the plane. Raises InputError, with nothing
        changed, without a volume or a linear transform, for a plane that misses the volume, for one across
        such a volume's slices, and for one that is another context's already.
        """
        if self.volume is None:
            raise InputError("the volume of a context slice was deleted; remove the slice.")
        plane = _acquired(self.volume, plane)
        now = self.plane
        if same_plane(plane, now):
            return False
        _check_is_new(self.volume, plane, self)
        self._place(plane)
        return True

    def _place(self, plane: np.ndarray) -> None:
        local = np.linalg.inv(world_matrix(self.volume)) @ plane
        self._set("Plane", json.dumps([round(float(x), 9) for x in local.ravel()]))

    def set_offset(self, offset_mm: float) -> None:
        """Move the slice along its normal to an `offset_mm`; the one that is shown leaves it where it is."""
        plane, shift = self.plane, offset_mm - self.offset_mm
        if abs(shift) > _SHOWN_MM:
            plane[:3, 3] += views.facing(plane[:3, 2], self.view) * shift
            self.move(plane)

    def set_thickness(self, thickness_mm: float | None) -> None:
        """State the thickness in mm; None: let it be assumed.

        Raises InputError for one that is no slice's (see check_thickness).
        """
        check_thickness(
            thickness_mm,
            self.volume.GetName() if self.volume else "?",
            self.volume and world_grid(self.volume),
        )
        self._set("Thickness", "" if thickness_mm is None else repr(float(thickness_mm)))

    def set_enabled(self, enabled: bool) -> None:
        """Use the slice or not."""
        self._set("Enabled", "1" if enabled else "0")

    @property
    def colour(self) -> tuple[float, float, float]:
        """RGB (0..1) of the view to which the slice belongs, in which it is drawn unless it moves."""
        if not self._get("Colour"):  # of a scene that was saved before slices could move
            self._set("Colour", json.dumps(self.node.GetDisplayNode().GetColor()))
        red, green, blue = json.loads(self._get("Colour") or "")
        return red, green, blue

    def draw(
        self, selected: bool = False, image: bool = False, moving: bool = False, thin: bool = False
    ) -> None:
        """Bring the drawing up to date with plane, thickness, transform and state.

        Hidden where the slice has no place. image: show the slice's image on it in 3D. moving: mark it as
        the one that moves with its view. thin: with thin lines.
        """
        volume = self.volume
        display = self.node.GetDisplayNode()
        if volume is not None and self.node.GetTransformNodeID() != volume.GetTransformNodeID():
            self.node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        try:
            to_local = np.linalg.inv(world_matrix(volume)) if volume else np.eye(4)
            draw_slice(self.node, self.grid(), to_local, volume if image else None)
        except InputError:
            display.SetVisibility(False)
            return
        display.SetVisibility(True)
        display.SetOpacity(1.0 if self.enabled else 0.3)
        display.SetLineWidth((3 if moving else 2 if selected else 1) * (1 if thin else 2))
        display.SetSliceIntersectionThickness(5 if moving else 3 if selected else 1)
        usual = self.colour
        display.SetColor(*(MOVING_COLOUR if moving else usual))
        display.SetEdgeColor(*(MOVING_COLOUR if moving else usual))

    def _get(self, key: str) -> str | None:
        return self.node.GetAttribute(ATTRIBUTE + key)

    def _set(self, key: str, value: str) -> None:
        self.node.SetAttribute(ATTRIBUTE + key, value)


@lru_cache(maxsize=4 * MAX_SLICES)
def _grid(shape_kji: tuple, matrix: bytes, plane: bytes, thickness_mm: float | None, name: str) -> Grid:
    """`plane_grid`, remembered: it is asked for at every change of anything."""
    volume = Grid(shape_kji, np.frombuffer(matrix).reshape(4, 4))
    return plane_grid(volume, np.frombuffer(plane).reshape(4, 4), thickness_mm, name)


def context_slices() -> list[ContextSlice]:
    """All contexts of the scene, in the order in which they were added."""
    models = slicer.util.getNodesByClass("vtkMRMLModelNode")
    return [ContextSlice(node) for node in models if node.GetAttribute(f"{ATTRIBUTE}Role") == ROLE]


def add_context(volume, plane: np.ndarray, view: str, colour: tuple[float, float, float]) -> ContextSlice:
    """Take a plane (4x4 SliceToRAS in world RAS, mm) of a volume node as context.

    Args:
        volume: its header's thickness is that of the slice, where it states one.
        view: name of the slice view to which it belongs.
        colour: RGB (0..1) of that view.

    Raises:
        InputError: with nothing added, for what cannot be used, was inferred, or is a context already.
    """
    check_is_observed(volume)
    plane = _acquired(volume, _orthonormal(np.asarray(plane, float)))
    volume_of(volume)
    _check_is_new(volume, plane)
    node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLModelNode")
    node.UnRegister(None)
    node.SetAttribute(f"{ATTRIBUTE}Role", ROLE)
    node.SetNodeReferenceID(_VOLUME, volume.GetID())
    node.SetAttribute(f"{ATTRIBUTE}View", view)
    node.SetAttribute(f"{ATTRIBUTE}Colour", json.dumps(colour))
    node.SetName(slicer.mrmlScene.GenerateUniqueName(f"{volume.GetName()} context"))
    context = ContextSlice(node)
    context.set_thickness(stated_thickness_of(volume, plane[:3, 2]))
    context.set_enabled(True)
    slicer.mrmlScene.AddNode(node)
    file_context(context)
    context._place(plane)
    node.CreateDefaultDisplayNodes()
    dress(node.GetDisplayNode(), colour)
    return context


def file_context(context: ContextSlice) -> None:
    """Put a context into the folder of its volume's contexts in the subject hierarchy."""
    volume = context.volume
    fellows = [each.node for each in context_slices() if each.volume is volume and each != context]
    hierarchy.put_with(context.node, fellows, f"{volume.GetName()} context slices", volume)


def slices_of(volume) -> list[np.ndarray]:
    """SliceToRAS (4x4, world RAS, mm) of every slice of a volume node that shows anything.

    Along its third index axis. Raises InputError without any, and with more than MAX_SLICES: not sparse.
    """
    whole = volume_of(volume)
    shown = [k for k in range(len(whole.array)) if np.ptp(whole.array[k]) > 0]
    if not shown:
        raise InputError(f"{volume.GetName()}: no slice of it shows anything; every one is constant.")
    if len(shown) > MAX_SLICES:
        raise InputError(
            f"{volume.GetName()} has {len(shown)} slices with content, so it is not sparse; at most "
            f"{MAX_SLICES} are taken at once. Add single slices from the views."
        )
    return [plane_of_slice(volume, k) for k in shown]


def plane_of_slice(volume, number: int) -> np.ndarray:
    """SliceToRAS (4x4, world RAS, mm) of a slice of a volume node, by its third index. Raises InputError."""
    matrix = world_grid(volume).ijk_to_ras
    plane = _orthonormal(matrix)
    plane[:3, 3] = matrix[:3, 3] + number * matrix[:3, 2]
    return plane


def remove_context(context: ContextSlice) -> None:
    """Delete a context's node with its display and storage nodes."""
    node = context.node
    extra = [node.GetDisplayNode(), node.GetStorageNode()]
    hierarchy.remove_with(node)
    for each in extra:
        if each is not None and each.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(each)


def check_is_observed(volume) -> None:
    """Raise InputError where a volume node cannot give slices.

    It is missing, a mask or itself the result of a reconstruction, or does not lie where its files say.
    """
    if volume is None:
        raise InputError("no volume is shown there; show a scan in the view first.")
    if volume.GetAttribute(f"{ATTRIBUTE}Role"):
        raise InputError(
            f"{volume.GetName()} was reconstructed, not observed; show the scan itself to take slices from "
            "it."
        )
    check_is_no_result(volume)
    check_against_files(volume)
    if is_mask(volume):
        raise InputError(
            f"{volume.GetName()} is a mask, not a scan: its voxels are 0 or one other value. Use it as mask "
            "of a scan."
        )


def same_plane(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two planes (4x4 SliceToRAS, mm) are one, whatever their axes and whichever side is seen."""
    apart, across = first[:3, 2] @ (first[:3, 3] - second[:3, 3]), first[:3, 2] @ second[:3, 2]
    return bool(abs(apart) < 1e-4 and abs(across) > 1 - 1e-9)


def already(volume, plane: np.ndarray, but: ContextSlice | None = None) -> str:
    """Which context a plane (4x4 SliceToRAS in world RAS, mm) of a volume node is already, in words.

    "" where it is none. Planes nowhere half a voxel apart are one observation, not to be counted twice.

    Args:
        but: a context that does not count.

    Raises:
        InputError: where the plane misses the volume.
    """
    grid = world_grid(volume)
    corners = plane_grid(grid, plane, None, volume.GetName()).corners_ras()
    near = 0.5 / np.linalg.norm(grid.ras_to_ijk[:3, :3] @ plane[:3, 2])
    for row, other in enumerate(context_slices(), 1):
        if other != but and other.volume is volume:
            there = other.plane
            if np.abs((corners - there[:3, 3]) @ there[:3, 2]).max() < near - 1e-3:
                return _("row {row}, {name}").format(row=row, name=other.name)
    return ""


def _check_is_new(volume, plane: np.ndarray, but: ContextSlice | None = None) -> None:
    if where := already(volume, plane, but):
        raise InputError(_("this slice is in the list already ({where}).").format(where=where))


def _acquired(volume, plane: np.ndarray) -> np.ndarray:
    """The plane of the acquired slice that a plane means: what lies between was interpolated."""
    grid = world_grid(volume)
    spacing, axis = grid.spacing_ijk, grid.ijk_to_ras[:3, 2] / grid.spacing_ijk[2]
    if spacing[2] <= max(_GAP_MM, _GAP_RATIO * spacing[:2].max()):
        return plane
    along = float(plane[:3, 2] @ axis)
    if abs(along) < _NEARLY_PARALLEL:
        raise InputError(
            f"{volume.GetName()}: its slices lie {spacing[2]:.3g} mm apart, and this plane runs across them: "
            "most of its pixels would be "
            "interpolated, not observed. Take slices in the direction in which they were acquired."
        )
    middle = grid.corners_ras().mean(0)
    middle = (
        middle + axis * float(plane[:3, 2] @ (plane[:3, 3] - middle)) / along
    )  # where the volume's middle line meets the plane
    index = round(float((grid.ras_to_ijk @ [*middle, 1.0])[2]))
    near = _orthonormal(grid.ijk_to_ras)
    near[:3, 3] += min(max(index, 0), grid.shape_kji[0] - 1) * grid.ijk_to_ras[:3, 2]
    return near


def _orthonormal(matrix: np.ndarray) -> np.ndarray:
    """A plane's matrix with unit columns and its normal at right angles to its axes."""
    out = np.eye(4)
    out[:3, 3] = matrix[:3, 3]
    out[:3, 0] = matrix[:3, 0] / np.linalg.norm(matrix[:3, 0])
    normal = np.cross(matrix[:3, 0], matrix[:3, 1])
    normal *= np.sign(normal @ matrix[:3, 2]) or 1.0
    out[:3, 2] = normal / np.linalg.norm(normal)
    out[:3, 1] = np.cross(out[:3, 2], out[:3, 0])
    return out
