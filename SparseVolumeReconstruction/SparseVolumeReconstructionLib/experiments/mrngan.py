"""The experiment of the MRNGAN paper: where a slice lies, what comes next, and a volume from one slice.

Its tables 1 and 2 and figures 3 to 6, with the baselines that the paper does not have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure as Canvas

from ..data.registration import on_grid
from ..data.subjects import list_subjects
from ..evaluation.cases import as_array, context_positions
from ..evaluation.figures import png
from ..geometry import Grid, InputError, Volume
from ..observation.slices import slice_of
from ..priors.base import Prior
from ..priors.mrngan.prior import MrnganPrior
from ..priors.mrngan.stages import Networks
from ..reconstruction.patient_posterior import condition_registered
from .base import Setting
from .findings import Cell, Figure, Findings, Table
from .localisers import NAMES, trained_networks
from .models import GAUSSIAN
from .neighbours import (
    MEASURES,
    PSNR_OF_255,
    by_distance,
    chain,
    copied,
    from_one,
    from_several,
    iterated,
    localised,
    neighbours,
    recurrent,
    slice_scores,
    worst_mean_best,
)
from .views import Shown, sheet, strips

_COUNTS = (1, 3, 5, 9)
_INTERVALS = 10
_BINS = ((1, 1), (2, 5), (6, 15), (16, 30), (31, 60))
_PRINTED_PLACES = {
    "ffn": (0.1269, 0.6662, 0.8287, 0.3856, 0.4865),
    "cnn": (0.0807, 0.9559, 0.9562, 0.9554, 0.9558),
    "deep": (0.0885, 0.9253, 0.9284, 0.9212, 0.9247),
    "deep-skips": (0.0803, 0.9602, 0.9604, 0.9553, 0.9578),
}
_PRINTED_FLOW = {
    "worst": (4.20e-3, 71.893, 0.8675),
    "mean": (2.17e-3, 75.567, 0.9109),
    "best": (3.16e-6, 103.129, 0.9996),
}
_PAPER = (
    "The paper used 62 scans of BOLD and EPI of its own choice at 256 x 256 pixels, and scored its parts on "
    "validation people; its numbers are shown for orientation."
)


@dataclass(frozen=True, eq=False)
class Trial:
    """What is measured on whom.

    Attributes:
        networks: all that were trained, in evaluation mode.
        volumes: of test people, (N, K, H, W) on `grid`, in [0, 1].
        gaussian: None where there is none.
    """

    prior: MrnganPrior
    networks: Networks
    volumes: torch.Tensor
    names: list[str]
    grid: Grid
    gaussian: Prior | None

    @property
    def middle(self) -> int:
        """Number of the slice that is seen where one is."""
        return self.volumes.shape[1] // 2


def mrngan(setting: Setting) -> Findings:
    """All tables and figures."""
    trial = _trial(setting)
    with torch.no_grad():
        return _findings(trial, setting)


def _findings(trial: Trial, setting: Setting) -> Findings:
    curves, found = _from_one(trial, setting)
    step = trial.prior.grid.spacing_ijk[2]
    one = f"slice {trial.middle + 1} of {trial.volumes.shape[1]}"
    notes = [
        f"{len(trial.names)} test people that no network was trained on; slices are {step:.3g} mm apart in "
        "the stacks that networks know, and every volume was registered affinely to one reference.",
        f"PSNR has peak 1. The printed values have peak 255 on images in [0, 1]: {PSNR_OF_255:.2f} dB more.",
        "What was chosen was chosen on validation people, by the score of the training.",
        *(f"{name} was left out: {why}." for name, why in setting.models.left_out.items()),
        _PAPER,
    ]
    return Findings(
        "002-mrngan",
        "MRNGAN: where is this slice, what comes next, and the volume from one slice",
        "How well are a slice's place and its neighbours known, and is a chain of neighbours, held together "
        "by a recurrent network and a general brain, better than what asks for no network?",
        [
            _places(trial),
            _flow(trial),
            _chains(trial),
            _general(trial),
            *_distance_tables(curves, one, step),
            _several(trial, setting),
            _as_prior(trial),
            setting.models.provenance(),
        ],
        [
            *_general_figures(trial),
            _chain_figure(trial),
            *_curve_figures(curves, one),
            _volume_figure(trial, found, one),
        ],
        notes,
    )


def _trial(setting: Setting) -> Trial:
    """The models, and the registered test people. Raises InputError."""
    prior = setting.models.get("mrngan", progress=setting.models.progress)
    gaussian = setting.models.several([GAUSSIAN]).get(GAUSSIAN)
    assert isinstance(prior, MrnganPrior)
    networks = trained_networks(setting.models)
    cohort = list_subjects(setting.models.cohorts, prior.card.modality, (0,), None, 0).cohort
    names = [n for n in setting.models.split["test"] if n in cohort.files][: setting.subjects]
    matrices = cohort.registered(prior.reference, names, setting.progress.part(0, 0.3).update)
    cohort.warn(setting.progress)
    names = [name for name in names if name in matrices]
    if not names:
        raise InputError("no test person can be used; see the messages above.")
    grid = prior.evaluation_grid
    stacks = [on_grid(cohort.volume(name), grid, matrices[name]) for name in names]
    volumes = torch.stack([torch.as_tensor(stack) for stack in stacks]).float().clamp(0, 1)
    return Trial(prior, networks.to(prior.device), volumes.to(prior.device), names, grid, gaussian)


def _places(trial: Trial) -> Table:
    """Table 1."""
    header = ["network", "MSE", "accuracy", "precision", "recall", "F1", "within a tenth"]
    rows: list[list[Cell]] = []
    for kind, network in trial.networks.localisers().items():
        rows.append([NAMES[kind], *localised(network, trial.volumes).values()])
        rows.append([f"{NAMES[kind]} (printed)", *_PRINTED_PLACES[kind], None])
        rows[-2][1] = f"{rows[-2][1]:.5f}"
    note = (
        "Of the right fifth of the stack; precision, recall and F1: means over the fifths. Within a tenth: "
        "share of slices placed less than a tenth of the stack from the truth."
    )
    return Table("Table 1: where is this slice?", header, rows, note)


def _row(name: str, values: list[float] | tuple[float, ...], offset: float = 0.0) -> list[Cell]:
    mse, psnr, ssim = values
    return [name, f"{mse:.2e}", psnr + offset, ssim]


def _flow(trial: Trial) -> Table:
    """Table 2."""
    model = trial.prior.network
    rows: list[list[Cell]] = []
    found = {way: neighbours(model, trial.volumes, way) for way in (1, -1, 0)}
    sets = {
        "pix2pix": np.concatenate([found[1], found[-1]]),
        "pix2pix upwards": found[1],
        "pix2pix downwards": found[-1],
        "a copy of the slice": found[0],
    }
    for name, scores in sets.items():
        rows += [_row(f"{name}, {kind}", v) for kind, v in worst_mean_best(scores).items()]
    for kind, values in _PRINTED_FLOW.items():
        rows.append(_row(f"pix2pix, {kind} (printed)", values))
        rows.append(_row(f"pix2pix, {kind} (printed, with peak 1)", values, -PSNR_OF_255))
    note = "Worst and best slice and the mean of all, of each measure on its own. PSNR in dB."
    return Table("Table 2: the next slice", ["system", *MEASURES], rows, note)


def _chains(trial: Trial) -> Table:
    """The numbers of figure 4: pix2pix on its own output."""
    model, volumes = trial.prior.network, trial.volumes
    rows: list[list[Cell]] = []
    for steps in (1, 2, 3, 4):
        own, still = [], []
        for volume in volumes:
            given = volume[:-steps]
            place = torch.arange(len(given), device=volume.device)
            own.append(
                slice_scores(volume[steps:], chain(model, iterated(model), given, place, 1, steps)[:, -1])
            )
            still.append(slice_scores(volume[steps:], given))
        rows.append(_row(f"pix2pix, {steps} step{'s' * (steps > 1)}", np.concatenate(own).mean(0)))
        rows.append(_row(f"a copy, {steps} away", np.concatenate(still).mean(0)))
    return Table("Pix2pix on its own output, upwards", ["system", *MEASURES], rows, "Means over all slices.")


def _general(trial: Trial) -> Table:
    """How near the general brain comes to people."""
    networks, prior = trial.networks, trial.prior
    shown = {
        "general brain (mean of 32 draws of each DCGAN)": networks.model.general,
        "one draw of each DCGAN": networks.drawn,
        "one draw of the conditional GAN": _conditional(trial),
        "mean atlas": prior.space.atlas.to(prior.device),
    }
    rows = [
        _row(name, np.mean([slice_scores(volume, brain).mean(0) for volume in trial.volumes], 0))
        for name, brain in shown.items()
    ]
    note = "A brain made without seeing anything, against every test person; means over slices and people."
    return Table("The general brain", ["system", *MEASURES], rows, note)


def _conditional(trial: Trial) -> torch.Tensor:
    """A slice of the conditional GAN at every place, of one and the same code, (K, H, W)."""
    every = torch.arange(trial.volumes.shape[1], device=trial.volumes.device)
    latent = trial.networks.anchors.inputs
    code = torch.randn(1, latent, generator=torch.Generator().manual_seed(0)).to(trial.volumes)
    return trial.networks.conditional_slices(code.expand(len(every), -1), every)


def _general_figures(trial: Trial) -> list[Figure]:
    """Figure 3, and the whole volumes."""
    count = trial.volumes.shape[1]
    places = [int((n + 0.5) * count / _INTERVALS) for n in range(min(_INTERVALS, count))]
    atlas = trial.prior.space.atlas
    brains = {
        "conditional GAN": _conditional(trial).cpu(),
        "DCGANs, one draw": trial.networks.drawn.cpu(),
        "DCGANs, mean\nof 32 draws": trial.networks.model.general.cpu(),
        "mean atlas": atlas.cpu(),
        trial.names[0]: trial.volumes[0].cpu(),
    }
    rows = [(name, list(brain[places].numpy())) for name, brain in brains.items()]
    whole: list[tuple[str, list[Shown]]] = [(name, [(b.numpy(), None)]) for name, b in brains.items()]
    return [
        Figure(
            "Figure 3: a general brain",
            strips(rows, [f"slice {k}" for k in places]),
            "In the paper the conditional GAN is noisy, and the DCGANs are clearer.",
        ),
        Figure(
            "The general brain as a volume",
            sheet(whole, trial.grid.spacing_ijk),
            "Axial, coronal and sagittal middle; the DCGANs of neighbours know nothing of each other.",
        ),
    ]


def _chain_figure(trial: Trial) -> Figure:
    """Figure 4."""
    model, volumes = trial.prior.network, trial.volumes
    rows = []
    for part in (0.25, 0.5, 0.75):
        start = min(int(part * volumes.shape[1]), volumes.shape[1] - 5)
        given = volumes[:1, start]
        made = chain(model, iterated(model), given, torch.tensor([start], device=given.device), 1, 4)[0]
        images = [given[0], volumes[0, start + 1], *made[:3], volumes[0, start + 3]]
        rows.append((f"slice {start}", [image.cpu().numpy() for image in images]))
    titles = ["input (x1)", "truth (x2)", "made (x2)", "made (x3)", "made (x4)", "truth (x4)"]
    return Figure("Figure 4: pix2pix on its own output", strips(rows, titles), trial.names[0])


def _from_one(trial: Trial, setting: Setting) -> tuple[dict[str, np.ndarray], dict[str, torch.Tensor]]:
    """Scores by distance (d, 3), and volumes (N, K, H, W), of every system that has seen the middle slice."""
    model, volumes, seen = trial.prior.network, trial.volumes, trial.middle
    known = torch.full((len(volumes),), seen, device=volumes.device)
    start = volumes[:, seen]
    atlas = trial.prior.space.atlas.to(volumes.device).expand_as(volumes)
    found = {
        "MRNGAN": from_one(model, recurrent(model), volumes, seen, model.place_of(start)),
        "MRNGAN, place known": from_one(model, recurrent(model), volumes, seen, known),
        "iterated pix2pix": from_one(model, iterated(model), volumes, seen, known),
        "copy": start[:, None].expand_as(volumes),
        "mean atlas": atlas,
    }
    if trial.gaussian:
        found["structured Gaussian"] = _gaussian(trial, [seen], setting)
    return {name: by_distance(volumes, each, seen) for name, each in found.items()}, found


def _gaussian(trial: Trial, seen: list[int], setting: Setting) -> torch.Tensor:
    """Means (N, K, H, W) of the structured Gaussian given slices `seen` of each test person."""
    means = []
    assert trial.gaussian
    for volume in trial.volumes:
        setting.progress.check()
        truth = Volume(volume.cpu().numpy(), trial.grid)
        slices = [slice_of(truth, k) for k in seen]
        mean = as_array(condition_registered(trial.gaussian, slices, grid=trial.grid).mean())
        means.append(torch.as_tensor(mean).clamp(0, 1))
    return torch.stack(means).to(trial.volumes)


def _distance_tables(curves: dict[str, np.ndarray], one: str, step: float) -> list[Table]:
    """The numbers of figure 5."""
    far = len(next(iter(curves.values())))
    bins = [(low, min(high, far)) for low, high in _BINS if low <= far]
    header = ["system", *(f"{low} to {high}" if high > low else str(low) for low, high in bins)]
    tables = []
    for number, measure in enumerate(MEASURES):
        rows: list[list[Cell]] = []
        for name, curve in curves.items():
            means = [float(curve[low - 1 : high, number].mean()) for low, high in bins]
            rows.append([name, *(f"{m:.2e}" if measure == "MSE" else m for m in means)])
        note = f"Given {one}; by the distance in slices of {step:.3g} mm, both ways."
        tables.append(Table(f"Figure 5: {measure} by distance", header, rows, note))
    return tables


def _curve_figures(curves: dict[str, np.ndarray], one: str) -> list[Figure]:
    """Figure 5."""
    canvas = Canvas((11, 3.6), layout="constrained")
    for number, (panel, measure) in enumerate(zip(canvas.subplots(1, 3), MEASURES, strict=True)):
        for name, curve in curves.items():
            panel.plot(range(1, len(curve) + 1), curve[:, number], label=name, lw=1.4)
        panel.set(xlabel="distance, slices", title=measure)
        panel.spines[["top", "right"]].set_visible(False)
    canvas.legend(*panel.get_legend_handles_labels(), frameon=False, ncols=6, loc="outside upper center")
    return [Figure("Figure 5: errors by distance", png(canvas), f"Test people, given {one}.")]


def _volume_figure(trial: Trial, found: dict[str, torch.Tensor], one: str) -> Figure:
    """Figure 6."""
    last = trial.volumes.shape[1] - 1
    places = np.linspace(0, last, 9).round().astype(int).tolist()
    rows = [
        (name, list(each[0, places].cpu().numpy()))
        for name, each in {"truth": trial.volumes, **found}.items()
    ]
    titles = [f"{k - trial.middle:+d}" if k != trial.middle else "seen" for k in places]
    return Figure("Figure 6: a brain from one slice", strips(rows, titles), f"{trial.names[0]}, given {one}.")


def _several(trial: Trial, setting: Setting) -> Table:
    """From several slices, of which the place is known."""
    prior, volumes = trial.prior, trial.volumes
    model, errors = prior.network, prior.errors
    counts = [n for n in _COUNTS if n <= volumes.shape[1] // 2]
    columns: dict[str, list[Cell]] = {}
    for count in counts:
        seen = context_positions(count, volumes.shape[1])
        hidden = [k for k in range(volumes.shape[1]) if k not in seen]
        made = {
            "MRNGAN": torch.stack([from_several(model, errors, v, seen, False) for v in volumes]),
            "iterated pix2pix": torch.stack([from_several(model, errors, v, seen, True) for v in volumes]),
            "copy of the nearest": torch.stack([copied(v, seen, False) for v in volumes]),
            "linear interpolation": torch.stack([copied(v, seen, True) for v in volumes]),
            "mean atlas": prior.space.atlas.to(volumes.device).expand_as(volumes),
        }
        if trial.gaussian:
            made["structured Gaussian"] = _gaussian(trial, seen, setting)
        for name, each in made.items():
            pairs = zip(volumes[:, hidden], each[:, hidden], strict=True)
            mse, _, ssim = np.mean([slice_scores(*pair).mean(0) for pair in pairs], 0)
            columns.setdefault(name, []).append(f"{ssim:.3f} ({mse:.1e})")
    header = ["system", *(f"{n} slice{'s' * (n > 1)}" for n in counts)]
    rows: list[list[Cell]] = [[name, *cells] for name, cells in columns.items()]
    note = "SSIM and, in brackets, MSE of the slices that were not seen; means over slices and people."
    return Table("From several slices", header, rows, note)


def _as_prior(trial: Trial) -> Table:
    """What the card says of the prior on the test people."""
    quality = trial.prior.card.quality
    measured = {name: values for name, values in quality.items() if isinstance(values, dict)}
    counts = sorted({int(count) for values in measured.values() for count in values})
    rows: list[list[Cell]] = [
        [name, *(values.get(str(count)) for count in counts)] for name, values in measured.items()
    ]
    header = ["measure", *(f"{n} slice{'s' * (n != 1)}" for n in counts)]
    return Table("As a prior", header, rows, "From the model's card: means of samples, and their spread.")
