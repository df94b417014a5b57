"""Single-image tomography (paper 003): heads of mice from one radiograph, by every method that is here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from ..data.cohort import brain_mask, list_cohort
from ..data.landmarks import Directions, landmark_space
from ..data.registration import on_grid
from ..geometry import Grid, InputError, Volume
from ..observation import Observation, Radiograph
from ..observation.operator import LinearOperator
from ..observation.rays import radiograph_of
from ..observation.slices import slice_of
from ..observation.views import VIEWS, facing
from ..priors.base import Posterior, Prior
from ..reconstruction.fusion import fuse
from ..training.calibration import RADIOGRAPH_NOISE
from .base import Setting
from .depth_slices import depth_slices
from .findings import Figure, Findings, Table
from .found_views import found_views
from .surfaces import Studio, dssim, turned_about
from .views import strips

EXACT, NETWORK, NEAREST, ORACLE = "exact posterior", "network", "nearest by radiograph", "oracle nearest"
ATLAS, SMEAR = "mean atlas", "filtered back-smear"
OTHER = "other"
_LANDMARKS = Directions("1", "16")
_NOVEL = ((0.7, -0.6, -0.4), (-0.8, -0.5, 0.3))  # views that surfaces are compared from, besides its own
_SEEN_WHILE_DEVELOPING = ("BTBR_T_Itpr3tf_j_", "KK.HlJ_", "LG.J_")
_PRINTED = {NETWORK: (0.051, 0.097), NEAREST: (0.067, 0.109), ORACLE: (0.060, 0.110)}
_SLICE = 0.4  # of the height, of the slice that is given besides
_SHOWN = 3

# by method and view, of each head: RMSE and DSSIM of the volume, then of the fused one
Errors = dict[tuple[str, str], list[tuple[float, ...]]]


@dataclass
class Bench:
    """What all cases share: the priors, the heads that were fitted (n, K, J, I), and a renderer."""

    prior: Prior
    network: Prior | None
    fitted: torch.Tensor
    studio: Studio

    @property
    def grid(self) -> Grid:
        """That of the prior, on which all heads are."""
        return self.prior.grid

    def seen(self, truth: np.ndarray, direction: Sequence[float]) -> Radiograph:
        """The radiograph of a head (K, J, I) from a direction."""
        whole = Volume(truth, self.grid)
        return radiograph_of(whole, np.array(direction), max(self.grid.shape_kji), RADIOGRAPH_NOISE)

    def volumes(
        self,
        truth: np.ndarray,
        seen: Radiograph,
        operator: LinearOperator,
        values: torch.Tensor,
        exact: Posterior,
    ) -> dict[str, torch.Tensor]:
        """What every method makes of a radiograph, (K, J, I), at least 0; the oracle is told the truth."""
        shown = torch.exp(-operator.forward(self.fitted))
        likest = int(((shown - torch.exp(-values)) ** 2).sum(1).argmin())
        nearest = int(((self.fitted - torch.as_tensor(truth)) ** 2).flatten(1).sum(1).argmin())
        found = {
            EXACT: exact.mean(),
            NEAREST: self.fitted[likest],
            ORACLE: self.fitted[nearest],
            ATLAS: self.prior.condition([]).mean(),
            SMEAR: smeared(seen, operator, values),
        }
        if self.network is not None:
            found = {NETWORK: self.network.condition([seen]).mean(), **found}
        return {name: volume.cpu().clamp(min=0) for name, volume in found.items()}


def single_view(setting: Setting) -> Findings:
    """Kept heads from the front, the side, the top and one other direction, known; every method."""
    from ..zoo import ModelStore

    store = ModelStore()
    prior = store.load("mouse-xray", setting.device)
    networks = [e.card.id for e in store.entries() if e.card.system == "xray-cnn"]
    split = setting.models.split
    fitted, kept = _heads(setting, prior, split)
    network = store.load(networks[0], setting.device) if networks else None
    bench = Bench(prior, network, fitted, Studio(prior.grid))
    errors: Errors = {}
    pictures: list[tuple[str, list[np.ndarray]]] = []
    held: list[float] = []
    began = time.perf_counter()
    for number, (name, truth) in enumerate(kept.items()):
        for view, direction in {**VIEWS, OTHER: _other(number)}.items():
            setting.progress.update(f"{name}, {view}", number / len(kept))
            setting.progress.check()
            seen = bench.seen(truth, direction)
            operator, values = seen.operator(bench.grid), torch.as_tensor(seen.values.ravel())
            exact = prior.condition([seen])
            found = bench.volumes(truth, seen, operator, values, exact)
            fused = {method: fuse(volume, [operator], values) for method, volume in found.items()}
            views = [np.array(d) for d in (direction, *_NOVEL)]
            unlike = partial(_unlike, bench.studio, bench.studio.pictures(truth, views), views)
            for method, volume in found.items():
                scores = [(rmse(v, truth), unlike(v.numpy())) for v in (volume, fused[method])]
                errors.setdefault((method, view), []).append((*scores[0], *scores[1]))
            held.append(held_share(exact, truth))
            if view == "side" and len(pictures) < _SHOWN:
                pictures.append((name.split("_")[0], _row(bench.studio, seen, truth, found, fused)))
    seconds = (time.perf_counter() - began) / max(len(held), 1)
    tables = [_overall(errors), _by_view(errors), _more(bench, kept, setting), intervals(held)]
    tables.append(found_views(prior, kept, setting.progress))
    if network is not None:
        tables.append(depth_slices(network, kept, setting.progress))
    figures = [_figure(pictures, list(found)), _applications(bench, truth, fused, seen)]
    return Findings(
        "003-single-view",
        "Heads of mice from one radiograph",
        "How near does a volume from a single radiograph come to the truth, and by which method?",
        tables,
        figures,
        _notes(list(kept), networks, seconds),
    )


def smeared(seen: Radiograph, operator: LinearOperator, values: torch.Tensor) -> torch.Tensor:
    """Ramp-filtered integrals spread evenly along their rays, with the sum that was measured.

    Args:
        seen: all of its pixels are valid.
        operator: of its rays on a grid (K, J, I).
        values: its line integrals, (count,).

    Returns:
        (K, J, I), at least 0.
    """
    image = np.where(seen.kept_pixels, seen.values, 0)
    ramp = np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.rfftfreq(image.shape[1]))
    sharp = np.fft.irfft2(np.fft.rfft2(image) * (0.5 + ramp), image.shape)  # half of the means are kept
    along = operator.forward(torch.ones(1, *operator.shape_kji))[0].clamp(min=1e-6)
    back = operator.adjoint((torch.as_tensor(sharp[seen.kept_pixels], dtype=values.dtype) / along)[None])[0]
    back = back.clamp(min=0)
    return back * float(values.sum() / operator.forward(back[None]).sum().clamp(min=1e-9))


def _heads(
    setting: Setting, prior: Prior, split: dict[str, list[str]]
) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """Fitted heads and their mirror images (n, K, J, I), and those kept, by name, in the prior's space."""
    cohort = list_cohort(setting.data["cohort"])
    names = [n for part in ("fit", "test") for n in split[part] if n in cohort.files]
    test = [n for n in split["test"] if n in names][: setting.subjects]
    if not test or len(names) == len(test):
        raise InputError(
            f"{setting.data['cohort']}: {len(names)} of the heads of the split are there; expected "
            f"{split['fit'][0]}, {split['test'][0]} and others, with landmarks beside them."
        )
    grid = prior.grid
    space, matrices = landmark_space(
        cohort, names, _LANDMARKS, float(grid.spacing_ijk[0]), grid.shape_kji[0], setting.progress.update
    )
    if np.abs(space.grid.ijk_to_ras - grid.ijk_to_ras).max() > float(grid.spacing_ijk[0]):
        raise InputError("the landmarks give another space than that of the model; expected its cohort.")
    heads = {n: on_grid(cohort.volume(n), space.grid, matrices[n]) for n in names if n in matrices}
    fitted = torch.as_tensor(np.stack([heads[n] for n in split["fit"] if n in heads]))
    return torch.cat([fitted, fitted.flip(-1)]), {n: heads[n] for n in test if n in heads}


