"""A network that tells fluid, grey and white matter in T1w of one scanner, to measure made T1w by."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.losses import DiceCELoss
from monai.networks.nets import UNet

from ..data.augment import augment
from ..data.config import AugmentationConfig
from ..data.stored import Volumes
from ..progress import Progress
from ..synthesis.simulated import TISSUES
from ..training.loop.config import TrainConfig
from ..training.loop.loop import fit
from ..training.loop.task import Task
from ..training.segmentation.task import dice

_SHARE = 5  # times the steps of a synthesis network; its Dice rises no more then


class TissueTask(Task):
    """See training.loop.task.Task; volumes are (N, 2, K, J, I): T1w in [0, 1], and tissues 0 to TISSUES."""

    networks: UNet

    def __init__(self, config: TrainConfig):
        torch.manual_seed(config.seed)
        self.config = config
        normal = ("group", {"num_groups": 4})
        self.networks = UNet(3, 1, TISSUES + 1, (16, 32, 64), (2, 2), num_res_units=1, norm=normal)
        self._off = DiceCELoss(softmax=True, to_onehot_y=True)

    def batch(self, volumes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """T1w changed in grey values alone, beside the same tissues."""
        t1w = augment(volumes[:, 0], self.config.augmentation, self.config.data, generator)
        return torch.stack([t1w, volumes[:, 1]], 1)

    def loss(
        self, batch: torch.Tensor, generator: torch.Generator, step: int
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """One minus soft Dice, and the cross-entropy."""
        scores = self.networks(batch[:, :1]).float()
        return self._off(scores, batch[:, 1:]), {}

    @torch.no_grad()
    def validate(self, volumes: Volumes, generator: torch.Generator) -> dict[str, float]:
        """One minus the mean Dice."""
        found = [tissue_dice(self.networks, *one) for one in volumes]
        return {"score": 1 - sum(found) / len(found)}


def tissue_network(volumes: torch.Tensor, chosen: torch.Tensor, config: TrainConfig, out: Path) -> UNet:
    """Learn tissues of (N, 2, K, J, I), and keep what is best for `chosen`; a finished run is read.

    Args:
        volumes, chosen: T1w and tissues.
        config: of a synthesis network; gives seed, steps, batch, precision.
        out: folder of the run.
    """
    steps = max(1, int(_SHARE * config.steps))
    change = AugmentationConfig(deformation_mm=0, mirror=False, gamma=0.2, bias=0.1, noise=0.02)
    words = {"steps": steps, "augmentation": change, "learning_rate": 2e-3, "decay": 0.03 ** (1 / steps)}
    task = TissueTask(config.model_copy(update=words))
    fit(task, volumes, chosen, task.config, out, True, Progress())
    return task.networks


@torch.no_grad()
def tissue_dice(network: UNet, t1w: torch.Tensor, tissues: torch.Tensor) -> float:
    """Mean Dice of fluid, grey and white matter that a network sees in T1w.

    Args:
        network: of `tissue_network`.
        t1w, tissues: (K, J, I).
    """
    device = next(network.parameters()).device
    found = network(t1w.to(device).float()[None, None])[0].argmax(0)
    return float(dice(found, tissues.to(device))[:TISSUES].nanmean())
