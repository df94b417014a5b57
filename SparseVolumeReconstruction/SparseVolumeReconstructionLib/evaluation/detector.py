"""Whether a small network tells samples from scans: the AUC over slices that were not observed.

0.5 where it cannot, 1 where it always does. It is trained on people of the fit, one sample of each, and
asked about others.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from ..geometry import Volume
from ..observation.slices import slice_of
from ..priors.base import Prior
from ..reconstruction.patient_posterior import condition_registered
from .baselines import Library
from .cases import as_array, context_positions

PEOPLE = 22  # more would take deep systems long
_CONTEXTS, _SLICES, _SIDE = 4, 22, 64
_EPOCHS, _BATCH, _RATE = 25, 64, 2e-3
_FOREGROUND, _MIN_FILLED = 0.05, 0.05  # a slice is looked at where so much of it is brighter than that


class Detector:
    """A network (64x64 slices to a logit of "sample") trained on slices (n, H, W) in [0, 1].

    Args:
        real: of scans.
        fake: of samples.
        check: called at every step; may raise to cancel.
    """

    def __init__(self, real: np.ndarray, fake: np.ndarray, check: Callable[[], None] = lambda: None):
        x = torch.cat([_small(real), _small(fake)])
        y = torch.cat([torch.zeros(len(real)), torch.ones(len(fake))])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self._network = net = _network()
            optimiser = torch.optim.AdamW(net.parameters(), _RATE, weight_decay=1e-2)
            for _ in range(_EPOCHS):
                for batch in torch.randperm(len(x)).split(_BATCH):
                    check()
                    mirrored = torch.rand(len(batch))[:, None, None, None] < 0.5
                    seen = torch.where(mirrored, x[batch].flip(-1), x[batch])
                    loss = binary_cross_entropy_with_logits(net(seen)[:, 0], y[batch])
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
        net.eval()

    @torch.no_grad()
    def auc(self, real: np.ndarray, fake: np.ndarray) -> float:
        """How often a slice of `fake` looks more like a sample than one of `real`, both (n, H, W); 0..1.

        nan where there are no slices.
        """
        if not (len(real) and len(fake)):
            return math.nan
        of_real, of_fake = (self._network(_small(slices))[:, 0] for slices in (real, fake))
        difference = of_fake[:, None] - of_real
        return float((difference > 0).float().mean() + (difference == 0).float().mean() / 2)


def detector_of(prior: Prior, library: Library, check: Callable[[], None]) -> Detector:
    """Trained on people of the library, of which the prior has seen four slices.

    Args:
        prior: a sample is drawn for each of the people (PEOPLE of them at most, evenly chosen).
        library: on the prior's evaluation grid.
        check: may raise to cancel.
    """
    names = list(library.volumes)
    chosen = np.unique(np.linspace(0, len(names) - 1, min(len(names), PEOPLE)).round().astype(int))
    real, fake = [], []
    for seed, number in enumerate(chosen):
        check()
        truth = Volume(library.volumes[names[number]].astype(np.float32), library.grid)
        positions = context_positions(min(_CONTEXTS, len(truth.array) // 2), len(truth.array))
        contexts = [slice_of(truth, k) for k in positions]
        sample = as_array(condition_registered(prior, contexts, grid=library.grid).sample([seed]))[0]
        shown = looked_at(truth.array, positions)
        real.append(truth.array[shown])
        fake.append(sample[shown])
    return Detector(np.concatenate(real), np.concatenate(fake), check)


def looked_at(truth: np.ndarray, positions: list[int]) -> np.ndarray:
    """Numbers of the slices of (K, J, I) that are compared, evenly chosen.

    Those with some anatomy that were not observed, nor their neighbours.
    """
    filled = (truth > _FOREGROUND).mean((1, 2)) > _MIN_FILLED
    for position in positions:
        filled[max(position - 1, 0) : position + 2] = False
    found = np.flatnonzero(filled)
    if not len(found):
        return found
    return found[np.unique(np.linspace(0, len(found) - 1, min(_SLICES, len(found))).round().astype(int))]


def _small(slices: np.ndarray) -> torch.Tensor:
    """Slices (n, H, W) as (n, 1, 64, 64)."""
    shown = torch.as_tensor(np.asarray(slices, np.float32))[:, None]
    if shown.shape[-2:] == (_SIDE, _SIDE):
        return shown
    return interpolate(shown, (_SIDE, _SIDE), mode="bilinear", antialias=True, align_corners=False)


def _network() -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(64, 1))
