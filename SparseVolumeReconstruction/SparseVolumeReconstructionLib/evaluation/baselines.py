"""Baselines that every report shows beside a generative system: priors that know no uncertainty.

A baseline belongs to one case: its canonical space is that of the case, its units are those of the slices.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import map_coordinates

from ..geometry import Grid, Volume
from ..geometry.resample import resample
from ..observation import Slice, split_slices
from ..priors.base import Conditions, Posterior, Prior
from ..priors.card import ModelCard
from ..priors.intervals import IntervalScale
from ..reconstruction.patient_posterior import PatientPosterior
from .interpolation import linear_interpolation, nearest_slice

PCA_RANK = 40
PCA_RIDGE = 1.0
_MAX_PIXELS = 8192


class PointEstimate(Posterior):
    """One volume and no uncertainty: the deviation is 0, and every sample is the volume itself."""

    intervals = IntervalScale()

    def __init__(self, grid: Grid, array: np.ndarray):
        """The volume (K, J, I) float32 on a grid.

        Args:
            grid: in the space of the case.
            array: the volume, in the units of the slices.
        """
        self.grid = grid
        self._array = torch.as_tensor(array)

    def mean(self) -> torch.Tensor:
        """The volume, (K, J, I)."""
        return self._array

    def std(self) -> torch.Tensor:
        """Zeros, (K, J, I)."""
        return torch.zeros_like(self._array)

    def _sample(self, seeds: list[int]) -> torch.Tensor:
        return self._array.expand(len(seeds), *self._array.shape).clone()

    def log_evidence(self) -> float:
        """Not a number: nothing is said of how probable anything is."""
        return float("nan")


class Baseline(Prior):
    """Base of a baseline; a subclass implements `estimate`."""

    def __init__(self, name: str, grid: Grid):
        """A name, as reports call it, and the grid of the case.

        Args:
            name: is the id of the card, too.
            grid: of the truth, patient or canonical mm; the space of the baseline.
        """
        words = {"anatomy": "any", "modality": "any", "canonical_space": "that of the case", "data": "none"}
        card = ModelCard(
            id=name,
            title=name,
            system="baseline",
            version="1",
            units="those of the slices",
            licence="Apache-2.0",
            **words,
        )
        empty = Volume(np.broadcast_to(np.float32(0), grid.shape_kji), grid)
        anatomy = torch.ones(1, 1, 1, dtype=torch.bool).expand(grid.shape_kji)
        super().__init__(card, grid, anatomy_mask=anatomy, reference=empty, intervals=IntervalScale())

    @abstractmethod
    def estimate(self, slices: list[Slice], grid: Grid) -> np.ndarray:
        """The volume (K, J, I) float32 on a grid. Raises InputError for slices that it cannot use.

        Args:
            slices: contexts in the space and units of the case.
            grid: in the same space, the case's own or another.
        """

    def _condition(self, given: Conditions) -> PointEstimate:
        grid = given.grid or self.grid
        return PointEstimate(grid, self.estimate(split_slices(given.observations)[0], grid))


class MeanAtlas(Baseline):
    """The mean of a prior that has seen nothing, whatever the slices show."""

    def __init__(self, prior: Prior, result: PatientPosterior):
        """A prior, and what lends its frame, intensity map and grid.

        Args:
            prior: whose mean is shown.
            result: of the same prior, conditioned on the contexts of the case.
        """
        super().__init__("mean-atlas", result.grid)
        self._prior, self._result = prior, result

    def estimate(self, slices: list[Slice], grid: Grid) -> np.ndarray:
        """The mean atlas, (K, J, I)."""
        return atlas(self._prior, self._result.on(grid))


def atlas(prior: Prior, result: PatientPosterior) -> np.ndarray:
    """The prior's mean in the frame and with the intensity map that `result` found from the contexts.

    Args:
        prior: conditioned on nothing here, at the covariate of `result`.
        result: of the same prior, given the contexts.

    Returns:
        (K, J, I) on the grid of the result, patient intensities.
    """
    mean = prior.condition([], grid=result.posterior.grid, covariate=result.covariate).mean()
    return result.to_patient(result.resample_to_patient(mean))


class NearestSlice(Baseline):
    """Every slice of the volume is a copy of the nearest context."""

    def __init__(self, grid: Grid):
        """The grid of the case."""
        super().__init__("nearest-slice", grid)

    def estimate(self, slices: list[Slice], grid: Grid) -> np.ndarray:
        """Copies, (K, J, I). Raises InputError unless the slices are parallel to the grid's k planes."""
        return nearest_slice(slices, grid)


class LinearInterpolation(Baseline):
    """Linear between neighbouring contexts, constant outside of them."""

    def __init__(self, grid: Grid):
        """The grid of the case."""
        super().__init__("linear-interpolation", grid)

    def estimate(self, slices: list[Slice], grid: Grid) -> np.ndarray:
        """The volume (K, J, I). Raises InputError unless the slices are parallel to the grid's k planes."""
        return linear_interpolation(slices, grid)


