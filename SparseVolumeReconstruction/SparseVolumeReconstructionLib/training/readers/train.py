"""./run train head-reader and fetal-reader: from folders of label maps to a network that reads slices."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from ...priors.card import ModelCard
from ...progress import Progress
from ...zoo.weights import save_weights
from ..deep import how_trained
from ..facts import CardFacts
from ..loop.checkpoint import prepare_folder
from ..loop.config import TrainConfig, validated
from ..loop.loop import fit
from ..loop.task import make_task
from .maps import Bodies, load_fetuses, load_heads
from .task import ReaderTask

SYSTEM = "head-reader"  # on the cards of both: how their network is stored
_TITLES = {
    "head-reader": "Brain and place of single slices of heads, any MR contrast",
    "fetal-reader": "Brain in single slices of fetal MRI with all that is around it",
}
_LIMITS = "Fitted to made-up slices; masks are a first proposal, to be looked at."


def train_reader(
    folders: list[Path],
    config: TrainConfig,
    out: Path,
    resume: bool,
    facts: CardFacts,
    split: dict | None,
    progress: Progress,
    kinds: list[str] | None = None,
) -> Path | None:
    """Train on made-up slices of what folders hold.

    Args:
        folders: of heads, or of fetal templates, see `maps`.
        config: of "head-reader" or "fetal-reader".
        out, resume: as in `train_deep`.
        facts: for the card.
        split: {"fit": [...], "test": [...]}, by chance if None; the latter are kept for validation.
        progress: told of steps.
        kinds: of the label maps of heads.

    Returns:
        The weights file; None in all processes but the first.

    Raises:
        InputError: as `train_deep`.
    """
    task = make_task(config)
    assert isinstance(task, ReaderTask)
    prepare_folder(out, resume)
    part = progress.part(0.0, 0.1)
    bodies = (
        load_heads(folders, kinds or ["freesurfer"], config, split, part)
        if config.system == SYSTEM
        else load_fetuses(folders, config, split, part)
    )
    task.grid = bodies.grid
    minutes = fit(
        task, bodies.maps["fit"], bodies.maps["validation"], config, out, resume, progress.part(0.1, 0.98)
    )
    if int(os.environ.get("RANK", "0")):
        return None
    card = _card(task, bodies, facts, minutes)
    path = out / f"{facts.model_id}.safetensors"
    save_weights(task.weights(bodies.maps["fit"]), card, path)
    progress.update("done", 1.0)
    return path


def _card(task: ReaderTask, bodies: Bodies, facts: CardFacts, minutes: float) -> ModelCard:
    """What was trained on, for how long, and how well brains are found in slices of those kept apart."""
    device = next(task.networks.parameters()).device
    seen = task.validate(bodies.maps["validation"].to(device), torch.Generator(device).manual_seed(0))
    words = {
        "id": facts.model_id,
        "title": _TITLES[task.config.system],
        "system": SYSTEM,
        "version": "1",
        "anatomy": facts.anatomy,
        "modality": facts.modality,
        "canonical_space": bodies.space,
        "units": "1 is the 98th percentile of what a slice shows",
        "licence": facts.licence,
        "data": facts.data,
        "split": bodies.names,
        "quality": {"made-up slices of those kept for validation": {k: round(v, 3) for k, v in seen.items()}},
        "training": how_trained(task.networks, task.config, facts, minutes),
        "limits": f"{_LIMITS} {facts.limits}".strip(),
    }
    return validated(ModelCard, words, "the model's card")
