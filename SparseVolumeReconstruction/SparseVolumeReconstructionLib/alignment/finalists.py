"""The frames that are left at the end of a search, and how clearly one of them is the best."""

from __future__ import annotations

import torch

from ..priors.alignment_model import AlignmentModel

MAX_MARGIN = 30.0
"""Nats; more is as good as certain."""
_ANOTHER_MM = 10.0


def distinct(score: torch.Tensor, matrices: torch.Tensor, count: int) -> torch.Tensor:
    """Indices of the best starts that ended more than 3 mm or 5 degrees apart.

    Args:
        score: of each start, (B,); the higher the better.
        matrices: where each ended, (B, 4, 4), patient to canonical, RAS mm.
        count: how many at most.

    Returns:
        The best first.
    """
    chosen: list[int] = []
    for n in score.argsort(descending=True).tolist():
        if all(
            (matrices[n] - matrices[m]).abs()[:3, 3].max() > 3
            or (matrices[n] - matrices[m]).abs()[:3, :3].max() > 0.09
            for m in chosen
        ):
            chosen.append(n)
        if len(chosen) == count:
            break
    return torch.tensor(chosen)


def margin_of(matrices: torch.Tensor, evidence: torch.Tensor, model: AlignmentModel) -> float:
    """Evidence (nats) of the best frame over that of the next one that puts the anatomy elsewhere.

    Args:
        matrices: (B, 4, 4), patient to canonical, RAS mm.
        evidence: of each, nats, (B,).
        model: says where the anatomy is, and how large.

    Returns:
        MAX_MARGIN where it is more, and where no frame puts the anatomy elsewhere.
    """
    reach = model.size / 3 * torch.cat([torch.eye(3), -torch.eye(3)])
    best = matrices[int(evidence.argmax())]
    corners = torch.linalg.solve(best[:3, :3], (model.centre + reach - best[:3, 3]).T).T
    there = corners @ matrices[:, :3, :3].transpose(1, 2) + matrices[:, None, :3, 3]
    another = (there - model.centre - reach).norm(dim=2).mean(1) > _ANOTHER_MM
    if not another.any():
        return MAX_MARGIN
    return min(MAX_MARGIN, float(evidence.max() - evidence[another].max()))
