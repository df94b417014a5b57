"""Table 1 of the slice VAE paper, how near generated volumes come to real ones, and how they differ.

Volokitin et al. 2020.
"""

from __future__ import annotations

import torch

from ..evaluation.distributions import (
    median_distance,
    mmd_as_printed,
    ms_ssim,
    ms_ssim_as_printed,
    pairwise_rms,
    random_pairs,
    rbf_mmd,
)
from .base import Setting
from .findings import Cell, Figure, Findings, Table
from .generated import ATLAS, PCA, REAL, Generated, generate, mean_over
from .views import Shown, sheet

_BATCH = 8
_PAIRS, _TINY_PAIRS = 30, 4
_PRINTED = {
    "slice-vae": (2396.0, 0.9304),
    "volume-vae": (6823.0, 0.9927),
    "alpha-wgan": (4488.0, 0.8994),
    "wgan-gp": (14383.0, 0.9995),
    "vae-gan": (2054.0, 0.9292),
    "alpha-gan": (7116.0, 0.9848),
    REAL: (None, 0.8786),
}
_MEASURES = (
    "All volumes in [0, 1] on the same grid. MMD as printed: of means of {batch} volumes, see the next "
    "table. RBF MMD: squared, unbiased, "
    "bandwidth {bandwidth:.1f} (median distance of real volumes), with its jackknife standard error; about 0 "
    "for sets of one "
    "distribution. MS-SSIM: mean over {pairs} random pairs of the set; low where volumes are diverse, "
    "whether or not they look real. As "
    "printed: with the faults of the implementation that the paper used. Difference: root mean square, over "
    "all pairs of the set."
)


def table1(setting: Setting) -> Findings:
    """MMD, MS-SSIM and diversity of volumes that were generated from nothing."""
    generated = generate(setting)
    bandwidth = median_distance(torch.cat([generated.sets[REAL], generated.test]))
    measured = {}
    for done, (name, volumes) in enumerate(generated.sets.items()):
        setting.progress.update(f"measuring {name}", 0.9 * done / len(generated.sets))
        measured[name] = _measured(
            generated.test, volumes, bandwidth, _TINY_PAIRS if setting.tiny else _PAIRS
        )
    batch = _batch(generated)
    note = _MEASURES.format(batch=batch, bandwidth=bandwidth, pairs=_TINY_PAIRS if setting.tiny else _PAIRS)
    return Findings(
        "001-table1",
        "Slice VAE, table 1: volumes generated from nothing",
        "Are generated volumes distributed as real ones are, and are they as diverse?",
        [_main(setting, measured, note), _parts(generated, measured, batch), setting.models.provenance()],
        [_pictures(generated)],
        [*_answers(measured, generated), *remarks(setting, generated), _PAPER],
    )


_PAPER = (
    "The printed numbers are those of 960 volumes of the Human Connectome Project at 64 x 64 x 64 to train "
    "on; they are shown for "
    "orientation. Sizes 128 and 256 of the paper (slice VAE 19890 and 323233, 3D alpha-WGAN 64446 and "
    "912627, 3D VAE 51476 at 128) are not "
    "measured here."
)


def _batch(generated: Generated) -> int:
    return min(_BATCH, len(generated.test), *(len(volumes) for volumes in generated.sets.values()))


def _measured(test: torch.Tensor, volumes: torch.Tensor, bandwidth: float, pairs: int) -> dict[str, float]:
    """All measures of one set."""
    batch = min(_BATCH, len(test), len(volumes))
    printed, _ = mmd_as_printed(test, volumes, torch.Generator().manual_seed(0), batch)
    mmd, error = rbf_mmd(test, volumes, bandwidth)
    chosen = random_pairs(len(volumes), pairs, torch.Generator().manual_seed(1))
    similar, similar_printed = (
        mean_over(measure, volumes, chosen) for measure in (ms_ssim, ms_ssim_as_printed)
    )
    names = ("printed", "mmd", "error", "ms_ssim", "ms_ssim_printed", "difference")
    return dict(
        zip(names, (printed, mmd, error, similar, similar_printed, pairwise_rms(volumes)), strict=True)
    )


