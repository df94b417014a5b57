"""Radiographs of a request: their place, what is doubtful, and the volume that gives them exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..alignment.align import Alignment
from ..alignment.intensity import MonotoneMap
from ..alignment.radiographs import Placed, place
from ..geometry import Grid, Volume
from ..observation import Observation, Radiograph, Slice
from ..observation.views import detector
from ..priors.base import Prior
from ..progress import Progress
from .fusion import TOLERANCE, fuse
from .request import Fusion

_SURE_NATS = 3.0
_ALIKE = 0.02  # of explained share: less than so much worse than nothing known is no contradiction
_USUAL_RATIO = 1.3
_DRAWN, _DRAWN_SD = 4, 0.01  # samples whose grey values slices are compared with, and their smoothing
_SAME = 1.1


@dataclass(frozen=True, eq=False)
class Placing:
    """Observations whose radiographs have a place, patient mm.

    others: all that is conditioned on, radiographs on pixels that are not finer than the prior's voxels.
    placed: what was found of each radiograph. warnings: one sentence each.
    """

    others: list[Observation]
    placed: list[Placed]
    warnings: list[str]

    def provenance(self) -> dict[str, Any]:
        """For result.json; nothing without radiographs."""
        return {"radiographs": [one.provenance() for one in self.placed]} if self.placed else {}


def place_radiographs(
    others: list[Observation], prior: Prior, patient_to_canonical: np.ndarray, progress: Progress
) -> Placing:
    """Find where every radiograph's detector was.

    Args:
        others: observations that are no slices; radiographs in the space of their detector.
        prior: what they are compared with.
        patient_to_canonical: 4x4, RAS mm.
        progress: told of steps, asked whether to stop.

    Raises:
        InputError: a radiograph does not show the prior's anatomy.
    """
    if not any(isinstance(one, Radiograph) for one in others):
        return Placing(others, [], [])
    model, back = prior.alignment_model(), np.linalg.inv(patient_to_canonical)
    spacing = float(prior.grid.spacing_ijk.max())
    found: list[Observation] = []
    placed, warnings = [], []
    for one in others:
        if not isinstance(one, Radiograph):
            found.append(one)
            continue
        progress.update(f"finding the view of {one.name}", 0.2)
        if not one.pixel_known:
            one, told = _as_wide_as(one, prior)
            warnings.append(told)
        at = place(one, model, patient_to_canonical, progress.check)
        placed.append(at)
        warnings += _told(one, at)
        found.append(at.radiograph.no_finer(spacing).transformed(back))
    warnings += _contradictions([p.radiograph.no_finer(spacing) for p in placed], prior)
    return Placing(found, placed, warnings)


def matched_by_radiographs(
    found: Alignment, slices: list[Slice], placing: Placing, prior: Prior, check: Callable[[], None]
) -> Alignment:
    """An alignment whose map of grey values fits what radiographs tell of the body on the slices.

    The prior alone knows the grey values of others; what one slice differs in would be taken for its scanner.

    Args:
        found: frame and map by the slices alone; itself where there are no slices or no radiographs.
        slices: that the prior knows the contrast of, patient mm and units.
        placing: has the radiographs.
        prior: is conditioned on them.
        check: called in inner loops; raise from it to cancel.

    Raises:
        InputError: the slices show too little of the anatomy.
    """
    frame, grid = found.patient_to_canonical, prior.grid
    seen = [one.transformed(frame) for one in placing.others if isinstance(one, Radiograph)]
    if not (slices and seen):
        return found
    posterior = prior.condition(seen, covariate=found.covariate, check=check)
    drawn, mask = posterior.sample(list(range(_DRAWN))).cpu(), prior.anatomy_mask.cpu().numpy()
    shown = [one.transformed(frame) for one in found.in_common_units(slices)]
    expected = torch.cat([one.operator(grid, mask=mask).forward(drawn).flatten() for one in shown]).numpy()
    values = np.concatenate([one.values[one.kept(grid, mask)] for one in shown])
    intensity = MonotoneMap.fit(values, expected, np.full(len(expected), _DRAWN_SD**2))
    return replace(found, intensity=intensity)


def _as_wide_as(seen: Radiograph, prior: Prior) -> tuple[Radiograph, str]:
    """A radiograph whose pixels nobody states, as wide as the prior's field, and the warning about it."""
    extent = prior.grid.spacing_ijk * prior.grid.shape_kji[::-1]
    pixel = float(extent.max()) / max(seen.plane.shape_ji)
    plane = detector(np.eye(3), seen.plane.centre, seen.plane.shape_ji, pixel)
    told = (
        f"{seen.name}: states no pixel size; the field of the model ({extent.max():.4g} mm, pixels of "
        f"{pixel:.4g} mm) was assumed; give --pixel."
    )
    return replace(seen, plane=plane, pixel_known=True), told


