"""The slice views: what they show and where they stand.

Qt-free: only the MRML nodes that the views observe.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import slicer
import slicer.util

from .i18n import _

_ACROSS = 1e-4  # cosine below which two directions count as perpendicular, whatever rounding makes of them
# attribute of what was generated; the word that ATTRIBUTE of results.py begins
ROLE = "SparseVolumeReconstruction.Role"
_MARGIN = 1.05  # of what is shown around a volume that a view is fitted to


_arrangers: list[object] = []


@contextmanager
def arranging() -> Iterator[None]:
    """While views are moved by the program, not by the user; also a decorator."""
    _arrangers.append(None)
    try:
        yield
    finally:
        _arrangers.pop()


def arranged() -> bool:
    """Whether it is the program that moves the views now."""
    return bool(_arrangers)


def slice_nodes() -> list:
    """The slice nodes of the views, in the order Red, Green, Yellow and then others by name."""
    first = {"Red": 0, "Green": 1, "Yellow": 2}
    nodes = [node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode") if node.GetLayoutName()]
    return sorted(nodes, key=lambda node: (first.get(node.GetLayoutName(), 3), node.GetLayoutName()))


def slice_node(view: str):
    """The slice node of a view, e.g. "Red"; None where there is none."""
    return next((node for node in slice_nodes() if node.GetLayoutName() == view), None)


def out_of_sight(view: str | None) -> str | None:
    """Why a user cannot mean the slice view of this name; None where it is shown."""
    node = slice_node(view) if view else None
    if node is None:
        return _(
            "no slice view is under the mouse; move the mouse over a view and press the key, or click the "
            "view's button."
        )
    if not node.IsMappedInLayout():
        return _(
            "the {view} view is not shown in this layout; choose a layout that has it, or take another view."
        ).format(view=view)
    return None


def crosshair_node():
    """The node that follows the mouse over the views; None where there is none."""
    return next(iter(slicer.util.getNodesByClass("vtkMRMLCrosshairNode")), None)


def view_under_mouse() -> str | None:
    """Name of the slice view that the mouse is over; None where it is over none."""
    crosshair = crosshair_node()
    node = crosshair.GetCursorPositionXYZ([0.0, 0.0, 0.0]) if crosshair else None
    return node.GetLayoutName() if node is not None else None


def composite_node(view: str):
    """The node that says which volumes a view shows; None where there is none."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    return next((node for node in nodes if node.GetLayoutName() == view), None)


def shown_volumes(view: str) -> list:
    """The volume nodes that a view shows: background, then foreground."""
    composite = composite_node(view)
    ids = [composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()] if composite else []
    nodes = [slicer.mrmlScene.GetNodeByID(i) for i in ids if i]
    return [node for node in nodes if node is not None]


def generated_in(view: str):
    """The volume node of a view that was generated, not observed: the topmost that can be seen.

    None where all was observed.
    """
    composite = composite_node(view)
    seen = shown_volumes(view) if composite is not None else []
    if (
        seen
        and seen[-1].GetID() == composite.GetForegroundVolumeID()
        and composite.GetForegroundOpacity() == 0
    ):
        seen = seen[:-1]
    return next((node for node in reversed(seen) if node.GetAttribute(ROLE)), None)


def plane_of(node) -> np.ndarray:
    """4x4 SliceToRAS (mm) of the plane that a slice node shows."""
    return slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())


def nearest_view(normal: np.ndarray, shown: bool = False) -> str:
    """Name of the slice view whose normal is nearest to a direction (3,) in RAS; "" without views.

    shown: only of those that the layout shows.
    """
    nodes = [node for node in slice_nodes() if node.IsMappedInLayout() or not shown]
    best = max(nodes, key=lambda node: abs(float(plane_of(node)[:3, 2] @ normal)), default=None)
    return best.GetLayoutName() if best is not None else ""


