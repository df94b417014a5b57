"""./run train synthesis: from a folder of paired scans to the network, and how far it is off."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...data.bids import WRITTEN
from ...data.cohort import FOREGROUND
from ...evaluation.metrics import masked_mean, psnr, ssim_map
from ...geometry import InputError
from ...priors.card import ModelCard
from ...progress import Progress
from ...training.deep import how_trained
from ...training.facts import CardFacts
from ...training.loop.checkpoint import prepare_folder
from ...training.loop.config import TrainConfig, validated
from ...training.loop.loop import fit
from ...training.loop.task import make_task
from ...zoo.weights import save_weights
from ..adaptation.adapt import adapt
from ..scans import Field, load_visits
from .task import SynthesisTask
from .tiles import tiled

_LEVEL = 0.9


def train_synthesis(
    folder: Path,
    config: TrainConfig,
    out: Path,
    resume: bool,
    facts: CardFacts,
    split: dict[str, list[str]] | None,
    progress: Progress,
    target: Path | None = None,
) -> Path | None:
    """Train on the visits of a folder that were scanned in all contrasts of the configuration.

    Args:
        folder: of skull-stripped, registered volumes SUBJECT_T1w, SUBJECT_FLAIR ...
        out, resume: as in `train_deep`.
        split: {"fit": [...], "test": [...]} of visits, by chance if None; a share of the former is
            kept for validation.
        target: folder of scans of another scanner in the contrasts of the input, to which the network is
            carried without any truth.

    Returns:
        The weights file, whose card says how far the network is off for the visits of the test; None in all
        processes but the first.

    Raises:
        InputError: as `train_deep`.
    """
    task = make_task(config)
    assert isinstance(task, SynthesisTask)
    prepare_folder(out, resume)
    settings = task.settings
    field = Field(settings.shape_kji, settings.spacing_mm)
    scans = load_visits(folder, settings.contrasts, field, progress.part(0.0, 0.1))
    names = _parts(list(scans), split, config)
    volumes = {part: torch.stack([scans[name] for name in members]) for part, members in names.items()}
    minutes = fit(task, volumes["fit"], volumes["validation"], config, out, resume, progress.part(0.1, 0.9))
    if int(os.environ.get("RANK", "0")):
        return None
    adapted = _adapted(task, volumes["fit"], target, field, progress.part(0.9, 0.98)) if target else []
    factor = _factor(task, volumes["validation"])
    split_used = names | ({"adapted to": adapted} if adapted else {})
    measured = quality(task, volumes["test"], factor)
    card = _card(task, facts, split_used, measured, how_trained(task.networks, config, facts, minutes))
    path = out / f"{facts.model_id}.safetensors"
    tensors = task.weights(volumes["fit"]) | {"error_factor": torch.tensor(factor)}
    save_weights(tensors, card, path)
    progress.update("done", 1.0)
    return path


def _card(
    task: SynthesisTask,
    facts: CardFacts,
    split: dict[str, list[str]],
    measured: dict[str, float],
    training: dict[str, Any],
) -> ModelCard:
    settings = task.settings
    words = {
        "id": facts.model_id,
        "title": f"{WRITTEN[settings.output]} from {' and '.join(WRITTEN[one] for one in settings.inputs)}",
        "system": task.config.system,
        "version": "1",
        "anatomy": facts.anatomy,
        "modality": facts.modality,
        "canonical_space": f"the patient's own, {settings.spacing_mm:g} mm",
        "units": "intensity over the 99.9th percentile of the foreground, [0, 1]",
        "licence": facts.licence,
        "data": facts.data,
        "split": split,
        "quality": measured,
        "training": training,
        "limits": "Skull-stripped heads whose scans lie on one another. What only the missing contrast would "
        f"show is not there; lesions may be lost. {facts.limits}".strip(),
    }
    return validated(ModelCard, words, "the model's card")


def _adapted(
    task: SynthesisTask, source: torch.Tensor, target: Path, field: Field, progress: Progress
) -> list[str]:
    """Carry the network to the scanner of a folder; the visits that it was carried to."""
    scans = load_visits(target, task.settings.inputs, field, progress.part(0.0, 0.1))
    device = next(task.networks.parameters()).device
    others = torch.stack(list(scans.values())).to(device)
    adapt(task, source.to(device), others, task.settings.adaptation, progress.part(0.1, 1.0))
    return list(scans)


def _parts(names: list[str], split: dict[str, list[str]] | None, config: TrainConfig) -> dict[str, list[str]]:
    """{"fit", "validation", "test": visits}. Raises InputError where one would be empty."""
    chance = np.random.default_rng(config.seed)
    count = max(1, round(config.validation * len(names)))
    if split is None:
        order = chance.permutation(sorted(names)).tolist()
        split = {"fit": order[count:], "test": order[:count]}
    fitted = chance.permutation(sorted(set(split["fit"]) & set(names))).tolist()
    count = max(1, round(config.validation * len(fitted)))
    test = sorted(set(split["test"]) & set(names))
    if len(fitted) < 2 or not test:
        raise InputError(
            f"{len(fitted)} visits to fit and {len(test)} to test; expected at least two and one of them."
        )
    return {"fit": sorted(fitted[count:]), "validation": sorted(fitted[:count]), "test": test}


@torch.no_grad()
def _made(task: SynthesisTask, scans: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """What the generator makes of (inputs, K, J, I), and the error that it expects."""
    generator = task.networks.generator.eval()
    scans = scans[None].to(next(generator.parameters()).device)
    mean, error = tiled(generator, scans, task.settings.tile)
    return mean[0].cpu().numpy(), error[0].cpu().numpy()


def _factor(task: SynthesisTask, volumes: torch.Tensor) -> float:
    """What expected errors are multiplied with so that 90 % intervals hold 90 % of heads (N, C, K, J, I)."""
    ratios = []
    for one in volumes:
        mean, error = _made(task, one[:-1])
        inside = (one[:-1] > FOREGROUND).any(0).numpy()
        ratios.append(np.abs(one[-1].numpy() - mean)[inside] / error[inside])
    return float(np.quantile(np.concatenate(ratios), _LEVEL) / np.log(1 / (1 - _LEVEL)))


def quality(task: SynthesisTask, volumes: torch.Tensor, factor: float) -> dict[str, float]:
    """Mean scores in the heads of (N, C, K, J, I) that were not seen; the range of the PSNR is the truth's.

    Args:
        task: with its trained networks.
        volumes: inputs and truth.
        factor: on the expected errors.
    """
    found = []
    for one in volumes:
        mean, error = _made(task, one[:-1])
        truth, inside = one[-1].numpy(), (one[:-1] > FOREGROUND).any(0).numpy()
        half = factor * error * np.log(1 / (1 - _LEVEL))
        found.append(
            {
                "SSIM in the head": masked_mean(ssim_map(truth, mean), inside),
                "PSNR": psnr(truth, mean),
                "mean absolute error": float(np.abs(truth - mean)[inside].mean()),
                "90 % intervals hold": float((np.abs(truth - mean) <= half)[inside].mean()),
            }
        )
    means = {name: round(float(np.mean([each[name] for each in found])), 4) for name in found[0]}
    return {"heads": len(found), **means}
