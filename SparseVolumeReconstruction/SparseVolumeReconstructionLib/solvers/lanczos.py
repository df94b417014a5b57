"""The log-determinant of a covariance that is known by what it does."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from .conjugate_gradients import Apply


def log_determinant(
    apply: Apply,
    like: torch.Tensor,
    *,
    steps: int = 25,
    probes: int = 4,
    check: Callable[[], None] = lambda: None,
) -> float:
    """log det S by stochastic Lanczos quadrature (Ubaru, Chen and Saad, SIAM J. Matrix Anal. 2017).

    The probes are fixed, so that the error is the same for similar matrices and differences are smooth.

    Args:
        apply: S, symmetric and positive definite, best with a diagonal near 1.
        like: (n,), tells size, type and device.
        steps: of the Lanczos recursion, with full reorthogonalisation.
        probes: random signs (Rademacher) over which is averaged.
        check: called in every step; raise from it to cancel.
    """
    count = len(like)
    if count == 0:
        return 0.0
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (probes, count), generator=generator) * 2.0 - 1
    v = signs.to(like) / math.sqrt(count)
    previous, beta = torch.zeros_like(v), torch.zeros(probes, 1, device=v.device)
    diagonal, off, basis = [], [], []
    for _ in range(min(steps, count)):
        check()
        basis.append(v)
        w = apply(v) - beta * previous
        alpha = (w * v).sum(1, keepdim=True)
        w = w - alpha * v
        for q in basis:
            w = w - (w * q).sum(1, keepdim=True) * q
        diagonal.append(alpha[:, 0])
        beta = w.norm(dim=1, keepdim=True)
        off.append(beta[:, 0])
        previous, v = v, w / beta.clamp(min=1e-20)
    t = torch.diag_embed(torch.stack(diagonal, 1)).double()
    if len(diagonal) > 1:
        side = torch.stack(off[:-1], 1).double()
        t = t + torch.diag_embed(side, 1) + torch.diag_embed(side, -1)
    values, vectors = torch.linalg.eigh(t)
    each = (vectors[:, 0] ** 2 * values.clamp(min=1e-12).log()).sum(1) * count
    return float(each.mean())
