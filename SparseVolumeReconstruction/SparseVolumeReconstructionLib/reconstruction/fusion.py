"""Fusion: a volume is changed as little as needed so that its rays sum up to a radiograph.

Henzler et al. (Computer Graphics Forum 37, 2018) give the error of every pixel to the voxels of its ray in
proportion to a power of their density. Their formula for the error, log(1 - difference of transparencies), is
that of a density only where the volume is empty; it is kept here as "as printed".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..observation.operator import LinearOperator, StackedOperator

BETA = 2.0
_SWEEPS = 20  # over columns, since voxels that reach 0 take no more
_ROUNDS, _FLOOR = 400, 2e-3  # of the densest voxel: what is thought empty may take a little
_MIN_INTEGRAL = 3e-4  # a line integral of air: what is less is not looked at


def fuse(
    volume: torch.Tensor,
    operators: Sequence[LinearOperator],
    values: torch.Tensor,
    *,
    tolerance: float = 3e-4,
    check: Callable[[], None] = lambda: None,
) -> torch.Tensor:
    """The volume nearest to another one that gives some line integrals, and is not negative.

    Every voxel is multiplied with the mean of what its rays miss, again and again (the simultaneous algebraic
    reconstruction technique with products; Byrne, IEEE Trans. Image Process. 2, 1993): density changes in
    proportion to density, as the paper wants it, for any number of radiographs and rays in any direction, and
    the change is the smallest by relative entropy.

    Args:
        volume: (K, J, I), canonical units.
        operators: of all radiographs, on its grid.
        values: their line integrals, (count,).
        tolerance: largest error of a transparency at which no further round is needed.
        check: called in every round; raise from it to cancel.
    """
    operator = operators[0] if len(operators) == 1 else StackedOperator(operators)
    fused = volume.clamp(min=0)
    fused = fused + _FLOOR * fused.max()
    length = operator.adjoint(torch.ones_like(values)[None])[0].clamp(min=1e-9)
    wanted, transparency = values.clamp(min=_MIN_INTEGRAL), torch.exp(-values)
    for _ in range(_ROUNDS):
        check()
        reached = operator.forward(fused[None])[0]
        if float((torch.exp(-reached) - transparency).abs().max()) < tolerance:
            break
        missing = torch.log(wanted / reached.clamp(min=1e-12))
        fused = fused * torch.exp(operator.adjoint(missing[None])[0] / length)
    return fused


def fuse_columns(
    columns: np.ndarray, integrals: np.ndarray, step: float, policy: str = "density", beta: float = BETA
) -> np.ndarray:
    """The policies of the paper, for a volume whose rays run along its first axis.

    Args:
        columns: (depth, rows, columns), canonical units; may have been interpolated to a finer picture first.
        integrals: -ln of the transparency, (rows, columns).
        step: attenuation of one voxel of density 1.
        policy: "density" (by density to the power of beta; exact, repeated where voxels reach 0), "even",
            "first" (all to the voxel nearest to the source), or "as printed" (the formula of the paper).
        beta: of "density" and "as printed".

    Raises:
        ValueError: for another policy.
    """
    if policy not in ("density", "even", "first", "as printed"):
        raise ValueError(f"{policy}: expected density, even, first or as printed")
    fused = np.maximum(columns, 0).astype(np.float64)
    for _ in range(1 if policy == "as printed" else _SWEEPS):
        reached = step * fused.sum(0)
        excess = (reached - integrals) / step
        if policy == "as printed":
            excess = np.log(np.clip(1 - (np.exp(-reached) - np.exp(-integrals)), 1e-6, None))
        share = np.ones_like(fused) if policy == "even" else (fused + 1e-6) ** beta
        if policy == "first":
            share = np.zeros_like(fused)
            share[0] = 1
        fused = np.maximum(fused - excess * share / share.sum(0), 0)
    made: np.ndarray = fused.astype(np.float32)
    return made
