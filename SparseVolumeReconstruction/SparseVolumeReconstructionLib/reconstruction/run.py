"""A request from beginning to end: read, align, condition, bring back to the patient, and write."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..alignment.align import Alignment
from ..alignment.intensity import MonotoneMap
from ..alignment.plausible import check_size
from ..alignment.reader import Brain
from ..alignment.trust import check_thinkable, frame_probability
from ..geometry import Grid, InputError
from ..geometry.io import read_affine, read_volume
from ..observation import Observation, Slice, split_slices
from ..priors.base import Prior
from ..progress import Progress
from ..zoo.store import ModelStore
from .contexts import noisy_backgrounds, read_contexts
from .extent import outline
from .images import check_can_be_written
from .other_contrast import KNOWN, SHOWN, Contrasts, contrasts_of
from .outputs import Source, make_outputs, told_of_outputs
from .patient_posterior import align_patient
from .provenance import doubt_about_frame, doubt_about_sides, doubts, provenance
from .radiographs import Placing, matched_by_radiographs, place_radiographs, told_of_left_over
from .request import ReconstructionRequest
from .result import Reconstruction, write_result
from .view import View, view_of
from .whole_head import find_brain, read_mask, told_of


def run_request(request: ReconstructionRequest, store: ModelStore, progress: Progress) -> dict[str, Any]:
    """Reconstruct and write the result folder.

    When a GPU runs out of memory the work is done again on the CPU and the result says so. Warnings
    are told before anything is written.

    Args:
        request: what to reconstruct.
        store: has the model.
        progress: told of steps and warnings, asked whether to stop.

    Returns:
        {"files": {name: path}, "result": content of result.json}.

    Raises:
        InputError: wrong input.
        Cancelled: when asked to stop.
    """
    check_can_be_written(request.format, request.output)
    progress.update("loading the model", 0.0)
    model = store.find(request.prior)
    try:
        prior = store.load(model, request.device)
        with _one_thread() if request.fast else nullcontext():
            result = reconstruct(request, prior, progress)
        device = str(prior.device)
        warnings = []
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        result = reconstruct(request, store.load(model, "cpu"), progress)
        device = "cpu"
        warnings = ["The GPU ran out of memory; everything was computed on the CPU instead."]
    result.provenance["prior"]["sha256"] = model.entry.sha256
    result.provenance["device"] = device
    result.provenance["warnings"] += warnings
    for warning in result.provenance["warnings"]:
        progress.warn(warning)
    progress.update("writing", 0.95)
    files = write_result(result, request.output, request.compress, request.format)
    progress.finish()
    return {"files": files, "result": result.provenance}


def reconstruct(request: ReconstructionRequest, prior: Prior, progress: Progress) -> Reconstruction:
    """Everything a request asks for, in patient space.

    Args:
        request: what to reconstruct; its files are read here.
        prior: the model, on the device that computes.
        progress: told of steps, asked whether to stop. Warnings are in the provenance, not told here.

    Raises:
        InputError: wrong input.
        Cancelled: when asked to stop.
    """
    clock = Clock()
    prior = prior.drawing(request.draws)
    known = understand(request, prior, progress, clock)
    view, found, others = known.view, known.alignment, known.others
    conditioned_on = [*view.slices, *others]
    shown = [*view.shown, *others]
    source = Source(
        request, view.prior, conditioned_on, shown, view.alignment, known.like, known.brain, progress
    )
    made = make_outputs(source, clock.step)
    observations = [*known.slices, *others]
    said = provenance(request, prior, observations, found, known.contrasts, known.warnings)
    said["contrast"] |= view.provenance()
    if view.by_tissues and view.seen:
        said["intensity_map"]["tissues"] = view.seen.shades
    said |= known.placing.provenance()
    said["warnings"] += told_of_left_over(made.get("left_over", {}), request.fusion)
    said |= {"frame_probability": known.trusted, **told_of_outputs(made), "seconds": clock.seconds}
    return Reconstruction.of(made, found.patient_to_canonical, said)


@dataclass
class Understood:
    """What is known of a request's slices before anything is inferred from them.

    slices: what was observed, patient mm and units, set to 0 around the brain. placing: other observations
    with their places. brain: where slices
    show more than that. contrasts: of their series. alignment: frame and intensity map. view: what a
    posterior is made of. trusted: probability that the frame is right, None where it was not asked. like:
    output grid. warnings: what is doubtful.
    """

    slices: list[Slice]
    placing: Placing
    brain: Brain | None
    contrasts: Contrasts
    alignment: Alignment
    view: View
    trusted: float | None
    like: Grid | None
    warnings: list[str]

    @property
    def others(self) -> list[Observation]:
        """What was observed besides slices, patient mm."""
        return self.placing.others


@dataclass
class Seen:
    """A request's slices before anybody asked where they lie; the fields are those of Understood.

    given: what the request's files hold.
    """

    given: Given
    slices: list[Slice]
    brain: Brain | None
    contrasts: Contrasts
    warnings: list[str]


def look_at(request: ReconstructionRequest, prior: Prior, progress: Progress, clock: Clock) -> Seen:
    """Read a request's files, find the brain in the slices and their contrast; arguments of `understand`."""
    with clock.step("read"):
        progress.update("reading slices", 0.01)
        given = _read(request, prior)
        slices, warnings = given.slices, given.warnings
    with clock.step("brain"):
        progress.update("looking for the brain", 0.03)
        mask = read_mask(request.mask, warnings.append) if request.mask else None
        brain = find_brain(slices, prior.card, mask)
        slices = brain.slices if brain else slices
        contrasts = contrasts_of(slices, brain, prior.card, show_as=request.show_as)
        contrasts.check_agree()
        warnings += [*told_of(brain, prior.card, request.mask is not None), *noisy_backgrounds(slices)]
        warnings += contrasts.told()
    return Seen(given, slices, brain, contrasts, warnings)


