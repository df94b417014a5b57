"""What all priors over stacks of axial slices share.

Their space, the place of slices in the stack, other output grids.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import torch
from scipy.ndimage import map_coordinates

from ..geometry import Grid, InputError, Volume
from ..geometry.resample import resample
from ..observation import Slice, split_slices
from ..observation.slices import resample_slice
from .alignment_model import ANATOMY, AlignmentModel
from .base import Conditions, Posterior, Prior
from .card import ModelCard
from .device import placed
from .gaussian.parameters import GaussianParameters
from .gaussian.process import GaussianProcess
from .intervals import IntervalScale

MAX_TILT_DEGREES = 5.0
Network = TypeVar("Network", bound=torch.nn.Module)
_CACHED_PIXELS = (
    15 * 64 * 64
)  # at 64 x 64 pixels, networks draw 15 slices at once up to 1.9 times as fast as 60
_GPU_PIXELS = (
    256 * 64 * 64
)  # a whole stack at 64 x 64 pixels: a GPU is idle while few slices are prepared for it
_MAX_OUTSIDE_MM = 3.0  # no further than such a tilt takes the halves of a slice of a head


@dataclass(frozen=True, eq=False)
class AxialSpace:
    """Where axial slices lie, and what finds their frame.

    gaussian: a coarse structured Gaussian of the same cohort, for finding frames; its protocol grid is the
    stack's grid and its multipliers are those of the prior's intervals. reference: what whole volumes are
    registered to. atlas: mean of the cohort on the stack's grid, (K, H, W), [0, 1].
    """

    gaussian: GaussianParameters
    reference: Volume
    atlas: torch.Tensor

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Tensors to store, all under "space."; 8 bits for images."""
        tensors = {f"gaussian.{name}": tensor for name, tensor in self.gaussian.to_tensors().items()}
        tensors["reference"] = _to_bytes(torch.as_tensor(self.reference.array))
        tensors["reference_ijk_to_ras"] = torch.tensor(self.reference.grid.ijk_to_ras)
        tensors["atlas"] = _to_bytes(self.atlas)
        return {f"space.{name}": tensor for name, tensor in tensors.items()}

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor]) -> AxialSpace:
        """The inverse of `to_tensors`; other tensors are ignored. Raises KeyError when one is missing."""
        prefix = "space.gaussian."
        gaussian = GaussianParameters.from_tensors(
            {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        )
        reference = tensors["space.reference"].float() / 255
        slices, rows, columns = reference.shape
        grid = Grid((slices, rows, columns), tensors["space.reference_ijk_to_ras"].numpy())
        return cls(gaussian, Volume(reference.numpy(), grid), tensors["space.atlas"].float() / 255)


def _to_bytes(image: torch.Tensor) -> torch.Tensor:
    return (image * 255).round().clamp(0, 255).to(torch.uint8)


class AxialPrior(Prior):
    """Base of a prior over the axial slices of a grid; a subclass implements `infer`.

    Args:
        space: its protocol grid is the prior's grid.
        card: what it is.
        device: where it computes.
    """

    def __init__(self, space: AxialSpace, card: ModelCard, device: torch.device | str = "cpu"):
        super().__init__(
            card,
            space.gaussian.evaluation_grid,
            anatomy_mask=space.atlas > ANATOMY,
            reference=space.reference,
            intervals=IntervalScale(space.gaussian.multipliers),
            device=device,
        )
        self.space = space
        self._of_nothing = lru_cache(maxsize=1)(
            lambda: self.infer([], torch.zeros(0, *self.grid.shape_kji[1:], device=self.device), lambda: None)
        )

    def settled(self, network: Network, slices: int, size: int) -> Network:
        """The network as it is asked: on the prior's device, in evaluation mode, without gradients.

        Args:
            network: of stacks of slices.
            slices: how many it knows.
            size: their rows and columns.

        Raises:
            ValueError: its stacks are not the prior's grid.
        """
        if (slices, size, size) != self.grid.shape_kji:
            raise ValueError(f"a network of {(slices, size, size)} voxels on a grid of {self.grid.shape_kji}")
        placed(network, self.device).eval().requires_grad_(False)
        return network

    def in_parts(
        self, draw: Callable[..., torch.Tensor], check: Callable[[], None], *codes: torch.Tensor
    ) -> torch.Tensor:
        """What a network draws of codes (N, ...), (N, H, W), in parts.

        Few slices at once, as fit into the cache of a processor; more on a GPU.

        Args:
            draw: parts of the codes to slices (n, H, W).
            check: called before each part; raise from it to cancel.
            codes: one or more, of the same length N.
        """
        pixels = _GPU_PIXELS if self.device.type == "cuda" else _CACHED_PIXELS
        many = max(1, pixels // math.prod(self.grid.shape_kji[1:]))
        parts = []
        for part in zip(*(each.split(many) for each in codes), strict=True):
            check()
            parts.append(draw(*part))
        return torch.cat(parts)

    def _make_alignment_model(self) -> AlignmentModel:
        return GaussianProcess(self.space.gaussian).alignment_model(self.card)

    @abstractmethod
    def infer(
        self, index: list[int], pixels: torch.Tensor, check: Callable[[], None], fast: bool = False
    ) -> Posterior:
        """Posterior on the prior's grid given `pixels` (n, H, W) of its slices `index` (n,).

        Args:
            index: ascending; there may be none (n = 0).
            pixels: canonical units, on the prior's device.
            check: as in `condition`.
            fast: as in `condition`.
        """

    def _condition(self, given: Conditions) -> Posterior:
        """Given nearly axial slices inside the stack; raises InputError for others."""
        slices, _ = split_slices(given.observations)
        index, pixels = place(slices, self.grid, self.space.atlas.numpy())
        posterior = (
            self.infer(index, torch.as_tensor(pixels).to(self.device), given.check, given.fast)
            if slices
            else self._of_nothing()
        )
        grid = given.grid or self.grid
        return posterior if grid.same_as(self.grid) else OnGrid(posterior, grid, self.intervals)


@dataclass(frozen=True, eq=False)
class OnGrid(Posterior):
    """A posterior seen on another grid (linear; 0 outside)."""

    posterior: Posterior
    grid: Grid
    intervals: IntervalScale

    def _resampled(self, array: torch.Tensor) -> torch.Tensor:
        volume = Volume(array.cpu().numpy(), self.posterior.grid)
        return torch.as_tensor(resample(volume, self.grid, antialias=False).array)

    def mean(self) -> torch.Tensor:
        """(K, J, I)."""
        return self._resampled(self.posterior.mean())

    def std(self) -> torch.Tensor:
        """(K, J, I)."""
        return self._resampled(self.posterior.std())

    def _sample(self, seeds: list[int]) -> torch.Tensor:
        """Samples of the posterior, shape (n, K, J, I)."""
        return torch.stack([self._resampled(sample) for sample in self.posterior.sample(seeds)])

    def log_evidence(self) -> float:
        """Of the posterior itself, nats."""
        return self.posterior.log_evidence()


def place(slices: list[Slice], grid: Grid, atlas: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Slices on the nearest axial slices of `grid`.

    Pixels that a slice does not cover come from `atlas`; slices that fall on the same place are averaged.

    Args:
        slices: canonical mm and units.
        grid: its third index axis is the stack's.
        atlas: (K, H, W), canonical units.

    Returns:
        Their numbers (n,), ascending, and pixels (n, H, W) float32.

    Raises:
        InputError: for a slice that is tilted by more than 5 degrees or lies more than 3 mm outside of the
            stack.
    """
    found: dict[int, list[np.ndarray]] = {}
    for image in slices:
        k = _nearest(image, grid)
        found.setdefault(k, []).append(_on_slice(image, grid, k, atlas[k]))
    index = sorted(found)
    return index, np.stack([np.mean(found[k], 0) for k in index]) if index else np.zeros(
        (0, *grid.shape_kji[1:]), np.float32
    )


def _nearest(image: Slice, grid: Grid) -> int:
    """Number of the grid's slice that is nearest to the middle of `image`. Raises InputError."""
    axis = grid.ijk_to_ras[:3, 2] / grid.spacing_ijk[2]
    tilt = float(np.degrees(np.arccos(np.clip(abs(image.plane.normal @ axis), 0, 1))))
    if tilt > MAX_TILT_DEGREES:
        raise InputError(
            f"{image.name}: tilted by {tilt:.0f} degrees; this model knows axial slices only (up to "
            f"{MAX_TILT_DEGREES:.0f} degrees)."
        )
    depth = float((grid.ras_to_ijk @ [*image.plane.centre, 1.0])[2])
    k = int(np.clip(round(depth), 0, grid.shape_kji[0] - 1))
    if abs(depth - k) * grid.spacing_ijk[2] > max(_MAX_OUTSIDE_MM, grid.spacing_ijk[2] / 2):
        low, high = (float((grid.ijk_to_ras @ [0, 0, n, 1])[2]) for n in (0, grid.shape_kji[0] - 1))
        place = f"{image.name}: at {image.plane.centre[2]:.0f} mm of the model's space"
        raise InputError(f"{place}; this model knows slices between {low:.0f} and {high:.0f} mm only.")
    return k


def _on_slice(image: Slice, grid: Grid, k: int, atlas: np.ndarray) -> np.ndarray:
    """Pixels (H, W) of the grid's slice k, each from the point of `image` above or below it."""
    pixel = float(grid.spacing_ijk[:2].min())
    if float(image.plane.spacing_ij.min()) < 0.95 * pixel:
        image = resample_slice(image, pixel)
    j, i = np.indices(grid.shape_kji[1:])
    points = np.stack([i.ravel(), j.ravel(), np.full(i.size, k), np.ones(i.size)]).T @ grid.ijk_to_ras.T
    column, row = (points @ np.linalg.inv(image.plane.ij_to_ras).T)[:, :2].T
    edge = 1e-3
    rows, columns = image.plane.shape_ji
    inside = (row >= -edge) & (row <= rows - 1 + edge) & (column >= -edge) & (column <= columns - 1 + edge)
    values = map_coordinates(image.pixels, [row.clip(0, rows - 1), column.clip(0, columns - 1)], order=1)
    return np.where(inside, values, atlas.ravel()).reshape(i.shape).astype(np.float32)
