"""What is written over the pictures of the slice views.

Directions, a scale, the other planes, and what is shown.
"""

from __future__ import annotations

import numpy as np
import slicer
import slicer.util

from ..mrml import views
from ..mrml.look import unit_of

_DIRECTIONS = ("LR", "PA", "IS")  # towards lower and higher x, y, z of RAS
_SHARE = 0.26  # of a direction, from which its letter is named: about 15 degrees out of a plane of the body
_LONGEST = 0.3  # of the picture's width
_ROUND_MM = tuple(factor * 10.0**power for power in range(-2, 4) for factor in (1, 2, 5))
_STOPS = 9


def letters(slice_to_ras: np.ndarray) -> dict[str, str]:
    """Where the right and the upper edge of a picture lie in the body, and the opposite ones.

    The picture is given as 4x4 SliceToRAS. One letter of R, L, A, P, S, I for an edge of an orthogonal slice,
    up to three for an oblique one, the largest share first.
    """
    right, up = slice_to_ras[:3, 0], slice_to_ras[:3, 1]
    return {
        "right": _direction(right),
        "left": _direction(-right),
        "top": _direction(up),
        "bottom": _direction(-up),
    }


def _direction(vector: np.ndarray) -> str:
    unit = vector / np.linalg.norm(vector)
    axes = [axis for axis in np.argsort(-np.abs(unit)) if abs(unit[axis]) >= _SHARE]
    return "".join(_DIRECTIONS[axis][int(unit[axis] > 0)] for axis in axes)


def scale(width_mm: float) -> dict:
    """A bar for a picture of this width.

    A round number of mm (1, 2, 5 times a power of 10) and its share of the width, percent.
    """
    length = max((each for each in _ROUND_MM if each <= _LONGEST * width_mm), default=_ROUND_MM[0])
    return {"mm": f"{length:g} mm", "percent": round(100 * length / width_mm, 3)}


def crossings(node, others: list) -> list[dict]:
    """Where the planes of other slice nodes cut the picture of a node.

    Args:
        node: the slice node.
        others: slice nodes; those whose planes are parallel are left out.

    Returns:
        Lines: the "view" of the other node, "x1", "y1", "x2" and "y2" in percent of the picture from the
        upper left, also beyond it.
    """
    to_ras = _picture_to_ras(node)
    found = []
    for other in others:
        plane = views.plane_of(other)
        normal, origin = plane[:3, 2], plane[:3, 3]
        across, along = normal @ to_ras[:3, 0], normal @ to_ras[:3, 1]
        rest = normal @ (origin - to_ras[:3, 3])
        if max(abs(across), abs(along)) < 1e-3 * np.linalg.norm(to_ras[:3, :2]):
            continue  # parallel
        if abs(across) > abs(along):
            ends = [((rest - along * v) / across, v) for v in (0.0, 1.0)]
        else:
            ends = [(u, (rest - across * u) / along) for u in (0.0, 1.0)]
        (x1, y1), (x2, y2) = (np.round([100 * u, 100 * v], 2).tolist() for u, v in ends)
        found.append({"view": other.GetLayoutName(), "x1": x1, "y1": y1, "x2": x2, "y2": y2})
    return found


def meeting(lines: list[dict]) -> dict | None:
    """Where the first two lines meet (x, y in percent); None where they do not."""
    ends = np.array([[line[name] for name in ("x1", "y1", "x2", "y2")] for line in lines[:2]])
    along = ends[:, 2:] - ends[:, :2] if len(ends) == 2 else np.zeros((2, 2))
    if abs(np.linalg.det(along)) < 1e-3:
        return None
    share = np.linalg.solve(np.stack([along[0], -along[1]], 1), ends[1, :2] - ends[0, :2])[0]
    x, y = (ends[0, :2] + share * along[0]).round(2).tolist()
    return {"x": x, "y": y}


def place(node, across: float, down: float) -> np.ndarray:
    """The point (RAS, mm) at a place of the picture of a slice node.

    Args:
        node: the slice node.
        across: share of the picture's width, from the left.
        down: share of its height, from the top.
    """
    return (_picture_to_ras(node) @ [across, down, 0.0, 1.0])[:3]


def _picture_to_ras(node) -> np.ndarray:
    """4x4 from shares of a picture's width (to the right) and height (downwards) to RAS in mm."""
    columns, rows, _ = node.GetDimensions()
    shares = np.diag([columns, -rows, 1.0, 1.0])
    shares[1, 3] = rows
    return slicer.util.arrayFromVTKMatrix(node.GetXYToRAS()) @ shares


def shown(view: str):
    """The volume that is on top in a slice view; None where it shows nothing."""
    composite = views.composite_node(view)
    ids = [
        composite.GetForegroundVolumeID() if composite.GetForegroundOpacity() > 0 else None,
        composite.GetBackgroundVolumeID(),
    ]
    return next(
        (node for node in map(slicer.mrmlScene.GetNodeByID, filter(None, ids)) if node is not None), None
    )


def role(node) -> str:
    """What a volume is in a result, such as "mean"; "" for a volume that was not inferred."""
    return (node.GetAttribute(views.ROLE) or "") if node is not None else ""


def legend(node) -> dict | None:
    """The colours of a volume that is shown in colour, as a scale.

    Low, high (in the units of the input), and CSS colours between.

    None for grey volumes.
    """
    display = node.GetDisplayNode() if node is not None else None
    table = display.GetColorNode() if display is not None else None
    if table is None or not unit_of(role(node)):
        return None
    numbers = np.linspace(0, table.GetNumberOfColors() - 1, _STOPS).round().astype(int)
    colours = []
    rgba = [0.0] * 4
    for number in numbers:
        table.GetColor(int(number), rgba)
        colours.append("#" + "".join(f"{round(255 * part):02x}" for part in rgba[:3]))
    low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
    return {
        "unit": unit_of(role(node)),
        "low": f"{low:.3g}",
        "high": f"{high:.3g}",
        "gradient": f"linear-gradient(to right, {', '.join(colours)})",
    }