def _other(number: int) -> tuple[float, ...]:
    """An oblique direction of its own for every head."""
    return tuple(facing(np.random.default_rng(number).normal(size=3)).tolist())


def rmse(volume: torch.Tensor, truth: np.ndarray) -> float:
    """Root mean square difference of two (K, J, I), canonical units."""
    return float(np.sqrt(((volume.numpy() - truth) ** 2).mean()))


def _unlike(
    studio: Studio, true_views: list[np.ndarray], views: list[np.ndarray], volume: np.ndarray
) -> float:
    """Mean DSSIM of the surface of (K, J, I) from some views."""
    shown = zip(true_views, studio.pictures(volume, views), strict=True)
    return float(np.mean([dssim(*pair) for pair in shown]))


def held_share(exact: Posterior, truth: np.ndarray) -> float:
    """Share of the head's voxels that 90 % intervals of the exact posterior hold."""
    low, high = (t.cpu().numpy() for t in exact.interval(0.9))
    inside = (truth >= np.maximum(low, 0)) & (truth <= np.maximum(high, 0))
    return float(inside[brain_mask(truth)].mean())


def _methods(errors: dict[tuple[str, str], list]) -> list[str]:
    return list(dict.fromkeys(method for method, _ in errors))


def _overall(errors: Errors) -> Table:
    rows: list[list] = []
    for method in _methods(errors):
        every = np.concatenate([scores for (m, _), scores in errors.items() if m == method])
        rows.append([method, *every.mean(0).tolist()])
    rows += [[f"{method} (printed)", None, None, l2, ds] for method, (l2, ds) in _PRINTED.items()]
    return Table(
        "All views",
        ["method", "RMSE", "DSSIM of the surface", "RMSE, fused", "DSSIM, fused"],
        rows,
        "RMSE over the whole cube, 1 is the brightest bone. Printed: of another network, 175 species and "
        "128 voxels along each side; its volumes are fused.",
    )


