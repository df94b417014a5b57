"""What a result says of itself: what it was made from, with what, and what is doubtful about it."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch

from .. import __version__
from ..alignment.align import DOUBTFUL, TWO_BODIES, Alignment
from ..alignment.limits import MIN_PROBABILITY, RIGHT_MM, rounded_down
from ..alignment.mirrored import mirror_judge
from ..alignment.trust import TURNED_DEG
from ..observation import Observation
from ..priors.base import Prior
from .other_contrast import Contrasts
from .request import ReconstructionRequest

_LOOSE_DEG, _LOOSE_MM = 8.0, 8.0


def doubts(alignment: Alignment, contrasts: Contrasts | None = None) -> list[str]:
    """Warnings about slices that do not fit the model, or each other.

    Args:
        alignment: their frame and intensity map.
        contrasts: of their series, None where nobody looked.
    """
    other = [s for s in contrasts.found if contrasts.is_other(s)] if contrasts else []
    warnings = []
    judged = contrasts is not None and contrasts.readings
    if not judged and alignment.score is not None and alignment.score < DOUBTFUL:
        warnings.append(
            f"The slices match the model poorly ({rounded_down(alignment.score)} inside the anatomy; above "
            f"{DOUBTFUL} expected): "
            "check anatomy, modality and frame before using the result."
        )
    if alignment.turned_deg > TURNED_DEG:
        warnings.append(
            f"The body lies turned by {alignment.turned_deg:.0f} degrees against what the files say of left, "
            "front and top: "
            "check their orientation (axes that were mixed up, LPS taken for RAS) before using the result."
        )
    first = next(iter(alignment.gains), "")
    warnings += [
        f"{source}: its grey values are {gain:.2f} times those of {first} in the same tissue; they were "
        f"divided by {gain:.2f}, here and among the observed voxels."
        for source, gain in alignment.gains.items()
        if gain != 1.0 and source not in other and first not in other
    ]
    return [*warnings, *doubts_of_search(alignment)]


def doubts_of_search(alignment: Alignment) -> list[str]:
    """Warnings that only a search for the frame can give: that it is loose, that there are two bodies."""
    warnings = []
    spread = alignment.uncertainty
    if spread and (spread["rotation_deg"] > _LOOSE_DEG or spread["translation_mm"] > _LOOSE_MM):
        warnings.append(
            f"The slices fix where the patient lies only to {spread['rotation_deg']:.0f} degrees and "
            f"{spread['translation_mm']:.0f} mm (standard deviations): add slices, best of another "
            "direction, or give the frame."
        )
    if alignment.apart > TWO_BODIES:
        warnings.append(
            "The files fit the model much better as separate bodies than as one "
            f"({alignment.apart:.0f} nats): two patients, a patient who moved between scans, or different "
            "contrasts."
        )
    return warnings


def doubt_about_frame(probability: float | None) -> list[str]:
    """A warning where the frame is probably not right."""
    if probability is None or probability >= MIN_PROBABILITY:
        return []
    return [
        f"The frame is right (to {RIGHT_MM:g} mm) with a probability of "
        f"{rounded_down(100 * probability, 0)}% only: check anatomy, modality and orientation of the files, "
        "add slices, best of another direction, or give the frame."
    ]


def doubt_about_sides(alignment: Alignment, contrasts: Contrasts, trusted: float | None) -> list[str]:
    """A warning where T1w slices of a brain look like the mirror image of one; none in a doubtful frame.

    Args:
        alignment: frame and intensity map.
        contrasts: of the series.
        trusted: probability that the frame is right, None where it was not asked.
    """
    known = [s for s in contrasts.slices if not contrasts.is_doubtful(s.source)]
    if not (contrasts.readings and known) or doubt_about_frame(trusted):
        return []
    if not mirror_judge().tells_of(known, alignment):
        return []
    return [
        f"{', '.join(dict.fromkeys(s.source for s in known))}: left and right may be exchanged: the brain is "
        "more like the mirror image of other people's brains than like these. Check the orientation that the "
        "file states (its header, or how it was converted) before telling left from right; lesions can look "
        "so, too."
    ]


def provenance(
    request: ReconstructionRequest,
    prior: Prior,
    observations: list[Observation],
    alignment: Alignment,
    contrasts: Contrasts,
    warnings: list[str],
) -> dict[str, Any]:
    """What result.json says of a result, but for its voxels and times.

    Args:
        request: what was asked for.
        prior: the model.
        observations: what was observed, patient mm.
        alignment: their frame and intensity map.
        contrasts: of their series.
        warnings: what is doubtful.

    Returns:
        A JSON-ready dict.
    """
    known = prior.card.covariate
    return {
        "notice": prior.card.notice,
        "software": software(),
        "prior": {
            "id": prior.card.id,
            "version": prior.card.version,
            "system": prior.card.system,
            "licence": prior.card.licence,
        },
        "request": request.model_dump(),
        "seed": request.seed,
        "draws": next(iter(prior.draws), None),
        "contexts": [observation.provenance() for observation in observations],
        "frame": {
            "patient_to_canonical": alignment.patient_to_canonical.round(9).tolist(),
            "found_from_slices": request.frame == "auto" and bool(observations),
            "standard_deviations": alignment.uncertainty,
            "match": alignment.score,
            "doubts": doubts_of_search(alignment),
        },
        "intensity_map": {
            "patient": alignment.intensity.patient.tolist(),
            "canonical": alignment.intensity.canonical.tolist(),
            "gains": alignment.gains,
        },
        "contrast": contrasts.provenance() | {"any": prior.knows_tissues and bool(contrasts.found)},
        "covariate": None
        if known is None
        else {
            "name": known.name,
            "unit": known.unit,
            "value": alignment.covariate,
            "given": request.covariate is not None,
        },
        "warnings": warnings,
    }


def software() -> dict[str, str]:
    """Versions of what computed."""
    return {
        "SparseVolumeReconstruction": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "SimpleITK": sitk.Version_VersionString(),
        "numpy": np.__version__,
    }
