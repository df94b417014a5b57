"""The space of axial stacks that every deep prior lives in, fitted on the subjects of its networks."""

from __future__ import annotations

import numpy as np

from ..data.registration import on_grid
from ..data.stacks import Stacks
from ..priors.axial import AxialSpace
from ..priors.gaussian.fit import Rows, fit_gaussian, scale_statistics
from ..progress import Progress

_FRAME_MM, _FRAME_RANK = 4.0, 20


def axial_space(stacks: Stacks, mirror: bool, progress: Progress) -> AxialSpace:
    """What finding frames needs, fitted on the same subjects as the networks.

    Args:
        stacks: registered; those of "fit" are used.
        mirror: mirror images of the subjects are fitted as well.
        progress: asked whether to stop.

    Raises:
        Cancelled: when asked to stop.
    """
    grid = stacks.space.grid.with_spacing(max(_FRAME_MM, float(stacks.space.grid.spacing_ijk.max())))
    names = stacks.names["fit"]
    coarse = np.stack([on_grid(stacks.cohort.volume(name), grid, stacks.matrices[name]) for name in names])
    mask = coarse.mean(0) > 0.01
    group = np.arange(len(names))
    if mirror:
        mask, coarse, group = (
            mask | mask[..., ::-1],
            np.concatenate([coarse, coarse[..., ::-1]]),
            np.tile(group, 2),
        )
    rows = Rows(coarse[:, mask].astype(np.float16), group, np.zeros(len(coarse)))
    gaussian = fit_gaussian(
        rows,
        mask,
        grid,
        stacks.grid,
        rank=_FRAME_RANK,
        scale_knots=scale_statistics([stacks.matrices[name] for name in names], np.ones((len(names), 1))),
        folds=min(5, len(names)),
        on_step=lambda step, fraction: progress.check(),
    )
    return AxialSpace(gaussian, stacks.space.reference, stacks.volumes("fit").mean(0))
