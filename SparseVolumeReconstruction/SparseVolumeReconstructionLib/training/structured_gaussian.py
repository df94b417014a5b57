"""./run train structured-gaussian: from a folder of volumes to a weights file with a model card."""

from __future__ import annotations

import resource
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import binary_dilation

from ..data.cohort import Cohort, on_grid
from ..data.space import CanonicalSpace, canonical_space
from ..data.subjects import CovariateRule, Subjects, chance_split, list_subjects
from ..geometry import InputError, Volume
from ..priors.card import Covariate, ModelCard
from ..priors.structured_gaussian.parameters import GaussianParameters
from ..priors.structured_gaussian.prior import StructuredGaussian
from ..progress import Progress
from ..zoo.weights import save_weights
from .calibration import held_out_scores
from .gaussian_fit import Rows, fit_gaussian, hat_functions, knots_over, scale_statistics
from .quality import measured_quality

_ANATOMY = 0.02
_ANY_ORIENTATION = 10.0
_MIN_SUBJECTS = 8


@dataclass(frozen=True)
class CardFacts:
    """What the user says about the data, for the card. config: name of a deep prior's configuration."""

    model_id: str
    anatomy: str = "unknown"
    modality: str = "unknown"
    licence: str = "not stated"
    data: str = "not stated"
    limits: str = ""
    config: str = ""


@dataclass(frozen=True)
class TrainingOptions(CardFacts):
    """rank: number of loadings kept. spacing_mm: of the canonical grid. protocol_slices: of the evaluation
    protocol (1 mm apart if None). reference: "mni152", a subject of the cohort, a file, or None to choose a
    subject. mirror: also fit the left-right mirror image of every subject. any_orientation: the patients'
    orientation in the scanner says nothing. augment: random relatives per volume, one number or one per
    cohort. covariate: a number in the file names that the mean follows, with knots every `knot_step`.
    interval_margin: factor on the widths of all intervals, for voxels far from every slice. split: {"fit":
    [...], "test": [...]} of subject names, by chance (every fourth, shuffled with `seed`) if None. limits:
    text for the card.
    """

    rank: int = 40
    spacing_mm: float = 2.0
    protocol_slices: int | None = None
    reference: str | None = None
    mirror: bool = True
    any_orientation: bool = False
    augment: tuple[int, ...] = (0,)
    covariate: CovariateRule | None = None
    knot_step: float = 2.0
    interval_margin: float = 1.0
    seed: int = 0
    split: dict[str, list[str]] | None = None


def train(cohort_dirs: list[Path], out: Path, options: TrainingOptions, progress: Progress) -> ModelCard:
    """Fit, calibrate, measure on held-out subjects and write `out`. Raises InputError for cohorts that cannot
    be used.
    """
    started = time.perf_counter()
    if not out.absolute().parent.is_dir():
        raise InputError(f"{out}: the folder to write into does not exist.")
    subjects = list_subjects(cohort_dirs, options.modality, options.augment, options.covariate, options.seed)
    cohort = subjects.cohort
    split = options.split or chance_split(list(cohort.files), options.seed)
    names = [n for n in split["fit"] + split["test"] if n in cohort.files]
    space = canonical_space(options.reference, cohort, options.spacing_mm, options.protocol_slices)
    matrices = cohort.registered(space.reference, names, lambda step, done: progress.update(step, 0.5 * done))
    cohort.warn(progress)
    fit, test = ([n for n in split[part] if n in matrices] for part in ("fit", "test"))
    if len(fit) < _MIN_SUBJECTS:
        why = "".join(f" {file}: {reason}" for file, reason in list(cohort.unusable.items())[:1])
        raise InputError(
            f"{len(fit)} volumes to fit; at least {_MIN_SUBJECTS} are needed ({len(cohort.skipped)} files "
            f"skipped).{why}"
        )
    knots = (
        knots_over([subjects.covariate[n] for n in fit], options.knot_step)
        if options.covariate
        else np.zeros(1)
    )
    card = _card(options, space, {"fit": fit, "test": test}, cohort, knots)
    with tempfile.TemporaryDirectory() as folder:
        rows, mask = _rows(subjects, fit, matrices, space, options.mirror, Path(folder), progress)
        design = hat_functions(np.array([subjects.covariate[n] for n in fit]), knots)
        parameters = fit_gaussian(
            rows,
            mask,
            space.grid,
            space.protocol,
            rank=options.rank,
            knots=knots,
            scale_knots=scale_statistics([matrices[n] for n in fit], design),
            on_step=lambda s, f: progress.update(s, 0.7 + 0.1 * f),
        )
        parameters = replace(
            parameters,
            reference=torch.as_tensor(space.reference.array),
            rotation_sd=_ANY_ORIENTATION if options.any_orientation else parameters.rotation_sd,
        )

        def truth(name: str, relative: bool = True) -> Volume:
            volume = subjects.volume(name, 1 if relative and subjects.relatives[name] else 0)
            return Volume(on_grid(volume, space.protocol, matrices[name]), space.protocol)

        parameters, calibration = held_out_scores(
            parameters, card, rows, fit, truth, lambda s, f: progress.update(s, 0.8 + 0.1 * f)
        )
        parameters = replace(
            parameters, multipliers=tuple(options.interval_margin * m for m in parameters.multipliers)
        )
        calibration["factor on the cross-validated widths"] = options.interval_margin
    stored = StructuredGaussian(GaussianParameters.from_tensors(parameters.to_tensors()), card)
    quality = measured_quality(
        stored, {n: truth(n, False) for n in test}, lambda s, f: progress.update(s, 0.9 + 0.1 * f)
    )
    seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    spent = (
        f"Fitted on {len(rows.values)} volumes of {len(fit)} subjects in {seconds / 60:.1f} min on a "
        f"CPU; peak memory {peak:.1f} GiB."
    )
    card = card.model_copy(update={"quality": quality | calibration, "time_and_memory": spent})
    write_weights(parameters, card, out)
    progress.update("done", 1.0)
    return card


