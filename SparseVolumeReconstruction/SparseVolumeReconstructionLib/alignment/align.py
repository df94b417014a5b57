"""Where are these slices?

The frame (patient -> canonical affine) and the intensity map, from the slices alone.

`search.py` finds it; here it is judged.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ..geometry import InputError
from ..observation import Slice
from ..priors.alignment_model import AlignmentModel
from ..progress import Progress
from .anatomy import anatomy_level
from .finalists import MAX_MARGIN, margin_of
from .gain import by_source, gain_of, in_common_units, rough_gains, settled
from .intensity import MonotoneMap
from .limits import rounded_down
from .match import Matcher
from .plausible import check_size, has_noise_outside
from .pose import PoseFamily
from .search import COARSE_MM, FINE_MM, finalists, refined
from .shown import ContrastMap

_WRONG_SIZE = 0.25  # log of the size over the expected one
DOUBTFUL, _CLEARLY = 0.65, 0.05
TWO_BODIES, _MAX_FILES = 40.0, 6


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where slices lie in the canonical frame, and what their values are there.

    patient_to_canonical: 4x4 RAS mm. intensity: patient <-> canonical values. covariate: its value, None
    without one.

    score: correlation of the slices with the model's best prediction inside the anatomy; below DOUBTFUL look
    twice. uncertainty: standard deviations of rotation (degrees), translation (mm) and scale (share), from
    the curvature of the evidence. turned_deg: angle between the orientation that was found and the one that
    the files state, where that should tell. apart: how much more probable (nats per further file) the slices
    are when every file shows a body of its own; above TWO_BODIES they do not belong together. gains: by
    source, where several series differ by a factor; the intensity map is that of the first. shown: the grey
    values of the patient where his contrast is not the prior's, None where the intensity map tells them.
    margin: how much more probable (nats, at most MAX_MARGIN) the frame is than the next one that is clearly
    another.
    """

    patient_to_canonical: np.ndarray
    intensity: MonotoneMap
    covariate: float | None
    score: float | None
    uncertainty: dict[str, float]
    turned_deg: float = 0.0
    apart: float = 0.0
    gains: dict[str, float] = field(default_factory=dict)
    shown: ContrastMap | MonotoneMap | None = None
    margin: float = MAX_MARGIN

    def in_common_units(self, slices: list[Slice]) -> list[Slice]:
        """The slices as the intensity map expects them: divided by the gain of their series."""
        return in_common_units(slices, self.gains)

    def to_patient(self, canonical: np.ndarray) -> np.ndarray:
        """Canonical intensities as patient intensities, not below 0, float32."""
        return np.maximum((self.shown or self.intensity).to_patient(canonical), 0)

    def spread_to_patient(self, canonical: np.ndarray, std: np.ndarray) -> np.ndarray:
        """Standard deviations at canonical intensities in patient units, float32."""
        return (self.shown or self.intensity).spread_to_patient(canonical, std)


def align(
    slices: list[Slice], model: AlignmentModel, progress: Progress, covariate: float | None = None
) -> Alignment:
    """Frame and intensity map that make the slices most probable.

    Args:
        slices: at least one, patient mm and units.
        covariate: known value, or None to infer it.

    Raises:
        InputError: when they are not this anatomy or contrast.
    """
    check_size(slices, model.size, model.name)
    if has_noise_outside(slices):
        raise _not_removed(model, "was not removed, because the background is not 0 but noise")
    rough = rough_gains(slices)
    best = _search(in_common_units(slices, rough), model, progress, covariate)
    if rough:
        best = _with_gains(best, slices, rough, model, FINE_MM)
        slices = in_common_units(slices, best.gains)
    size = _size_beyond_expected(best, model)
    problem = None
    assert best.score is not None
    if np.log(size) > _WRONG_SIZE:
        raise _not_removed(
            model, f"seems not to be removed, because what they show is {size:.2f} times as large as expected"
        )
    if np.log(size) < -_WRONG_SIZE:
        problem = f"what they show is {size:.2f} times as large as expected"
    elif best.score < model.min_score:
        problem = (
            f"the best match explains {rounded_down(best.score)} of the contrast inside it (at least "
            f"{model.min_score:.2f} expected)"
        )
    elif best.score < DOUBTFUL:
        inverted = _search([_inverted(s) for s in slices], model, progress.quiet(), covariate)
        if inverted.score is not None and inverted.score > best.score + _CLEARLY:
            problem = (
                f"they match better with dark and bright exchanged ({inverted.score:.2f} against "
                f"{best.score:.2f}): another modality"
            )
    if problem:
        raise InputError(
            f"The slices do not look like {model.name}: {problem}. Check anatomy and modality, or give the "
            "frame."
        )
    turned = 0.0 if model.rotation_sd > 1 else _angle_deg(best.patient_to_canonical[:3, :3])
    return replace(best, turned_deg=turned, apart=_apart(slices, model, best, progress.quiet()))


