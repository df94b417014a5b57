"""The frozen protocols: systems and baselines on the same subjects, contexts and metrics."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..data.bids import WRITTEN
from ..data.cohort import LABEL_FILES, Cohort, cohort_of
from ..geometry import InputError
from ..geometry.io import write_text
from ..observation import Slice
from ..priors.base import Prior
from ..progress import Progress
from ..reconstruction.provenance import doubts
from ..reconstruction.whole_head import find_brain
from ..zoo.store import ModelStore
from .baselines import Baseline, MeanAtlas, PointEstimate, baselines
from .cases import FIT_SUBJECTS, Bench, Case, as_array, prepare
from .detector import Detector, detector_of, looked_at
from .inference import Inferred, infer, sampling_seconds
from .pictures import Picture, picture
from .sample_scores import distances
from .scores import Tally, add_distribution, score_mean, with_observed

BASELINES = (
    "mean-atlas",
    "cohort-atlas",
    "nearest-slice",
    "linear-interpolation",
    "nearest-volume",
    "pca",
)
PICTURE_COUNT = 4
METRICS = (
    "Observed slices are shown in every system's estimate. mean-atlas: of the model; "
    "cohort-atlas: mean of the library, as bright as the slices. ssim: mean over all slices (scikit-image, "
    "7x7 uniform window, data "
    "range 1); ssim_in_brain: mean of the SSIM map in the foreground; cc: Pearson correlation; psnr: peak 1; "
    "..._of_samples: mean over "
    "posterior samples of what a sample alone scores; sample_difference: root mean square difference of two "
    "samples where the "
    "foreground was not observed; sample_spread: root mean square distance of samples from the mean there "
    "over that of the truth; sample_coverage_90: as coverage_90, between quantiles of 40 or more samples; "
    "sample_auc: how often a small network, trained on people of the fit and one sample of each, takes a "
    "slice of a sample rather than one of the scan for the sample, both not observed (registered, where "
    "people of the fit are in the folder; best 0.5); sample_error, donor_distance: root mean square distance "
    "of samples from the truth, and from the nearest of the people from whom they start (canonical units, "
    "hidden foreground), ..._observed: the same person where the foreground was observed; "
    "coverage_L: share of foreground voxels that were not observed inside their central L % interval. Means "
    "over subjects. "
    "seconds_condition (with intensity map and, in the patient frame, alignment), seconds_mean: medians "
    "after one warm call; "
    "seconds_sample: of one sample more. Without contexts, registered subjects share one computation."
)


class Evaluation(dict):
    """The JSON content of an evaluation: {system: {count: {key: value}}} and `_about`.

    Args:
        content: that, JSON-ready.
        pictures: {count: {subject: Picture}}.
        bench: what it ran on, with all test subjects.
    """

    def __init__(self, content: dict, pictures: dict[int, dict[str, Picture]], bench: Bench):
        super().__init__(content)
        self.pictures, self.bench = pictures, bench


def evaluate(
    prior_ids: list[str],
    cohort_dir: str | Path,
    frame: str,
    counts: list[int],
    store: ModelStore,
    progress: Progress,
    *,
    samples: int = 16,
    device: str = "auto",
    draws: str | None = None,
    skip: tuple[str, ...] = LABEL_FILES,
    modality: str | None = None,
    strip: str | None = None,
) -> Evaluation:
    """Evaluate priors and all baselines on the subjects of a folder that no prior was fitted on.

    A subject that cannot be used at some count is left out there for every system and named in `_about`.

    Args:
        frame: "registered" (whole-volume affine registration to the first prior, its protocol grid) or
            "patient" (own grid, frame found from the slices).
        counts: numbers of contexts.
        samples: posterior samples scored per case.
        draws: what these start from, see `Prior.drawing`.
        skip: patterns of the names of label files.
        modality: of the volumes that are taken where names tell several, such as "FLAIR"; that of the first
            prior if None, or the only one that there is.
        strip: how the label maps beside whole heads are called, outside of which they are set to 0; with
            "patient", the slices that are given show the whole head, and the brain is found in them.

    Raises:
        InputError: when nothing can be evaluated.
    """
    if not prior_ids:
        raise InputError("nothing to evaluate; expected at least one prior.")
    priors = {one: store.load(one, device).drawing(draws) for one in dict.fromkeys(prior_ids)}
    own = next(iter(priors.values())).card.modality
    cohort = cohort_of(cohort_dir, skip, own, modality)
    cohort = cohort.stripped_by(strip) if strip else cohort
    if cohort.other and modality is None:
        found = WRITTEN[str(cohort.contrast)]
        progress.warn(f"{cohort_dir}: holds no {own}; its {found} volumes are evaluated.")
    return evaluate_priors(priors, cohort, Path(cohort_dir).name, frame, counts, progress, samples=samples)


def evaluate_priors(
    priors: dict[str, Prior],
    cohort: Cohort,
    cohort_name: str,
    frame: str,
    counts: list[int],
    progress: Progress,
    *,
    samples: int,
    subjects: int | None = None,
    pictured: list[int] | None = None,
) -> Evaluation:
    """The same for priors by any name and a cohort that is listed already.

    The first prior gives the mean atlas.

    Args:
        subjects: only that many, the first ones.
        pictured: numbers of contexts of which pictures are kept (if None one of them, and all of the first
            subject).
    """
    counts = sorted(set(counts))
    if not counts:
        raise InputError("nothing to evaluate; expected at least one number of contexts.")
    whole = prepare(
        cohort, list(priors.values()), frame, lambda step, done: progress.update(step, 0.4 * done)
    )
    cohort.warn(progress)
    bench = replace(whole, test=whole.test[:subjects])
    run = _Run(priors, bench, samples)
    kept = pictured or [PICTURE_COUNT if PICTURE_COUNT in counts else counts[len(counts) // 2]]
    shown = kept if pictured else counts
    pictures: dict[int, dict[str, Picture]] = {count: {} for count in shown if count in counts}
    for number, name in enumerate(bench.test):
        case = run.load(name, progress)
        if case is None:
            continue
        for step, count in enumerate(counts):
            progress.update(
                f"{name}: {count} contexts", 0.4 + 0.6 * (number + step / len(counts)) / len(bench.test)
            )
            try:
                estimates, inferred = run.score(case, count, progress.check)
            except InputError as error:
                run.left_out[f"{name}, {count} contexts"] = str(error)
                progress.warn(f"{name} was left out at {count} contexts: {error}")
                continue
            run.warn(case, count, inferred, progress)
            if count in kept or (count in pictures and name == bench.test[0]):
                pictures[count][name] = picture(case, count, estimates, inferred)
    content = run.tally.summary([*priors, *BASELINES], counts)
    if all(content[identifier][str(n)]["ssim"] is None for identifier in priors for n in counts):
        raise InputError(
            f"{cohort_name}: no subject could be evaluated "
            f"({next(iter([*run.left_out.values(), *cohort.unusable.values()]), 'none is left')})."
        )
    run.warnings = {name: list(texts) for name, texts in cohort.notices.items()} | run.warnings
    content["_about"] = _about(run, cohort, cohort_name)
    return Evaluation(content, pictures, whole)


class _Run:
    """All systems on the same cases. left_out: {case: why}. warnings: {case and prior: texts}."""

    def __init__(self, priors: dict[str, Prior], bench: Bench, samples: int):
        self.priors, self.bench, self.samples = priors, bench, samples
        self.tally = Tally()
        self.left_out: dict[str, str] = {}
        self.warnings: dict[str, list[str]] = {}
        self._sampling: dict[str, dict[str, float]] = {}
        self._of_nothing: dict[str, Inferred] = {}
        self._detectors: dict[str, Detector] = {}
        self._donors: dict[str, np.ndarray] = {}

    def load(self, name: str, progress: Progress) -> Case | None:
        """A case, or None with the reason noted."""
        try:
            return self.bench.load(name)
        except InputError as error:
            self.left_out[name] = str(error)
            progress.warn(f"{name} was left out: {error}")
            return None

    def warn(self, case: Case, count: int, inferred: dict[str, Inferred], progress: Progress) -> None:
        """Tell and keep what a reconstruction of the same slices would warn of."""
        for identifier, one in inferred.items():
            texts = doubts(one.posterior.alignment)
            for text in texts:
                progress.warn(f"{case.name} at {count} contexts, {identifier}: {text}")
            if texts:
                self.warnings[f"{case.name}, {count} contexts, {identifier}"] = texts

    def _slices(self, case: Case, count: int) -> list[Slice]:
        """The contexts of a case; of a whole head what is found of the brain in them."""
        slices = case.slices(case.positions(count))
        card = next(iter(self.priors.values())).card
        brain = find_brain(slices, card) if case.scan else None
        return brain.slices if brain else slices

    def _infer(self, case: Case, count: int, check: Callable[[], None]) -> dict[str, Inferred]:
        """Condition every prior on the same contexts of one case.

        Without contexts, registered subjects share all.
        """
        shared = count == 0 and self.bench.frame == "registered"
        if shared and self._of_nothing:
            return self._of_nothing
        slices = self._slices(case, count)
        inferred = {}
        for identifier, prior in self.priors.items():
            check()
            if slices and identifier not in self._sampling:
                warm = infer(prior, slices, case.truth.grid, self.bench.frame, 0, case.contrast)
                self._sampling[identifier] = (
                    {"seconds_sample": sampling_seconds(warm)} if self.samples else {}
                )
            inferred[identifier] = infer(
                prior, slices, case.truth.grid, self.bench.frame, self.samples, case.contrast
            )
        if shared:
            self._of_nothing = inferred
        return inferred

    def score(
        self, case: Case, count: int, check: Callable[[], None]
    ) -> tuple[dict[str, np.ndarray], dict[str, Inferred]]:
        """Score every system and baseline for one case.

        Returns:
            Their estimates (K, J, I) by name, and what was inferred.
        """
        positions = case.positions(count)
        inferred = self._infer(case, count, check)
        reference = next(iter(inferred.values()))
        shown: list[Baseline] = [MeanAtlas(reference.prior, reference.posterior)]
        if count:
            library = self.bench.library.without(case.name)
            shown += baselines(case.truth.grid, library, reference.posterior.patient_to_canonical)
        slices = self._slices(case, count)
        grid = case.truth.grid
        compared = {one.card.id: infer(one, slices, grid, "own", 0) for one in shown}
        estimates = {}
        for identifier, one in (inferred | compared).items():
            estimates[identifier] = with_observed(one.mean, case, positions)
            scores = score_mean(case, positions, estimates[identifier])
            scores.values |= one.seconds | self._sampling.get(identifier, {})
            if not isinstance(one.posterior.posterior, PointEstimate):
                add_distribution(scores, case, positions, one.posterior, one.samples)
                if one.samples and self.bench.frame == "registered":
                    scores.values |= self._told_apart(identifier, case, positions, one.samples, check)
                    scores.values |= self._distances(identifier, case, positions, one)
            self.tally.add(identifier, count, case, scores)
        return estimates, inferred

    def _told_apart(
        self,
        identifier: str,
        case: Case,
        positions: list[int],
        samples: list[np.ndarray],
        check: Callable[[], None],
    ) -> dict[str, float]:
        """How well a network tells the first sample from the truth; nothing without people of the fit."""
        if self.bench.library_kind != FIT_SUBJECTS:
            return {}
        if identifier not in self._detectors:
            prior = self.priors[identifier]
            self._detectors[identifier] = detector_of(prior, self.bench.library, check)
        truth = case.truth.array
        shown = looked_at(truth, positions)
        return {"sample_auc": self._detectors[identifier].auc(truth[shown], samples[0][shown])}

    def _distances(
        self, identifier: str, case: Case, positions: list[int], one: Inferred
    ) -> dict[str, float]:
        """How far samples are from the truth, and from the nearest of the people from whom they start."""
        if identifier not in self._donors:
            self._donors[identifier] = as_array(self.priors[identifier].donors(case.truth.grid))
        observed = np.zeros_like(case.brain)
        observed[positions] = case.brain[positions]
        where = {"": case.brain & ~observed, "_observed": observed}
        to_canonical = one.posterior.alignment.intensity.to_canonical
        samples, truth = to_canonical(np.stack(one.samples)), to_canonical(case.truth.array)
        found = {f"sample_error{part}": rms for part, rms in distances(samples, truth[None], where).items()}
        if len(donors := self._donors[identifier]):
            nearest = distances(samples, donors, where)
            found |= {f"donor_distance{part}": rms for part, rms in nearest.items()}
        return found


def _about(run: _Run, cohort: Cohort, cohort_name: str) -> dict:
    """What the numbers were measured on, and the details behind them."""
    bench, tally = run.bench, run.tally
    return {
        "frame": bench.frame,
        "cohort": cohort_name,
        "contrast": WRITTEN.get(cohort.contrast or "", "as names or slices tell"),
        "priors": list(run.priors),
        "subjects": bench.test,
        "left_out": run.left_out,
        "warnings": run.warnings,
        "files_skipped": cohort.skipped,
        "library": {"kind": bench.library_kind, "subjects": len(bench.library.volumes)},
        "metrics": METRICS,
        "machine": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "system": platform.platform(),
        },
        "coverage_by_distance": tally.coverage_by_distance(),
        "samples": tally.samples(),
        "ssim_by_slice": tally.curves(),
        "by_subject": tally.by_subject(),
    }


def write_json(content: dict, path: str | Path) -> None:
    """Write an evaluation (or any JSON content) atomically.

    Args:
        content: without numbers that are not finite.
        path: of the file.

    Raises:
        InputError: when it cannot be written.
        ValueError: a number is not finite.
    """
    write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", path)
