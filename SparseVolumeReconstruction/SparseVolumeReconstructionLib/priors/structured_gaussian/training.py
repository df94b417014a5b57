"""./run train structured-gaussian: from a folder of volumes to a weights file with a model card."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import binary_dilation

from ...data.fractions import tissue_fractions
from ...data.landmarks import Directions, landmark_space
from ...data.registration import on_grid
from ...data.rigid import rigid_space
from ...data.space import CanonicalSpace, canonical_space
from ...data.subjects import CovariateRule, Subjects, chance_split, list_subjects
from ...evaluation.benchmark import peak_mib
from ...geometry import InputError, Volume
from ...progress import Progress
from ...training.calibration import errors_by_radiograph, errors_by_slices, multipliers_of
from ...training.facts import CardFacts
from ...training.grey_values import match_grey_values
from ...training.quality import measured_quality, quality_by_radiograph
from ...zoo.weights import save_weights
from ..card import Covariate, ModelCard
from ..gaussian.fit import Rows, fit_gaussian, hat_functions, knots_over, scale_statistics
from ..gaussian.parameters import DonorBank, GaussianParameters
from ..gaussian.tissue_fit import fit_tissues
from .prior import StructuredGaussian

_ANATOMY = 0.02
_ANY_ORIENTATION = 10.0
_MIN_SUBJECTS = 8
_FOLDS, _MAX_CALIBRATED = 3, 60
_SEEN_BY_RAYS, _RAY_NOISE = 12, 1e-3  # calibrated on so many; noise adds up to little along a ray
_SLICE_NOISE = 0.02
_BONE_SCORE = 0.1  # slices of bone are explained less than those of brains


@dataclass(frozen=True)
class TrainingOptions(CardFacts):
    """How a structured Gaussian is fitted, and what its card says.

    rank: number of loadings kept. spacing_mm: of the canonical grid. protocol_slices: of the evaluation
    protocol (1 mm apart if None). reference: "mni152", a subject of the cohort, a file, or None to choose a
    subject. mirror: also fit the left-right mirror image of every subject. any_orientation: the patients'
    orientation in the scanner says nothing. augment: random copies per volume, one number or one per cohort.
    strip: word of the label maps outside of which volumes are set to 0, one or one per cohort ("" for none).
    tissues: fit fields of tissue fractions, too, of that many loadings (0: none); of T1w brains.
    match: bring the grey values of all cohorts to those of the first. covariate: a number in the file names
    that the mean follows, with knots every `knot_step`. interval_margin: factor on the widths of all
    intervals, for voxels far from every slice. landmarks: labels of the landmarks at the front and at the top
    of specimens in any pose, whose files lie beside the volumes; the canonical space is then a cube of
    `voxels` along each side, and intervals and quality are those of radiographs. rigid: the same of
    volumes in patient axes, aligned by themselves. split: {"fit": [...],
    "test": [...], "donors": [...]} of subject names, by chance (every fourth, shuffled with `seed`) and
    without donors if None; donors are others, or templates of the fit that have copies. limits: text for the
    card.
    """

    rank: int = 40
    spacing_mm: float = 2.0
    protocol_slices: int | None = None
    reference: str | None = None
    mirror: bool = True
    any_orientation: bool = False
    augment: tuple[int, ...] = (0,)
    strip: tuple[str, ...] = ("",)
    tissues: int = 0
    match: bool = False
    covariate: CovariateRule | None = None
    knot_step: float = 2.0
    interval_margin: float = 1.0
    landmarks: Directions | None = None
    rigid: bool = False
    voxels: int = 64
    seed: int = 0
    split: dict[str, list[str]] | None = None

    @property
    def rays(self) -> bool:
        """Whether the model is one of radiographs: no size is changed, and rays measure it."""
        return self.rigid or self.landmarks is not None


@dataclass(frozen=True, eq=False)
class _Registered:
    """The subjects of a fit in their space.

    matrices: canonical to patient points, mm, (4, 4), by name. knots: of the covariate, (Q,).
    """

    subjects: Subjects
    space: CanonicalSpace
    matrices: dict[str, np.ndarray]
    fit: list[str]
    test: list[str]
    donors: list[str]
    knots: np.ndarray

    @property
    def donors_fitted(self) -> bool:
        """Whether the donors are templates of the fit; `read_split` lets no donor differ from the others."""
        return bool(set(self.donors) & set(self.fit))

    def truth(self, name: str, number: int = 0) -> Volume:
        """A subject (0) or one of its copies on the evaluation's grid, (K, J, I), [0, 1]."""
        volume = self.subjects.volume(name, number)
        return Volume(on_grid(volume, self.space.protocol, self.matrices[name]), self.space.protocol)


