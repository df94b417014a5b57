"""./run train flow: from a base and a folder of volumes to a network that carries the base's samples."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from ....geometry import InputError
from ....progress import Progress
from ....training.calibration import COUNTS
from ....training.facts import CardFacts
from ....training.loop.checkpoint import prepare_folder
from ....training.loop.config import TrainConfig
from ....training.loop.loop import fit
from ....training.loop.task import make_task
from ....training.on_base import BaseData, RegisteredSubjects, Trained, card_on_base, people_of_base, stored
from ....training.on_gaussian import base_parameters, even_slices, folds, rows_of
from ....training.quality import measured_quality
from ....zoo.store import ModelStore
from ...base import Prior
from ...gaussian.fit import Rows
from ..prior import FlowPrior
from .cases import case_of, cases_of_fold, with_donors
from .task import FlowTask


def train_flow(
    folders: list[Path],
    config: TrainConfig,
    out: Path,
    resume: bool,
    facts: CardFacts,
    data: BaseData,
    progress: Progress,
) -> Path | None:
    """Make cases, train, measure quality; returns the weights file in `out`.

    Args:
        folders: of the people that the base was fitted on.
        config: how to train.
        out, resume: as in `train_deep`.
        facts: for the card.
        data: see BaseData.
        progress: told of steps.

    Raises:
        InputError: the base is no structured Gaussian, a fold would have one person, or as in `train_deep`.
    """
    store = ModelStore()
    base, entry = store.load(data.base, "cpu"), store.entry(data.base)
    parameters = base_parameters(base)
    task = make_task(config)
    assert isinstance(task, FlowTask)
    prepare_folder(out, resume)
    people = people_of_base(folders, base, config, facts, data, progress.part(0.0, 0.1))
    if len(people.fit) < 2 * task.settings.folds:
        raise InputError(
            f"{len(people.fit)} people to fit in {task.settings.folds} folds; expected two in each at least, "
            "as draws start from others of the fold. Give more people, or fewer folds in the configuration."
        )
    rows = rows_of(people, parameters, data.match, progress.part(0.1, 0.15))
    learnt, kept = _cases(base, rows, people, task, config, progress.part(0.15, 0.4))
    minutes = fit(task, learnt, kept, config, out, resume, progress.part(0.4, 0.95))
    if int(os.environ.get("RANK", "0")):
        return None
    limits = (
        f"A network carries the samples of {base.card.id}: what it makes of them was not observed. Mean and "
        f"intervals are those of {base.card.id}, as are samples of slices across each other or of another "
        "contrast, and of anything but slices. It has learned what people look like from those whom it shows."
    )
    card = card_on_base("flow", base, entry, people, facts, limits)
    tensors = task.weights(learnt)
    prior = FlowPrior.from_weights(tensors, card, torch.device("cpu"), base)
    tests = {name: people.truth(name, base.evaluation_grid) for name in people.test}
    quality = measured_quality(prior, tests, progress.part(0.95, 1.0).update)
    path = stored(Trained(task.networks, config, facts, minutes, out), tensors, card, quality)
    progress.update("done", 1.0)
    return path


def _cases(
    base: Prior,
    rows: Rows,
    people: RegisteredSubjects,
    task: FlowTask,
    config: TrainConfig,
    progress: Progress,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random cases of those to fit, and those of the protocol for validation, (N, 4 + draws, K, H, W) each.

    Each of a prior that was fitted without that person; draws start from others whom it was fitted without.
    """
    chance = np.random.default_rng(config.seed)
    names, grid, settings = people.fit + people.validation, base.evaluation_grid, task.settings
    learnt: list[torch.Tensor] = []
    kept: list[torch.Tensor] = []
    for prior, left_out in folds(base, rows, settings.folds):
        own = {names[n]: (people.truth(names[n], grid), rows.values[n]) for n in left_out}
        fitted = {name: one for name, one in own.items() if name in people.fit}
        for name, case in cases_of_fold(prior, fitted, settings.cases, settings.draws, chance):
            progress.update(f"cases of {name}", len(learnt) / (len(names) * settings.cases))
            learnt.append(case)
        able = with_donors(prior, np.stack([voxels for _, voxels in fitted.values()]))
        for truth in (truth for name, (truth, _) in own.items() if name not in fitted):
            for count in (count for count in COUNTS if count <= grid.shape_kji[0] // 2):
                kept.append(case_of(able, truth, even_slices(truth, count), range(settings.draws)))
    return torch.stack(learnt), torch.stack(kept)