def _not_removed(model: AlignmentModel, why: str) -> InputError:
    """The usual cause of slices that show too much, with the remedy."""
    return InputError(
        f"The slices do not look like {model.name}: skull, scalp or other tissue around it {why}. Set "
        "everything outside the anatomy to 0 "
        "with a mask of it. If that was done, check anatomy, modality and unit of length."
    )


def _angle_deg(linear: np.ndarray) -> float:
    """Angle in degrees of the rotation nearest to a 3x3 matrix."""
    u, _, v = np.linalg.svd(linear)
    return float(np.degrees(np.arccos(np.clip((np.trace(u @ v) - 1) / 2, -1, 1))))


def _size_beyond_expected(found: Alignment, model: AlignmentModel) -> float:
    """Size of what the slices show over the size the model expects (of its covariate)."""
    log_scale = np.log(np.linalg.det(found.patient_to_canonical[:3, :3])) / 3
    return float(np.exp(float(model.log_scale(torch.tensor([found.covariate or 0.0]))) - log_scale))


def _apart(slices: list[Slice], model: AlignmentModel, joint: Alignment, progress: Progress) -> float:
    """Evidence gained (nats per further file) when each file's slices get their own frame and anatomy."""
    files = by_source(slices)
    if not 1 < len(files) <= _MAX_FILES:
        return 0.0
    value = torch.tensor([joint.covariate or 0.0])
    family = _around(joint.patient_to_canonical, model, value)
    theta = torch.zeros(1, 9)
    together = Matcher.of(slices, model, FINE_MM).evidence(
        family, theta, value, [joint.intensity]
    ) - family.penalty(theta)
    matchers = [Matcher.of(part, model, FINE_MM) for part in files.values()]
    separate = sum(refined(m, family, theta, value, False, progress).evidence for m in matchers)
    return float(separate - together) / (len(files) - 1)


def _around(matrix: np.ndarray, model: AlignmentModel, value: torch.Tensor) -> PoseFamily:
    """The poses around a frame (4x4 patient to canonical). value: of the covariate, (1,)."""
    start = torch.as_tensor(matrix, dtype=torch.float32)
    log_scale = model.log_scale(value)
    centre = torch.linalg.solve(start[:3, :3], model.centre - start[:3, 3])
    linear = (start[:3, :3] / log_scale.exp())[None]
    return PoseFamily(centre, model.centre, linear, log_scale, model.rotation_sd, model.scale_sd)


def frame_near(
    slices: list[Slice], model: AlignmentModel, start: np.ndarray, progress: Progress
) -> Alignment:
    """Frame and intensity map that evidence finds from a start nearby: `align` without its search.

    Args:
        slices: of one series, patient mm and units.
        model: without a covariate.
        start: 4x4 patient to canonical, RAS mm.
        progress: asked whether to stop.
    """
    matcher, value = Matcher.of(slices, model, FINE_MM), torch.zeros(1)
    found = refined(matcher, _around(start, model, value), torch.zeros(1, 9), value, False, progress)
    matrix = found.matrices[0].double().numpy()
    score = matcher.agreement(found.family, found.theta, found.value, found.maps[0])
    return Alignment(matrix, found.maps[0], None, score, {})