def write_weights(parameters: GaussianParameters, card: ModelCard, out: Path) -> None:
    """Write the weights file atomically. Raises InputError when it cannot be written."""
    StructuredGaussian(GaussianParameters.from_tensors(parameters.to_tensors()), card)
    save_weights(parameters.to_tensors(), card, out)


def _rows(
    subjects: Subjects,
    names: list[str],
    matrices: dict,
    space: CanonicalSpace,
    mirror: bool,
    folder: Path,
    progress: Progress,
) -> tuple[Rows, np.ndarray]:
    """Subjects and relatives on the canonical grid as a float16 memory map of masked voxels, mirror images
    after them; the mask.
    """
    members = subjects.members(names)
    whole = np.memmap(folder / "whole", np.float16, "w+", shape=(len(members), *space.grid.shape_kji))
    mean = np.zeros(space.grid.shape_kji)
    for n, (name, number) in enumerate(members):
        progress.update(f"resampling {name}", 0.5 + 0.2 * n / len(members))
        whole[n] = on_grid(subjects.volume(name, number), space.grid, matrices[name])
        mean += whole[n] / len(members)
    mask = binary_dilation(mean > _ANATOMY, iterations=2)
    mask = mask | mask[..., ::-1] if mirror else mask
    copies = 2 if mirror else 1
    values = np.memmap(folder / "rows", np.float16, "w+", shape=(copies * len(members), int(mask.sum())))
    for n in range(len(members)):
        values[n] = whole[n][mask]
        if mirror:
            values[len(members) + n] = whole[n][..., ::-1][mask]
    group = np.array([names.index(name) for name, _ in members])
    covariate = np.array([subjects.covariate[name] for name, _ in members])
    return Rows(values, np.tile(group, copies), np.tile(covariate, copies)), mask


def _card(
    options: TrainingOptions, space: CanonicalSpace, split: dict, cohort: Cohort, knots: np.ndarray
) -> ModelCard:
    rule = options.covariate
    limits = (
        f"Fitted on {len(split['fit'])} subjects ({len(cohort.unusable)} files were skipped); background "
        "must be 0 (other tissue removed). "
        "Anatomy outside the cohort's range, such as lesions, is shown only where it was observed."
    )
    return ModelCard(
        id=options.model_id,
        title=f"Structured Gaussian, {options.anatomy} {options.modality}",
        system="structured-gaussian",
        version="1",
        anatomy=options.anatomy,
        modality=options.modality,
        canonical_space=space.name,
        units="intensity over the 99.9th percentile of the foreground, [0, 1]",
        licence=options.licence,
        data=options.data,
        split=split,
        covariate=Covariate(name=rule.name, unit=rule.unit, low=knots[0], high=knots[-1]) if rule else None,
        limits=f"{limits} {options.limits}".strip(),
    )
