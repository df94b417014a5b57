"""What an experiment is given. Nothing heavy is imported, so that the command line knows all experiments."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..progress import Progress
    from .findings import Findings
    from .models import Models


@dataclass(frozen=True)
class Setting:
    """What an experiment is given.

    Attributes:
        data: the experiment's folders by name.
        out: where to write.
        tiny: a trial of seconds on few, small bodies.
        samples: posterior samples scored per case.
        subjects: how many of the test subjects are used (all if None).
        seeds: simulations of each body, where bodies are simulated.
    """

    data: dict[str, Path]
    out: Path
    device: str
    models: Models
    tiny: bool
    progress: Progress
    samples: int = 8
    subjects: int | None = None
    seeds: int = 1


@dataclass(frozen=True)
class Experiment:
    """One experiment of a paper, as the command line knows it.

    Attributes:
        run: "module:function" of this folder, a function `run(setting) -> Findings`.
        population: what its models are trained on, see `models.POPULATIONS`.
        data: {option of the command line: what its folder holds}.
        fit: options whose folders hold volumes to train on.
        seeds: simulations of each body, where no number is asked for; 0 where the number is no option.
    """

    run: str
    summary: str
    population: str
    data: dict[str, str] = field(default_factory=lambda: {"cohort": "folder of skull-stripped T1w heads"})
    fit: tuple[str, ...] = ("cohort",)
    seeds: int = 0

    def function(self) -> Callable[[Setting], Findings]:
        """The experiment itself."""
        module, name = self.run.split(":")
        return getattr(importlib.import_module(f"{__package__}.{module}"), name)


_FETAL = {
    "cohort": "folder of T2w templates of fetal brains",
    "spina-bifida": "folder of the like with spina bifida",
}
_LABELLED = {
    "cohort": "folder of skull-stripped T1w heads",
    "labels": "folder of label maps with FreeSurfer's numbers, one per person",
}
_MAPS = {
    "labels": "folder of label maps with FreeSurfer's numbers, one per person",
    "tissues": "folder of label maps with BrainWeb's numbers",
}
EXPERIMENTS: dict[str, Experiment] = {
    "000-exp1": Experiment(
        "mental_maps:brains", "Mental maps: brains from 0 to 9 axial slices, all systems.", "brain-t1"
    ),
    "000-exp2": Experiment(
        "mental_maps:fetuses",
        "Mental maps: fetal brains, and first volumes under motion.",
        "fetal-t2",
        _FETAL,
        tuple(_FETAL),
    ),
    "000-initial": Experiment(
        "mental_maps:initial",
        "Mental maps: GQN and C-VAE on fetal brains.",
        "fetal-t2",
        _FETAL,
        tuple(_FETAL),
    ),
    "svr-simulated": Experiment(
        "merging:simulated",
        "Merging moving stacks of fetal brains: poses and volume, from three kinds of first volume.",
        "fetal-t2",
        _FETAL,
        (),
        seeds=2,
    ),
    "svr-without-model": Experiment(
        "without_model:gains",
        "Merging moving stacks of heads and specimens without a model, against averaging and interpolating.",
        "brain-t1",
        {
            "heads": "folder of BrainWeb label maps of heads",
            "specimens": "folder of micro-CT volumes of heads of mice",
        },
        (),
    ),
    "001-table1": Experiment(
        "volumes:table1", "Slice VAE: MMD, MS-SSIM and diversity of generated brains.", "brain-t1"
    ),
    "001-ras": Experiment(
        "atlases:ras", "Slice VAE: realistic atlas score of generated brains.", "brain-t1", _LABELLED
    ),
    "002-mrngan": Experiment(
        "mrngan:mrngan",
        "MRNGAN: places of slices, their neighbours, and a brain from one slice.",
        "brain-t1",
    ),
    "003-single-view": Experiment(
        "single_view:single_view",
        "Single-image tomography: heads of mice from one radiograph, by every method.",
        "mouse-xray",
        {"cohort": "folder of micro-CT heads with landmarks beside them"},
        (),
    ),
    "003-heads": Experiment(
        "single_view_heads:single_view_heads",
        "Single-image tomography: human heads from one radiograph.",
        "head-xray",
        {"cohort": "folder of volumes of heads, as ./run attenuation makes them"},
        (),
    ),
    "004-table2": Experiment(
        "domains:table2",
        "Domain-adaptive synthesis: Table 2 on two simulated scanners.",
        "brain-t1",
        _MAPS,
        (),
    ),
    "004-domains": Experiment(
        "real_sites:real_sites",
        "Domain-adaptive synthesis: the network of the extension on two real scanners.",
        "brain-t1",
        {"visits": "folder of skull-stripped scans, SITE_PERSON_T1w beside SITE_PERSON_FLAIR"},
        (),
    ),
    "samples": Experiment(
        "samples:samples",
        "Samples of the structured Gaussian: likeness to scans, spread, donors.",
        "brain-t1",
    ),
    "004-lost": Experiment(
        "lost_lesions:lost_lesions",
        "Domain-adaptive synthesis: lesions that FLAIR shows and the made T1w does not.",
        "brain-t1",
        {
            "visits": "folder of skull-stripped scans, SITE_PERSON_FLAIR",
            "patients": "folder of skull-stripped scans of patients, NAME_FLAIR beside NAME_T2w",
        },
        (),
    ),
    "004-lost-healthy": Experiment(
        "lost_lesions:healthy",
        "Domain-adaptive synthesis: false alarms of lesions, in simulated and in real FLAIR.",
        "brain-t1",
        _MAPS | {"visits": "folder of skull-stripped scans, SITE_PERSON_FLAIR, _T1w and _dlmuse"},
        (),
    ),
    "next-plane": Experiment(
        "questions:next_planes", "Planes that were suggested, and axial ones spread evenly.", "brain-t1"
    ),
    "locate": Experiment(
        "places:located", "Single slices: where they are found, and how sure that is.", "brain-t1"
    ),
    "surprise": Experiment(
        "questions:surprising",
        "What stands out in slices of healthy people and of patients.",
        "brain-t1",
        {
            "cohort": "folder of skull-stripped T1w heads",
            "patients": "folder of T1w volumes of patients (_T1w), with FLAIR (_FLAIR) beside them",
        },
    ),
    "frames-of-heads": Experiment(
        "heads:heads",
        "Whole T1w heads: frame and brain from four slices, or two, against the whole volume.",
        "brain-t1",
        {"cohort": "folder of whole heads, NAME_T1w, with label maps of their brains, NAME_dlmuse"},
        (),
    ),
    "frames-of-stacks": Experiment(
        "heads:stacks",
        "Stacks of other contrasts: frame from four slices, against the T1w head of the visit.",
        "brain-t1",
        {"visits": "folder of whole heads, VISIT_T1w, with stacks, VISIT_T2w or VISIT_FLAIR"},
        (),
    ),
    "cost": Experiment(
        "cost:cost",
        "Parameters, time and memory of all systems, at 64, 128 and 256 pixels.",
        "brain-t1",
        {},
        (),
    ),
}
