"""./run train xray-cnn: from a base and a folder of volumes in any pose to a network of radiographs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ....data.cache import kept
from ....data.landmarks import register_any_pose
from ....data.subjects import list_subjects
from ....geometry import Grid, InputError, Volume
from ....observation import Radiograph
from ....progress import Progress
from ....training.calibration import errors_by_radiograph, multipliers_of
from ....training.facts import CardFacts
from ....training.loop.checkpoint import prepare_folder
from ....training.loop.config import TrainConfig
from ....training.loop.loop import fit
from ....training.loop.task import make_task
from ....training.on_base import RegisteredSubjects, Trained, card_on_base, stored
from ....training.quality import quality_by_radiograph
from ....zoo.store import ModelStore
from ...base import Prior
from ...card import ModelCard, ModelEntry
from ..cube import cube_grid
from ..prior import XrayNetworkPrior, to_tensors
from .task import XrayTask

_ONE_SD = 0.6827  # share of errors within one standard deviation
_MIN_SUBJECTS = 4
_DIRECTIONS = 3  # of each validation subject


def train_xray(
    folders: list[Path],
    config: TrainConfig,
    out: Path,
    resume: bool,
    facts: CardFacts,
    base_id: str,
    split: dict[str, list[str]] | None,
    progress: Progress,
) -> Path | None:
    """Register, train, measure deviations and quality; returns the weights file in `out`.

    Args:
        folders: volumes in any pose and of any spacing; below 0 (air in HU) is taken as 0.
        config: how to train.
        out, resume: as in `train_deep`.
        facts: for the card.
        base_id: of a model that radiographs can be observed of: it gives space, views and deviations.
        split: {"fit": [...], "test": [...]}; that of the base's card if None.
        progress: told of steps.

    Raises:
        InputError: the base does not know radiographs, too few volumes, or as in `train_deep`.
    """
    store = ModelStore()
    base, entry = store.load(base_id, "cpu"), store.entry(base_id)
    if not any(issubclass(Radiograph, kind) for kind in base.observes) or isinstance(base, XrayNetworkPrior):
        raise InputError(f"{base_id}: radiographs cannot be observed of it; expected a structured Gaussian.")
    task = make_task(config)
    assert isinstance(task, XrayTask)
    prepare_folder(out, resume)
    people = _registered(folders, base, config, facts, split, progress.part(0.0, 0.2))
    grid = cube_grid(base.grid, task.settings.size)
    learnt = _cubes(people, people.fit, grid)
    task.atlas = learnt.mean(0)
    if config.augmentation.mirror:
        task.atlas = (task.atlas + task.atlas.flip(-1)) / 2
    kept_back = _cubes(people, people.validation, grid)
    minutes = fit(task, learnt, kept_back, config, out, resume, progress.part(0.2, 0.9))
    if int(os.environ.get("RANK", "0")):
        return None
    card = _card(base, entry, people, facts)
    network = task.networks.cpu().eval()
    truths = {name: people.truth(name, base.grid) for name in people.validation}
    blind = XrayNetworkPrior(network, task.atlas, 1.0, (), base, card)
    width, multipliers, told = _measured(blind, truths, progress.part(0.9, 0.95))
    tensors = to_tensors(network, task.atlas, width, multipliers)
    prior = XrayNetworkPrior.from_weights(tensors, card, torch.device("cpu"), base)
    tests = {name: people.truth(name, base.grid) for name in people.test}
    quality = quality_by_radiograph(prior, tests, progress.part(0.95, 1.0).update)
    path = stored(Trained(network, config, facts, minutes, out), tensors, card, quality | told)
    progress.update("done", 1.0)
    return path


def _registered(
    folders: list[Path],
    base: Prior,
    config: TrainConfig,
    facts: CardFacts,
    split: dict[str, list[str]] | None,
    progress: Progress,
) -> RegisteredSubjects:
    """Registered rigidly to the mean of the base; a share of those to fit is kept for validation."""
    subjects = list_subjects(folders, facts.modality, (0,), None, config.seed, ("",))
    cohort = subjects.cohort
    wanted = split or base.card.split
    names = [name for part in ("fit", "test") for name in wanted.get(part, []) if name in cohort.files]
    mean = Volume(base.condition([]).mean().cpu().numpy(), base.grid)
    matrices: dict[str, np.ndarray] = {}
    for done, name in enumerate(names):
        progress.update(f"registering {name}", done / len(names))
        volume, file = cohort.volume(name), cohort.files[name]
        parts = [mean.array.tobytes(), mean.grid.ijk_to_ras.tobytes(), file.read_bytes()]
        matrices[name] = kept("rigid", parts, lambda v=volume: register_any_pose(mean, v))  # type: ignore[misc]
    cohort.warn(progress)
    fitted, test = ([n for n in wanted.get(part, []) if n in matrices] for part in ("fit", "test"))
    if len(fitted) < _MIN_SUBJECTS:
        raise InputError(
            f"{len(fitted)} volumes to fit; at least {_MIN_SUBJECTS} are needed; the split names "
            f"{len(wanted.get('fit', []))}: check --cohort, or give --split."
        )
    chosen = np.random.default_rng(config.seed).permutation(fitted)
    back = set(chosen[: max(1, round(config.validation * len(fitted)))])
    kept_back = [n for n in fitted if n in back]
    return RegisteredSubjects(subjects, matrices, [n for n in fitted if n not in back], kept_back, test)


def _cubes(people: RegisteredSubjects, names: Sequence[str], grid: Grid) -> torch.Tensor:
    """Some subjects on a cube, (N, size, size, size)."""
    return torch.as_tensor(np.stack([people.truth(name, grid).array for name in names]))


def _measured(
    prior: XrayNetworkPrior, subjects: dict[str, Volume], progress: Progress
) -> tuple[float, tuple[float, ...], dict[str, dict[str, float]]]:
    """The factor on the base's deviations, interval multipliers with it, and what was measured for the card.

    Args:
        prior: whose factor is 1.
        subjects: by name, that the network was not trained on; on the canonical grid, (K, J, I), [0, 1].
    """
    generator = np.random.default_rng(0)
    scores: list[np.ndarray] = []
    for done, (name, truth) in enumerate(subjects.items()):
        progress.update(f"measuring errors of {name}", done / len(subjects))
        scores += [errors_by_radiograph(prior, truth, generator)[1] for _ in range(_DIRECTIONS)]
    width = float(np.quantile(np.concatenate(scores), _ONE_SD))
    multipliers, held = multipliers_of({1: [z / width for z in scores]})
    return width, multipliers, {"coverage of 90 % intervals on validation subjects by radiographs": held}


def _card(base: Prior, entry: ModelEntry, people: RegisteredSubjects, facts: CardFacts) -> ModelCard:
    limits = (
        "A network infers the volume from each radiograph alone; of several it is the mean. Views and the "
        f"shape of the deviations are those of {base.card.id}. Slices cannot be given besides."
    )
    return card_on_base("xray-cnn", base, entry, people, facts, limits)
