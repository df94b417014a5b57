"""./run train structured-gaussian: from a folder of volumes to a weights file with a model card."""

from __future__ import annotations

import json
import resource
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from scipy.ndimage import binary_dilation

from ..evaluation.cohort import Cohort, list_cohort, on_grid
from ..geometry import InputError
from ..geometry.io import write_atomically
from ..priors.card import ModelCard
from ..priors.structured_gaussian import GaussianParameters, StructuredGaussian
from ..reconstruction.progress import Progress
from .calibration import held_out_scores
from .gaussian_fit import Rows, fit_gaussian
from .space import CanonicalSpace, canonical_space

_ANATOMY = 0.02
_FEWEST_SUBJECTS = 8


@dataclass(frozen=True)
class TrainingOptions:
    """rank: number of loadings kept. spacing_mm: of the canonical grid. reference: "mni152", a file, or None to choose one
    of the cohort. mirror: also fit the left-right mirror image of every subject. split: {"fit": [...], "test": [...]} of
    subject names, by chance (every fourth, shuffled with `seed`) if None.
    """

    model_id: str
    anatomy: str = "unknown"
    modality: str = "unknown"
    licence: str = "not stated"
    data: str = "not stated"
    rank: int = 40
    spacing_mm: float = 2.0
    reference: str | None = None
    mirror: bool = True
    seed: int = 0
    split: dict[str, list[str]] | None = None


def train(cohort_dir: Path, out: Path, options: TrainingOptions, progress: Progress) -> ModelCard:
    """Fit, calibrate, measure on held-out subjects and write `out`. Raises InputError for a cohort that cannot be used."""
    started = time.perf_counter()
    cohort = list_cohort(cohort_dir, modality=options.modality)
    split = options.split or chance_split(list(cohort.files), options.seed)
    names = [n for n in split["fit"] + split["test"] if n in cohort.files]
    if sum(n in names for n in split["fit"]) < _FEWEST_SUBJECTS:
        raise InputError(f"{cohort_dir}: {len(cohort.files)} usable volumes; at least {_FEWEST_SUBJECTS} are needed for the fit.")
    space = canonical_space(options.reference, cohort, options.spacing_mm)
    matrices = cohort.registered(space.reference, names, lambda step, done: progress.update(step, 0.6 * done))
    fit, test = ([n for n in split[part] if n in matrices] for part in ("fit", "test"))
    with tempfile.TemporaryDirectory() as folder:
        rows, mask = _rows(cohort, fit, matrices, space, options.mirror, Path(folder), progress)
        parameters = fit_gaussian(
            rows, mask, space.grid, space.protocol, rank=options.rank, on_step=lambda s, f: progress.update(s, 0.7 + 0.1 * f)
        )
        parameters = replace(
            parameters,
            reference=torch.as_tensor(space.reference.array),
            scale_knots=torch.tensor([_scale_statistics([matrices[n] for n in fit])]),
        )

        def truth(name: str) -> np.ndarray:
            return on_grid(cohort.volume(name), space.protocol, matrices[name])

        parameters, calibration = held_out_scores(parameters, rows, fit, truth, options.rank, lambda s, f: progress.update(s, 0.8 + 0.15 * f))
    card = _card(options, space, {"fit": fit, "test": test}, cohort, calibration)
    seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    card.time_and_memory = f"Fitted on {len(fit)} subjects in {seconds / 60:.1f} min on a CPU; peak memory {peak:.1f} GiB."
    write_weights(parameters, card, out)
    progress.update("done", 1.0)
    return card


def write_weights(parameters: GaussianParameters, card: ModelCard, out: Path) -> None:
    """Write the weights file atomically. Raises InputError when it cannot be written."""
    StructuredGaussian(GaussianParameters.from_tensors(parameters.to_tensors()), card)
    tensors = {name: tensor.contiguous() for name, tensor in parameters.to_tensors().items()}
    try:
        write_atomically(out, lambda temporary: save_file(tensors, temporary, {"card": card.model_dump_json()}))
    except OSError as error:
        raise InputError(f"{out}: could not be written ({error.strerror or error}).") from error


def chance_split(names: list[str], seed: int) -> dict[str, list[str]]:
    """A quarter of the subjects held out, chosen by `seed`."""
    order = np.random.default_rng(seed).permutation(sorted(names)).tolist()
    count = len(order) // 4
    return {"fit": sorted(order[count:]), "test": sorted(order[:count])}


def read_split(path: Path) -> dict[str, list[str]]:
    """A split file {"fit": [...], "test": [...]}. Raises InputError."""
    try:
        split = json.loads(path.read_text())
        assert set(split) == {"fit", "test"} and all(isinstance(n, str) for part in split.values() for n in part)
    except (OSError, ValueError, AssertionError) as error:
        raise InputError(f'{path}: not a split file; expected JSON {{"fit": [names], "test": [names]}}.') from error
    return split


def _rows(
    cohort: Cohort, names: list[str], matrices: dict, space: CanonicalSpace, mirror: bool, folder: Path, progress: Progress
) -> tuple[Rows, np.ndarray]:
    """The subjects on the canonical grid as a float16 memory map of masked voxels, mirror images after them; the mask."""
    size = (len(names), *space.grid.shape_kji)
    whole = np.memmap(folder / "whole", np.float16, "w+", shape=size)
    mean = np.zeros(space.grid.shape_kji)
    for n, name in enumerate(names):
        progress.update(f"resampling {name}", 0.6 + 0.1 * n / len(names))
        whole[n] = on_grid(cohort.volume(name), space.grid, matrices[name])
        mean += whole[n] / len(names)
    mask = binary_dilation(mean > _ANATOMY, iterations=2)
    mask = mask | mask[..., ::-1] if mirror else mask
    copies = 2 if mirror else 1
    values = np.memmap(folder / "rows", np.float16, "w+", shape=(copies * len(names), int(mask.sum())))
    for n in range(len(names)):
        values[n] = whole[n][mask]
        if mirror:
            values[len(names) + n] = whole[n][..., ::-1][mask]
    return Rows(values, np.tile(np.arange(len(names)), copies), np.zeros(len(values))), mask


def _scale_statistics(matrices: list[np.ndarray]) -> list[float]:
    """Mean and standard deviation of log(canonical size / patient size); matrices map canonical to patient points."""
    logs = [-np.log(np.abs(np.linalg.det(m[:3, :3]))) / 3 for m in matrices]
    return [float(np.mean(logs)), float(max(np.std(logs), 0.03))]


def _card(options: TrainingOptions, space: CanonicalSpace, split: dict, cohort: Cohort, quality: dict) -> ModelCard:
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
        quality=quality,
        limits=(
            f"Fitted on {len(split['fit'])} subjects ({len(cohort.skipped)} files were skipped); background must be 0 (other tissue removed). "
            "Anatomy outside the cohort's range, such as lesions, is shown only where it was observed."
        ),
    )
