"""Whether a frame is right, as a probability.

From how well it explains the slices, and from where single slices look to lie.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from ..geometry import InputError
from ..observation import Slice
from ..priors.alignment_model import AlignmentModel
from .align import Alignment
from .head import disagreement_mm, head_reader
from .judge import Judge
from .limits import MIN_THINKABLE, RIGHT_MM
from .reader import Reading

TURNED_DEG = 60.0
"""Nobody lies like that in a scanner by accident."""
MEASURES = ("score", "far", "margin", "area")
"""How well the slices are explained, how far they lie from where they look to, how much more probable the
frame is than the next one, and how much brain they show."""
_NEAR_MM, _FAR_MM, _LITTLE_CM2, _MUCH_CM2, _SURE_NATS = 5.0, 60.0, 5.0, 150.0, 10.0


def frame_probability(alignment: Alignment, slices: list[Slice], readings: list[Reading]) -> float | None:
    """Probability (0..1) that the frame is right; None where nothing was matched.

    Args:
        alignment: with what was found.
        slices: patient mm, of a brain.
        readings: what the network reads in each, in the same order.
    """
    measures = frame_measures(alignment, slices, readings)
    return None if measures is None else Judge.of("frame").probabilities(measures)["right"]


def frame_measures(
    alignment: Alignment, slices: list[Slice], readings: list[Reading]
) -> dict[str, float] | None:
    """By what the judge of frames decides, MEASURES; arguments and None as in `frame_probability`."""
    if alignment.score is None or not readings:
        return None
    matrix = alignment.patient_to_canonical
    if alignment.turned_deg > TURNED_DEG:
        upright = np.eye(4)
        upright[:3, :3] = _rotation(matrix[:3, :3])
        readings = head_reader().read([s.transformed(upright) for s in slices])
        matrix = matrix @ np.linalg.inv(upright)
    seen = any(len(r.points) for r in readings)
    apart = disagreement_mm(readings, matrix) if seen else _FAR_MM
    area = sum(
        float(r.brain.sum() * np.prod(s.plane.spacing_ij)) / 100
        for s, r in zip(slices, readings, strict=True)
    )
    values = (
        alignment.score,
        float(np.log(min(max(apart, _NEAR_MM), _FAR_MM))),
        min(alignment.margin, _SURE_NATS) / _SURE_NATS,
        float(np.log(min(max(area, _LITTLE_CM2), _MUCH_CM2))),
    )
    return dict(zip(MEASURES, values, strict=True))


def check_thinkable(probability: float | None, model: AlignmentModel) -> None:
    """Raise InputError where it is hardly thinkable that the frame that was found is right.

    Args:
        probability: 0..1; None passes.
        model: what the slices were matched with, for the message.

    Raises:
        InputError: below MIN_THINKABLE.
    """
    if probability is not None and probability < MIN_THINKABLE:
        raise InputError(
            f"The slices do not look like {model.name}: the best frame is right (to {RIGHT_MM:g} mm) with a "
            f"probability of {probability:.1%}. Check anatomy, modality and orientation, or give the frame."
        )


def _rotation(linear: np.ndarray) -> np.ndarray:
    """The rotation nearest to a 3x3 matrix."""
    u, _, v = np.linalg.svd(linear)
    return np.asarray(Rotation.from_matrix(u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v).as_matrix())
