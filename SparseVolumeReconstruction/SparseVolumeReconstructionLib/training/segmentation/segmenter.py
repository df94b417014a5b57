"""The trained network: from a volume to its structures."""

from __future__ import annotations

from pathlib import Path

import torch

from ...geometry import Grid, Volume
from ...geometry.resample import resample
from ...priors.card import ModelCard
from ...priors.stored import network_state
from ...zoo.weights import opened_network
from .task import WindowedUNet

SYSTEM = "segmentation"


class Segmenter:
    """A network that tells the structures of a brain.

    Args:
        network: is put in evaluation mode.
        grid: on which it works, canonical mm.
        card: what it is; its `quality` has the Dice of every structure.
        device: where it computes.
    """

    def __init__(self, network: torch.nn.Module, grid: Grid, card: ModelCard, device: torch.device):
        self._network = network.to(device).eval()
        self.grid = grid
        self.card = card
        self._device = device

    @classmethod
    def load(cls, path: Path, device: torch.device) -> Segmenter:
        """From the file of `train_segmentation`. Raises InputError for any other.

        Args:
            path: of the .safetensors file.
            device: where it computes.
        """
        with opened_network(path, SYSTEM) as (card, tensors):
            network = WindowedUNet(tuple(tensors["features"].tolist()), tuple(tensors["window"].tolist()))
            network.load_state_dict(network_state(tensors))
            grid = Grid(tuple(tensors["shape"].tolist()), tensors["ijk_to_ras"].numpy())
        return cls(network, grid, card, device)

    @torch.no_grad()
    def __call__(self, volume: Volume) -> Volume:
        """Classes 0 to 15 (uint8) of a volume ([0, 1], background 0, canonical mm) on the network's grid."""
        image = volume if volume.grid.same_as(self.grid) else resample(volume, self.grid)
        classes = self._network(torch.as_tensor(image.array, device=self._device)[None].float())[0]
        return Volume(classes.to(torch.uint8).cpu().numpy(), self.grid)
