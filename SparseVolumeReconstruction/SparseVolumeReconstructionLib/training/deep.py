"""./run train of a deep prior: from folders of volumes to a weights file with a model card."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import torch

from ..data.stacks import Stacks, load_stacks
from ..priors.base import Prior
from ..priors.card import ModelCard
from ..priors.device import device_name, resolve_device
from ..priors.systems import prior_systems, system_class
from ..progress import Progress
from ..zoo.weights import save_weights
from .axial_space import axial_space
from .calibration import measured_multipliers
from .facts import CardFacts
from .loop.checkpoint import prepare_folder
from .loop.config import TrainConfig, digest, validated
from .loop.loop import fit
from .loop.task import Task, make_task
from .quality import measured_quality


def train_deep(
    folders: list[Path],
    config: TrainConfig,
    out: Path,
    resume: bool,
    facts: CardFacts,
    split: dict | None,
    progress: Progress,
) -> Path | None:
    """Train, calibrate and measure; returns the weights file in `out`.

    Args:
        out: folder of the run: checkpoints, log and weights; all processes but the first return None.
        resume: continue from the checkpoint there, if there is one.
        split: {"fit": [...], "test": [...]} of subject names, by chance if None.

    Raises:
        InputError: the data or the configuration cannot be used, or the run cannot go on, see `loop.fit`.
    """
    task = make_task(config)
    prepare_folder(out, resume)
    stacks = load_stacks(
        folders,
        config.data,
        split,
        facts.modality,
        progress,
        seed=config.seed,
        validation=config.validation,
    )
    card = _card(task, stacks, facts)
    volumes = stacks.volumes("fit")
    minutes = fit(task, volumes, stacks.volumes("validation"), config, out, resume, progress.part(0.0, 0.9))
    if int(os.environ.get("RANK", "0")):
        return None
    tensors = task.weights(volumes)
    space = axial_space(stacks, config.augmentation.mirror, progress)

    def prior() -> Prior:
        device = next(task.networks.parameters()).device
        return system_class(config.system).from_weights(tensors | space.to_tensors(), card, device)

    validation, test = stacks.subjects("validation"), stacks.subjects("test")
    multipliers, calibration = measured_multipliers(
        prior(), validation, lambda s, f: progress.update(s, 0.9 + 0.05 * f)
    )
    space = replace(space, gaussian=replace(space.gaussian, multipliers=multipliers))
    quality = measured_quality(prior(), test, lambda s, f: progress.update(s, 0.95 + 0.05 * f))
    training = how_trained(task.networks, config, facts, minutes)
    spent = (
        f"Trained on {len(volumes)} subjects, at most {config.steps} steps of {config.batch} volumes; "
        f"{training['minutes']} min on {training['device']}."
    )
    card = card.model_copy(
        update={"quality": quality | calibration, "time_and_memory": spent, "training": training}
    )
    path = out / f"{facts.model_id}.safetensors"
    save_weights(tensors | space.to_tensors(), card, path)
    progress.update("done", 1.0)
    return path


def how_trained(networks: torch.nn.Module, config: TrainConfig, facts: CardFacts, minutes: float) -> dict:
    """What a card says of a training of so many `minutes`.

    Args:
        networks: all that was trained.
        config: goes in as a digest; `facts` has its name.
        minutes: of all parts of the run.

    Returns:
        JSON-ready.
    """
    return {
        "config": facts.config,
        "config_sha256": digest(config),
        "device": device_name(resolve_device("auto")),
        "date": date.today().isoformat(),
        "minutes": float(f"{minutes:.3g}"),
        "parameters": sum(p.numel() for p in networks.parameters()),
    }


def _card(task: Task, stacks: Stacks, facts: CardFacts) -> ModelCard:
    system = prior_systems()[task.config.system]
    height = stacks.grid.spacing_ijk[2] * stacks.grid.shape_kji[0]
    limits = (
        f"Trained on {len(stacks.names['fit'])} subjects ({len(stacks.cohort.unusable)} files were skipped); "
        "background must be 0 (other tissue removed). "
        f"Knows axial slices only (tilted by up to 5 degrees), and the middle {height:.0f} mm of the "
        "anatomy. "
        "Anatomy outside the cohort's range, such as lesions, is shown only where it was observed."
    )
    words = {
        "id": facts.model_id,
        "title": f"{task.title or system.title}, {facts.anatomy} {facts.modality}",
        "system": system.id,
        "version": "1",
        "anatomy": facts.anatomy,
        "modality": facts.modality,
        "canonical_space": stacks.space.name,
        "units": "intensity over the 99.9th percentile of the foreground, [0, 1]",
        "licence": facts.licence,
        "data": facts.data,
        "split": stacks.names,
        "limits": f"{limits} {facts.limits}".strip(),
    }
    return validated(ModelCard, words, "the model's card")