def _by_view(errors: Errors) -> Table:
    views = [*VIEWS, OTHER]
    rows: list[list] = [
        [method, *(float(np.mean([s[2] for s in errors[method, view]])) for view in views)]
        for method in _methods(errors)
    ]
    return Table("RMSE after fusion, by view", ["method", *views], rows)


def what_is_given(bench: Bench, truth: np.ndarray, height: float) -> dict[str, list[Observation]]:
    """Observations of a head (K, J, I), none to two together, by what they are called.

    The slice lies at a `height` of 0..1.
    """
    front, side = (bench.seen(truth, VIEWS[view]) for view in ("front", "side"))
    cut = slice_of(Volume(truth, bench.grid), int(height * bench.grid.shape_kji[0]))
    return {
        "nothing": [],
        "front": [front],
        "side": [side],
        "front and side": [front, side],
        "one axial slice": [cut],
        "side and the slice": [side, cut],
    }


def _more(bench: Bench, kept: dict[str, np.ndarray], setting: Setting) -> Table:
    """The exact posterior of one radiograph, of two, and of one with a slice."""
    rows: dict[str, list[float]] = {}
    for name, truth in kept.items():
        setting.progress.update(f"{name}, two observations", 1.0)
        for given, observations in what_is_given(bench, truth, _SLICE).items():
            mean = bench.prior.condition(observations).mean().cpu().clamp(min=0)
            rows.setdefault(given, []).append(rmse(mean, truth))
    return Table(
        "Exact posterior: what more observations bring",
        ["given", "RMSE"],
        [[given, float(np.mean(each))] for given, each in rows.items()],
        "Without fusion.",
    )


def intervals(held: list[float]) -> Table:
    """Of the shares that `held_share` gives."""
    return Table(
        "90 % intervals of the exact posterior",
        ["", "share of voxels held", "least", "most"],
        [["all heads and views", float(np.mean(held)), min(held), max(held)]],
        "Of the filled head. The paper has no uncertainty.",
    )


def _row(
    studio: Studio,
    seen: Radiograph,
    truth: np.ndarray,
    found: dict[str, torch.Tensor],
    fused: dict[str, torch.Tensor],
) -> list[np.ndarray]:
    novel = np.array(_NOVEL[0])
    names = [name for name in found if name != SMEAR]
    surfaces = [studio.surface(truth), *(studio.surface(fused[name].numpy()) for name in names)]
    radiograph = np.exp(-seen.values)
    return [radiograph[::-1], *(studio.picture(s, novel)[::-1] for s in surfaces)]


def _figure(pictures: list[tuple[str, list[np.ndarray]]], methods: list[str]) -> Figure:
    titles = ["radiograph", "truth", *(m for m in methods if m != SMEAR)]
    return Figure(
        "Surfaces from the radiograph of the side",
        strips(pictures, titles),
        "Iso 0.1, after fusion, from a direction that no radiograph was taken from.",
    )


def _applications(
    bench: Bench, truth: np.ndarray, fused: dict[str, torch.Tensor], seen: Radiograph
) -> Figure:
    """Novel views, a cut-away and an anaglyph of the last case."""
    studio = bench.studio
    novel = np.array(_NOVEL[0])
    rows = []
    for name, volume in (("truth", truth), (EXACT, fused[EXACT].numpy())):
        opened = volume.copy()
        opened[:, :, opened.shape[2] // 2 :] = 0
        whole, half = studio.surface(volume), studio.surface(opened)
        shown = [studio.picture(whole, turned_about(novel, a)) for a in (0.0, 0.8, 1.6)]
        shown += [studio.picture(half, np.array([-1.0, -0.3, -0.2])), studio.anaglyph(whole, novel)]
        rows.append((name, [np.exp(-seen.values)[::-1], *(p[::-1] for p in shown)]))
    titles = ["radiograph", "novel view", "46 degrees on", "92 degrees on", "cut away", "anaglyph"]
    return Figure("Novel views, a cut-away and an anaglyph", strips(rows, titles), "All of it is inferred.")


def _notes(names: list[str], networks: list[str], seconds: float) -> list[str]:
    seen = [name for name in names if name in _SEEN_WHILE_DEVELOPING]
    network = (
        f"The network is {networks[0]}."
        if networks
        else "No model of ./run train xray-cnn is installed: no network."
    )
    return [
        f"Heads: {', '.join(names)}, kept apart from all fits. Looked at while methods were developed: "
        f"{', '.join(seen) or 'none'}.",
        "Radiographs are made of the heads: 64 x 64 pixels, parallel rays, chi 10, no scatter; views known.",
        network,
        f"{seconds:.0f} s for each head and view, all methods, on a CPU that others may have used too.",
    ]
