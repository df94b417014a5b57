"""The frozen protocols: systems and baselines on the same subjects, contexts and metrics."""

from __future__ import annotations

import json
import math
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..geometry import InputError
from ..geometry.io import write_text
from ..priors.base import Prior
from ..reconstruction.conditioned import Conditioned, condition_patient, condition_registered
from ..reconstruction.progress import Progress
from ..zoo.store import ModelStore
from .baselines import baselines
from .cases import Bench, Case, as_array, prepare
from .cohort import LABEL_FILES, list_cohort
from .pictures import Picture, picture
from .scores import Scores, Tally, add_distribution, pasted, score_mean

BASELINES = ("mean-atlas", "nearest-slice", "linear-interpolation", "nearest-volume", "pca")
PICTURE_COUNT = 4
METRICS = (
    "Observed slices are shown in every system's estimate. ssim: mean over all slices (scikit-image, 7x7 uniform window, data "
    "range 1); ssim_in_brain: mean of the SSIM map in the foreground; ssim_of_samples: mean over posterior samples; psnr: peak 1; "
    "coverage_L: share of foreground voxels that were not observed inside their central L % interval. Means over subjects. "
    "seconds_condition (with intensity map and, in the patient frame, alignment), seconds_mean: medians after one warm call."
)


class Evaluation(dict):
    """The JSON content of an evaluation: {system: {count: {key: value}}} and `_about`. `pictures`: {subject: Picture}."""

    def __init__(self, content: dict, pictures: dict[str, Picture]):
        super().__init__(content)
        self.pictures = pictures


@dataclass(frozen=True)
class _Inferred:
    """A system's posterior for one case and the times in seconds it took."""

    posterior: Conditioned
    mean: np.ndarray
    seconds_condition: float
    seconds_mean: float


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
    skip: tuple[str, ...] = LABEL_FILES,
) -> Evaluation:
    """Evaluate priors and all baselines on the subjects of a folder that no prior was fitted on.

    frame: "registered" (whole-volume affine registration to the first prior, its protocol grid) or "patient" (own grid,
    frame found from the slices). counts: numbers of contexts. samples: posterior samples scored per case.
    A subject that cannot be used at some count is left out there for every system and named in `_about`.
    Raises InputError when nothing can be evaluated.
    """
    if not prior_ids or not counts:
        raise InputError("nothing to evaluate; expected at least one prior and one number of contexts.")
    priors = {identifier: store.load(identifier, device) for identifier in dict.fromkeys(prior_ids)}
    counts = sorted(set(counts))
    first = next(iter(priors.values()))
    cohort = list_cohort(cohort_dir, skip=skip, modality=first.card.modality)
    bench = prepare(cohort, list(priors.values()), frame, lambda step, done: progress.update(step, 0.4 * done))
    tally, pictures, left_out, warm = Tally(), {}, {}, False
    shown = PICTURE_COUNT if PICTURE_COUNT in counts else counts[len(counts) // 2]
    for number, name in enumerate(bench.test):
        case = _load(bench, name, left_out)
        for step, count in enumerate(counts if case else []):
            progress.update(f"{name}: {count} contexts", 0.4 + 0.6 * (number + step / len(counts)) / len(bench.test))
            try:
                if not warm:
                    _infer_all(priors, case, count, frame)
                    warm = True
                estimates, posterior = _score_case(priors, bench, case, count, samples, tally)
            except InputError as error:
                left_out[f"{name}, {count} contexts"] = str(error)
                continue
            if count == shown:
                pictures[name] = picture(case, count, estimates, posterior)
    content = tally.summary([*priors, *BASELINES], counts)
    if all(content[identifier][str(n)]["ssim"] is None for identifier in priors for n in counts):
        raise InputError(f"{Path(cohort_dir).name}: no subject could be evaluated ({next(iter(left_out.values()), 'none is left')}).")
    content["_about"] = _about(bench, tally, cohort.skipped, left_out, Path(cohort_dir).name, list(priors))
    return Evaluation(content, pictures)


def _load(bench: Bench, name: str, left_out: dict[str, str]) -> Case | None:
    """A case, or None with the reason noted."""
    try:
        return bench.load(name)
    except InputError as error:
        left_out[name] = str(error)
        return None


def _infer_all(priors: dict[str, Prior], case: Case, count: int, frame: str) -> dict[str, _Inferred]:
    """Condition every prior on the same contexts of one case, timed."""
    slices = case.slices(case.positions(count))
    inferred = {}
    for identifier, prior in priors.items():
        start = time.perf_counter()
        if frame == "registered":
            posterior = condition_registered(prior, slices, grid=case.truth.grid)
        else:
            posterior = condition_patient(prior, slices, grid=case.truth.grid)
        conditioned = time.perf_counter()
        mean = as_array(posterior.mean())
        inferred[identifier] = _Inferred(posterior, mean, conditioned - start, time.perf_counter() - conditioned)
    return inferred


def _score_case(priors: dict[str, Prior], bench: Bench, case: Case, count: int, samples: int, tally: Tally) -> tuple:
    """Score every system and baseline for one case; returns their estimates by name and the first prior's posterior."""
    positions = case.positions(count)
    inferred = _infer_all(priors, case, count, bench.frame)
    scored: list[tuple[str, Scores]] = []
    estimates = {}

    def score(name: str, estimate: np.ndarray, condition_s: float = math.nan, mean_s: float = math.nan) -> Scores:
        estimates[name] = pasted(estimate, case, positions)
        scores = score_mean(case, positions, estimates[name])
        scores.values |= {"seconds_condition": condition_s, "seconds_mean": mean_s}
        scored.append((name, scores))
        return scores

    for identifier, one in inferred.items():
        scores = score(identifier, one.mean, one.seconds_condition, one.seconds_mean)
        add_distribution(scores, case, positions, one.posterior, samples)
    prior, reference = next(iter(priors.values())), next(iter(inferred.values())).posterior
    score("mean-atlas", atlas(prior, reference))
    library = bench.library.without(case.name)
    for baseline in baselines(library) if count else []:
        start = time.perf_counter()
        estimate = baseline.condition(case.slices(positions), case.truth.grid, reference.patient_to_canonical)
        conditioned = time.perf_counter()
        score(baseline.name, estimate.mean(), conditioned - start, time.perf_counter() - conditioned)
    for name, scores in scored:
        tally.add(name, count, case, scores)
    return estimates, reference


def atlas(prior: Prior, result: Conditioned) -> np.ndarray:
    """The prior's mean in the frame and with the intensity map that `result` found from the contexts, (K, J, I)."""
    mean = prior.condition([], grid=result.posterior.grid, covariate=result.covariate).mean()
    return result.to_patient(result.carry(mean))


def _about(bench: Bench, tally: Tally, skipped: dict, left_out: dict, cohort: str, priors: list[str]) -> dict:
    """What the numbers were measured on, and the details behind them."""
    return {
        "frame": bench.frame,
        "cohort": cohort,
        "priors": priors,
        "subjects": bench.test,
        "left_out": left_out,
        "files_skipped": skipped,
        "library": {"kind": bench.library_kind, "subjects": len(bench.library.volumes)},
        "metrics": METRICS,
        "machine": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "system": platform.platform(),
        },
        "coverage_by_distance": tally.coverage_by_distance(),
        "ssim_by_slice": tally.curves(),
        "by_subject": tally.by_subject(),
    }


def write_json(content: dict, path: str | Path) -> None:
    """Write an evaluation (or any JSON content) atomically. Raises InputError when it cannot be written."""
    write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", path)
