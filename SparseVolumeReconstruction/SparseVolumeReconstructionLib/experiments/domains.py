"""Domain-adaptive synthesis: Table 2 and Figure 4 of the paper on two simulated scanners."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.stats import t, wilcoxon

from ..geometry import InputError
from ..progress import Progress
from ..synthesis.pix2pix.task import SynthesisTask
from ..synthesis.simulated import SCANNERS, Anatomy, read_anatomies
from ..training.loop.config import TrainConfig, digest, read_config
from ..training.loop.task import make_task
from ..training.presets import merged
from . import kept
from .base import Setting
from .findings import Cell, Figure, Findings, Table
from .transfer import (
    AUGMENTED,
    LOWER,
    NO_SHIFT,
    REAL,
    SLICES,
    VOLUMES,
    Learner,
    Site,
    Transfer,
    measuring_network,
    rows,
    scores,
    simulated_site,
    split_people,
)
from .views import Shown, sheet

CONFIGS = {"tiny": "pix2pix-tiny", "cpu": "pix2pix-6mm-cpu", "gpu": "pix2pix-4mm-gpu"}
SEEDS = {"tiny": 1, "cpu": 3, "gpu": 3}
DIRECTIONS = (("one", "two"), ("two", "one"))
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
HEADER = ["row", "SSIM", "PSNR dB", "Dice"]
Scores = dict[tuple[int, str], list[float]]
"""SSIM, PSNR and Dice by seed and person; nan where there is none."""
Found = dict[tuple[str, str], Scores]
"""By direction and row."""


def table2(setting: Setting) -> Findings:
    """All rows in both directions on simulated scanners; rows that `setting.out` has already are kept."""
    scale = setting.models.scale
    config = experiment_config(scale)
    folders = {"freesurfer": setting.data["labels"], "brainweb": setting.data["tissues"]}
    part = setting.progress.part(0.0, 0.1)
    people = read_anatomies(folders, config.model["spacing_mm"], part, 4 if setting.tiny else None)
    sites = simulated_sites(people, setting.out, config)
    seeds = range(SEEDS[scale])
    for seed in seeds:
        low, high = (0.1 + 0.9 * n / len(seeds) for n in (seed, seed + 1))
        measure(sites, config, seed, setting.out, setting.progress.part(low, high))
    found = finished(setting.out, config)
    first = split_people(sites["one"], sites["two"], 0)
    tables = [_table(f"{a} to {b}", found, n) for n, (a, b) in enumerate(DIRECTIONS)]
    return Findings(
        "004-table2",
        "Domain-adaptive synthesis, Table 2",
        "Does an adaptation without truth make a contrast better on a scanner that was not learned from?",
        [*tables, _over_seeds(found), _differences(found), _figure4(found, len(first.fit_target))],
        [_figure3(first, setting.out / "pictures", config)],
        _notes(config, len(seeds), first),
    )


def experiment_config(scale: str) -> TrainConfig:
    """Of the networks of an experiment of a scale: "tiny", "cpu" or "gpu"."""
    config = read_config(CONFIGS[scale])
    if scale != "tiny":
        return config
    model = merged(config.model, {"adaptation": {"vae_steps": 4}})
    few = {"steps": 8, "validate_every": 4, "checkpoint_every": 4, "model": model}
    return config.model_copy(update=few)


def simulated_sites(people: dict[str, Anatomy], out: Path, config: TrainConfig) -> dict[str, Site]:
    """People on every simulated scanner, by its name; files are written into `out`."""
    return {name: simulated_site(people, name, out / "sites" / name, config) for name in SCANNERS}


def measure(sites: dict[str, Site], config: TrainConfig, seed: int, out: Path, progress: Progress) -> None:
    """Train and measure all rows of one seed, both directions in turns, and append each to rows.jsonl.

    Processes of several seeds may write into one folder.

    Args:
        sites: by name.
        config: of the networks.
        seed: splits people, and is that of the networks.
        out: folder; rows that its file has already are left out.
        progress: told of steps, asked whether to stop.

    Raises:
        InputError: the folder holds rows of another configuration.
    """
    done = {(line["direction"], line["row"]) for line in _lines(out, config) if line["seed"] == seed}
    learners = {}
    for source, target in DIRECTIONS:
        transfer = split_people(sites[source], sites[target], seed)
        run = out / "runs" / f"{source}-{target}-{seed}"
        learners[f"{source} to {target}"] = (Learner(transfer, config, seed, run), run)
    work = [(row, direction) for row in rows(next(iter(learners.values()))[0]) for direction in learners]
    for number, (row, direction) in enumerate(work):
        part = progress.part(number / len(work), (number + 1) / len(work))
        learner, run = learners[direction]
        if (direction, row) in done or (_of_figure4(row) and seed):
            continue
        train = rows(learner)[row]
        make = train(part) if train else None
        network = measuring_network(learner.transfer, config, seed, run / "tissues")
        values = scores(learner.transfer, make, network)
        if make and not seed and direction == "one to two" and not _of_figure4(row):
            _keep(make(learner.transfer.target.of(learner.transfer.test[:1])[:, :-1])[0], out, row)
        words = {"direction": direction, "seed": seed, "row": row, "config": digest(config)}
        words |= {"people": learner.transfer.test, "scores": values}
        kept.keep([words], out / kept.ROWS)


def finished(out: Path, config: TrainConfig) -> Found:
    """The scores that a folder has. Raises InputError where they are of another configuration."""
    found: Found = {}
    for line in _lines(out, config):
        of_row = found.setdefault((line["direction"], line["row"]), {})
        for who, values in zip(line["people"], line["scores"], strict=True):
            of_row[line["seed"], who] = [np.nan if v is None else float(v) for v in values]
    return found


def _lines(out: Path, config: TrainConfig) -> list[kept.Row]:
    path = out / kept.ROWS
    found = kept.finished(path, ("config",))
    if found.keys() - {(digest(config),)}:
        raise InputError(
            f"{path}: made with another configuration; choose another --out or --scale, or delete it."
        )
    return [line for lines in found.values() for line in lines]


def _of_figure4(row: str) -> bool:
    return row.startswith(f"{SLICES}, ")


def _keep(made: torch.Tensor, out: Path, row: str) -> None:
    folder = out / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{row}.npy", made.numpy().astype(np.float16))


def _cells(row: str, values: Scores) -> list[Cell]:
    """Mean and deviation over people and seeds."""
    each = list(values.values())
    pairs = zip(np.mean(each, 0), np.std(each, 0), strict=True)
    return [row, *(f"{m:.3f} (± {s:.3f})" if np.isfinite(m) else None for m, s in pairs)]


def _table(direction: str, found: Found, number: int) -> Table:
    """Every row beside what the paper printed."""
    cells = [
        _cells(row, values)
        for (where, row), values in found.items()
        if where == direction and not _of_figure4(row)
    ]
    cells += [[f"printed: {row}", *both[number]] for row, both in PRINTED.items()]
    source = ("CBICA to TCIA", "TCIA to CBICA")[number]
    return Table(
        f"Simulated scanners, {direction} (printed: BraTS, {source})",
        HEADER,
        cells,
        "Mean (± deviation) over people and seeds.",
    )


def _over_seeds(found: Found) -> Table:
    """How far every row is above the source's network: means of seeds, and what seeds leave open."""
    cells: list[list[Cell]] = []
    for (where, row), values in found.items():
        lower = found.get((where, LOWER), {})
        seeds = sorted({seed for seed, who in values if (seed, who) in lower})
        if row in (LOWER, REAL) or _of_figure4(row) or not seeds:
            continue
        apart = {at: np.subtract(values[at], lower[at]) for at in values if at in lower}
        means = np.array([np.mean([one for at, one in apart.items() if at[0] == n], 0) for n in seeds])
        cells.append([f"{where}: {row}", len(seeds), *(_with_interval(one) for one in means.T)])
    header = [f"above {LOWER}", "seeds", *HEADER[1:]]
    note = "Mean over seeds, and its 95 % interval (Student's t) where there are two or more."
    return Table("Over seeds", header, cells, note)


