"""The experiments of the paper on mental maps.

Hou et al.: conditional BRUNO, GQN and C-VAE on axial slices.
"""

from __future__ import annotations

import numpy as np

from ..evaluation import figures
from ..evaluation.metrics import slice_pearson
from ..evaluation.pictures import Picture
from .base import Setting
from .comparison import (
    ATLAS,
    Measured,
    Printed,
    answers,
    count_figures,
    curve_figures,
    gain_tables,
    measure,
    metric_tables,
    mosaic_figure,
    remarks,
    sample_figures,
    typical,
)
from .context_use import use_of_contexts
from .findings import Figure, Findings, Table
from .models import GAUSSIAN, slice_models, volume_models
from .motion import motion_findings

BRAINS = Printed(
    "conditional BRUNO, ADNI (printed)",
    {"SSIM": {1: 0.695, 3: 0.719, 5: 0.733, 9: 0.736}, "CC": {1: 0.913, 3: 0.917, 5: 0.919, 9: 0.922}},
)
FETUSES = Printed(
    "conditional BRUNO, 20 fetuses (printed)",
    {"SSIM": {1: 0.665, 3: 0.676, 4: 0.679, 7: 0.684}, "CC": {1: 0.868, 3: 0.875, 4: 0.876, 7: 0.880}},
)
_PAPER = (
    "The paper says neither which SSIM it used nor whether observed slices count; its numbers come from "
    "other people and another "
    "preprocessing. They are shown for orientation: the comparison that counts is with the baselines in the "
    "same table."
)
_FETAL = (
    "The fetal subjects are atlas templates of single weeks, averages of many fetuses: a template is nearly "
    "a copy of the next week's, "
    "which favours baselines that know whole volumes. The paper had 250 individual fetuses to train on, of "
    "40 to 43 weeks."
)


def brains(setting: Setting) -> Findings:
    """Experiment 1: brains from 0 to 9 slices."""
    counts, pictured = [0, 1, 3, 4, 5, 9], [0, 3, 9]
    measured = measure(setting, [GAUSSIAN, *slice_models(), *volume_models()], counts, pictured)
    subject = typical(measured, 3)
    return Findings(
        "000-exp1",
        "Mental maps, experiment 1: brains",
        "How near does a brain come to the truth that is inferred from none to nine axial slices, and what "
        "do the slices add?",
        [
            *metric_tables(measured, BRAINS),
            *gain_tables(measured, [ATLAS, "bruno", GAUSSIAN]),
            use_of_contexts(setting, measured),
            setting.models.provenance(),
        ],
        [
            *count_figures(measured, BRAINS),
            *curve_figures(measured, [1, 3, 5, 9]),
            *(figure for count in pictured for figure in sample_figures(measured, count, subject)),
            mosaic_figure(measured, 3, subject),
        ],
        [*answers(measured), *remarks(setting, measured), _PAPER],
    )


def initial(setting: Setting) -> Findings:
    """The initial experiments: GQN and C-VAE on fetal brains from four slices."""
    measured = measure(setting, [GAUSSIAN, "gqn", "cvae"], [4], [4])
    subject = typical(measured, 4)
    return Findings(
        "000-initial",
        "Mental maps, initial experiments: GQN and C-VAE on fetal brains",
        "The paper was not satisfied: the GQN showed the same for all slices, the C-VAE an average of the "
        "observed ones. Is it so?",
        [
            _likeness(measured),
            use_of_contexts(setting, measured, 4),
            *metric_tables(measured),
            *gain_tables(measured, [ATLAS]),
            setting.models.provenance(),
        ],
        [
            _sweep(measured, subject, ["truth", *measured.systems, ATLAS], "Slices through the stack: means"),
            _sweep(
                measured,
                subject,
                ["truth", *(f"{n} sample 1" for n in measured.systems)],
                "Slices through the stack: one sample",
            ),
            *sample_figures(measured, 4, subject),
            *curve_figures(measured, [4]),
        ],
        [
            *remarks(setting, measured),
            _FETAL,
            "The paper prints pictures and no numbers for this experiment.",
        ],
    )


def fetuses(setting: Setting) -> Findings:
    """Experiment 2: fetal brains, and templates for slice-to-volume reconstruction under motion."""
    counts = [1, 3, 4, 7]
    measured = measure(setting, [GAUSSIAN, *slice_models()], counts, [4])
    subject = typical(measured, 4)
    motion = motion_findings(setting, measured, subject)
    return Findings(
        "000-exp2",
        "Mental maps, experiment 2: fetal brains and motion",
        "How near do fetal brains from few slices come to the truth, and are they better first volumes than "
        "the average of moving stacks?",
        [
            *metric_tables(measured, FETUSES),
            motion.table,
            *gain_tables(measured, [ATLAS, "bruno", GAUSSIAN]),
            setting.models.provenance(),
        ],
        [
            *count_figures(measured, FETUSES),
            *curve_figures(measured, counts),
            *(
                _sweep(
                    measured,
                    subject,
                    ["truth", *(f"{name} sample {n}" for n in (1, 2, 3))],
                    f"Samples of {name} through the stack",
                )
                for name in measured.systems
            ),
            *sample_figures(measured, 4, subject),
            mosaic_figure(measured, 4, subject),
            motion.figure,
        ],
        [*answers(measured), *remarks(setting, measured), *motion.notes, _FETAL, _PAPER],
    )


def _sweep(measured: Measured, subject: str, names: list[str], title: str) -> Figure:
    return Figure(
        title,
        figures.sweep(measured.scores.pictures[4][subject], names),
        f"{subject}, 4 contexts; numbers of slices.",
    )


def _likeness(measured: Measured) -> Table:
    """Is an estimate the same for all slices, or like the mean of the contexts?"""
    rows = []
    pictures = measured.scores.pictures[4].values()
    for name in ["truth", *measured.systems, ATLAS, "linear-interpolation"]:
        rows.append([name, *np.mean([_of_picture(picture, name) for picture in pictures], 0).tolist()])
    header = [
        "system",
        "change from slice to slice",
        "likeness to the mean of the contexts",
        "likeness to the truth",
    ]
    note = (
        "On slices of the mean that were not observed. Change: standard deviation over these slices, as a "
        "share of the truth's (0: the "
        "same for all slices). Likeness: correlation."
    )
    return Table("The same for all slices, or an average of the contexts?", header, rows, note)


def _of_picture(picture: Picture, name: str) -> tuple[float, float, float]:
    """Change, likeness to the contexts' mean and to the truth of the hidden slices of one subject."""
    truth, shown = (picture.sweep[key].astype(np.float32) for key in ("truth", name))
    seen = np.isin(picture.swept, picture.positions)
    contexts = np.broadcast_to(truth[seen].mean(0), truth[~seen].shape)
    change = shown[~seen].std(0).mean() / truth[~seen].std(0).mean()
    return change, slice_pearson(contexts, shown[~seen]), slice_pearson(truth[~seen], shown[~seen])
