"""A process with tissue fields, seen in another contrast; and the tissues, given what was seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ...data.fractions import shares_of
from .field import Latents
from .parameters import SD_FLOOR, DonorBank, GaussianParameters
from .tissues import TISSUES, TissueContrast

SEEN_WIDENING = (1.6, 1.15, 1.5)
"""Factor on the deviation of each tissue's share where slices of another contrast told it: the grey values of
the tissues are found from the same slices. Measured on FLAIR slices of three people whose T1w is known.
"""


def seen_in(parameters: GaussianParameters, contrast: TissueContrast) -> GaussianParameters:
    """The process as a scan of another contrast shows it, in units of its brightest tissue.

    Args:
        parameters: with tissues.
        contrast: in any unit.
    """
    fields = parameters.tissues
    assert fields is not None
    w = contrast.weights(parameters.zones)
    loadings = fields.weighted_loadings(w)
    of_tissues = torch.einsum("tn,tun,un->n", w, fields.residual_covariance[1:, 1:], w).clamp(min=0)
    spread = torch.as_tensor((contrast.spread / contrast.unit) ** 2).float()
    within = spread @ fields.means.clamp(0, 1)
    sd = (of_tissues + within).sqrt().clamp(min=SD_FLOOR)
    donors = _seen_donors(parameters, w)
    if donors is not None:
        expected = float(((loadings**2).sum(0) + of_tissues).mean())
        donors = replace(donors, stretch=(expected / donors.variance) ** 0.5, unshown=within.sqrt() / sd)
    return replace(
        parameters,
        means=(w * fields.means).sum(0)[None],
        knots=torch.zeros(1),
        loadings=loadings,
        sd=sd,
        contrast=contrast,
        donors=donors,
    )


def _seen_donors(parameters: GaussianParameters, weights: torch.Tensor) -> DonorBank | None:
    """The donors as the contrast shows the tissues that their grey values tell. weights: (3, n)."""
    bank, fields = parameters.donors, parameters.tissues
    if bank is None or fields is None:
        return None
    levels = torch.linalg.lstsq(fields.means.T, parameters.means.mean(0)[:, None]).solution[:, 0].sort()[0]
    people = np.stack([bank.values(n).numpy() for n in range(len(bank.volumes))])
    shares = shares_of(people, levels.numpy())
    shown = sum(w * share for w, share in zip(weights.numpy(), shares, strict=True))
    return DonorBank.of(shown, bank.covariate.numpy(), bank.mirror, bank.fitted)


def tissue_maps(
    parameters: GaussianParameters, known: Latents, mean: torch.Tensor, std: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fraction of each tissue given a posterior of the process, and its standard deviation.

    With r the residual of what was seen, E[f] = m + W E[z] + (cov(r_f, r) / var r) E[r]; the covariance of z
    and r after the observation is neglected in the deviation, which in another contrast is raised by
    SEEN_WIDENING.

    Args:
        parameters: of the process, with tissues.
        known: of its latents; their field lies on the grid of the parameters.
        mean, std: posterior mean and standard deviation there, (K, J, I).

    Returns:
        Means in [0, 1] and standard deviations, each (3, K, J, I).
    """
    fields, device = parameters.tissues, mean.device
    assert fields is not None
    inside = torch.as_tensor(parameters.mask, device=device)
    wider = (1.0,) * len(TISSUES) if parameters.contrast is None else SEEN_WIDENING
    shared = torch.einsum("tun,un->tn", fields.residual_covariance, weights_of(parameters))[1:]
    own_variance = parameters.sd**2
    slope = (shared / own_variance).to(device)
    left = (fields.residual_covariance.diagonal().T[1:] - shared**2 / own_variance).clamp(min=0).to(device)
    residual = residual_of(known, mean)[inside]
    variance = residual_variance(known, std)[inside]
    widened = known.field.widened
    means, deviations = mean.new_zeros(2, len(TISSUES), *mean.shape)
    for t in range(len(TISSUES)):
        own = widened * fields.step * fields.loadings[t].to(device).float()
        rank = len(own)
        means[t][inside] = fields.means[t].to(device) + known.mean[:rank] @ own + slope[t] * residual
        of_latents = ((known.factor[:rank].T @ own) ** 2).sum(0)
        deviations[t][inside] = (
            wider[t] * (of_latents + widened**2 * left[t] + slope[t] ** 2 * variance).sqrt()
        )
    return means.clamp(0, 1), deviations


def weights_of(parameters: GaussianParameters) -> torch.Tensor:
    """What the process shows, as a sum of its own contrast (0) and the tissues (1..3), (4, n)."""
    if parameters.contrast is not None:
        shades = parameters.contrast.weights(parameters.zones)
        return torch.cat([torch.zeros_like(shades[:1]), shades])
    own = torch.zeros(len(TISSUES) + 1, parameters.sd.shape[0])
    own[0] = 1
    return own


def residual_of(known: Latents, mean: torch.Tensor) -> torch.Tensor:
    """Expected residual r, (K, J, I), of a posterior with that mean (K, J, I)."""
    return mean - known.field.mean - torch.tensordot(known.mean, known.field.loadings, 1)


def residual_variance(known: Latents, std: torch.Tensor) -> torch.Tensor:
    """Variance of r, (K, J, I), as if z and r were independent, of a posterior with that deviation."""
    of_latents = torch.tensordot(known.factor.T, known.field.loadings, 1)
    return (std**2 - (of_latents**2).sum(0)).clamp(min=0)
