"""Cases that a flow learns of: people, slices of them, and draws of a prior that never saw them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ....geometry import Volume
from ....observation import Slice
from ....observation.base import observed_voxels
from ....reconstruction.patient_posterior import condition_registered
from ....training.on_gaussian import base_parameters, random_slices
from ...base import Prior
from ...gaussian.parameters import DonorBank
from ...on_base import distance_mm
from ..network import known_of

_NOTHING = 0.08  # share of the cases in which nothing was observed
_LEVELS = (200.0, 800.0, 250.0, 200.0)  # of mean, standard deviation, closeness and grey values in 8 bits


def with_donors(prior: Prior, people: np.ndarray) -> Prior:
    """The prior with samples that start from other people, masked voxels (n, v) in canonical units."""
    bank = DonorBank.of(people, np.zeros(len(people)), mirror=True)
    like: type[Any] = type(prior)
    made: Prior = like(replace(base_parameters(prior), donors=bank), prior.card, prior.device)
    return made


def case_of(prior: Prior, truth: Volume, slices: list[Slice], seeds: Iterable[int]) -> torch.Tensor:
    """What is known given slices, the truth and samples of the posterior, (4 + seeds, K, H, W) uint8.

    Args:
        prior: not fitted on that person.
        truth: on the prior's evaluation grid, [0, 1].
        slices: of it.
        seeds: of the samples.
    """
    conditioned = condition_registered(prior, slices, grid=truth.grid)
    posterior = conditioned.posterior
    seen, _ = observed_voxels(slices, truth.grid)
    away = torch.as_tensor(distance_mm(seen, truth.grid)).float()
    mean = posterior.mean()
    canonical = torch.as_tensor(conditioned.alignment.intensity.to_canonical(truth.array)).to(mean)
    known = known_of(mean, posterior.std(), away.to(mean.device))
    return coded(torch.cat([known, canonical[None], posterior.sample(list(seeds))])).cpu()


def coded(case: torch.Tensor) -> torch.Tensor:
    """A case (4 + n, K, H, W) in 8 bits."""
    return (case * _levels(len(case), case.device)).round().clamp(0, 255).to(torch.uint8)


def decoded(cases: torch.Tensor) -> torch.Tensor:
    """Cases (N, 4 + n, K, H, W) of 8 bits in canonical units, float32."""
    return cases.float() / _levels(cases.shape[1], cases.device)


def _levels(count: int, device: torch.device) -> torch.Tensor:
    levels = torch.tensor([*_LEVELS, *[_LEVELS[-1]] * (count - len(_LEVELS))], device=device)
    return levels[:, None, None, None]


def cases_of_fold(
    prior: Prior,
    people: dict[str, tuple[Volume, np.ndarray]],
    count: int,
    draws: int,
    chance: np.random.Generator,
) -> Iterator[tuple[str, torch.Tensor]]:
    """Random cases of people whom a prior was not fitted on; their draws start from each other.

    Args:
        prior: of the fold.
        people: on its evaluation grid, and their masked voxels on its canonical grid (v,), by name.
        count: cases of each.
        draws: of each case.
        chance: of slices and seeds.
    """
    for name, (truth, _) in people.items():
        others = np.stack([voxels for other, (_, voxels) in people.items() if other != name])
        able = with_donors(prior, others)
        for _ in range(count):
            slices = [] if chance.random() < _NOTHING else random_slices(truth, chance)
            seeds = chance.permutation(max(2 * len(others), draws))[:draws]
            yield name, case_of(able, truth, slices, [int(seed) for seed in seeds])
