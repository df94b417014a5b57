"""The realistic atlas score of the slice VAE paper (Volokitin et al., MICCAI 2020).

How well the structures of a generated volume, moved, meet those of a real one.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from ..data.cache import kept
from ..data.registration import register_affine
from ..geometry import InputError, Volume
from ..geometry.io import write_volume
from ..geometry.resample import resample
from ..priors.card import ModelEntry
from ..priors.device import resolve_device
from ..progress import Progress
from ..training.facts import CardFacts
from ..training.loop.config import read_config
from ..training.segmentation.segmenter import Segmenter
from ..training.segmentation.structures import NAMES
from ..training.segmentation.task import dice
from ..training.segmentation.train import train_segmentation
from ..zoo.weights import sha256
from .base import Setting
from .findings import Cell, Figure, Findings, Table
from .generated import ATLAS, REAL, Generated, generate
from .views import Shown, sheet
from .volumes import remarks

_PAIRS, _TINY_PAIRS = 24, 2
_KEY = "segmentation"
_PAPER = (
    "The paper shows its scores as a figure without numbers, so that none are printed beside these. It "
    "segments 15 labels and does not "
    "list them, and trained its network on 40 segmented real volumes; here the network learned from "
    "synthetic images of label maps."
)


def ras(setting: Setting) -> Findings:
    """Dice of every structure between generated volumes, registered affinely, and real ones."""
    generated = generate(setting)
    segmenter = find_segmenter(setting, setting.progress.part(0, 0.5))
    pairs = [(n, n % len(generated.test)) for n in range(_TINY_PAIRS if setting.tiny else _PAIRS)]
    real = [segmenter(Volume(image.numpy(), generated.grid)) for image in generated.test]
    scores = {}
    for done, name in enumerate(generated.sets):
        share = [0.5 + 0.5 * (done + n) / len(generated.sets) for n in (0, 1)]
        scores[name] = _scores(segmenter, generated, name, real, pairs, setting.progress.part(*share))
    return Findings(
        "001-ras",
        "Slice VAE, realistic atlas score",
        "Do the structures of generated volumes, as a segmentation network sees them, lie where those of "
        "real brains lie?",
        [_table(scores, len(pairs)), _learned(segmenter), setting.models.provenance()],
        [_pictures(segmenter, generated)],
        [*_answers(scores), *remarks(setting, generated), _PAPER],
    )


def find_segmenter(setting: Setting, progress: Progress) -> Segmenter:
    """The segmentation network of the population: found beside the models, or else trained.

    Args:
        setting: its models note that the network was used.
        progress: of a training.

    Raises:
        InputError: the network is not there and is not to be, or cannot be, trained; or its file is damaged.
    """
    models = setting.models
    config = f"segmentation-64-{'tiny' if setting.tiny else 'cpu'}"
    path = models.file(f"{models.population.name}-segmentation", config)
    if not path.is_file():
        if not models.may_train:
            raise InputError(f"no {path.name} in {models.folder}, and training was not wanted.")
        _train(setting, config, path, progress)
    segmenter = Segmenter.load(path, resolve_device(setting.device))
    models.used[_KEY] = ModelEntry(
        file=path.name, sha256=sha256(path), bytes=path.stat().st_size, card=segmenter.card
    )
    return segmenter


def _train(setting: Setting, config: str, path: Path, progress: Progress) -> None:
    """Train in the folder of `path`; a trial happens in the space of the models, whatever it is."""
    settings = read_config(config)
    population = setting.models.population
    path.parent.mkdir(parents=True, exist_ok=True)
    if settings.data.reference is None:
        reference = path.parent / "reference.nii.gz"
        write_volume(
            next(iter(setting.models.several(list(setting.models.used)).values())).reference, reference
        )
        settings = settings.model_copy(
            update={"data": settings.data.model_copy(update={"reference": str(reference)})}
        )
    words = (
        population.anatomy,
        population.modality,
        "that of the label maps (data); Apache-2.0 (model)",
        setting.data["labels"].name,
    )
    facts = CardFacts(path.stem, *words, config=config)
    if train_segmentation(setting.data["labels"], settings, path.parent, True, facts, None, progress) is None:
        raise InputError(
            "experiments run in one process; train the network by ./run train segmentation under torchrun "
            "first."
        )


def realistic_atlas_score(
    segmenter: Segmenter, generated: Volume, real: Volume, classes: Volume
) -> torch.Tensor:
    """Dice of every structure, (15,), between the classes of `real` and those of `generated`.

    The latter are moved by an affine registration, which is kept for the next run.

    Args:
        generated, real: [0, 1], background 0, canonical mm.
        classes: of `real`, on the segmenter's grid.

    Returns:
        Nan where neither has a structure.

    Raises:
        InputError: the two cannot be registered.
    """
    parts = [real.array, real.grid.ijk_to_ras, generated.array, generated.grid.ijk_to_ras]
    matrix = kept(
        "pair",
        [np.ascontiguousarray(part).tobytes() for part in parts],
        lambda: register_affine(real, generated),
    )
    moved = resample(segmenter(generated), classes.grid, matrix, labels=True)
    return dice(torch.as_tensor(moved.array), torch.as_tensor(classes.array))


def _scores(
    segmenter: Segmenter,
    generated: Generated,
    name: str,
    real: list[Volume],
    pairs: list[tuple[int, int]],
    progress: Progress,
) -> torch.Tensor:
    """Scores of a set, (P, 15). A pair that cannot be registered scores 0."""
    found = []
    for done, (one, other) in enumerate(pairs):
        progress.update(f"{name}: pair {done + 1}", done / len(pairs))
        volume = generated.volume(name, one % len(generated.sets[name]))
        try:
            found.append(
                realistic_atlas_score(
                    segmenter, volume, Volume(generated.test[other].numpy(), generated.grid), real[other]
                )
            )
        except InputError:
            found.append(torch.zeros(len(NAMES)))
    return torch.stack(found)


def _table(scores: dict[str, torch.Tensor], pairs: int) -> Table:
    rows: list[list[Cell]] = []
    for n, structure in enumerate(NAMES):
        values = [float(found[:, n].nanmean()) for found in scores.values()]
        rows.append([structure, *(None if math.isnan(value) else value for value in values)])
    means = {name: found.nanmean(1) for name, found in scores.items()}
    rows.append(["mean", *(float(mean.mean()) for mean in means.values())])
    rows.append(
        ["standard error of the mean", *(float(mean.std()) / len(mean) ** 0.5 for mean in means.values())]
    )
    rows.append([f"minus {REAL}", *(float((mean - means[REAL]).mean()) for mean in means.values())])
    header = ["structure", *(f"{name} (upper bound)" if name == REAL else name for name in scores)]
    note = (
        f"Dice, mean over {pairs} pairs of a generated and a real volume; the real ones are the same for "
        "all systems."
    )
    return Table("Realistic atlas score", header, rows, note)


def _learned(segmenter: Segmenter) -> Table:
    quality = segmenter.card.quality
    rows: list[list[Cell]] = [[name, value] for name, value in quality["Dice"].items()]
    note = (
        f"Dice on {quality['images']} synthetic images of {len(segmenter.card.split['validation'])} "
        "people it has not learned from."
    )
    return Table(
        "The segmentation network", ["structure", "Dice"], [*rows, ["mean", quality["mean Dice"]]], note
    )


def _answers(scores: dict[str, torch.Tensor]) -> list[str]:
    """What the numbers say, in words.

    The order, and whether the score falls for a volume that is no brain of anybody.
    """
    means = {name: float(found.nanmean(1).mean()) for name, found in scores.items()}
    order = sorted((name for name in means if name not in (REAL, ATLAS)), key=means.__getitem__, reverse=True)
    higher = means[ATLAS] > means[REAL]
    verdict = (
        "above pairs of real brains: the score rewards the average"
        if higher
        else "not above pairs of real brains"
    )
    return [
        f"The order is {', '.join(f'{name} ({means[name]:.3f})' for name in order)}; pairs of real brains "
        f"have {means[REAL]:.3f}.",
        f"The mean atlas, nobody's brain, scores {means[ATLAS]:.3f}, {verdict}.",
    ]


def _pictures(segmenter: Segmenter, generated: Generated) -> Figure:
    rows: list[tuple[str, list[Shown]]] = []
    for name, volumes in generated.sets.items():
        shown = [generated.volume(name, n) for n in range(1 if name == ATLAS else min(3, len(volumes)))]
        rows.append(
            (name, [(resample(volume, segmenter.grid).array, segmenter(volume).array) for volume in shown])
        )
    return Figure(
        "Structures",
        sheet(rows, segmenter.grid.spacing_ijk),
        "As the segmentation network sees them; middle of each volume.",
    )
