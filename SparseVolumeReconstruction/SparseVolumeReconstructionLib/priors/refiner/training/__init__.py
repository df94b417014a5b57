"""./run train refiner: from a base and a folder of volumes to a network that refines the base's posterior."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ....observation.base import observed_voxels
from ....progress import Progress
from ....training.calibration import COUNTS
from ....training.facts import CardFacts
from ....training.loop.checkpoint import prepare_folder
from ....training.loop.config import TrainConfig
from ....training.loop.loop import fit
from ....training.loop.task import make_task
from ....training.on_base import BaseData, RegisteredSubjects, Trained, card_on_base, people_of_base, stored
from ....training.on_gaussian import base_parameters, even_slices, folds, random_slices, rows_of
from ....training.quality import measured_quality
from ....zoo.store import ModelStore
from ...alignment_model import ANATOMY
from ...base import Prior
from ...card import ModelCard, ModelEntry
from ...gaussian.fit import Rows
from ...on_base import distance_mm
from ..prior import RefinedPrior, to_tensors
from .cases import case_of
from .task import RefinerTask

_DISTANCES_MM = (1.5, 4.5, 8.0, 12.5, 17.5, 25.0, 40.0)
_ENOUGH = 2000
_LEVEL = 0.9


def train_refiner(
    folders: list[Path],
    config: TrainConfig,
    out: Path,
    resume: bool,
    facts: CardFacts,
    data: BaseData,
    progress: Progress,
) -> Path | None:
    """Make cases, train, measure widths and quality; returns the weights file in `out`.

    Args:
        folders: of the people that the base was fitted on.
        config: how to train.
        out, resume: as in `train_deep`.
        facts: for the card.
        data: see BaseData.
        progress: told of steps.

    Raises:
        InputError: the base is no structured Gaussian, or as in `train_deep`.
    """
    store = ModelStore()
    base, entry = store.load(data.base, "cpu"), store.entry(data.base)
    parameters = base_parameters(base)
    task = make_task(config)
    assert isinstance(task, RefinerTask)
    task.slice_mm = float(base.evaluation_grid.spacing_ijk[2])
    prepare_folder(out, resume)
    people = people_of_base(folders, base, config, facts, data, progress.part(0.0, 0.1))
    rows = rows_of(people, parameters, data.match, progress.part(0.1, 0.15))
    learnt, kept, distances = _cases(base, rows, people, task, config, progress.part(0.15, 0.4))
    minutes = fit(task, learnt, kept, config, out, resume, progress.part(0.4, 0.95))
    if int(os.environ.get("RANK", "0")):
        return None
    card = _card(base, entry, people, facts)
    network = task.networks.cpu().eval()
    widths = measured_widths(task, kept, distances, base.intervals.half_width(_LEVEL))
    refinement = replace(task.tempering, distances_mm=_DISTANCES_MM, widths=tuple(widths.tolist()))
    prior = RefinedPrior(network, refinement, base, card)
    tests = {name: people.truth(name, base.evaluation_grid) for name in people.test}
    quality = measured_quality(prior, tests, progress.part(0.95, 1.0).update)
    tensors = to_tensors(network, refinement)
    path = stored(Trained(network, config, facts, minutes, out), tensors, card, quality)
    progress.update("done", 1.0)
    return path


def _cases(
    base: Prior,
    rows: Rows,
    people: RegisteredSubjects,
    task: RefinerTask,
    config: TrainConfig,
    progress: Progress,
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Random cases of those to fit, those of the protocol for validation, and distances (mm) in the latter.

    (N, 5, K, H, W), (M, 5, K, H, W) and (M, K, H, W); each of a prior that was fitted without that person.
    """
    chance = np.random.default_rng(config.seed)
    names, grid, settings = people.fit + people.validation, base.evaluation_grid, task.settings
    learnt: list[torch.Tensor] = []
    kept: list[torch.Tensor] = []
    distances: list[np.ndarray] = []
    for prior, left_out in folds(base, rows, settings.folds):
        for number in left_out:
            progress.update(f"cases of {names[number]}", len(learnt) / (len(names) * settings.cases))
            truth = people.truth(names[number], grid)
            if number < len(people.fit):
                learnt += [
                    case_of(prior, truth, random_slices(truth, chance), task.tempering)
                    for _ in range(settings.cases)
                ]
                continue
            for count in (count for count in COUNTS if count <= grid.shape_kji[0] // 2):
                slices = even_slices(truth, count)
                kept.append(case_of(prior, truth, slices, task.tempering))
                distances.append(distance_mm(observed_voxels(slices, grid)[0], grid).astype(np.float32))
    return torch.stack(learnt), torch.stack(kept), np.stack(distances)


def measured_widths(
    task: RefinerTask, cases: torch.Tensor, distances: np.ndarray, multiplier: float
) -> np.ndarray:
    """Factors on the base's standard deviation at which 90 % intervals hold 90 %, at _DISTANCES_MM, (n,).

    Args:
        task: its network is trained.
        cases: (M, 5, K, H, W) of people who were not trained on.
        distances: to the nearest observed voxel, mm, (M, K, H, W).
        multiplier: half-width of these intervals in standard deviations.
    """
    edges = (np.array(_DISTANCES_MM[1:]) + _DISTANCES_MM[:-1]) / 2
    scores: list[list[np.ndarray]] = [[] for _ in _DISTANCES_MM]
    for case, distance in zip(cases.float(), distances, strict=True):
        z = ((case[4] - task.refined(case)).abs() / case[1]).numpy()
        hidden = (case[4].numpy() > ANATOMY) & (distance > 0)
        number = np.digitize(distance, edges)
        for n, found in enumerate(scores):
            found.append(z[hidden & (number == n)])
    pooled = [np.concatenate(found) for found in scores]
    whole = np.quantile(np.concatenate(pooled), _LEVEL)
    quantiles = [np.quantile(z, _LEVEL) if len(z) > _ENOUGH else whole for z in pooled]
    return np.array(quantiles) / multiplier


def _card(base: Prior, entry: ModelEntry, people: RegisteredSubjects, facts: CardFacts) -> ModelCard:
    limits = (
        f"A network refines the posterior of {base.card.id}: what it adds was not observed. Slices across "
        f"each other or of another contrast, and anything but slices, give the posterior of {base.card.id} "
        "itself."
    )
    return card_on_base("refiner", base, entry, people, facts, limits)