def facing(normal: np.ndarray, view: str) -> np.ndarray:
    """A normal (3,) in RAS or its opposite.

    The one that a view has when it shows such a plane, so that offsets run as its slider does.

    Args:
        normal: of length 1.
        view: name of a slice view. Where it stands across the plane, or is not there, the normal points to
            the right, to the front or upwards, as in the orientations that Slicer begins with.
    """
    node = slice_node(view)
    return _towards(normal, plane_of(node)[:3, 2] if node is not None else np.zeros(3))


def _towards(normal: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """A normal (3,) or its opposite, whichever lies nearer to a direction (3,).

    Where none does, to an axis of RAS.
    """
    along = float(normal @ wanted)
    if abs(along) < _ACROSS:
        along = normal[int(np.argmax(np.abs(normal).round(6)))]
    return -normal if along < 0 else normal


@arranging()
def face(node, plane: np.ndarray, centre: np.ndarray | None = None) -> None:
    """Let a slice node show a plane (4x4 SliceToRAS, mm) around `centre` (RAS mm).

    Args:
        plane: of which place and normal count; the view is turned no more than it needs.
        centre: (3,), on the plane; None: the point that is in the view's middle now, moved onto it.
    """
    view = plane_of(node)
    matrix = np.eye(4)
    if centre is None:
        centre = view[:3, 3] + plane[:3, 2] * (plane[:3, 2] @ (plane[:3, 3] - view[:3, 3]))
    matrix[:3, :3], matrix[:3, 3] = _turned(view[:3, :3], plane[:3, 2]), centre
    node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(matrix))
    node.UpdateMatrices()


@arranging()
def jump(plane: np.ndarray, centre: np.ndarray, view: str) -> None:
    """Let a view show a plane (4x4 SliceToRAS, mm) around `centre` (RAS mm).

    Args:
        plane: as in `face`.
        centre: (3,), on the plane; the other slice views pass through it.
        view: name of the slice view.
    """
    for node in slice_nodes():
        if node.GetLayoutName() == view:
            face(node, plane, centre)
        else:
            node.JumpSliceByOffsetting(*centre)


@arranging()
def centre(volume) -> None:
    """Let all slice views pass through the middle of a volume node."""
    middle = np.array(box_of(volume)).reshape(3, 2).mean(1)
    for node in slice_nodes():
        node.JumpSliceByOffsetting(*middle)