def _with_interval(means: np.ndarray) -> Cell:
    """The mean of seeds' means (S,) with its 95 % interval."""
    means = means[np.isfinite(means)]
    if not len(means):
        return None
    if len(means) == 1:
        return f"{means[0]:+.3f}"
    half = float(t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means)))
    return f"{means.mean():+.3f} ({means.mean() - half:+.3f} to {means.mean() + half:+.3f})"


def _differences(found: Found) -> Table:
    """The s-VAE against the other rows, person by person, of seeds that both have."""
    cells: list[list[Cell]] = []
    for (where, row), values in found.items():
        if (where, SLICES) not in found or row in (SLICES, REAL) or _of_figure4(row):
            continue
        ours = found[where, SLICES]
        apart = np.array([np.subtract(ours[who], values[who]) for who in values if who in ours])
        if not len(apart):
            continue
        for number, measure_of in enumerate(("SSIM", "PSNR dB", "Dice")):
            one = apart[np.isfinite(apart[:, number]), number]
            if not len(one):
                continue
            test = wilcoxon(one).pvalue if one.any() else 1.0
            low, high = _interval(one)
            name = f"{where}, {measure_of}: minus {row}"
            cells.append([name, float(one.mean()), low, high, int((one > 0).sum()), len(one), f"{test:.1g}"])
    header = ["2D s-VAE adaptation", "mean difference", "from", "to", "better for", "of", "p"]
    note = (
        "95 % intervals by bootstrap, and Wilcoxon's signed-rank test, over people and seeds; a person may "
        "be tested with more than one seed, so that both are somewhat too sure."
    )
    return Table("Differences", header, cells, note)