def _told(seen: Radiograph, at: Placed) -> list[str]:
    """What the user should know of where a radiograph was placed."""
    told = []
    if at.margin is not None and at.margin < _SURE_NATS and seen.view == "unknown":
        told.append(
            f"{seen.name}: its view is not certain (another one is only {at.margin:.1f} nats worse); give "
            "--view, or a second radiograph."
        )
    if at.mirrored is not None and at.mirrored < _SURE_NATS and seen.view == "unknown":
        told.append(
            f"{seen.name}: does not tell left from right, since the mirrored body looks the same from the "
            "mirrored side; the view from in front or above was taken; give --view if it was another."
        )
    ratio = at.gain / at.radiograph.attenuation_per_mm
    if not 1 / _USUAL_RATIO < ratio < _USUAL_RATIO and not seen.attenuation_per_mm:
        told.append(
            f"{seen.name}: shows {ratio:.2f} times the attenuation of the model's mean; the bone is denser "
            "or the grey values have a gamma (see --gamma)."
        )
    return told


def _contradictions(seen: list[Radiograph], prior: Prior) -> list[str]:
    """Warnings about radiographs that the first one predicts worse than nothing does."""
    if len(seen) < 2:
        return []
    told = _other_bodies(seen)
    blind, known = (prior.condition(given).mean().clamp(min=0)[None] for given in ([], seen[:1]))
    for other in seen[1:]:
        operator = other.operator(prior.grid)
        values = torch.as_tensor(other.values[other.kept_pixels])
        before, after = (_explained(operator.forward(volume)[0], values) for volume in (blind, known))
        if after < before - _ALIKE:
            told.append(
                f"{other.name}: contradicts {seen[0].name} (with it, {100 * after:.0f}% of it is explained; "
                f"without, {100 * before:.0f}%): two bodies, a body that moved, or a wrong view."
            )
    return told


def _other_bodies(seen: list[Radiograph]) -> list[str]:
    """Warnings about radiographs with another sum than the first: parallel rays show all of a body."""
    whole = [one for one in seen if one.source_ras is None and one.kept_pixels.all()]
    sums = [float(one.values.sum() * np.prod(one.plane.spacing_ij)) / one.attenuation_per_mm for one in whole]
    return [
        f"{other.name}: contradicts {whole[0].name} (its sum is {total / sums[0]:.2f} times as large; of one "
        "body they are the same): two bodies, another exposure, or a part that lies outside of a picture."
        for other, total in zip(whole[1:], sums[1:], strict=True)
        if not 1 / _SAME < total / sums[0] < _SAME
    ]


def _explained(found: torch.Tensor, values: torch.Tensor) -> float:
    gain = float((found @ values) / (found @ found).clamp(min=1e-9))
    return 1 - float(((values - gain * found) ** 2).sum() / ((values - values.mean()) ** 2).sum())


def fused_mean(
    mean: Volume, observations: list[Observation], policy: Fusion, check: Callable[[], None]
) -> np.ndarray:
    """A mean on a patient grid, changed so that it gives all radiographs; (K, J, I), itself without any."""
    seen = [one for one in observations if isinstance(one, Radiograph)]
    if not seen or policy == "none":
        return mean.array
    operators = [one.operator(mean.grid) for one in seen]
    values = torch.cat([torch.as_tensor(one.values[one.kept_pixels]) for one in seen])
    return fuse(torch.as_tensor(mean.array), operators, values, policy, check).numpy()


def left_over(mean: Volume, observations: list[Observation]) -> dict[str, float]:
    """By how much a volume's transparencies differ from those of each radiograph at most, by name."""
    left: dict[str, float] = {}
    for one in observations:
        if isinstance(one, Radiograph):
            shown = one.operator(mean.grid).forward(torch.as_tensor(mean.array)[None])[0].numpy()
            off = np.exp(-shown) - np.exp(-np.maximum(one.values[one.kept_pixels], 0))
            left[one.name] = max(left.get(one.name, 0.0), float(np.abs(off).max()))
    return left


def told_of_left_over(left: dict[str, float], policy: Fusion) -> list[str]:
    """Warnings about radiographs that an exact fusion does not give."""
    return [
        f"{name}: the mean gives its transparency to {error:.2g} only (at most {TOLERANCE:g} is expected); "
        "where pixels are as fine as voxels, no volume without negative voxels may do better: give --spacing "
        "of half a pixel or less."
        for name, error in left.items()
        if policy == "exact" and error > TOLERANCE
    ]


def reprojection(mean: Volume, observations: list[Observation]) -> Volume | None:
    """What the first radiograph would show of a volume: transparency (1, rows, columns) on its detector.

    1 where the radiograph was masked; None without radiographs.
    """
    seen = next((one for one in observations if isinstance(one, Radiograph)), None)
    if seen is None:
        return None
    picture = np.ones(seen.plane.shape_ji, np.float32)
    shown = seen.operator(mean.grid).forward(torch.as_tensor(mean.array)[None])[0]
    picture[seen.kept_pixels] = torch.exp(-shown).numpy()
    matrix = seen.plane.ij_to_ras.copy()
    return Volume(picture[None], Grid((1, *seen.plane.shape_ji), matrix))