def _register(folders: list[Path], options: TrainingOptions, progress: Progress) -> _Registered:
    """List, split and register the subjects. Raises InputError where too few are left."""
    subjects = list_subjects(
        folders, options.modality, options.augment, options.covariate, options.seed, options.strip
    )
    cohort = subjects.cohort
    split = options.split or chance_split(list(cohort.files), options.seed)
    parts = [split.get(part, []) for part in ("fit", "test", "donors")]
    names = list(dict.fromkeys(n for part in parts for n in part if n in cohort.files))
    on_step = progress.part(0.0, 0.5).update
    if options.landmarks:
        space, matrices = landmark_space(
            cohort, names, options.landmarks, options.spacing_mm, options.voxels, on_step
        )
    elif options.rigid:
        space, matrices = rigid_space(cohort, names, options.spacing_mm, options.voxels, on_step)
    else:
        space = canonical_space(
            options.reference, cohort, options.spacing_mm, options.protocol_slices, warn=progress.warn
        )
        matrices = cohort.registered(space.reference, names, on_step)
    cohort.warn(progress)
    fit, test, donors = ([n for n in part if n in matrices] for part in parts)
    if len(fit) < _MIN_SUBJECTS:
        why = "".join(f" {file}: {reason}" for file, reason in list(cohort.unusable.items())[:1])
        raise InputError(
            f"{len(fit)} volumes to fit; at least {_MIN_SUBJECTS} are needed ({len(cohort.skipped)} files "
            f"skipped).{why}"
        )
    alone = [name for name in donors if name in fit and not subjects.augmented_copies[name]]
    if alone:
        raise InputError(
            f"{alone[0]} is fitted and a donor, too, and has no random copies: samples would spread too "
            "little. Expected donors who are not fitted, or copies of the fitted (--augment)."
        )
    values = [subjects.covariate[name] for name in fit]
    knots = knots_over(values, options.knot_step) if options.covariate else np.zeros(1)
    return _Registered(subjects, space, matrices, fit, test, donors, knots)


def _fitted(
    cohort: _Registered, rows: Rows, mask: np.ndarray, options: TrainingOptions, progress: Progress
) -> GaussianParameters:
    """The Gaussian of the rows, with the reference and the freedom of orientation."""
    design = hat_functions(np.array([cohort.subjects.covariate[name] for name in cohort.fit]), cohort.knots)
    parameters = fit_gaussian(
        rows,
        mask,
        cohort.space.grid,
        cohort.space.protocol,
        rank=options.rank,
        knots=cohort.knots,
        scale_knots=scale_statistics([cohort.matrices[name] for name in cohort.fit], design),
        noise=_RAY_NOISE if options.rays else _SLICE_NOISE,
        on_step=lambda step, fraction: progress.update(step, 0.7 + 0.1 * fraction),
    )
    return replace(
        parameters,
        reference=torch.as_tensor(cohort.space.reference.array),
        rotation_sd=_ANY_ORIENTATION if options.any_orientation else parameters.rotation_sd,
        min_score=_BONE_SCORE if options.rays else parameters.min_score,
    )


