"""Preconditioned conjugate gradients for several right sides at once."""

from __future__ import annotations

from collections.abc import Callable

import torch

Apply = Callable[[torch.Tensor], torch.Tensor]  # (m, n) -> (m, n), a matrix applied to every row


def conjugate_gradients(
    apply: Apply,
    right: torch.Tensor,
    precondition: Apply = lambda rows: rows,
    *,
    tolerance: float,
    iterations: int = 400,
    check: Callable[[], None] = lambda: None,
) -> torch.Tensor:
    """Solve S x = right (Hestenes and Stiefel, 1952).

    Args:
        apply: S, symmetric and positive definite.
        right: (m, n), one right side a row.
        precondition: approximately the inverse of S.
        tolerance: norm of the residual over that of the right side at which a row is solved.
        iterations: at most so many, whether the tolerance is met or not.
        check: called in every iteration; raise from it to cancel.

    Returns:
        x, (m, n); all rows take as many steps as the slowest needs.
    """
    x = torch.zeros_like(right)
    if right.shape[1] == 0:
        return x
    r = right.clone()
    z = precondition(r)
    p = z
    rz = (r * z).sum(1, keepdim=True)
    goal = tolerance * right.norm(dim=1)
    for _ in range(iterations):
        check()
        sp = apply(p)
        step = rz / (p * sp).sum(1, keepdim=True).clamp(min=1e-30)
        x, r = x + step * p, r - step * sp
        if bool((r.norm(dim=1) <= goal).all()):
            break
        z = precondition(r)
        rz_next = (r * z).sum(1, keepdim=True)
        p, rz = z + rz_next / rz.clamp(min=1e-30) * p, rz_next
    return x
