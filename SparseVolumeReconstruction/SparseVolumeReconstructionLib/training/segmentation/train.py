"""./run train segmentation: from a folder of label maps to the network.

How well it does is measured on people it has not seen.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from ...geometry import Grid
from ...priors.card import ModelCard
from ...progress import Progress
from ...zoo.weights import save_weights
from ..deep import how_trained
from ..facts import CardFacts
from ..loop.checkpoint import prepare_folder
from ..loop.config import TrainConfig, validated
from ..loop.loop import fit
from ..loop.task import make_task
from .maps import LabelMaps, load_maps
from .segmenter import SYSTEM
from .structures import NAMES
from .task import SegmentationTask

_MEASURED_IMAGES = 4


def train_segmentation(
    folder: Path,
    config: TrainConfig,
    out: Path,
    resume: bool,
    facts: CardFacts,
    split: dict | None,
    progress: Progress,
) -> Path | None:
    """Train on images of the label maps of a folder.

    Args:
        folder: of maps with FreeSurfer's numbers, with or without tissue outside the brain.
        out, resume: as in `train_deep`.
        split: {"fit": [...], "test": [...]} of people, by chance if None; the latter are kept for validation.

    Returns:
        The weights file, whose card holds the Dice of every structure on images of those kept; None in all
        processes but the first.

    Raises:
        InputError: as `train_deep`.
    """
    task = make_task(config)
    assert isinstance(task, SegmentationTask)
    prepare_folder(out, resume)
    maps = load_maps(folder, config, split, progress.part(0.0, 0.1))
    minutes = fit(
        task, maps.maps["fit"], maps.maps["validation"], config, out, resume, progress.part(0.1, 0.95)
    )
    if int(os.environ.get("RANK", "0")):
        return None
    words = {
        "id": facts.model_id,
        "title": f"Segmentation, {facts.anatomy} {facts.modality}",
        "system": SYSTEM,
        "version": "1",
        "anatomy": facts.anatomy,
        "modality": facts.modality,
        "canonical_space": maps.space,
        "units": "classes: 0 background, " + ", ".join(f"{n} {name}" for n, name in enumerate(NAMES, 1)),
        "licence": facts.licence,
        "data": facts.data,
        "split": maps.names,
        "quality": _quality(task, maps),
        "training": how_trained(task.networks, config, facts, minutes),
        "limits": "Learned from synthetic images alone; skull-stripped, registered brains. "
        f"{facts.limits}".strip(),
    }
    grid = image_grid(maps.grid, task.reduce)
    place = {"shape": torch.tensor(grid.shape_kji), "ijk_to_ras": torch.tensor(grid.ijk_to_ras)}
    path = out / f"{facts.model_id}.safetensors"
    save_weights(
        task.weights(maps.maps["fit"]) | place, validated(ModelCard, words, "the model's card"), path
    )
    progress.update("done", 1.0)
    return path


def image_grid(maps: Grid, reduce: int) -> Grid:
    """The grid of images of which a pixel covers `reduce` x `reduce` pixels of the label maps.

    Args:
        maps: grid of the label maps; slices stay as they are.
    """
    return maps.with_spacing(maps.spacing_ijk * [reduce, reduce, 1])


def _quality(task: SegmentationTask, maps: LabelMaps) -> dict:
    """Dice of every structure on images of the people kept for validation."""
    device = next(task.networks.parameters()).device
    scores = task.measure(
        maps.maps["validation"].to(device), torch.Generator(device).manual_seed(0), _MEASURED_IMAGES
    ).cpu()
    means = {
        name: round(float(value), 3)
        for name, value in zip(NAMES, scores.nanmean(0), strict=True)
        if value.isfinite()
    }
    return {"images": len(scores), "mean Dice": round(float(scores.nanmean()), 3), "Dice": means}