def train(cohort_dirs: list[Path], out: Path, options: TrainingOptions, progress: Progress) -> ModelCard:
    """Fit, calibrate, measure on held-out subjects and write `out`.

    Args:
        cohort_dirs: folders of the cohorts' volumes.
        out: the weights file; its folder must exist.
        options: how to fit, and what the card says.
        progress: also told what the user should know of the cohorts.

    Returns:
        The card that was written, with the measured quality.

    Raises:
        InputError: for cohorts that cannot be used, options that contradict each other, and a file that
            cannot be written.
    """
    started = time.perf_counter()
    if options.tissues and options.covariate:
        raise InputError("tissues are fitted of adult brains, without a covariate; leave out one of both.")
    if options.rays and (
        options.reference or options.any_orientation or (options.landmarks and options.rigid)
    ):
        raise InputError(
            "landmarks and rigid volumes give a space of their own; give one of both, and leave out the "
            "reference and any orientation."
        )
    if not out.absolute().parent.is_dir():
        raise InputError(f"{out}: the folder to write into does not exist.")
    cohort = _register(cohort_dirs, options, progress)
    card = _card(options, cohort)
    with tempfile.TemporaryDirectory() as folder:
        rows, mask, donors = _rows(cohort, options, Path(folder), progress)
        parameters = _fitted(cohort, rows, mask, options, progress)
        if options.tissues:
            fractions = _fraction_rows(cohort, options, mask, Path(folder), progress)
            parameters = replace(parameters, tissues=fit_tissues(rows, fractions, options.tissues))
        rays, part = options.rays, progress.part(0.8, 0.9)
        parameters, calibration = _calibrated(parameters, card, rows, cohort, rays, part)
        count = len(rows.values)
    margin = options.interval_margin
    parameters = replace(
        parameters, multipliers=tuple(margin * m for m in parameters.multipliers), donors=donors
    )
    calibration["factor on the cross-validated widths"] = margin
    stored = StructuredGaussian(GaussianParameters.from_tensors(parameters.to_tensors()), card)
    kept, part = {name: cohort.truth(name) for name in cohort.test}, progress.part(0.9, 1.0)
    if rays:
        quality = quality_by_radiograph(stored, kept, part.update)
    else:
        origin = {name: cohort.subjects.folder[name].name for name in kept}
        quality = measured_quality(stored, kept, part.update, origin)
    minutes = (time.perf_counter() - started) / 60
    peak = peak_mib()
    spent = f"Fitted on {count} volumes of {len(cohort.fit)} subjects in {minutes:.1f} min on a CPU" + (
        f"; peak memory {peak / 1024:.1f} GiB." if peak else "."
    )
    card = card.model_copy(update={"quality": quality | calibration, "time_and_memory": spent})
    write_weights(parameters, card, out)
    progress.update("done", 1.0)
    return card


