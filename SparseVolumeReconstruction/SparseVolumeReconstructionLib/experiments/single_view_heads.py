"""Human heads from one radiograph: volumes of attenuation that were made from label maps."""

from __future__ import annotations

import numpy as np
import torch

from ..data.cohort import list_cohort
from ..data.registration import on_grid
from ..data.rigid import rigid_space
from ..evaluation.metrics import slice_ssim, ssim_map
from ..geometry import InputError
from ..observation.views import VIEWS
from ..priors.base import Prior
from ..reconstruction.fusion import fuse
from .base import Setting
from .findings import Figure, Findings, Table
from .found_views import found_views
from .single_view import ATLAS, EXACT, NEAREST, ORACLE, Bench, held_share, intervals, rmse, what_is_given
from .surfaces import Studio
from .views import strips

_SLICE = 0.6  # of the height, of the slice that is given besides: through the brain
_ELSEWHERE = ("nothing", *VIEWS)  # measured with the other methods
_METHODS = (EXACT, NEAREST, ORACLE, ATLAS)
_FUSED = f"{EXACT}, fused"

# by method and view, of each head: RMSE and SSIM
Scores = dict[tuple[str, str], list[tuple[float, float]]]


def single_view_heads(setting: Setting) -> Findings:
    """Kept heads from the front, the side and the top, known; two observations; views by evidence."""
    from ..zoo import ModelStore

    prior = ModelStore().load("head-xray", setting.device)
    fitted, kept = _heads(setting, prior)
    bench = Bench(prior, None, fitted, Studio(prior.grid))
    scores: Scores = {}
    shares: list[float] = []
    rows: list[tuple[str, list[np.ndarray]]] = []
    for number, (name, truth) in enumerate(kept.items()):
        for view, direction in VIEWS.items():
            setting.progress.update(f"{name}, {view}", number / len(kept))
            setting.progress.check()
            seen = bench.seen(truth, direction)
            operator, values = seen.operator(bench.grid), torch.as_tensor(seen.values.ravel())
            exact = prior.condition([seen])
            found = bench.volumes(truth, seen, operator, values, exact)
            shown = {method: found[method] for method in _METHODS}
            shown[_FUSED] = fuse(found[EXACT], [operator], values)
            for method, volume in shown.items():
                scores.setdefault((method, view), []).append(_scores(volume, truth))
            shares.append(held_share(exact, truth))
            if view == "side":
                cuts = [truth, *(volume.numpy() for volume in shown.values())]
                middle = truth.shape[2] // 2
                rows.append((name, [np.exp(-seen.values)[::-1], *(c[:, :, middle] for c in cuts)]))
        for given, observations in what_is_given(bench, truth, _SLICE).items():
            if given in _ELSEWHERE:
                continue
            mean = prior.condition(observations).mean().cpu().clamp(min=0)
            scores.setdefault((EXACT, given), []).append(_scores(mean, truth))
    figure = Figure(
        "The middle of heads from the radiograph of the side",
        strips(rows, ["radiograph", "truth", *_METHODS, _FUSED]),
        "Face to the right, in the radiograph, taken from the other side, to the left.",
    )
    return Findings(
        "003-heads",
        "Human heads from one radiograph",
        "How near does a volume from a single radiograph come to a head, by every method but a network?",
        [_table(scores), intervals(shares), found_views(prior, kept, setting.progress)],
        [figure],
        [
            f"Heads: {', '.join(kept)}, kept apart from the fit; {len(fitted) // 2} others and their mirror "
            "images are fitted, and are the nearest ones. All are label maps made into attenuation: no CT.",
            "Radiographs are made of the heads: 64 x 64 pixels, parallel rays, chi 10, no scatter.",
        ],
    )


def _heads(setting: Setting, prior: Prior) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """Fitted heads and their mirror images (n, K, J, I), and those kept, by name, in the prior's space."""
    cohort = list_cohort(setting.data["cohort"])
    split, grid = setting.models.split, prior.grid
    names = [n for part in ("fit", "test") for n in split[part] if n in cohort.files]
    space, matrices = rigid_space(
        cohort, names, float(grid.spacing_ijk[0]), grid.shape_kji[0], setting.progress.update
    )
    if np.abs(space.grid.ijk_to_ras - grid.ijk_to_ras).max() > float(grid.spacing_ijk[0]):
        raise InputError("the heads give another space than that of the model; expected its cohort.")
    heads = {n: on_grid(cohort.volume(n), grid, matrix) for n, matrix in matrices.items()}
    fitted = torch.as_tensor(np.stack([heads[n] for n in split["fit"] if n in heads]))
    test = [n for n in split["test"] if n in heads][: setting.subjects]
    return torch.cat([fitted, fitted.flip(-1)]), {n: heads[n] for n in test}


def _scores(volume: torch.Tensor, truth: np.ndarray) -> tuple[float, float]:
    return rmse(volume, truth), float(slice_ssim(ssim_map(truth, volume.numpy())).mean())


def _table(scores: Scores) -> Table:
    rows: list[list] = []
    for (method, given), each in scores.items():
        off, alike = np.array(each).T
        rows.append([method, given, off.mean(), off.min(), off.max(), alike.mean()])
    return Table(
        "Errors by what is given",
        ["method", "given", "RMSE", "least", "most", "SSIM"],
        rows,
        "Over the whole cube, mean over heads; 1 is the brightest bone. SSIM of axial slices.",
    )
