"""Networks that tell where in the stack a slice lies: 0 is its first slice, 1 its last.

Slices are (N, H, W) in [0, 1], places (N,) in (0, 1).
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, relu

KINDS = ("ffn", "cnn", "deep", "deep-skips")
FIFTHS = 5


class Localiser(nn.Module):
    """A body of layers, a dense layer and a sigmoid.

    Args:
        body: averaged slices (N, 1, S, S) to features, which are flattened.
        features: their number.
        dense: units of the dense layer.
        pool: pixels along a side that are averaged first.
    """

    def __init__(self, body: nn.Module, features: int, dense: int, pool: int):
        super().__init__()
        self.pool = pool
        self.body = body
        self.head = nn.Sequential(nn.Linear(features, dense), nn.ReLU(), nn.Linear(dense, 1))

    def forward(self, slices: torch.Tensor) -> torch.Tensor:
        """Places (N,), float32, of slices (N, H, W)."""
        features = self.body(avg_pool2d(slices[:, None], self.pool)).flatten(1)
        return torch.sigmoid(self.head(features)[:, 0].float())


class _Block(nn.Module):
    """Three convolutions, around which their input may skip, and one of stride 2."""

    def __init__(self, width: int, skips: bool):
        super().__init__()
        self.skips = skips
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(3))
        self.down = nn.Conv2d(width, width, 3, 2, 1)
        for layer in (self.down, *(() if skips else self.convolutions)):  # what nothing skips must not fade
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, S / 2, S / 2)."""
        for convolution in self.convolutions:
            x = relu(convolution(x)) + (x if self.skips else 0)
        return relu(self.down(x))


def make_localiser(kind: str, size: int, width: int, dense: int, pool: int) -> Localiser:
    """One of KINDS: without convolutions; the paper's four, of which each has half the filters; deep ones.

    Args:
        kind: of KINDS.
        size: pixels of a slice along a side.
        width: filters of the first convolution; deep ones have a quarter of them in every layer.
        dense: units of the dense layer.
        pool: pixels along a side that are averaged first.
    """
    side = size // pool
    if kind == "ffn":
        body: nn.Module = nn.Sequential(nn.Flatten(), nn.Linear(side * side, dense), nn.ReLU())
        return Localiser(body, dense, dense, pool)
    if kind == "cnn":
        widths = (1, width, width // 2, width // 4, 1)
        layers = [nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths)]
        last = dict(layers[-1].named_parameters())
        nn.init.constant_(last["bias"], 0.1)  # or its one filter may be 0 everywhere, for good
        with_relu = [part for layer in layers for part in (layer, nn.ReLU())]
        return Localiser(nn.Sequential(*with_relu), side * side, dense, pool)
    blocks = [_Block(width // 4, kind == "deep-skips") for _ in range(3)]
    body = nn.Sequential(nn.Conv2d(1, width // 4, 3, padding=1), nn.ReLU(), *blocks)
    return Localiser(body, width // 4 * math.ceil(side / 8) ** 2, dense, pool)


def place_scores(found: torch.Tensor, true: torch.Tensor) -> dict[str, float]:
    """How well places (N,) in [0, 1] were found.

    Returns:
        {name: number}: mean squared error; of the right fifth of the stack, accuracy and the means over the
        fifths that occur of precision, recall and F1 (0 where a fifth was never said); the share within a
        tenth of the stack from the truth.
    """
    said, right = (((p * FIFTHS).long()).clamp(0, FIFTHS - 1) for p in (found, true))
    table = torch.zeros(FIFTHS, FIFTHS).index_put_((right.cpu(), said.cpu()), torch.ones(len(said)), True)
    hits, there = table.diagonal(), table.sum(1) > 0
    precision, recall = hits / table.sum(0).clamp(min=1), hits / table.sum(1).clamp(min=1)
    f1 = 2 * precision * recall / (precision + recall).clamp(min=1e-9)
    return {
        "mse": float(((found - true) ** 2).mean()),
        "accuracy": float(hits.sum() / len(said)),
        "precision": float(precision[there].mean()),
        "recall": float(recall[there].mean()),
        "f1": float(f1[there].mean()),
        "within a tenth": float(((found - true).abs() <= 0.1).float().mean()),
    }