@dataclass(frozen=True, eq=False)
class Library:
    """Whole volumes of other subjects on one grid: volumes {name: (K, J, I)} and their Gram matrix (n, n)."""

    grid: Grid
    volumes: dict[str, np.ndarray]
    gram: np.ndarray

    @classmethod
    def of(cls, grid: Grid, volumes: dict[str, np.ndarray]) -> Library:
        """Build the Gram matrix; volumes are kept as float16 arrays.

        Args:
            grid: of all volumes.
            volumes: {name: (K, J, I) in [0, 1]}.
        """
        kept = {name: np.asarray(v, np.float16) for name, v in volumes.items()}
        flat = [v.ravel() for v in kept.values()]
        gram = np.zeros((len(flat), len(flat)))
        for block in np.array_split(np.arange(grid.size), max(1, grid.size // 65536)):
            rows = (
                np.stack([v[block] for v in flat]).astype(np.float32)
                if flat
                else np.zeros((0, 1), np.float32)
            )
            gram += rows @ rows.T
        return cls(grid, kept, gram)

    def without(self, name: str) -> Library:
        """The library without one subject (itself when the subject is not in it)."""
        keep = [n for n, other in enumerate(self.volumes) if other != name]
        names = [list(self.volumes)[n] for n in keep]
        return Library(self.grid, {n: self.volumes[n] for n in names}, self.gram[np.ix_(keep, keep)])

    def at(self, points_ras: np.ndarray) -> np.ndarray:
        """Values of every volume at points (p, 3) in library mm, linear and 0 outside, (n, p) float32."""
        kji = (points_ras @ self.grid.ras_to_ijk[:3, :3].T + self.grid.ras_to_ijk[:3, 3])[:, ::-1].T
        return np.stack([map_coordinates(v.astype(np.float32), kji, order=1) for v in self.volumes.values()])

    def combined(self, weights: np.ndarray) -> np.ndarray:
        """Weighted sum of the volumes, (K, J, I) float32."""
        return sum(  # type: ignore[return-value]  # it is 0 only where all weights are
            np.float32(w) * v.astype(np.float32)
            for w, v in zip(weights, self.volumes.values(), strict=True)
            if w
        )


class FromLibrary(Baseline):
    """A weighted sum of other subjects' volumes."""

    def __init__(
        self,
        name: str,
        grid: Grid,
        library: Library,
        frame: np.ndarray,
        weigh: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    ):
        """A way to weigh the volumes of a library.

        Args:
            name: as reports call it.
            grid: of the case.
            library: the volumes.
            frame: 4x4 from points of the case to points of the library (RAS mm).
            weigh: weigh(sampled (n, p), pixels (p,), gram (n, n)) -> (n,) chooses the weights.
        """
        super().__init__(name, grid)
        self._library, self._frame, self._weigh = library, frame, weigh

    def estimate(self, slices: list[Slice], grid: Grid) -> np.ndarray:
        """The sum, (K, J, I), with weights that are chosen from the slices alone."""
        frame = self._frame
        points, pixels = [], []
        for image in slices:
            stride = int(np.ceil(np.sqrt(image.pixels.size / _MAX_PIXELS)))
            points.append(
                image.plane.points_ras().reshape(*image.pixels.shape, 3)[::stride, ::stride].reshape(-1, 3)
            )
            pixels.append(image.pixels[::stride, ::stride].ravel())
        canonical = np.concatenate(points) @ frame[:3, :3].T + frame[:3, 3]
        weights = self._weigh(self._library.at(canonical), np.concatenate(pixels), self._library.gram)
        volume = Volume(self._library.combined(weights), self._library.grid)
        if not volume.grid.same_as(grid) or not np.allclose(frame, np.eye(4)):
            volume = resample(volume, grid, frame)
        return np.clip(volume.array, 0.0, 1.0)


def mean_weights(sampled: np.ndarray, pixels: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """The same weight for every volume: their mean, as bright as the contexts (least squares), (n,).

    Args:
        sampled: (n, p), every volume of the library at the pixels of the contexts.
        pixels: (p,), those of the contexts.
        gram: not used.
    """
    mean = sampled.mean(0)
    gain = (mean @ pixels) / max(float(mean @ mean), 1e-9)
    return np.full(len(sampled), gain / len(sampled))


def nearest_weights(sampled: np.ndarray, pixels: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """All weight on the volume whose context slices are nearest in L2, (n,).

    Args:
        sampled: (n, p), every volume of the library at the pixels of the contexts.
        pixels: (p,), those of the contexts.
        gram: not used.
    """
    weights = np.zeros(len(sampled))
    weights[((sampled - pixels) ** 2).sum(1).argmin()] = 1.0
    return weights


def pca_weights(sampled: np.ndarray, pixels: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """Weights of the least-squares fit of the leading principal components to the contexts, (n,).

    x = m + W z with W = C' U / sqrt(n) from the centred Gram matrix C C' = U S^2 U', rank at most 40;
    z = argmin |y - m_c - W_c z|^2 + PCA_RIDGE |z|^2 over the context pixels alone.

    Args:
        sampled: (n, p), every volume of the library at the pixels of the contexts.
        pixels: y, (p,), those of the contexts.
        gram: (n, n), products of whole volumes, not centred.
    """
    count = len(sampled)
    centring = np.eye(count) - 1.0 / count
    values, vectors = np.linalg.eigh(centring @ gram @ centring)
    leading = values.argsort()[::-1][: min(PCA_RANK, count - 1)]
    loadings = centring @ vectors[:, leading] / np.sqrt(count)
    design = sampled.T @ loadings
    residual = pixels - sampled.mean(0)
    z = np.linalg.solve(design.T @ design + PCA_RIDGE * np.eye(len(leading)), design.T @ residual)
    return 1.0 / count + loadings @ z


def baselines(grid: Grid, library: Library, frame: np.ndarray) -> list[Baseline]:
    """The baselines that need contexts, for one case.

    Args:
        grid: of the case.
        library: other subjects; baselines that need them are there where it holds at least three.
        frame: 4x4 from points of the case to points of the library (RAS mm).
    """
    found: list[Baseline] = [NearestSlice(grid), LinearInterpolation(grid)]
    if len(library.volumes) >= 3:
        found += [
            FromLibrary("cohort-atlas", grid, library, frame, mean_weights),
            FromLibrary("nearest-volume", grid, library, frame, nearest_weights),
            FromLibrary("pca", grid, library, frame, pca_weights),
        ]
    return found