def _calibrated(
    parameters: GaussianParameters,
    card: ModelCard,
    rows: Rows,
    cohort: _Registered,
    rays: bool,
    progress: Progress,
) -> tuple[GaussianParameters, dict]:
    """Parameters with measured interval multipliers, and what was measured.

    In each of three folds a model is fitted without the fold and conditioned on 1, 3, 4 and 9 slices of each
    subject of the fold (of a copy, where there are copies; of 60 subjects in all at most), or on one
    radiograph of 12 of them. The multipliers are quantiles of |truth - mean| / std over foreground voxels
    that were not observed. card: of the model to be.
    """
    errors_of, most = (errors_by_radiograph, _SEEN_BY_RAYS) if rays else (errors_by_slices, _MAX_CALIBRATED)
    scores: dict[int, list[np.ndarray]] = {}
    generator = np.random.default_rng(0)
    for fold in range(_FOLDS):
        left_out = np.arange(len(cohort.fit))[fold::_FOLDS]
        part = fit_gaussian(
            rows.subset(~np.isin(rows.group, left_out)),
            parameters.mask,
            parameters.grid,
            parameters.evaluation_grid,
            rank=len(parameters.loadings),
            knots=parameters.knots.numpy(),
            scale_knots=parameters.scale_knots.numpy(),
            noise=parameters.noise,
        )
        prior = StructuredGaussian(part, card)
        left_out = left_out[:: -(-len(cohort.fit) // most)]
        for done, number in enumerate(left_out):
            name = cohort.fit[number]
            progress.update(f"calibrating on {name}", (fold + done / len(left_out)) / _FOLDS)
            volume = cohort.truth(name, min(1, cohort.subjects.augmented_copies[name]))
            for count, errors in errors_of(prior, volume, generator).items():
                scores.setdefault(count, []).append(errors)
    multipliers, coverage = multipliers_of(scores)
    given = "radiographs" if rays else "slices"
    told = {f"cross-validated coverage of 90 % intervals by number of {given}": coverage}
    return replace(parameters, multipliers=multipliers), told


def write_weights(parameters: GaussianParameters, card: ModelCard, out: Path) -> None:
    """Write the weights file atomically.

    Args:
        parameters: are stored in fewer bits, see their `to_tensors`.
        card: is stored with them.
        out: an existing file is replaced.

    Raises:
        InputError: when it cannot be written.
    """
    StructuredGaussian(GaussianParameters.from_tensors(parameters.to_tensors()), card)
    save_weights(parameters.to_tensors(), card, out)


def _rows(
    cohort: _Registered, options: TrainingOptions, folder: Path, progress: Progress
) -> tuple[Rows, np.ndarray, DonorBank | None]:
    """Subjects and their copies on the canonical grid, as a float16 memory map of masked voxels.

    Mirror images come after them. Then the mask, and the bank of the donors, if there are any.
    """
    subjects, names, space, mirror = cohort.subjects, cohort.fit, cohort.space, options.mirror
    members = subjects.members(names)
    everybody = members + [(name, 0) for name in cohort.donors]
    whole = np.memmap(folder / "whole", np.float16, "w+", shape=(len(everybody), *space.grid.shape_kji))
    mean = np.zeros(space.grid.shape_kji)
    for n, (name, number) in enumerate(everybody):
        progress.update(f"resampling {name}", 0.5 + 0.2 * n / len(everybody))
        donor = n >= len(members)  # samples must be as sharp as people are
        whole[n] = on_grid(subjects.volume(name, number), space.grid, cohort.matrices[name], cubic=donor)
        mean += 0 if donor else whole[n] / len(members)
    mask = binary_dilation(mean > _ANATOMY, iterations=2)
    mask = mask | mask[..., ::-1] if mirror else mask
    if options.match:
        first = np.array([subjects.folder[name] == subjects.folder[names[0]] for name, _ in everybody])
        first[len(members) :] = False  # donors must not tell what is usual
        match_grey_values(whole, first)
    copies = 2 if mirror else 1
    values = np.memmap(folder / "rows", np.float16, "w+", shape=(copies * len(members), int(mask.sum())))
    for n in range(len(members)):
        values[n] = whole[n][mask]
        if mirror:
            values[len(members) + n] = whole[n][..., ::-1][mask]
    group = np.array([names.index(name) for name, _ in members])
    covariate = np.array([subjects.covariate[name] for name, _ in everybody])
    bank = DonorBank.of(
        whole[len(members) :][:, mask], covariate[len(members) :], mirror, cohort.donors_fitted
    )
    rows = Rows(values, np.tile(group, copies), np.tile(covariate[: len(members)], copies))
    return rows, mask, bank if cohort.donors else None


def _fraction_rows(
    cohort: _Registered, options: TrainingOptions, mask: np.ndarray, folder: Path, progress: Progress
) -> list[np.ndarray]:
    """Fractions of fluid, grey and white matter in the rows that `_rows` makes, float16 maps."""
    members = cohort.subjects.members(cohort.fit)
    shape = ((2 if options.mirror else 1) * len(members), int(mask.sum()))
    maps: list[np.ndarray] = [
        np.memmap(folder / f"fraction{n}", np.float16, "w+", shape=shape) for n in range(3)
    ]
    for n, (name, number) in enumerate(members):
        progress.update(f"tissues of {name}", 0.8)
        for part, values in zip(tissue_fractions(cohort.subjects.volume(name, number)), maps, strict=True):
            whole = on_grid(part, cohort.space.grid, cohort.matrices[name])
            values[n] = whole[mask]
            if options.mirror:
                values[len(members) + n] = whole[..., ::-1][mask]
    return maps


def _card(options: TrainingOptions, cohort: _Registered) -> ModelCard:
    rule = options.covariate
    knots = cohort.knots
    unusable = len(cohort.subjects.cohort.unusable)
    limits = (
        f"Fitted on {len(cohort.fit)} subjects ({unusable} files were skipped); background "
        "must be 0 (other tissue removed). "
        "Anatomy outside the cohort's range, such as lesions, is shown only where it was observed."
    )
    if cohort.donors:
        whose = "fitted templates, each deformed at random" if cohort.donors_fitted else "real people"
        limits += (
            f" Samples are composed of the slices and of the anatomy of {len(cohort.donors)} {whose}, the "
            "split's donors."
        )
    return ModelCard(
        id=options.model_id,
        title=f"Structured Gaussian, {options.anatomy} {options.modality}",
        system="structured-gaussian",
        version="1",
        anatomy=options.anatomy,
        modality=options.modality,
        canonical_space=cohort.space.name,
        units="intensity over the 99.9th percentile of the foreground, [0, 1]",
        licence=options.licence,
        data=options.data,
        split={"fit": cohort.fit, "test": cohort.test} | ({"donors": cohort.donors} if cohort.donors else {}),
        covariate=Covariate(name=rule.name, unit=rule.unit, low=knots[0], high=knots[-1]) if rule else None,
        limits=f"{limits} {options.limits}".strip(),
    )
