"""Domain-adaptive synthesis from one simulated scanner to another: every row of the table, and its scores."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from monai.networks.nets import UNet

from ..data.bids import WRITTEN
from ..data.cohort import FOREGROUND, normalised
from ..evaluation.metrics import masked_mean, psnr, ssim_map
from ..geometry.io import read_volume
from ..progress import Progress
from ..synthesis.adaptation.adapt import adapt
from ..synthesis.adaptation.greys import grey_quantiles, matched
from ..synthesis.pix2pix.task import SynthesisTask
from ..synthesis.scans import Field, load_visits
from ..synthesis.simulated import SCANNERS, Anatomy, write_site
from ..training.loop.config import TrainConfig
from ..training.loop.loop import fit
from ..training.loop.task import make_task
from .tissue_network import tissue_dice, tissue_network

LOWER, VOLUMES, SLICES = "without adaptation", "3D-VAE adaptation", "2D s-VAE adaptation"
MATCHED = "grey values matched, without training"
AUGMENTED, NO_SHIFT, REAL = "without adaptation, with augmentation", "without domain shift", "real images"
BATCHES, COUNTS = (8, 16, 32), (2, 5, 10)  # slices in a step of the s-VAE, and target volumes, of Figure 4
_MORE = {"gamma": 0.3, "bias": 0.2, "noise": 0.03}
_NONE = {"gamma": 0.0, "bias": 0.0, "noise": 0.0}
_TUNING = 4  # supervised adaptation takes so many times fewer steps than training

Make = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Site:
    """Scans (C, K, J, I) of people, the output last, and their tissues (K, J, I), by person."""

    scans: dict[str, torch.Tensor]
    tissues: dict[str, torch.Tensor]

    def of(self, names: list[str]) -> torch.Tensor:
        """The scans of people, (n, C, K, J, I)."""
        return torch.stack([self.scans[name] for name in names])

    def with_tissues(self, names: list[str]) -> torch.Tensor:
        """The output contrast of people and their tissues, (n, 2, K, J, I)."""
        return torch.stack([torch.stack([self.scans[name][-1], self.tissues[name]]) for name in names])


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
    scans = load_visits(folder, task.settings.contrasts, field, Progress(), aligned=True)
    first = WRITTEN[task.settings.contrasts[0]]
    tissues = {}
    for person in scans:
        own = field.grid(normalised(read_volume(folder / f"{person}_{first}.nii.gz")))
        tissues[person] = torch.as_tensor(people[person].on(own).tissues.array).float()
    return Site(scans, tissues)


def split_people(source: Site, target: Site, seed: int) -> Transfer:
    """People by chance: of the source, of the target without truth, and those who are tested."""
    names = sorted(set(source.scans) & set(target.scans))
    order = np.random.default_rng(seed).permutation(names).tolist()
    tested, chosen = max(1, len(order) // 5), max(1, len(order) // 10)
    test, validation, rest = order[:tested], order[tested : tested + chosen], order[tested + chosen :]
    half = len(rest) // 2
    return Transfer(source, target, rest[:half], rest[half:], validation, test)


class Learner:
    """Trains the networks of one transfer; finished runs are read.

    Args:
        transfer: who is learned from.
        config: of the network.
        seed: of its chance.
        out: folder of the runs.
    """

    def __init__(self, transfer: Transfer, config: TrainConfig, seed: int, out: Path):
        self.transfer, self._config, self._seed, self._out = transfer, config, seed, out
        self._source, self._target = transfer.source.of(transfer.fit), transfer.target.of(transfer.fit_target)
        self._unpaired = transfer.source.of(transfer.validation)
        self._paired = transfer.target.of(transfer.validation)
        self._lower: SynthesisTask | None = None

    def lower(self, progress: Progress) -> SynthesisTask:
        """What the source teaches."""
        if self._lower is None:
            self._lower = self._learned("lower", self._source, self._unpaired, progress)
        return self._lower

    def augmented(self, progress: Progress) -> SynthesisTask:
        """What the source teaches with grey values that vary more."""
        return self._learned("augmented", self._source, self._unpaired, progress, _MORE)

    def no_shift(self, progress: Progress) -> SynthesisTask:
        """What pairs of the target teach."""
        return self._learned("no-shift", self._target, self._paired, progress)

    def supervised(self, progress: Progress, count: int) -> SynthesisTask:
        """`lower`, taught further by some pairs of the target."""
        task = copy.deepcopy(self.lower(progress.part(0.0, 0.8)))
        return self._learned(
            f"supervised-{count}", self._target[:count], self._paired, progress.part(0.8, 1.0), task=task
        )

    def adapted(
        self, progress: Progress, codes: str = "slices", batch: int | None = None, count: int | None = None
    ) -> SynthesisTask:
        """`lower`, carried to the target without truth.

        Args:
            progress: told of steps, asked whether to stop.
            codes: of "slices" or "volumes".
            batch: slices in a step of the VAE, all of a volume if None.
            count: people of the target, all if None.
        """
        task = copy.deepcopy(self.lower(progress.part(0.0, 0.8)))
        settings = task.settings.adaptation
        vae = settings.vae.model_copy(update={"codes_of": codes})
        settings = settings.model_copy(update={"vae": vae, "seed": self._seed, "slices": batch})
        device = next(task.networks.parameters()).device
        target = self._target[:count, :-1].to(device)
        adapt(task, self._source.to(device), target, settings, progress.part(0.8, 1.0))
        return task

    def matched(self, progress: Progress) -> Make:
        """`lower`, given scans of the target with the grey values of the source."""
        make = maker(self.lower(progress))
        pairs = [
            [grey_quantiles(scans[:, n]) for scans in (self._target, self._source)]
            for n in range(self._source.shape[1] - 1)
        ]

        def on_matched(scans: torch.Tensor) -> torch.Tensor:
            return make(torch.stack([matched(scans[:, n], *pair) for n, pair in enumerate(pairs)], 1))

        return on_matched

    def _learned(
        self,
        name: str,
        scans: torch.Tensor,
        chosen: torch.Tensor,
        progress: Progress,
        change: dict[str, float] = _NONE,
        task: SynthesisTask | None = None,
    ) -> SynthesisTask:
        steps = self._config.steps if task is None else max(1, self._config.steps // _TUNING)
        changed = self._config.augmentation.model_copy(update=change)
        words = {"seed": self._seed, "steps": steps, "augmentation": changed}
        config = self._config.model_copy(update=words)
        task = task or _task(config)
        fit(task, scans, chosen, config, self._out / name, True, progress)
        return task


def rows(learner: Learner) -> dict[str, Callable[[Progress], Make] | None]:
    """Every row of Table 2 and of Figure 4, most important first, and what trains it; None: real images."""
    every = len(learner.transfer.fit_target)
    trained: dict[str, Callable[[Progress], SynthesisTask]] = {
        LOWER: learner.lower,
        AUGMENTED: learner.augmented,
        VOLUMES: partial(learner.adapted, codes="volumes"),
        SLICES: learner.adapted,
    }
    for count in sorted({max(1, every // 4), every}):
        trained[f"supervised adaptation, n = {count}"] = partial(learner.supervised, count=count)
    trained[NO_SHIFT] = learner.no_shift
    for batch in BATCHES:
        trained[f"{SLICES}, {batch} slices a step"] = partial(learner.adapted, batch=batch)
    for count in COUNTS:
        trained[f"{SLICES}, {count} volumes"] = partial(learner.adapted, count=count)
    found: dict[str, Callable[[Progress], Make] | None] = {}
    for row, train in trained.items():
        found[row] = _made_by(train)
        if row == SLICES:
            found[MATCHED] = learner.matched
        elif row == NO_SHIFT:
            found[REAL] = None
    return found


def _made_by(train: Callable[[Progress], SynthesisTask]) -> Callable[[Progress], Make]:
    return lambda progress: maker(train(progress))


def scores(transfer: Transfer, make: Make | None, network: UNet) -> list[list[float | None]]:
    """SSIM in the head, PSNR (range of the truth) and Dice of the tissues, of every tested person.

    Args:
        transfer: who is tested.
        make: T1w of scans; None for the real images, which have only the last.
        network: that tells tissues.
    """
    found: list[list[float | None]] = []
    for name in transfer.test:
        scans = transfer.target.of([name])
        made = scans[0, -1] if make is None else make(scans[:, :-1])[0]
        dice = tissue_dice(network, made, transfer.target.tissues[name])
        if make is None:
            found.append([None, None, dice])
            continue
        truth, shown = scans[0, -1].numpy(), made.numpy()
        inside = (scans[0, :-1] > FOREGROUND).any(0).numpy()
        level = psnr(truth, shown, float(np.ptp(truth)))
        found.append([masked_mean(ssim_map(truth, shown), inside), level, dice])
    return found


def measuring_network(transfer: Transfer, config: TrainConfig, seed: int, out: Path) -> UNet:
    """The network that tells tissues in real T1w of the target; of all people but those who are tested."""
    people = transfer.target.with_tissues(transfer.fit + transfer.fit_target)
    chosen = transfer.target.with_tissues(transfer.validation)
    return tissue_network(people, chosen, config.model_copy(update={"seed": seed}), out)


def maker(task: SynthesisTask) -> Make:
    """What a trained generator makes of scans (N, C, K, J, I), on the CPU."""
    generator = task.networks.generator.eval()
    device = next(generator.parameters()).device

    def make(scans: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return generator(scans.to(device))[0].cpu()

    return make


def _task(config: TrainConfig) -> SynthesisTask:
    task = make_task(config)
    assert isinstance(task, SynthesisTask)
    return task
