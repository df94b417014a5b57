"""Domain-adaptive synthesis: Table 2 of the paper on two simulated scanners."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import wilcoxon

from ..data.bids import WRITTEN
from ..data.cohort import FOREGROUND, normalised
from ..data.fractions import tissue_fractions
from ..evaluation.metrics import masked_mean, psnr, ssim_map
from ..geometry import Grid, Volume
from ..geometry.io import read_volume
from ..geometry.resample import resample
from ..progress import Progress
from ..synthesis.adaptation.adapt import adapt
from ..synthesis.pix2pix.task import SynthesisTask
from ..synthesis.scans import Field, load_visits
from ..synthesis.simulated import SCANNERS, Anatomy, read_anatomies, write_site
from ..training.loop.config import TrainConfig, read_config
from ..training.loop.loop import fit
from ..training.loop.task import make_task
from .base import Setting
from .findings import Cell, Figure, Findings, Table
from .views import Shown, sheet

LOWER, VOLUMES, SLICES = "without adaptation", "3D-VAE adaptation", "2D s-VAE adaptation"
AUGMENTED, NO_SHIFT, REAL = "without adaptation, with augmentation", "without domain shift", "real images"
CONFIG, SEEDS = "pix2pix-6mm-cpu", 1
PRINTED = {  # SSIM, PSNR, Dice of CBICA to TCIA and back
    LOWER: ((0.837, 19.999, 0.793), (0.837, 18.976, 0.871)),
    AUGMENTED: ((0.845, 21.525, 0.774), (0.833, 19.101, 0.874)),
    VOLUMES: ((0.844, 21.183, 0.772), (0.832, 19.278, 0.874)),
    SLICES: ((0.853, 22.217, 0.773), (0.846, 19.591, 0.874)),
    "supervised adaptation, n = 10": ((0.844, 24.969, 0.763), (0.851, 22.509, 0.864)),
    "supervised adaptation, n = 40": ((0.869, 24.933, 0.790), (0.852, 23.811, 0.866)),
    "supervised adaptation, n = 100": ((0.869, 24.619, 0.799), (0.865, 23.877, 0.870)),
    NO_SHIFT: ((0.911, 25.519, 0.820), (0.896, 24.656, 0.867)),
    REAL: ((None, None, 0.904), (None, None, 0.936)),
}
_MORE = {"gamma": 0.3, "bias": 0.2, "noise": 0.03}
_NONE = {"gamma": 0.0, "bias": 0.0, "noise": 0.0}
_TUNING = 4  # supervised adaptation takes so many times fewer steps than training


@dataclass(frozen=True, eq=False)
class Site:
    """Scans (N, C, K, J, I) of people, the output last, and their tissues (N, K, J, I), by person."""

    scans: dict[str, torch.Tensor]
    tissues: dict[str, np.ndarray]

    def of(self, names: list[str]) -> torch.Tensor:
        """The scans of people, (n, C, K, J, I)."""
        return torch.stack([self.scans[name] for name in names])


@dataclass(frozen=True, eq=False)
class Transfer:
    """From one scanner to another: who is learned from, and whose scans are made.

    source, target: names of people for training and for choosing the best step. test: of the target's.
    """

    source: Site
    target: Site
    fit: list[str]
    fit_target: list[str]
    validation: list[str]
    test: list[str]


def table2(setting: Setting) -> Findings:
    """All rows in both directions on simulated scanners."""
    config = read_config("pix2pix-tiny" if setting.tiny else CONFIG)
    if setting.tiny:
        config = config.model_copy(update={"steps": 8, "validate_every": 4, "checkpoint_every": 4})
    most, seeds = (4, 1) if setting.tiny else (None, SEEDS)
    folders = {"freesurfer": setting.data["labels"], "brainweb": setting.data["tissues"]}
    part = setting.progress.part(0.0, 0.15)
    people = read_anatomies(folders, config.model["spacing_mm"], part, most)
    sites = {name: simulated_site(people, name, setting.out / "sites" / name, config) for name in SCANNERS}
    found: dict[tuple[str, str], list[list[float]]] = {}
    shown: list[tuple[str, torch.Tensor]] = []
    work = [(seed, *pair) for seed in range(seeds) for pair in (("one", "two"), ("two", "one"))]
    for number, (seed, source, target) in enumerate(work):
        part = setting.progress.part(0.15 + 0.85 * number / len(work), 0.15 + 0.85 * (number + 1) / len(work))
        transfer = split_people(sites[source], sites[target], seed)
        run = setting.out / "runs" / f"{source}-{target}-{seed}"
        for row, make in rows(transfer, config, seed, run, part):
            found.setdefault((f"{source} to {target}", row), []).extend(scores(transfer, make))
            if not number and make:
                shown.append((row, make(transfer.target.of(transfer.test[:1])[:, :-1])[0]))
    first = split_people(sites["one"], sites["two"], 0)
    tables = [_table(direction, found, n) for n, direction in enumerate(("one to two", "two to one"))]
    return Findings(
        "004-table2",
        "Domain-adaptive synthesis, Table 2",
        "Does an adaptation without truth make a contrast better on a scanner that was not learned from?",
        [*tables, _differences(found)],
        [_figure(first, shown, config)],
        _notes(config, seeds, first),
    )


def simulated_site(people: dict[str, Anatomy], name: str, folder: Path, config: TrainConfig) -> Site:
    """The scans of people on a simulated scanner, from files as a training reads them.

    Args:
        people: all of them.
        name: of the scanner.
        folder: where its files are written.
        config: says what is seen of a head.
    """
    task = _task(config)
    field = Field(task.settings.shape_kji, task.settings.spacing_mm)
    write_site(people, SCANNERS[name], folder, seed=list(SCANNERS).index(name))
    scans = load_visits(folder, task.settings.contrasts, field, Progress())
    first = WRITTEN[task.settings.contrasts[0]]
    tissues = {}
    for person in scans:
        own = field.grid(normalised(read_volume(folder / f"{person}_{first}.nii.gz")))
        tissues[person] = resample(people[person].tissues, own, labels=True).array
    return Site(scans, tissues)


def split_people(source: Site, target: Site, seed: int) -> Transfer:
    """People by chance: of the source, of the target without truth, and those who are tested."""
    names = sorted(set(source.scans) & set(target.scans))
    order = np.random.default_rng(seed).permutation(names).tolist()
    tested, chosen = max(1, len(order) // 5), max(1, len(order) // 10)
    test, validation, rest = order[:tested], order[tested : tested + chosen], order[tested + chosen :]
    half = len(rest) // 2
    return Transfer(source, target, rest[:half], rest[half:], validation, test)


Make = Callable[[torch.Tensor], torch.Tensor]


def rows(transfer: Transfer, config: TrainConfig, seed: int, out: Path, progress: Progress):
    """(name, what makes T1w (N, K, J, I) of scans (N, C, K, J, I); None for the real images) of every row."""
    source, target = transfer.source.of(transfer.fit), transfer.target.of(transfer.fit_target)
    validation = transfer.source.of(transfer.validation)

    def learned(name: str, scans: torch.Tensor, chosen: torch.Tensor, change: dict[str, float], task=None):
        steps = config.steps if task is None else max(1, config.steps // _TUNING)
        own = _changed(config, seed=seed, steps=steps, augmentation=change)
        task = _task(own) if task is None else copy.deepcopy(task)
        fit(task, scans, chosen, own, out / name, True, progress.part(0.0, 1.0))
        return task

    lower = learned("lower", source, validation, _NONE)
    yield LOWER, _maker(lower)
    yield AUGMENTED, _maker(learned("augmented", source, validation, _MORE))
    for row, codes in ((VOLUMES, "volumes"), (SLICES, "slices")):
        task = copy.deepcopy(lower)
        settings = task.settings.adaptation
        vae = settings.vae.model_copy(update={"codes_of": codes})
        adapt(
            task,
            source,
            target[:, :-1],
            settings.model_copy(update={"vae": vae, "seed": seed}),
            progress.quiet(),
        )
        yield row, _maker(task)
    paired = transfer.target.of(transfer.validation)
    for count in sorted({max(1, len(target) // 4), len(target)}):
        task = learned(f"supervised-{count}", target[:count], paired, _NONE, lower)
        yield f"supervised adaptation, n = {count}", _maker(task)
    yield NO_SHIFT, _maker(learned("no-shift", target, paired, _NONE))
    yield REAL, None


def scores(transfer: Transfer, make: Make | None) -> list[list[float]]:
    """SSIM in the head, PSNR (range of the truth) and Dice of the tissues, of every tested person."""
    found = []
    for name in transfer.test:
        scans = transfer.target.of([name])
        truth = scans[0, -1].numpy()
        made = truth if make is None else make(scans[:, :-1])[0].numpy()
        inside = (scans[0, :-1] > FOREGROUND).any(0).numpy()
        dice = tissue_dice(made, transfer.target.tissues[name])
        if make is None:
            found.append([np.nan, np.nan, dice])
        else:
            level = psnr(truth, made, float(np.ptp(truth)))
            found.append([masked_mean(ssim_map(truth, made), inside), level, dice])
    return found


def tissue_dice(t1w: np.ndarray, tissues: np.ndarray) -> float:
    """Mean Dice of fluid, grey and white matter as the grey values of T1w (K, J, I) tell them.

    Args:
        t1w: in [0, 1], background 0.
        tissues: the true ones, 0 to 3.
    """
    grid = Grid.centred((t1w.shape[0], t1w.shape[1], t1w.shape[2]), 1.0)
    shares = np.stack([each.array for each in tissue_fractions(Volume(t1w.astype(np.float32), grid))])
    found = np.where(shares.sum(0) > 0, shares.argmax(0) + 1, 0)
    each = []
    for tissue in (1, 2, 3):
        a, b = found == tissue, tissues == tissue
        each.append(2 * float((a & b).sum()) / max(1, int(a.sum() + b.sum())))
    return float(np.mean(each))


def _task(config: TrainConfig) -> SynthesisTask:
    task = make_task(config)
    assert isinstance(task, SynthesisTask)
    return task


def _changed(config: TrainConfig, augmentation: dict[str, float], **words: Any) -> TrainConfig:
    change = config.augmentation.model_copy(update=augmentation)
    return config.model_copy(update={**words, "augmentation": change})


def _maker(task: SynthesisTask) -> Make:
    """What a trained generator makes of scans (N, C, K, J, I)."""
    generator = task.networks.generator.eval()

    def make(scans: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return generator(scans)[0]

    return make


def _table(direction: str, found: dict[tuple[str, str], list[list[float]]], number: int) -> Table:
    """Mean and deviation over people and seeds, and what the paper printed."""
    cells: list[list[Cell]] = []
    for (where, row), values in found.items():
        if where == direction:
            mean, spread = np.mean(values, 0), np.std(values, 0)
            pairs = [
                f"{m:.3f} (± {s:.3f})" if np.isfinite(m) else None for m, s in zip(mean, spread, strict=True)
            ]
            cells.append([row, *pairs])
    cells += [[f"printed: {row}", *both[number]] for row, both in PRINTED.items()]
    source = ("CBICA to TCIA", "TCIA to CBICA")[number]
    return Table(
        f"Simulated scanners, {direction} (printed: BraTS, {source})",
        ["row", "SSIM", "PSNR dB", "Dice"],
        cells,
    )


def _differences(found: dict[tuple[str, str], list[list[float]]]) -> Table:
    """The s-VAE against the other rows, person by person."""
    cells: list[list[Cell]] = []
    for (where, row), values in found.items():
        if row in (LOWER, AUGMENTED, VOLUMES):
            apart = np.array(found[where, SLICES])[:, 0] - np.array(values)[:, 0]
            test = wilcoxon(apart).pvalue if apart.any() else 1.0
            cells.append(
                [
                    f"{where}: minus {row}",
                    float(apart.mean()),
                    int((apart > 0).sum()),
                    len(apart),
                    float(test),
                ]
            )
    header = ["SSIM of 2D s-VAE adaptation", "mean difference", "better for", "of", "p"]
    note = (
        "Wilcoxon's signed-rank test over people and seeds; a person may be tested with more than one seed."
    )
    return Table("Differences", header, cells, note)


def _figure(transfer: Transfer, shown: list[tuple[str, torch.Tensor]], config: TrainConfig) -> Figure:
    truth = transfer.target.scans[transfer.test[0]][-1].numpy()
    pictures: list[tuple[str, list[Shown]]] = [("truth", [(truth, None)])]
    pictures += [(row, [(made.numpy(), None), (np.abs(made.numpy() - truth), None)]) for row, made in shown]
    spacing = np.full(3, config.model["spacing_mm"])
    return Figure(
        "Figure 3 difference maps",
        sheet(pictures, spacing),
        "One person, one to two; right: absolute difference.",
    )


def _notes(config: TrainConfig, seeds: int, transfer: Transfer) -> list[str]:
    settings = _task(config).settings
    chosen, source = settings.adaptation, transfer.source.scans
    return [
        f"Simulated: FLAIR, T2w and T1w of the tissues in label maps of {len(source)} people, as two "
        "scanners (contrast, blur, shading, noise) show them. BraTS itself is not here.",
        f"Seeds: {seeds}. Each splits people anew: {len(transfer.fit)} of the source, "
        f"{len(transfer.fit_target)} others of the target without truth, {len(transfer.validation)} to "
        f"choose the best step, {len(transfer.test)} tested.",
        f"Voxels of {settings.spacing_mm:g} mm, {config.steps} steps, mean absolute error without a critic; "
        f"adaptation: {chosen.epochs} epochs at a rate of {chosen.rate:g} (paper: 1e-6).",
        "SSIM: 7 x 7 of axial slices, mean in the head; the paper's is over the whole box. PSNR: range of "
        "the truth. Dice: fluid, grey and white matter by the grey values of T1w against the label map.",
    ]
