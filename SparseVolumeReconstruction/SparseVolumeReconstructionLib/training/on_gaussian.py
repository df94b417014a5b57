"""What networks on a structured Gaussian learn of: its people, folds without them, and slices of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..data.cohort import brain_mask
from ..evaluation.cases import context_positions
from ..geometry import Grid, InputError, Volume
from ..observation import Slice
from ..observation.slices import slice_of
from ..priors.base import Prior
from ..priors.gaussian.fit import Rows, fit_gaussian
from ..priors.gaussian.parameters import GaussianParameters
from ..progress import Progress
from .grey_values import match_grey_values
from .on_base import RegisteredSubjects

_AXIAL = 0.7  # share of the cases; the others are coronal or sagittal
_EVEN = 0.6  # share of the cases whose slices are spread over the anatomy
_MAX_SLICES = 9
_EDGE = 2  # slices at the end of the anatomy are not shown
_TURNS = ([0, 1, 2, 3], [0, 2, 1, 3], [1, 2, 0, 3])


def base_parameters(base: Prior) -> GaussianParameters:
    """What was fitted of a base. Raises InputError where it is no Gaussian, or depends on a covariate."""
    parameters = getattr(base, "parameters", None)
    if not isinstance(parameters, GaussianParameters) or len(parameters.knots) > 1:
        raise InputError(f"{base.card.id}: expected a structured Gaussian without a covariate as the base.")
    return parameters


def rows_of(
    people: RegisteredSubjects, parameters: GaussianParameters, match: bool, progress: Progress
) -> Rows:
    """Those to fit and for validation on the canonical grid, with their mirror images; groups are people.

    Args:
        people: in the order of the groups: fit, then validation.
        parameters: of the base; its grid and mask.
        match: bring the grey values of all folders to those of the first.
        progress: told of each.
    """
    grid = parameters.grid
    names = people.fit + people.validation
    whole = np.empty((len(names), *grid.shape_kji), np.float16)
    for n, name in enumerate(names):
        progress.update(f"resampling {name}", n / len(names))
        whole[n] = people.truth(name, grid).array
    if match:
        folder = people.subjects.folder
        match_grey_values(whole, np.array([folder[name] == folder[names[0]] for name in names]))
    mirrored = whole[..., ::-1]
    values = np.concatenate([whole[:, parameters.mask], mirrored[:, parameters.mask]])
    return Rows(values, np.tile(np.arange(len(names)), 2), np.zeros(len(values)))


def folds(base: Prior, rows: Rows, count: int) -> Iterator[tuple[Prior, np.ndarray]]:
    """Priors like the base, each fitted without every `count`-th person, and the numbers of these (n,)."""
    p = base_parameters(base)
    for fold in range(count):
        left_out = np.unique(rows.group)[fold::count]
        part = fit_gaussian(
            rows.subset(~np.isin(rows.group, left_out)),
            p.mask,
            p.grid,
            p.evaluation_grid,
            rank=len(p.loadings),
            scale_knots=p.scale_knots.numpy(),
        )
        like: type = type(base)
        yield like(replace(part, reference=p.reference, multipliers=p.multipliers), base.card), left_out


def random_slices(truth: Volume, chance: np.random.Generator) -> list[Slice]:
    """One to nine slices of the anatomy, axial, coronal or sagittal, evenly spread or anywhere."""
    axis = 0 if chance.random() < _AXIAL else int(chance.integers(1, 3))
    turned = Volume(
        np.ascontiguousarray(np.moveaxis(truth.array, axis, 0)),
        Grid(np.moveaxis(truth.array, axis, 0).shape, truth.grid.ijk_to_ras[:, _TURNS[axis]]),
    )
    filled = np.flatnonzero(brain_mask(truth.array).any(tuple(n for n in range(3) if n != axis)))
    first, last = int(filled[0]) + _EDGE, int(filled[-1]) - _EDGE
    count = min(int(chance.integers(1, _MAX_SLICES + 1)), (last - first) // 2)
    step = (last - first + 1) / count
    if chance.random() < _EVEN:
        place = first + (np.arange(count) + 0.5 + chance.uniform(-0.45, 0.45, count)) * step
    else:
        place = chance.uniform(first, last, count)
    thickness = float(turned.grid.spacing_ijk[2])
    return [slice_of(turned, k, thickness) for k in sorted({int(np.clip(p, first, last)) for p in place})]


def even_slices(truth: Volume, count: int) -> list[Slice]:
    """The slices of the registered protocol."""
    thickness = float(truth.grid.spacing_ijk[2])
    return [slice_of(truth, k, thickness) for k in context_positions(count, truth.grid.shape_kji[0])]