def understand(request: ReconstructionRequest, prior: Prior, progress: Progress, clock: Clock) -> Understood:
    """Read a request's files, find brain, frame, contrast and intensities.

    Args:
        request: what was observed, and what is known of it.
        prior: the model.
        progress: told of steps, asked whether to stop.
        clock: told of the time of each step.

    Raises:
        InputError: wrong input.
        Cancelled: when asked to stop.
    """
    seen = look_at(request, prior, progress, clock)
    contrasts, others, warnings = seen.contrasts, seen.given.others, seen.warnings
    with clock.step("align"):
        to_match: list[Observation] = [*contrasts.for_prior, *others]
        found = align_patient(prior, to_match, **seen.given.known, progress=progress, fast=request.fast)
    with clock.step("views"):
        placing = place_radiographs(others, prior, found.patient_to_canonical, progress)
        if request.intensity is None:
            found = matched_by_radiographs(found, contrasts.for_prior, placing, prior, progress.check)
    with clock.step("contrast"):
        view = view_of(prior, contrasts, found, seen.given.tissues)
    warnings += [*view.told(contrasts.first), *doubts(found, contrasts)]
    trusted = frame_probability(found, contrasts.slices, contrasts.readings)
    if request.frame == "auto":
        check_thinkable(trusted, prior.alignment_model())
    gravest = [*doubt_about_frame(trusted), *doubt_about_sides(found, contrasts, trusted)]
    warnings = [*gravest, *warnings, *placing.warnings]
    return Understood(
        seen.slices, placing, seen.brain, contrasts, found, view, trusted, seen.given.like, warnings
    )


@dataclass
class Clock:
    """Seconds of each step."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is done inside."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 4)


@dataclass
class Given:
    """What a request's files hold.

    slices, others: observations, patient mm. warnings: about them. known: what `align_patient` need not find.
    like: output grid. tissues: grey values that an earlier result found.
    """

    slices: list[Slice]
    others: list[Observation]
    warnings: list[str]
    known: dict[str, Any]
    like: Grid | None
    tissues: dict[str, list[float]] | None


def _read(request: ReconstructionRequest, prior: Prior) -> Given:
    """The request's files, checked. Raises InputError."""
    known = _known_intensity(request, prior)
    if "tissues" in request.outputs and not prior.knows_tissues:
        raise InputError(f"{prior.card.id} does not know tissues; leave them out of the outputs.")
    if SHOWN.get(request.show_as, KNOWN) != KNOWN and not prior.knows_tissues:
        raise InputError(
            f"{prior.card.id} does not know tissues and cannot show {SHOWN[request.show_as]} MRI; choose "
            "another model, or show it as it is."
        )
    _check_covariate(request, prior)
    observations, warnings = read_contexts(request.contexts)
    slices, others = split_slices(observations)
    extent_mm = float(np.ptp(outline(prior), axis=0).max())
    check_size(slices, extent_mm, f"{prior.card.anatomy} {prior.card.modality}")
    frame = {"auto": None, "registered": np.eye(4)}.get(request.frame, request.frame)
    known |= {
        "frame": read_affine(frame) if isinstance(frame, str) else frame,
        "covariate": request.covariate,
    }
    like = read_volume(request.like, warn=warnings.append).grid if request.like else None
    if request.fast:
        slices = [s.no_finer(request.spacing_mm or 1.0) for s in slices]
    shades = request.intensity and request.intensity.tissues
    tissues = {str(name): levels for name, levels in shades.items()} if shades else None
    return Given(slices, others, warnings, known, like, tissues)


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


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute on one thread.

    For many small steps, several spend more time on waiting for each other than they save.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
