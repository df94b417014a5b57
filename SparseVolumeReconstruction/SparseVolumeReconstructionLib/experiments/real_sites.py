"""The extension's synthesis network on real sites, beside what users could do without it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..alignment.head import head_reader
from ..alignment.tissues import as_t1w
from ..data.bids import WRITTEN
from ..data.cohort import FOREGROUND, normalised, told_by_cohort
from ..evaluation.metrics import masked_mean, psnr, ssim_map
from ..geometry import Volume
from ..geometry.io import read_volume
from ..observation.slices import slice_of
from ..progress import Progress
from ..reconstruction.request import ReconstructionRequest, SliceSpec
from ..reconstruction.run import run_request
from ..synthesis.adaptation.greys import grey_quantiles
from ..synthesis.adaptation.own_scanner import MIN_SCANS, adapted_to
from ..synthesis.models import weights_of
from ..synthesis.pix2pix.synthesiser import Synthesiser
from ..synthesis.run import laid_on_first
from ..synthesis.scans import stacked, visits
from ..zoo.store import ModelStore
from .base import Setting
from .findings import Cell, Figure, Findings, Table
from .views import Shown, sheet

NETWORK, ADAPTED = "network", "network, grey values of the site matched"
TISSUES, VOXELWISE = "tissues shown as T1w", "voxelwise regression"
MODEL, PRIOR = "brain-flair-to-t1", "brain-t1"
SLICES = 9
CHECK = ["site", "scans", "grey values of the scans off", "of what is made before", "after", "used"]
_OWN = "Distance of grey values deep in heads to those that the network learned of: FLAIR, and what is made."
SHOWN = f"{PRIOR} --show-as t1w, of {SLICES} slices"
_BINS, _FEW = 64, 50
_LEARNERS = 4  # people whose tissues are read to fit the grey values of a row

Map = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Visit:
    """FLAIR and T1w of one person, [0, 1], on the grid of the former; `file` of the FLAIR."""

    name: str
    flair: Volume
    t1: Volume
    file: Path

    @classmethod
    def read(cls, name: str, files: dict[str, Path]) -> Visit:
        """From files; T1w is registered rigidly where it lies elsewhere."""
        scans = {one: read_volume(files[one], warn=told_by_cohort) for one in ("flair", "t1")}
        laid, _ = laid_on_first(scans, told_by_cohort)
        return cls(name, normalised(laid["flair"]), normalised(laid["t1"]), files["flair"])


def real_sites(setting: Setting) -> Findings:
    """Scores of people that the network did not learn of, at its own scanner and at others.

    Raises InputError as `visits`, and where the network is missing.
    """
    progress, subjects = setting.progress, setting.subjects
    folder = setting.data["visits"]
    network = Synthesiser.load(weights_of(MODEL), torch.device("cpu"))
    split = network.card.split
    every = visits(folder, ("flair", "t1"))
    learned = [name for name in (*split["fit"], *split["validation"]) if name in every]
    own = {_site(name) for name in learned}
    tested = [name for name in every if name in split["test"] or _site(name) not in own]
    sites: dict[str, list[str]] = {}
    for name in tested:
        sites.setdefault(_site(name), []).append(name)
    people = [Visit.read(name, every[name]) for name in learned]
    voxelwise = grey_map([(v.flair.array, v.t1.array) for v in people])
    read = [(read_tissues(v.flair).array, v.t1.array) for v in people[:_LEARNERS]]
    by_tissues = grey_map(read)
    cells: list[list[Cell]] = []
    checks: list[list[Cell]] = []
    shown: list[tuple[str, list[Shown]]] = []
    for number, (site, names) in enumerate(sites.items()):
        progress.update(f"measuring {site}", number / len(sites))
        found: dict[str, list[list[float]]] = {}
        used = names[:subjects]
        tried = [Visit.read(name, every[name]) for name in used]
        adapted = matched_to(network, [visit.flair for visit in tried])
        checks += checked(network, site, [every[name]["flair"] for name in used], setting.out, progress)
        for visit in tried:
            name = visit.name
            made = estimates(visit, network, adapted, voxelwise, by_tissues, setting.out / "shown" / name)
            for row, (volume, seconds) in made.items():
                found.setdefault(row, []).append([*_scores(visit, volume), seconds])
            if name == names[0]:
                shown.append((name, [(volume.array, None) for volume in _seen(visit, made)]))
        where = f"{site}{', learned from' if site in own else ''} ({len(used)} people)"
        cells += [[f"{where}: {row}", *np.mean(values, 0).tolist()] for row, values in found.items()]
    table = Table(
        f"Real scanners: T1w of FLAIR, {MODEL}",
        ["row", "SSIM in the head", "PSNR dB", "MAE", "seconds"],
        cells,
    )
    figure = Figure(
        "Real sites",
        sheet(shown, people[0].flair.grid.spacing_ijk),
        "First person of each site: FLAIR, real T1w, and the rows in their order.",
    )
    return Findings(
        "004-domains",
        "T1w of FLAIR on real scanners",
        "Is the network better than what could be done without it, at its own scanner and at another one?",
        [table, Table("What --adapt finds", CHECK, checks, _OWN)],
        [figure],
        _notes(len(learned)),
    )


def matched_to(network: Synthesiser, scans: list[Volume]) -> Synthesiser:
    """The network for a scanner with the grey values of some of its FLAIR, unchecked."""
    grids = [network.field.grid_of_any(scan) for scan in scans]
    each = [grey_quantiles(stacked([scan], grid)) for scan, grid in zip(scans, grids, strict=True)]
    return network.for_scanner(torch.stack(each).mean(0)[None])


def checked(
    network: Synthesiser, site: str, files: list[Path], out: Path, progress: Progress
) -> list[list[Cell]]:
    """What `--adapt` finds with the FLAIR of a site, a row as CHECK; none where the site has too few."""
    if len(files) < MIN_SCANS:
        return []
    folder = out / "scanners" / site
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, folder)
    _, said = adapted_to(network, folder, progress.part(0.0, 0.0), progress.warn)
    off = max(said["grey values of the scans off"].values())
    made = said["before and after"].get("grey values off", [None, None])
    return [[site, len(said["visits"]), off, *made, "yes" if said["used"] else "no"]]


def estimates(
    visit: Visit, network: Synthesiser, adapted: Synthesiser, voxelwise: Map, by_tissues: Map, folder: Path
) -> dict[str, tuple[Volume, float]]:
    """T1w of a visit's FLAIR by every row, and the seconds that it took; that of the prior into `folder`."""

    def timed(make: Callable[[], Volume]) -> tuple[Volume, float]:
        start = time.perf_counter()
        return make(), time.perf_counter() - start

    grid = visit.flair.grid
    inside = visit.flair.array > FOREGROUND
    return {
        NETWORK: timed(lambda: network({"flair": visit.flair}, grid).mean),
        ADAPTED: timed(lambda: adapted({"flair": visit.flair}, grid).mean),
        SHOWN: timed(lambda: shown_by_prior(visit, folder)),
        TISSUES: timed(lambda: Volume(by_tissues(read_tissues(visit.flair).array) * inside, grid)),
        VOXELWISE: timed(lambda: Volume(voxelwise(visit.flair.array) * inside, grid)),
    }


