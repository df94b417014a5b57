"""What stands out in FLAIR and is not seen in what was made of it: planted lesions, patients, and people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import binary_dilation, gaussian_filter, label

from ..data.cohort import labels_beside, normalised, told_by_cohort
from ..data.registration import pose_of
from ..geometry import Volume
from ..geometry.io import read_volume
from ..geometry.resample import resample
from ..synthesis.lost import CONTRAST, Lost, lost_in
from ..synthesis.models import weights_of
from ..synthesis.pix2pix.synthesiser import Synthesiser
from ..synthesis.scans import stacked, visits
from ..synthesis.simulated import SCANNERS, read_anatomies, scanned
from ..training.readers.maps import WHITE, tissues_of
from .base import Setting
from .findings import Cell, Findings, Table
from .real_sites import MODEL

RADII_MM = (3.0, 4.0, 6.0, 8.0)
_EACH = 2  # lesions of each radius in a head
_BRIGHTER, _EDGE_MM = 0.3, 1.0
_WHITE, _QUIET = 0.72, 2.0  # of the made T1w, and of the score, where lesions are planted
_APART_MM = 8.0
_TRIES = 500
_BRIGHT_T2 = 0.95
_MAP = "dlmuse"


@dataclass(frozen=True, eq=False)
class Looked:
    """FLAIR and what may be lost of it, on the network's grid."""

    scan: Volume
    made: Volume
    lost: Lost

    @classmethod
    def at(cls, scan: Volume, network: Synthesiser) -> Looked:
        """Make T1w of a FLAIR and compare."""
        grid = network.field.grid_of_any(normalised(scan))
        own = Volume(stacked([normalised(scan)], grid)[0].numpy(), grid)
        made = network({"flair": scan}, grid).mean
        return cls(own, made, lost_in(own, made))

    @property
    def inside(self) -> np.ndarray:
        """Voxels that are looked at, bool (K, J, I)."""
        inside: np.ndarray = self.lost.score.array != 0
        return inside


def lost_lesions(setting: Setting) -> Findings:
    """Planted in those who were not learned from, and what is told of patients and other people.

    Raises InputError as `visits`, and where the network is missing.
    """
    network = Synthesiser.load(weights_of(MODEL), torch.device("cpu"))
    split = network.card.split
    every = visits(setting.data["visits"], ("flair",))
    tested = [name for name in every if name in split["test"]][: setting.subjects]
    others = [name for name in every if all(name not in names for names in split.values())]
    found: dict[float, list[list[float]]] = {radius: [] for radius in RADII_MM}
    people: list[list[Cell]] = []
    for number, name in enumerate(tested):
        setting.progress.update(f"planting lesions in {name}", 0.6 * number / len(tested))
        looked = Looked.at(_read(every[name]["flair"]), network)
        people.append(_told(name, looked, None))
        for radius, values in planted(looked, network, number):
            found[radius].append(values)
    patients = visits(setting.data["patients"], ("flair", "t2"))
    for name, files in {**{n: every[n] for n in others}, **patients}.items():
        setting.progress.update(f"looking at {name}", 0.8)
        people.append(_told(name, Looked.at(_read(files["flair"]), network), files.get("t2")))
    cells: list[list[Cell]] = [
        [f"{radius:g} mm", len(values), *np.nanmean(values, 0).tolist()] for radius, values in found.items()
    ]
    header = ["radius", "lesions", "told", "voxels told", "AUC", "AUC of FLAIR itself", "made T1w changed by"]
    return Findings(
        "004-lost",
        "What may be lost in T1w made of FLAIR",
        "Are lesions told that FLAIR shows and the made T1w does not?",
        [
            Table(f"Lesions planted in white matter of {len(tested)} people of the test", header, cells),
            Table(
                "What is told",
                [
                    "person",
                    "threshold",
                    "places",
                    "ml",
                    "told where FLAIR is not bright",
                    "AUC for bright T2w",
                ],
                people,
                "Not bright: below the 90 % quantile of FLAIR. Bright T2w: its brightest 5 %, where FLAIR is "
                "above its median; not a drawn label. All in voxels that are looked at.",
            ),
        ],
        [],
        [
            f"Planted: balls {_BRIGHTER:g} (of the brightest) brighter than FLAIR, blurred by {_EDGE_MM:g} "
            "mm, where the made T1w shows white matter. Told: any voxel of it. AUC: against all other voxels "
            "that are looked at and not told before.",
            "People of the sites are elderly: most have bright white matter around the ventricles, which is "
            "told. Nobody without any was at hand. Settings were chosen on the two validation people and by "
            "looking at the patients.",
        ],
    )


def healthy(setting: Setting) -> Findings:
    """What is told of simulated people without lesions, and where in the brains of real ones.

    Raises InputError as `read_anatomies` and `visits`, and where the network is missing.
    """
    network = Synthesiser.load(weights_of(MODEL), torch.device("cpu"))
    notes = [
        "Simulated: each tissue of a label map has one grey value, with shading and noise, so that nuclei "
        "deep in the brain are as bright as cortex, which they are not in real FLAIR. No vessels, no flow.",
        "Nobody of the real people is known to have no lesions: they are elderly, and bright white matter is "
        f"told. Outside: most of a place is more than a voxel from white matter ({_MAP} map of the T1w, laid "
        "on FLAIR), where such lesions do not lie.",
    ]
    return Findings(
        "004-lost-healthy",
        "False alarms of what may be lost",
        "Is anything told where there are no lesions?",
        [_simulated(setting, network), _real(setting, network)],
        [],
        notes,
    )


