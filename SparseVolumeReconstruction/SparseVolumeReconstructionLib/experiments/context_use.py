"""Whether systems use the slices that they are shown.

The same question asked with the slices of somebody else.
"""

from __future__ import annotations

import numpy as np

from ..evaluation import metrics
from ..evaluation.baselines import atlas
from ..evaluation.cases import Case
from ..priors.base import Prior
from ..reconstruction.patient_posterior import condition_registered
from .base import Setting
from .comparison import Measured
from .findings import Table

_SUBJECTS = 6


def use_of_contexts(setting: Setting, measured: Measured, count: int = 3) -> Table:
    """SSIM of slices that were not observed, by what was observed.

    That is `count` slices of the subject, of another test subject (if any), and none.

    Args:
        setting: gives the models, and how many subjects are asked of; two to six are, where there are as
            many.
        measured: whose systems and test subjects are asked again.
        count: number of contexts.
    """
    priors = {name: setting.models.get(name) for name in measured.systems}
    bench = measured.scores.bench
    cases = [bench.load(name) for name in bench.test[: max(2, min(_SUBJECTS, setting.subjects or _SUBJECTS))]]
    rows = []
    for done, (name, prior) in enumerate(priors.items()):
        setting.progress.update(f"{name} with the slices of others", 0.9 + 0.1 * done / len(priors))
        own, others, none = np.mean(
            [_scores(prior, *pair, count) for pair in zip(cases, cases[1:] + cases[:1], strict=True)], 0
        )
        compared = [others, f"{own - others:+.3f}"] if len(cases) > 1 else [None, None]
        rows.append([name, own, none, f"{own - none:+.3f}", *compared])
    header = ["system", "own slices", "no slices", "own over none", "another's slices", "own over another's"]
    note = (
        f"{len(cases)} test subjects, {count} contexts; SSIM without the observed slices. A system that "
        "ignores its contexts has three "
        "equal numbers; one that knows anatomy and intensities but not the person has two."
    )
    return Table("Are the contexts used?", header, rows, note)


def _scores(prior: Prior, case: Case, other: Case, count: int) -> list[float]:
    """Of one subject: given its own slices, those of `other`, none."""
    positions = case.positions(count)
    own, others = (
        condition_registered(prior, source.slices(positions), grid=case.truth.grid)
        for source in (case, other)
    )
    estimates = (own.mean(), others.mean(), atlas(prior, own))
    curves = [metrics.slice_ssim(metrics.ssim_map(case.truth.array, estimate)) for estimate in estimates]
    return [float(np.delete(curve, positions).mean()) for curve in curves]