def shown_by_prior(visit: Visit, folder: Path) -> Volume:
    """What the prior infers from axial slices of a FLAIR, spread evenly, shown as T1w, [0, 1].

    Args:
        visit: gives the slices, and the grid of the result.
        folder: of the result.
    """
    shown = np.flatnonzero((visit.flair.array > FOREGROUND).any((1, 2)))
    chosen = np.linspace(shown[0], shown[-1], SLICES + 2)[1:-1].round().astype(int)
    given = SliceSpec(path=str(visit.file), slices=chosen.tolist())
    request = ReconstructionRequest(
        prior=PRIOR,
        contexts=[given],
        like=str(visit.file),
        outputs=["mean"],
        show_as="t1w",
        output=str(folder),
    )
    run_request(request, ModelStore(), Progress())
    return normalised(read_volume(folder / "mean.nrrd", warn=told_by_cohort))


def read_tissues(scan: Volume) -> Volume:
    """A scan of any contrast as the tissue reader shows it in T1w, slice by slice, [0, 1]."""
    slices = [slice_of(scan, k) for k in range(len(scan.array)) if (scan.array[k] > FOREGROUND).any()]
    array = np.zeros_like(scan.array)
    for image, reading in zip(slices, head_reader().read(slices), strict=True):
        if (reading.classes[0] < 0.5).sum() > _FEW:
            array[image.volume_index] = as_t1w(image, reading).pixels
    return normalised(Volume(array, scan.grid))


def grey_map(pairs: list[tuple[np.ndarray, np.ndarray]]) -> Map:
    """The median of the second volume at every grey value of the first, learned of people.

    Args:
        pairs: volumes (K, J, I) of one shape each, [0, 1].
    """
    given = np.concatenate([a[a > FOREGROUND] for a, _ in pairs])
    wanted = np.concatenate([b[a > FOREGROUND] for a, b in pairs])
    bins = (given * (_BINS - 1)).round().astype(int)
    known = [n for n in range(_BINS) if (bins == n).sum() > _FEW]
    medians = [float(np.median(wanted[bins == n])) for n in known]
    return lambda array: np.interp(array, np.array(known) / (_BINS - 1), medians).astype(np.float32)


def _site(name: str) -> str:
    return name.split("_")[0]


def _scores(visit: Visit, made: Volume) -> list[float]:
    """SSIM in the head, PSNR (range of the truth), mean absolute error."""
    truth = visit.t1.array
    inside = visit.flair.array > FOREGROUND
    apart = float(np.abs(truth - made.array)[inside].mean())
    level = psnr(truth, made.array, float(np.ptp(truth)))
    return [masked_mean(ssim_map(truth, made.array), inside), level, apart]


def _seen(visit: Visit, made: dict[str, tuple[Volume, float]]) -> list[Volume]:
    return [visit.flair, visit.t1, *(volume for volume, _ in made.values())]


def _notes(learned: int) -> list[str]:
    flair = WRITTEN["flair"]
    return [
        f"{MODEL} and the last two rows learned of the same {learned} people of one scanner; tissues were "
        f"read in {_LEARNERS} of them. Nobody who is measured was learned from by them; {PRIOR} learned of "
        "T1w of siteA 19 and 22, siteB 05 and 08. Seconds: on a shared machine.",
        f"Measured on the grid of {flair}, as users get it. The card's numbers are of the network's grid, "
        "on which the truth is interpolated as well, so that both are smoother and SSIM is higher.",
        f"T1w was registered rigidly to {flair} where it lay elsewhere: 10 to 34 mm at siteB, where "
        f"the brain of T1w was cut out of a {flair} that lies elsewhere, so that parts of it are missing.",
    ]