def _simulated(setting: Setting, network: Synthesiser) -> Table:
    folders = {"freesurfer": setting.data["labels"], "brainweb": setting.data["tissues"]}
    part = setting.progress.part(0.0, 0.1)
    people = read_anatomies(folders, network.settings.spacing_mm, part, setting.subjects)
    cells: list[list[Cell]] = []
    for done, (name, scanner) in enumerate(SCANNERS.items()):
        found = []
        for number, (person, anatomy) in enumerate(people.items()):
            share = (done + number / len(people)) / len(SCANNERS)
            setting.progress.update(f"looking at {person} on scanner {name}", 0.1 + 0.6 * share)
            lost = Looked.at(scanned(anatomy, scanner, [number])[CONTRAST], network).lost
            found.append((len(lost.places), lost.millilitres))
        places, ml = np.array(found).T
        cells.append([name, len(people), int((places > 0).sum()), float(ml.mean()), float(ml.max())])
    header = ["scanner", "people", "people with any told", "mean ml", "most ml"]
    return Table("Simulated FLAIR of people without lesions", header, cells)


def _real(setting: Setting, network: Synthesiser) -> Table:
    every = visits(setting.data["visits"], (CONTRAST, "t1"))
    roles = {name: role for role, names in network.card.split.items() for name in names}
    cells: list[list[Cell]] = []
    for done, (name, files) in enumerate(list(every.items())[: setting.subjects]):
        setting.progress.update(f"looking at {name}", 0.7 + 0.3 * done / len(every))
        if (labels := labels_beside(files["t1"], _MAP)) is None:
            continue
        scan, mapped = _read(files[CONTRAST]), _read(labels)
        looked = Looked.at(scan, network)
        pose = pose_of(normalised(scan), normalised(_read(files["t1"])))
        white = Volume((tissues_of(mapped, _MAP) == WHITE).astype(np.float32), mapped.grid)
        there = resample(white, looked.scan.grid, pose, labels=True).array > 0
        near = binary_dilation(there, np.ones((3, 3, 3)))
        parts, count = label(looked.lost.mask.array)
        outside = [number for number in range(1, count + 1) if near[parts == number].mean() < 0.5]
        ml = float((np.isin(parts, outside) * np.prod(looked.scan.grid.spacing_ijk)).sum()) / 1000
        cells.append([name, roles.get(name), count, looked.lost.millilitres, len(outside), ml])
    header = ["person", "of the network", "places", "ml", "places outside white matter", "ml outside"]
    return Table("Real people", header, cells)


def planted(looked: Looked, network: Synthesiser, seed: int) -> list[tuple[float, list[float]]]:
    """Radius of every planted lesion with: told, share of voxels told, both AUC, change of the made T1w."""
    chance = np.random.default_rng(seed)
    grid, before = looked.scan.grid, looked.lost
    points = grid.points_ras().reshape(*grid.shape_kji, 3)
    white = looked.inside & (looked.made.array > _WHITE) & (np.abs(before.score.array) < _QUIET)
    places = np.argwhere(white)
    names, added = np.zeros(grid.shape_kji, int), np.zeros(grid.shape_kji)
    radii = sorted(RADII_MM * _EACH, reverse=True)
    for number, radius in enumerate(radii, 1):
        for _ in range(_TRIES):
            centre = points[tuple(places[chance.integers(len(places))])]
            away = np.linalg.norm(points - centre, axis=-1)
            if not names[away < radius + _APART_MM].any():
                names[away <= radius] = number
                added += _BRIGHTER * gaussian_filter((away <= radius) * 1.0, _EDGE_MM / grid.spacing_ijk)
                break
    shown = np.where(looked.scan.array > 0, (looked.scan.array + added).clip(0, 1), 0).astype(np.float32)
    after = Looked.at(Volume(shown, grid), network)
    score, told = after.lost.score.array, after.lost.mask.array
    rest = after.inside & (names == 0) & (before.mask.array == 0)
    found = []
    for number, radius in enumerate(radii, 1):
        own = (names == number) & after.inside
        if not own.any():
            continue
        areas = [_auc(values[own], values[rest]) for values in (score, after.scan.array)]
        change = float((after.made.array - looked.made.array)[own].mean())
        found.append((radius, [float(told[own].any()), float(told[own].mean()), *areas, change]))
    return found


def _told(name: str, looked: Looked, t2: Path | None) -> list[Cell]:
    inside, lost, flair = looked.inside, looked.lost, looked.scan.array
    dark = inside & (flair < np.quantile(flair[inside], 0.9))
    cells: list[Cell] = [name, lost.threshold, len(lost.places), lost.millilitres]
    cells.append(float(lost.mask.array[dark].mean()))
    if t2 is None:
        return [*cells, None]
    shown = stacked([normalised(_read(t2))], looked.scan.grid)[0].numpy()
    bright = inside & (shown > np.quantile(shown[inside], _BRIGHT_T2)) & (flair > np.median(flair[inside]))
    return [*cells, _auc(lost.score.array[bright], lost.score.array[inside & ~bright])]


def _auc(those: np.ndarray, others: np.ndarray) -> float:
    """The share of pairs in which one of `those` (n,) is above one of the others (m,)."""
    return float(np.searchsorted(np.sort(others), those).mean() / len(others))


def _read(path: Path) -> Volume:
    return read_volume(path, warn=told_by_cohort)
