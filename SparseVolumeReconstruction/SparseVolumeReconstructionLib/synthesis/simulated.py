"""Simulated sites: FLAIR, T2w and T1w of the same label maps, as two scanners would show them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from ..data.bids import WRITTEN
from ..data.cohort import list_cohort, told_by_cohort
from ..geometry import Grid, Volume
from ..geometry.io import read_volume, write_volume
from ..geometry.resample import resample
from ..progress import Progress
from ..training.readers.maps import tissues_of

TISSUES = 3  # fluid, grey matter, white matter
_READ_MM = 2.0
_EDGE = 0.5  # of a voxel has to be brain
_SPREAD = 0.02  # of the grey value of a tissue from person to person


@dataclass(frozen=True)
class Scanner:
    """How a scanner shows tissues.

    greys: of fluid, grey and white matter in each contrast. blur_mm: standard deviation. bias: of the
    logarithm of the shading. noise: standard deviation, share of the brightest.
    """

    greys: dict[str, tuple[float, float, float]] = field(
        default_factory=lambda: {
            "flair": (0.10, 0.80, 0.60),
            "t2": (1.00, 0.60, 0.40),
            "t1": (0.18, 0.55, 0.85),
        }
    )
    blur_mm: float = 0.0
    bias: float = 0.05
    noise: float = 0.015


SCANNERS = {
    "one": Scanner(),
    "two": Scanner(
        {"flair": (0.30, 0.75, 0.68), "t2": (0.90, 0.70, 0.58), "t1": (0.32, 0.52, 0.70)}, 1.5, 0.15, 0.03
    ),
}


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Shares of TISSUES in the voxels of a head, (3, K, J, I) float32, on a grid."""

    shares: np.ndarray
    grid: Grid

    @property
    def inside(self) -> np.ndarray:
        """Voxels most of which are brain, bool (K, J, I)."""
        brain: np.ndarray = self.shares.sum(0) > _EDGE
        return brain

    def on(self, grid: Grid) -> Anatomy:
        """The same shares on another grid, resampled as images are; tissues would jump by half a voxel."""
        each = [resample(Volume(share, self.grid), grid).array for share in self.shares]
        return Anatomy(np.stack(each), grid)

    @property
    def tissues(self) -> Volume:
        """The tissue that most of each voxel is, 1 to TISSUES; 0 outside."""
        classes = np.where(self.inside, self.shares.argmax(0) + 1, 0)
        return Volume(classes.astype(np.float32), self.grid)


def read_anatomies(
    folders: dict[str, Path], spacing_mm: float, progress: Progress, most: int | None = None
) -> dict[str, Anatomy]:
    """The anatomies of label maps, by person.

    Args:
        folders: by the kind of their numbers, "freesurfer" or "brainweb".
        spacing_mm: of the voxels.
        progress: told of steps, asked whether to stop.
        most: of each folder.

    Raises:
        InputError: a folder has no maps, or a map no brain.
    """
    files = [
        (name, path, kind)
        for kind, folder in folders.items()
        for name, path in list(list_cohort(folder, skip=()).files.items())[:most]
    ]
    found = {}
    for done, (name, path, kind) in enumerate(files):
        progress.update(f"reading {name}", done / len(files))
        labels = read_volume(path, warn=told_by_cohort)
        labels = resample(labels, labels.grid.with_spacing(_READ_MM), labels=True)
        tissue = Volume(tissues_of(labels, kind), labels.grid)
        found[f"person{done + 1:02d}"] = anatomy_of(tissue, spacing_mm)  # names of maps may say "seg"
    return found


def anatomy_of(tissue: Volume, spacing_mm: float) -> Anatomy:
    """The shares of tissues in larger voxels.

    Args:
        tissue: of each voxel, 1 to TISSUES; 0 outside.
        spacing_mm: of the voxels.
    """
    matrix = tissue.grid.ijk_to_ras
    points = np.argwhere(tissue.array > 0)[:, ::-1] @ matrix[:3, :3].T + matrix[:3, 3]
    grid = Grid.covering(points, spacing_mm)
    whole = np.stack([(tissue.array == n + 1).astype(np.float32) for n in range(TISSUES)])
    return Anatomy(whole, tissue.grid).on(grid)


def scanned(anatomy: Anatomy, scanner: Scanner, seed: list[int]) -> dict[str, Volume]:
    """One visit: a volume in each contrast, skull-stripped, background 0.

    Args:
        anatomy: of the person.
        scanner: that shows it.
        seed: of shading, noise and what differs between people.
    """
    chance = np.random.default_rng(seed)
    shape = anatomy.grid.shape_kji
    spacing = float(anatomy.grid.spacing_ijk[0])
    found = {}
    for name, greys in scanner.greys.items():
        own = np.array(greys) + chance.normal(0, _SPREAD, TISSUES)
        image = gaussian_filter(np.tensordot(own, anatomy.shares, 1), scanner.blur_mm / spacing)
        knots = chance.normal(0, scanner.bias, (4, 4, 4))
        shading = zoom(knots, [n / 4 for n in shape], order=1, grid_mode=True, mode="nearest")
        image = image * np.exp(shading) + chance.normal(0, scanner.noise, shape)
        shown = np.where(anatomy.inside, image.clip(0.03, None), 0)
        found[name] = Volume(shown.astype(np.float32), anatomy.grid)
    return found


def write_site(anatomies: dict[str, Anatomy], scanner: Scanner, folder: Path, seed: int) -> list[Path]:
    """Write visits as `./run train synthesis` reads them: NAME_FLAIR.nii.gz, NAME_T1w.nii.gz ...

    Args:
        anatomies: by person.
        scanner: that shows them.
        folder: is made.
        seed: the same one gives the same files.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, (name, anatomy) in enumerate(anatomies.items()):
        for contrast, volume in scanned(anatomy, scanner, [seed, number]).items():
            files.append(folder / f"{name}_{WRITTEN[contrast]}.nii.gz")
            write_volume(volume, files[-1])
    return files