def _main(setting: Setting, measured: dict[str, dict[str, float]], note: str) -> Table:
    header = [
        "system",
        "MMD as printed",
        "RBF MMD",
        "standard error",
        "MS-SSIM",
        "MS-SSIM as printed",
        "difference of two",
    ]
    rows: list[list[Cell]] = []
    for name, values in measured.items():
        facts = setting.models.used[name].card.training if name in setting.models.used else {}
        million = facts["parameters"] / 1e6 if "parameters" in facts else None
        rows.append([name, *values.values(), million, facts.get("minutes")])
        if name in _PRINTED:
            mmd, similar = _PRINTED[name]
            rows.append([f"{name}, HCP (printed)", mmd, None, None, None, similar, None, None, None])
    return Table(
        "Generated volumes against those of the test subjects",
        [*header, "million parameters", "minutes of training"],
        rows,
        note,
    )


def _parts(generated: Generated, measured: dict[str, dict[str, float]], batch: int) -> Table:
    """What the printed MMD is expected to be, part by part, beside what was measured."""
    rows: list[list[Cell]] = []
    real = _variance(generated.test) * (1 / batch - 1 / len(generated.test))
    for name, volumes in generated.sets.items():
        means = 4 * float(((generated.test.double().mean(0) - volumes.double().mean(0)) ** 2).sum())
        own = _variance(volumes) * (1 / batch - 1 / len(volumes))
        rows.append([name, means, real, own, means + real + own, measured[name]["printed"]])
    header = [
        "system",
        "squared distance of means",
        "variance of real / batch",
        "variance of the set / batch",
        "sum",
        "measured",
    ]
    note = (
        f"Intensities in [-1, 1], as there. A mean of {batch} volumes varies by their variance over {batch} "
        "(less what is not left to "
        "choose in a finite set), and this is added to the distance of the means: a set that varies less "
        "scores better."
    )
    return Table("What the printed MMD is made of", header, rows, note)


def _variance(volumes: torch.Tensor) -> float:
    """Trace of the covariance of intensities in [-1, 1]."""
    return 4 * float(volumes.double().var(0).sum())


def _answers(measured: dict[str, dict[str, float]], generated: Generated) -> list[str]:
    """What the numbers say, in words."""
    real, atlas = measured[REAL], measured[ATLAS]
    names = [*generated.systems, PCA]
    order = [
        f"{name} ({measured[name]['mmd']:.3f})"
        for name in sorted(names, key=lambda name: measured[name]["mmd"])
    ]
    worse = [name for name in [*names, REAL] if measured[name]["printed"] > atlas["printed"]]
    diverse = [name for name in names if measured[name]["difference"] >= 0.9 * real["difference"]]
    verdict = "it cannot rank generators" if REAL in worse else "here it does not prefer that to real volumes"
    return [
        f"By the RBF MMD the order is {', '.join(order)}; real volumes of other subjects have "
        f"{real['mmd']:.3f} (standard error "
        f"{real['error']:.3f}).",
        f"The mean atlas, a set without any variety, has a printed MMD of {atlas['printed']:.0f}, real "
        f"volumes have {real['printed']:.0f}. "
        f"Worse than the atlas by this number: {', '.join(worse) or 'none'}; {verdict}. The atlas has an RBF "
        f"MMD of {atlas['mmd']:.3f}.",
        f"Two real volumes differ by {real['difference']:.3f}. At least nine tenths of that: "
        f"{', '.join(diverse) or 'no system'}.",
    ]


def remarks(setting: Setting, generated: Generated) -> list[str]:
    """What a reader must know of both experiments of this paper."""
    counts = ", ".join(f"{name}: {len(volumes)}" for name, volumes in generated.sets.items() if name != ATLAS)
    voxels = " x ".join(map(str, generated.grid.shape_kji))
    return [
        f"{len(generated.test)} test subjects that no system was trained on. Volumes of each set: {counts}.",
        f"Every real volume was registered affinely to one reference; all volumes lie on {voxels} voxels.",
        f"{PCA}: mean and covariance of the fitted subjects, all components. {ATLAS}: their mean, a set that "
        "shows what a measure rewards.",
        *(f"{name} was left out: {why}." for name, why in setting.models.left_out.items()),
    ]


def _pictures(generated: Generated) -> Figure:
    shown = [("real (test subjects)", generated.test)]
    shown += [(name, volumes) for name, volumes in generated.sets.items() if name not in (REAL, ATLAS)]
    rows: list[tuple[str, list[Shown]]] = [
        (name, [(volumes[n].numpy(), None) for n in range(3)]) for name, volumes in shown
    ]
    return Figure(
        "Samples",
        sheet(rows, generated.grid.spacing_ijk),
        "Three of each, the first ones: axial, coronal and sagittal middle.",
    )