def _search(
    slices: list[Slice], model: AlignmentModel, progress: Progress, covariate: float | None
) -> Alignment:
    """The most probable alignment, good or not."""
    found = finalists(slices, model, progress, covariate)
    best = int(found.evidence.argmax())
    winner = torch.tensor([best])
    family, theta, value, intensity = (
        found.family.select(winner),
        found.theta[winner],
        found.value[winner],
        found.maps[best],
    )
    margin = margin_of(found.matrices, found.evidence, model)
    return Alignment(
        family.matrix(theta)[0].double().numpy(),
        intensity,
        float(value.clamp(model.knots[0], model.knots[-1])) if model.has_covariate else None,
        found.matcher.agreement(family, theta, value, intensity),
        found.matcher.uncertainty(family, theta, value, intensity),
        margin=margin,
    )


def _inverted(image: Slice) -> Slice:
    """The slice with dark and bright exchanged inside its foreground."""
    high = float(np.quantile(image.pixels, 0.995))
    shown = image.pixels > anatomy_level(image.pixels)
    return replace(image, pixels=np.where(shown, np.maximum(1.1 * high - image.pixels, 0.05 * high), 0))


def fixed_frame(
    slices: list[Slice],
    model: AlignmentModel,
    matrix: np.ndarray,
    covariate: float | None = None,
    fast: bool = False,
) -> Alignment:
    """Intensity map, covariate and score of slices in a given frame (4x4 patient to canonical, RAS mm).

    Args:
        covariate: known value, or None to infer it.
        fast: on fewer pixels.
    """
    size, rough = COARSE_MM if fast else FINE_MM, rough_gains(slices)
    found = _fitted(in_common_units(slices, rough), model, matrix, covariate, size)
    return _with_gains(found, slices, rough, model, size) if rough else found


def in_known_frame(slices: list[Slice], model: AlignmentModel, known: Alignment) -> Alignment:
    """A known alignment with the score of these slices.

    Args:
        known: what is doubtful in it stays so when one of the slices has moved.
    """
    matcher, matrix = Matcher.of(known.in_common_units(slices), model, COARSE_MM), known.patient_to_canonical
    value = torch.tensor([known.covariate or 0.0])
    score = matcher.agreement(PoseFamily.fixed(matrix), torch.zeros(1, 9), value, known.intensity)
    turned = 0.0 if model.rotation_sd > 1 else _angle_deg(matrix[:3, :3])
    return replace(known, score=score, turned_deg=turned)


def _fitted(
    slices: list[Slice], model: AlignmentModel, matrix: np.ndarray, covariate: float | None, size: float
) -> Alignment:
    """The same for slices of one gain, on pixels of `size` mm."""
    matcher = Matcher.of(slices, model, size)
    value = model.covariate_values() if covariate is None else torch.tensor([covariate])
    theta, family = torch.zeros(len(value), 9), PoseFamily.fixed(matrix, len(value))
    maps = matcher.intensity_maps(family, theta, value)
    best = int(matcher.evidence(family, theta, value, maps).argmax())
    one = torch.tensor([best])
    score = matcher.agreement(family.select(one), theta[one], value[one], maps[best])
    covariate = float(value[best]) if model.has_covariate else None
    return Alignment(matrix, maps[best], covariate, score, {})


def _with_gains(
    found: Alignment, slices: list[Slice], rough: dict[str, float], model: AlignmentModel, size: float
) -> Alignment:
    """What was found with rough gains, with the gain of every series as the frame tells it."""
    gains = gains_in_frame(slices, rough, model, found, size)
    matrix = found.patient_to_canonical
    again = _fitted(in_common_units(slices, gains), model, matrix, found.covariate, size)
    return replace(again, uncertainty=found.uncertainty, gains=gains)


def gains_in_frame(
    slices: list[Slice],
    rough: dict[str, float],
    model: AlignmentModel,
    found: Alignment,
    size_mm: float = COARSE_MM,
) -> dict[str, float]:
    """Gain of each series over the first, from what the model expects with a frame and an intensity map.

    Args:
        rough: gains with which the map was found, 1 for series that are not named.
    """
    gains = {}
    for source, own in by_source(in_common_units(slices, rough)).items():
        matcher = Matcher.of(own, model, size_mm)
        mean = matcher.expected(found.patient_to_canonical, found.covariate)
        gains[source] = rough.get(source, 1.0) * gain_of(matcher.values.numpy(), mean, found.intensity)
    first = next(iter(gains))
    unit = rough.get(first, 1.0) / gains[first]
    return settled({source: gain * unit for source, gain in gains.items()})