def _interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean, by 2000 bootstrap samples."""
    chosen = np.random.default_rng(0).integers(0, len(values), (2000, len(values)))
    low, high = np.quantile(values[chosen].mean(1), (0.025, 0.975))
    return float(low), float(high)


def _figure4(found: Found, volumes: int) -> Table:
    """Slices in a step of the s-VAE, and volumes adapted to; the first seed alone."""
    cells = [
        [f"{where}: {row.removeprefix(f'{SLICES}, ')}", *_cells(row, values)[1:]]
        for (where, row), values in found.items()
        if _of_figure4(row)
    ]
    note = f"One seed. {SLICES} of the tables above: all slices of a volume in a step, {volumes} volumes."
    return Table(
        "Figure 4: batch of the s-VAE, and number of volumes", ["row", "SSIM", "PSNR dB", "Dice"], cells, note
    )


def _figure3(transfer: Transfer, folder: Path, config: TrainConfig) -> Figure:
    truth = transfer.target.scans[transfer.test[0]][-1].numpy()
    pictures: list[tuple[str, list[Shown]]] = [("truth", [(truth, None)])]
    for path in sorted(folder.glob("*.npy"), key=lambda path: path.stat().st_mtime):
        made = np.load(path).astype(np.float32)
        pictures.append((path.stem, [(made, None), (np.abs(made - truth), None)]))
    return Figure(
        "Figure 3 difference maps",
        sheet(pictures, np.full(3, config.model["spacing_mm"])),
        "One person, one to two; right: absolute difference.",
    )


def _notes(config: TrainConfig, seeds: int, transfer: Transfer) -> list[str]:
    task = make_task(config)
    assert isinstance(task, SynthesisTask)
    settings = task.settings
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
        "the truth. Dice: fluid, grey and white matter of the label map, as a U-Net sees them that learned "
        "of real T1w of the target scanner (of nobody who is tested).",
    ]
