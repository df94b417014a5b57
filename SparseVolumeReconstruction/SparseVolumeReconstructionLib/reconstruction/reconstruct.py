"""One reconstruction: read, align, condition, bring back to the patient, and say what is known about every voxel."""

from __future__ import annotations

import platform
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk
import torch

from .. import __version__
from ..geometry import Grid, InputError, SliceImage, Volume
from ..geometry.io import read_affine, read_volume
from ..priors.base import Prior
from .align import DOUBTFUL, TWO_BODIES
from .conditioned import Conditioned, condition_patient
from .contexts import read_contexts
from .observed import observed_voxels
from .progress import Progress
from .request import ReconstructionRequest
from .result import Reconstruction

_DEFAULT_SPACING_MM = 1.0
_MOST_VOXELS = 60_000_000


@dataclass
class _Clock:
    """Seconds of each step."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str):
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 4)


def reconstruct(request: ReconstructionRequest, prior: Prior, progress: Progress) -> Reconstruction:
    """Everything a request asks for, in patient space. Raises InputError for wrong input, Cancelled when asked to stop."""
    clock = _Clock()
    with clock.step("read"):
        progress.update("reading slices", 0.01)
        _check_covariate(request, prior)
        slices, warnings = read_contexts(request.contexts)
        frame = {"auto": None, "registered": np.eye(4)}.get(request.frame, request.frame)
        frame = read_affine(frame) if isinstance(frame, str) else frame
        like = read_volume(request.like).grid if request.like else None
    with clock.step("align_and_condition"):
        conditioned = condition_patient(prior, slices, grid=prior.grid, frame=frame, covariate=request.covariate, progress=progress)
    if slices and conditioned.alignment.score < DOUBTFUL:
        warnings.append(
            f"The slices match the model poorly ({conditioned.alignment.score:.2f} inside the anatomy; above {DOUBTFUL} expected): "
            "check anatomy, modality and frame before using the result."
        )
    if conditioned.alignment.apart > TWO_BODIES:
        warnings.append(
            "The files fit the model much better as separate bodies than as one "
            f"({conditioned.alignment.apart:.0f} nats): two patients, a patient who moved between scans, or different contrasts."
        )
    isotropic = _covering(prior, conditioned.patient_to_canonical, request.spacing_mm or _DEFAULT_SPACING_MM)
    conditioned = Conditioned(conditioned.posterior, conditioned.alignment, like or isotropic)
    with clock.step("mean"):
        progress.update("mean", 0.5)
        mean = conditioned.mean()
        template = conditioned.to_patient(conditioned.carry(conditioned.posterior.mean(), isotropic))
        anatomy = conditioned.carry(prior.anatomy_mask.float(), isotropic) >= 0.5
    with clock.step("std"):
        progress.update("uncertainty", 0.55)
        std = conditioned.std()
    with clock.step("samples"):
        samples = _samples(conditioned, request, progress)
    with clock.step("evidence"):
        progress.update("evidence", 0.92)
        evidence = conditioned.posterior.log_evidence() if slices else 0.0
    observed, values = observed_voxels(slices, conditioned.grid)
    if request.keep_observed:
        mean[observed] = values[observed]
        std[observed] = 0
        samples[:, observed] = values[observed]
    provenance = _provenance(request, prior, slices, conditioned, warnings, clock.seconds)
    provenance |= {"log_evidence": evidence, "voxels": {"observed": int(observed.sum()), "inferred": int((~observed).sum())}}
    grid = conditioned.grid
    return Reconstruction(
        Volume(mean, grid),
        Volume(std, grid),
        Volume(observed.astype(np.uint8), grid),
        Volume(np.where(anatomy, template, 0).astype(np.float32), isotropic),
        samples,
        conditioned.patient_to_canonical,
        provenance,
    )


def _samples(conditioned: Conditioned, request: ReconstructionRequest, progress: Progress) -> np.ndarray:
    """Samples with seeds seed, seed + 1, ..., so that fewer samples are the first of more."""
    out = np.empty((request.samples, *conditioned.grid.shape_kji), np.float32)
    for start in range(0, request.samples, 4):
        progress.update(f"samples {start} of {request.samples}", 0.6 + 0.3 * start / request.samples)
        seeds = [request.seed + n for n in range(start, min(start + 4, request.samples))]
        out[start : start + len(seeds)] = conditioned.sample(seeds)
    return out


def _covering(prior: Prior, patient_to_canonical: np.ndarray, spacing_mm: float) -> Grid:
    """Isotropic patient grid that covers the prior's anatomy. Raises InputError when it would be too large."""
    kji = prior.anatomy_mask.nonzero().cpu().numpy()
    extremes = np.concatenate(
        [kji[kji[:, axis] == kji[:, axis].min()] for axis in range(3)] + [kji[kji[:, a] == kji[:, a].max()] for a in range(3)]
    )
    kji = np.concatenate([extremes, kji[:: max(1, len(kji) // 20000)]])
    canonical = np.c_[kji[:, ::-1], np.ones(len(kji))] @ prior.grid.ijk_to_ras.T
    patient = (canonical @ np.linalg.inv(patient_to_canonical).T)[:, :3]
    count = np.prod((patient.max(0) - patient.min(0)) / spacing_mm + 1)
    if count > _MOST_VOXELS:
        raise InputError(
            f"spacing {spacing_mm:g} mm gives {count / 1e6:.0f} million voxels; at most {_MOST_VOXELS / 1e6:.0f} million are made."
        )
    return Grid.covering(patient, spacing_mm)


def _check_covariate(request: ReconstructionRequest, prior: Prior) -> None:
    known = prior.card.covariate
    if request.covariate is None:
        return
    if known is None:
        raise InputError(f"{prior.card.id} does not depend on a covariate such as gestational age; leave it out.")
    if not known.low <= request.covariate <= known.high:
        raise InputError(
            f"{known.name} {request.covariate:g} {known.unit} is out of range; {prior.card.id} covers {known.low:g} to {known.high:g}."
        )


def _provenance(request, prior, slices: list[SliceImage], conditioned: Conditioned, warnings: list[str], seconds: dict) -> dict:
    alignment = conditioned.alignment
    known = prior.card.covariate
    return {
        "notice": prior.card.notice,
        "software": {
            "SparseVolumeReconstruction": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "SimpleITK": sitk.Version_VersionString(),
            "numpy": np.__version__,
        },
        "prior": {"id": prior.card.id, "version": prior.card.version, "system": prior.card.system, "licence": prior.card.licence},
        "request": request.model_dump(),
        "seed": request.seed,
        "contexts": [
            {
                "name": s.name,
                "source": s.source,
                "slice": s.volume_index,
                "pixels_ji": list(s.plane.shape_ji),
                "ij_to_ras": s.plane.ij_to_ras.round(6).tolist(),
                "thickness_mm": s.plane.thickness_mm,
                "thickness_assumed": s.thickness_assumed,
            }
            for s in slices
        ],
        "frame": {
            "patient_to_canonical": conditioned.patient_to_canonical.round(9).tolist(),
            "found_from_slices": request.frame == "auto" and bool(slices),
            "standard_deviations": alignment.uncertainty,
            "match": alignment.score,
        },
        "intensity_map": {"patient": alignment.intensity.patient.tolist(), "canonical": alignment.intensity.canonical.tolist()},
        "covariate": None
        if known is None
        else {"name": known.name, "unit": known.unit, "value": alignment.covariate, "given": request.covariate is not None},
        "warnings": warnings,
        "seconds": seconds,
    }