def _turned(axes: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Axes of a view (3x3, columns right, up, normal), turned no more than its new normal needs.

    Never flipped or spun.
    """
    normal = _towards(normal, axes[:, 2])
    right = axes[:, 0] - (axes[:, 0] @ normal) * normal
    if np.linalg.norm(right) < 0.1:
        right = axes[:, 2] - (axes[:, 2] @ normal) * normal
    right = right / np.linalg.norm(right)
    up = np.cross(normal, right)
    return np.stack([right, up * (np.sign(np.linalg.det(axes)) or 1.0), normal], 1)


def _composites() -> list:
    """The nodes that say what the slice views show."""
    found = [composite_node(node.GetLayoutName()) for node in slice_nodes()]
    return [node for node in found if node is not None]


def set_background(volume) -> None:
    """Let all slice views show a volume as background."""
    for composite in _composites():
        composite.SetBackgroundVolumeID(volume.GetID())


def show_like_others(composite) -> None:
    """Let a slice view without a background show that of the first view that has one."""
    there = next(filter(None, backgrounds().values()), None)
    if there is not None and not composite.GetBackgroundVolumeID():
        composite.SetBackgroundVolumeID(there)


def backgrounds() -> dict[str, str]:
    """{view: ID of the volume that is its background, "" for none}."""
    return {composite.GetLayoutName(): composite.GetBackgroundVolumeID() or "" for composite in _composites()}


def restore_backgrounds(before: dict[str, str], instead_of: str) -> None:
    """Give views back the background that they had before.

    Args:
        before: as `backgrounds` gave it; a volume that is gone leaves none.
        instead_of: ID of a volume; views whose background is another one keep it.
    """
    for composite in _composites():
        if (composite.GetBackgroundVolumeID() or instead_of) == instead_of:
            there = slicer.mrmlScene.GetNodeByID(before.get(composite.GetLayoutName(), ""))
            composite.SetBackgroundVolumeID(there.GetID() if there is not None else None)


def set_foreground(volume, opacity: float) -> None:
    """Lay a generated volume over the backgrounds of all slice views, opacity 0..1.

    Args:
        volume: the volume node; None takes it away, and leaves what others laid.
        opacity: of the foreground.
    """
    for composite in _composites():
        if volume is None and not _generated(composite.GetForegroundVolumeID()):
            continue
        composite.SetForegroundVolumeID(volume.GetID() if volume else None)
        composite.SetForegroundOpacity(opacity)
        if hasattr(
            composite, "SetClipToBackgroundVolume"
        ):  # what was inferred reaches beyond what was scanned
            composite.SetClipToBackgroundVolume(False)


def set_label(volume, outline: bool = False) -> None:
    """Mark a generated label map in all slice views, filled or as outline.

    Args:
        volume: the label map's node; None takes it away, and leaves what others show.
        outline: its edge alone.
    """
    for composite in _composites():
        if volume is None and not _generated(composite.GetLabelVolumeID()):
            continue
        composite.SetLabelVolumeID(volume.GetID() if volume else None)
        composite.SetLabelOpacity(1.0 if outline else 0.3)
        slice_node(composite.GetLayoutName()).SetUseLabelOutline(outline)


def _generated(identity: str | None) -> bool:
    """Whether a volume's ID is that of a node of a result, or of one that is gone."""
    node = slicer.mrmlScene.GetNodeByID(identity) if identity else None
    return bool(identity) and (node is None or node.GetAttribute(ROLE) is not None)


@arranging()
def fit(volume) -> None:
    """Let all views show the whole of a volume.

    Slice views keep their offset where that meets the volume, 3D views their direction.
    """
    logics = slicer.app.applicationLogic().GetSliceLogics()
    for n in range(logics.GetNumberOfItems() if logics is not None else 0):
        logic = logics.GetItemAsObject(n)
        bounds = [0.0] * 6
        offset, node = logic.GetSliceOffset(), logic.GetSliceNode()
        logic.FitSliceToVolume(volume, *node.GetDimensions()[:2])
        width, height, depth = node.GetFieldOfView()
        node.SetFieldOfView(_MARGIN * width, _MARGIN * height, depth)
        logic.GetVolumeSliceBounds(volume, bounds)
        if bounds[4] < offset < bounds[5]:
            logic.SetSliceOffset(offset)
    fit_cameras(box_of(volume))


def box_of(volume) -> list[float]:
    """The box of a volume node: x, x, y, y, z, z in RAS mm."""
    volume.GetRASBounds(bounds := [0.0] * 6)
    return bounds


def fit_cameras(bounds: list[float]) -> None:
    """Let all 3D views see a box (x, x, y, y, z, z in RAS mm) in full, from where they look now."""
    corners = np.array([[bounds[axis * 2 + (n >> axis & 1)] for axis in range(3)] for n in range(8)])
    middle = corners.mean(0)
    for node in slicer.util.getNodesByClass("vtkMRMLCameraNode"):
        camera = node.GetCamera()
        toward, up = -np.array(camera.GetDirectionOfProjection()), np.array(camera.GetViewUp())
        half = (corners - middle) @ np.stack([np.cross(up, toward), up, toward], 1)
        away = (np.abs(half[:, :2]).max(1) / np.tan(np.radians(camera.GetViewAngle() / 2)) + half[:, 2]).max()
        node.SetFocalPoint(*middle)
        node.SetPosition(*(middle + _MARGIN * away * toward))
        node.ResetClippingRange()


def link(linked: bool) -> None:
    """Let the slice views move and change together, or each for itself."""
    for composite in _composites():
        composite.SetLinkedControl(linked)
