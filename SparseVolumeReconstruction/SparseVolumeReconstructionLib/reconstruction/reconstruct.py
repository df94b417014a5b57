"""One reconstruction: read, align, condition, bring back to the patient, and say what is known about every
voxel.
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch

from .. import __version__
from ..alignment.align import DOUBTFUL, TWO_BODIES, Alignment
from ..alignment.intensity import MonotoneMap
from ..alignment.plausible import check_size
from ..alignment.trust import MIN_PROBABILITY, RIGHT_MM, TURNED_DEG, frame_probability
from ..geometry import InputError
from ..geometry.io import read_affine, read_volume
from ..observation import Observation, split_slices
from ..priors.base import Prior
from ..progress import Progress
from .contexts import noisy_backgrounds, read_contexts
from .other_contrast import Contrasts, contrasts_of
from .outputs import Clock, OutputMaker, outline
from .patient_posterior import align_patient
from .request import ReconstructionRequest
from .result import Reconstruction
from .whole_head import find_brain, motion_of, told_of

_LOOSE_DEG, _LOOSE_MM = 8.0, 8.0


def reconstruct(request: ReconstructionRequest, prior: Prior, progress: Progress) -> Reconstruction:
    """Everything a request asks for, in patient space.

    Raises InputError for wrong input, Cancelled when asked to stop.
    """
    clock = Clock()
    with clock.step("read"):
        progress.update("reading slices", 0.01)
        known = _known_intensity(request, prior)
        _check_covariate(request, prior)
        observations, warnings = read_contexts(request.contexts)
        slices, others = split_slices(observations)
        extent_mm = float(np.ptp(outline(prior), axis=0).max())
        check_size(slices, extent_mm, f"{prior.card.anatomy} {prior.card.modality}")
        frame = {"auto": None, "registered": np.eye(4)}.get(request.frame, request.frame)
        frame = read_affine(frame) if isinstance(frame, str) else frame
        like = read_volume(request.like).grid if request.like else None
        if request.fast:
            slices = [s.no_finer(request.spacing_mm or 1.0) for s in slices]
    with clock.step("brain"):
        progress.update("looking for the brain", 0.03)
        brain = find_brain(slices, prior.card, read_volume(request.mask) if request.mask else None)
        slices = brain.slices if brain else slices
        contrasts = contrasts_of(slices, brain, prior.card)
        warnings += [*told_of(brain, request.mask is not None), *noisy_backgrounds(slices)]
        warnings += contrasts.told(request.show_as)
    with clock.step("align"):
        known |= {"frame": frame, "covariate": request.covariate}
        as_prior: list[Observation] = [*contrasts.for_prior, *others]
        found = align_patient(prior, as_prior, **known, progress=progress, fast=request.fast)
        alignment = contrasts.shown(found, request.show_as)
    warnings += doubts(alignment, contrasts)
    trusted = frame_probability(found, contrasts.slices, contrasts.readings)
    warnings += _doubt_about_frame(trusted)
    observed = [*contrasts.observed(alignment, request.show_as), *others]
    asked = (request, prior, as_prior, observed, alignment, like, clock, progress, brain)
    result = OutputMaker(*asked).make()
    result.provenance.update(
        _provenance(request, prior, [*slices, *others], alignment, warnings, clock.seconds),
        contrast=contrasts.provenance(request.show_as),
        frame_probability=trusted,
    )
    if brain and not request.fast:
        result.provenance["motion"] = motion_of(brain)
    return result


def _doubt_about_frame(probability: float | None) -> list[str]:
    """A warning where the frame is probably not right."""
    if probability is None or probability >= MIN_PROBABILITY:
        return []
    return [
        f"The frame is right (to {RIGHT_MM:g} mm) with a probability of {probability:.0%} only: check "
        "anatomy, modality and orientation of the files, add slices, best of another direction, or give the "
        "frame."
    ]


def doubts(alignment: Alignment, contrasts: Contrasts | None = None) -> list[str]:
    """Warnings about slices that do not fit the model, or each other."""
    other = [s for s in contrasts.found if contrasts.is_other(s)] if contrasts else []
    warnings = []
    judged = contrasts is not None and contrasts.readings
    if not judged and alignment.score is not None and alignment.score < DOUBTFUL:
        warnings.append(
            f"The slices match the model poorly ({alignment.score:.2f} inside the anatomy; above {DOUBTFUL} "
            "expected): "
            "check anatomy, modality and frame before using the result."
        )
    if alignment.turned_deg > TURNED_DEG:
        warnings.append(
            f"The body lies turned by {alignment.turned_deg:.0f} degrees against what the files say of left, "
            "front and top: "
            "check their orientation (axes that were mixed up, LPS taken for RAS) before using the result."
        )
    spread = alignment.uncertainty
    if spread and (spread["rotation_deg"] > _LOOSE_DEG or spread["translation_mm"] > _LOOSE_MM):
        warnings.append(
            f"The slices fix where the patient lies only to {spread['rotation_deg']:.0f} degrees and "
            f"{spread['translation_mm']:.0f} mm (standard deviations): add slices, best of another "
            "direction, or give the frame."
        )
    first = next(iter(alignment.gains), "")
    warnings += [
        f"{source}: its grey values are {gain:.2f} times those of {first} in the same tissue; they were "
        f"divided by {gain:.2f}, here and among the observed voxels."
        for source, gain in alignment.gains.items()
        if gain != 1.0 and source not in other and first not in other
    ]
    if alignment.apart > TWO_BODIES:
        warnings.append(
            "The files fit the model much better as separate bodies than as one "
            f"({alignment.apart:.0f} nats): two patients, a patient who moved between scans, or different "
            "contrasts."
        )
    return warnings


def _known_intensity(request: ReconstructionRequest, prior: Prior) -> dict[str, Any]:
    """Map and gains that an earlier result found, as `align_patient` takes them."""
    if request.intensity is None:
        return {}
    if request.frame == "auto" or (prior.card.covariate and request.covariate is None):
        raise InputError(
            "an intensity map was given without the frame or the covariate that was found with it; give all "
            "of them."
        )
    found = request.intensity
    return {
        "intensity": MonotoneMap(np.array(found.patient), np.array(found.canonical)),
        "gains": found.gains,
    }


def _check_covariate(request: ReconstructionRequest, prior: Prior) -> None:
    known = prior.card.covariate
    if request.covariate is None:
        return
    if known is None:
        raise InputError(
            f"{prior.card.id} does not depend on a covariate such as gestational age; leave it out."
        )
    if not known.low <= request.covariate <= known.high:
        raise InputError(
            f"{known.name} {request.covariate:g} {known.unit} is out of range; {prior.card.id} covers "
            f"{known.low:g} to {known.high:g}."
        )


def _provenance(
    request: ReconstructionRequest,
    prior: Prior,
    observations: list[Observation],
    alignment: Alignment,
    warnings: list[str],
    seconds: dict[str, float],
) -> dict[str, Any]:
    known = prior.card.covariate
    return {
        "notice": prior.card.notice,
        "software": {
            "SparseVolumeReconstruction": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "SimpleITK": sitk.Version_VersionString(),  # type: ignore[no-untyped-call]
            "numpy": np.__version__,
        },
        "prior": {
            "id": prior.card.id,
            "version": prior.card.version,
            "system": prior.card.system,
            "licence": prior.card.licence,
        },
        "request": request.model_dump(),
        "seed": request.seed,
        "contexts": [observation.provenance() for observation in observations],
        "frame": {
            "patient_to_canonical": alignment.patient_to_canonical.round(9).tolist(),
            "found_from_slices": request.frame == "auto" and bool(observations),
            "standard_deviations": alignment.uncertainty,
            "match": alignment.score,
        },
        "intensity_map": {
            "patient": alignment.intensity.patient.tolist(),
            "canonical": alignment.intensity.canonical.tolist(),
            "gains": alignment.gains,
        },
        "covariate": None
        if known is None
        else {
            "name": known.name,
            "unit": known.unit,
            "value": alignment.covariate,
            "given": request.covariate is not None,
        },
        "warnings": warnings,
        "seconds": seconds,
    }
