"""Volumes that systems generate without seeing anything, beside real ones.

What the experiments of the slice VAE paper (Volokitin et al., MICCAI 2020) compare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..data.cohort import Cohort
from ..data.registration import on_grid
from ..data.subjects import list_subjects
from ..evaluation.cases import as_array, fitted_on
from ..geometry import Grid, InputError, Volume
from ..geometry.resample import resample
from ..priors.base import Prior
from ..progress import Progress
from .base import Setting
from .models import GAUSSIAN, volume_models

PCA = "PCA Gaussian"
ATLAS = "mean atlas, again and again"
REAL = "real (fitted subjects)"
_SLICES = 64
_COUNT, _TINY_COUNT = 40, 10


@dataclass(frozen=True, eq=False)
class Generated:
    """Volumes in [0, 1] on `grid`, (N, K, H, W) float32.

    Attributes:
        test: real ones that no system saw.
        sets: of each system, of PCA, of the mean atlas, and REAL, the fitted subjects.
        systems: names of the trained ones.
    """

    grid: Grid
    test: torch.Tensor
    sets: dict[str, torch.Tensor]
    systems: list[str]
    subjects: list[str]

    def volume(self, name: str, number: int) -> Volume:
        """One volume of a set.

        Args:
            name: of the set.
            number: of the volume, from 0.
        """
        return Volume(self.sets[name][number].numpy(), self.grid)


def generate(setting: Setting) -> Generated:
    """Samples of all systems that can be had, and the registered subjects.

    Raises:
        InputError: where there are too few.
    """
    priors = setting.models.several(["slice-vae", *volume_models(), GAUSSIAN])
    if not priors:
        raise InputError(f"no system is left: {'; '.join(setting.models.left_out.values())}.")
    first = next(iter(priors.values()))
    full = first.evaluation_grid
    if any(not full.same_as(prior.evaluation_grid) for prior in priors.values()):
        raise InputError("the systems live on different grids; give models of one size.")
    grid = with_slices(full, min(_SLICES, full.shape_kji[0]))
    real = _real(setting, list(priors.values()), grid, setting.progress.part(0, 0.3))
    count = max(_TINY_COUNT if setting.tiny else _COUNT, setting.samples)
    sets = {}
    for done, (name, prior) in enumerate(priors.items()):
        share = [0.3 + 0.7 * (done + n) / len(priors) for n in (0, 1)]
        sets[name] = samples(prior, count, full, grid, setting.progress.part(*share))
    sets[PCA] = pca_samples(real["fit"], count, torch.Generator().manual_seed(0))
    sets[ATLAS] = real["fit"].mean(0, keepdim=True).expand(count, -1, -1, -1)
    sets[REAL] = real["fit"]
    return Generated(grid, real["test"], sets, list(priors), real["names"])


def with_slices(grid: Grid, slices: int) -> Grid:
    """The same box cut into so many axial slices.

    Args:
        grid: slices lie along k; pixels stay as they are.
        slices: number of slices.
    """
    return grid.with_spacing(grid.spacing_ijk * [1, 1, grid.shape_kji[0] / slices])


def _real(setting: Setting, priors: list[Prior], grid: Grid, progress: Progress) -> dict:
    """Fitted subjects, and test subjects that no prior was fitted on, (N, K, H, W), in the priors' frame.

    Names of the latter.
    """
    cohort: Cohort = list_subjects(setting.models.cohorts, priors[0].card.modality, (0,), None, 0).cohort
    seen = set().union(*(fitted_on(prior) for prior in priors))
    split = setting.models.split
    unseen = [name for name in split["test"] if name not in seen][: setting.subjects]
    names = {
        part: [name for name in wanted if name in cohort.files]
        for part, wanted in (("fit", split["fit"]), ("test", unseen))
    }
    matrices = cohort.registered(priors[0].reference, names["fit"] + names["test"], progress.update)
    cohort.warn(progress)
    full = priors[0].evaluation_grid
    found = {}
    for part in names:
        names[part] = [name for name in names[part] if name in matrices]
        if len(names[part]) < 3:
            raise InputError(f"{len(names[part])} {part} subjects can be used; expected at least 3.")
        found[part] = torch.stack(
            [_carried(on_grid(cohort.volume(n), full, matrices[n]), full, grid) for n in names[part]]
        )
    return found | {"names": names["test"]}


def samples(prior: Prior, count: int, full: Grid, grid: Grid, progress: Progress) -> torch.Tensor:
    """Samples of a prior that has seen nothing, (count, K, H, W) in [0, 1].

    Args:
        count: how many; sample n has seed n.
        full: canonical grid on which they are drawn.
        grid: to which they are resampled.
        progress: of this prior, asked whether to stop.
    """
    posterior = prior.condition([], grid=full, check=progress.check)
    found = []
    for seed in range(count):
        progress.update(f"sampling {prior.card.id}", seed / count)
        found.append(_carried(as_array(posterior.sample([seed]))[0], full, grid))
    return torch.stack(found)


def _carried(array: np.ndarray, full: Grid, grid: Grid) -> torch.Tensor:
    return torch.as_tensor(resample(Volume(array, full), grid).array).clamp(0, 1)


def pca_samples(fitted: torch.Tensor, count: int, chance: torch.Generator) -> torch.Tensor:
    """Draws from the Gaussian with the mean and the covariance of volumes (N, K, H, W).

    All N - 1 components.

    Args:
        fitted: the volumes, [0, 1], at least two.
        count: number of draws.
        chance: on the CPU.

    Returns:
        (count, K, H, W), clipped to [0, 1].
    """
    mean = fitted.mean(0)
    weights = torch.randn(count, len(fitted), generator=chance) / (len(fitted) - 1) ** 0.5
    return (mean + torch.einsum("cn,nkhw->ckhw", weights, fitted - mean)).clamp(0, 1)


def mean_over(
    values: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], volumes: torch.Tensor, pairs: torch.Tensor
) -> float:
    """Mean of a measure over pairs (P, 2) of volumes, pair by pair.

    Args:
        values: of two batches of one volume each, (1, K, H, W), gives (1,).
        volumes: (N, K, H, W).
        pairs: numbers of volumes, (P, 2).
    """
    return float(
        torch.cat([values(volumes[a : a + 1], volumes[b : b + 1]) for a, b in pairs.tolist()]).mean()
    )
