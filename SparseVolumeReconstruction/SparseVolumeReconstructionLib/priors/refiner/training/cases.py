"""Cases that a refiner learns of: people, slices of them, and what a prior without them says."""

from __future__ import annotations

import torch

from ....geometry import Volume
from ....observation import Slice
from ....reconstruction.patient_posterior import condition_registered
from ...base import Conditions, Prior
from ..prior import Refinement, tempered_mean


def case_of(prior: Prior, truth: Volume, slices: list[Slice], tempering: Refinement) -> torch.Tensor:
    """Mean and standard deviation of the posterior, those of the prior, and the truth.

    (5, K, H, W), canonical units.

    Args:
        prior: not fitted on that person.
        truth: on the prior's evaluation grid, [0, 1].
        slices: of it.
        tempering: of the posterior whose mean is refined.
    """
    conditioned = condition_registered(prior, slices, grid=truth.grid)
    before = prior.condition([], grid=truth.grid)
    posterior = conditioned.posterior
    intensity = conditioned.alignment.intensity
    canonical = torch.as_tensor(intensity.to_canonical(truth.array))
    given = Conditions([s.with_intensity(intensity) for s in slices], truth.grid)
    moments = [tempered_mean(prior, given, tempering), posterior.std(), before.mean(), before.std()]
    return torch.stack([*(m.cpu() for m in moments), canonical]).half()
