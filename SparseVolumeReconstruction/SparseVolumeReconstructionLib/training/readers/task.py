"""What the readers of single slices learn: where the brain is, of which tissue, and where in the head."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn.functional import avg_pool2d, cross_entropy

from ...alignment.head_network import CLASSES, HeadNetwork
from ...data.config import AugmentationConfig
from ...data.stored import Volumes
from ...geometry import Grid, InputError
from ..loop.config import Count, Section, TrainConfig, validated
from ..loop.task import Task
from .contrasts import fetal_greys, head_greys
from .slices import Example, SliceConfig, example
from .womb import surroundings

_WEIGHTS = (0.5, *(1.0 for _ in CLASSES[1:]))  # of classes
_FEW_PIXELS = 20.0  # of brain: a slice with less tells little by its overlap


class ReaderConfig(Section):
    """What a reader learns of.

    slices: see SliceConfig. places: weight of the loss of places against that of the mask. images: per body
    to validate on.
    """

    slices: SliceConfig = Field(SliceConfig())
    places: float = Field(0.25, ge=0)
    images: Count = 4


class ReaderTask(Task):
    """See training.loop.task.Task.

    Volumes are coded maps (N, 2, K, H, W) uint8 on `grid`, which is set before the first batch.
    """

    networks: nn.Module
    grid: Grid

    def __init__(self, config: TrainConfig):
        self.config = config
        self._config = validated(ReaderConfig, config.model, "model")
        if config.augmentation != AugmentationConfig():
            raise InputError("augmentation: slices are changed by model.slices alone; leave it out.")
        self.networks = HeadNetwork()

    def slice_of(self, maps: np.ndarray, random: np.random.Generator) -> Example:
        """A random slice of a body (2, K, H, W)."""
        raise NotImplementedError

    def batch(self, volumes: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """One slice of each body (B, 2, K, H, W)."""
        seed = torch.randint(2**31, (), generator=generator, device=generator.device)
        random = np.random.default_rng(int(seed))
        made = [self.slice_of(maps, random) for maps in volumes.cpu().numpy()]
        parts = {name: np.stack([getattr(one, name) for one in made]) for name in vars(made[0])}
        return {name: torch.as_tensor(part, device=volumes.device) for name, part in parts.items()}

    def loss(
        self, batch: dict[str, torch.Tensor], generator: torch.Generator, step: int
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Cross-entropy of classes, soft Dice of the brain, and the likelihood of places (Laplace)."""
        logits, places, spread = (
            part.float() for part in self.networks(batch["images"][:, None], batch["offsets"])
        )
        classes = batch["classes"]
        entropy = cross_entropy(logits, classes, logits.new_tensor(_WEIGHTS))
        brain = (classes > 0).float()
        seen = 1 - logits.softmax(1)[:, 0]
        both = (seen * brain).sum((1, 2))
        dice = (2 * both + _FEW_PIXELS) / (seen.sum((1, 2)) + brain.sum((1, 2)) + _FEW_PIXELS)
        weight = avg_pool2d(brain[:, None], 2)[:, 0]
        away = (places - batch["places"]).abs()
        total = weight.sum().clamp(min=1)
        unlikely = ((away * torch.exp(-spread) + spread).mean(1) * weight).sum() / total
        off = (away.mean(1) * weight).sum() / total
        loss = entropy + 1 - dice.mean() + self._config.places * (unlikely + 8 * off)
        return loss, {"entropy": entropy.detach(), "dice": dice.mean().detach(), "off": off.detach()}

    @torch.no_grad()
    def validate(self, volumes: Volumes, generator: torch.Generator) -> dict[str, float]:
        """One minus Dice of the brain in slices of bodies (N, 2, K, H, W), and how far places are off, mm."""
        batch = self.batch(volumes[:].repeat_interleave(self._config.images, 0), generator)
        logits, places, _ = self.networks(batch["images"][:, None], batch["offsets"])
        found, brain = logits.argmax(1) > 0, batch["classes"] > 0
        weight = avg_pool2d(brain.float()[:, None], 2)[:, 0]
        away = (places.float() - batch["places"]).norm(dim=1)
        dice = 2 * float((found & brain).sum()) / max(float(found.sum() + brain.sum()), 1.0)
        return {
            "score": 1 - dice,
            "dice": dice,
            "places_mm": 100 * float((away * weight).sum() / weight.sum().clamp(min=1)),
        }

    def weights(self, volumes: Volumes) -> dict[str, torch.Tensor]:
        """The network in half precision, as readers load it; nothing depends on the volumes."""
        state = self.networks.state_dict().items()
        return {name: t.half() if t.is_floating_point() else t for name, t in state}


class HeadReaderTask(ReaderTask):
    """Whole heads and stripped brains in any contrast."""

    def slice_of(self, maps: np.ndarray, random: np.random.Generator) -> Example:
        """A random slice of a head (2, K, H, W)."""
        return example(maps, self.grid, self._config.slices, head_greys, None, random)


class FetalReaderTask(ReaderTask):
    """Fetal brains in a mother."""

    def slice_of(self, maps: np.ndarray, random: np.random.Generator) -> Example:
        """A random slice of a fetal brain (2, K, H, W) and what is around it."""
        return example(maps, self.grid, self._config.slices, fetal_greys, surroundings, random)
