"""What is fitted and stored of a structured Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ...geometry import Grid
from .tissues import TissueContrast, TissueFields, zones_of

SD_FLOOR = 0.01
_LEVELS = 200  # of a donor's grey values per canonical unit: 8 bits hold up to 1.27


@dataclass(frozen=True, eq=False)
class DonorBank:
    """Real anatomy from which samples start: each is a draw from the prior.

    volumes: (N, n) uint8, masked voxels in `_LEVELS` per canonical unit. covariate: of each, (N,). mirror:
    whether their left-right mirror images are donors, too. fitted: whether they are templates of the fit
    with their relatives, so that each draw must be a new relative; otherwise nobody of them was fitted.

    Of a contrast that was not scanned, see `seen.seen_in`, and not stored: stretch: factor on what they
    differ by. unshown: share of the residual's standard deviation that they do not show, (n,).
    """

    volumes: torch.Tensor
    covariate: torch.Tensor
    mirror: bool
    fitted: bool = False
    stretch: float = 1.0
    unshown: torch.Tensor | None = None

    @classmethod
    def of(cls, values: np.ndarray, covariate: np.ndarray, mirror: bool, fitted: bool = False) -> DonorBank:
        """The bank of masked voxels (N, n) in canonical units.

        Args:
            values: stored in 8 bits.
            covariate: of each, (N,).
            mirror: whether their left-right mirror images are donors, too.
            fitted: whether they were fitted.
        """
        levels = np.round(np.asarray(values, np.float32) * _LEVELS).clip(0, 255).astype(np.uint8)
        return cls(torch.from_numpy(levels), torch.as_tensor(covariate, dtype=torch.float32), mirror, fitted)

    def values(self, number: int) -> torch.Tensor:
        """Masked voxels (n,) of one person, canonical units."""
        return self.volumes[number].float() / _LEVELS

    @property
    def variance(self) -> float:
        """Of what they differ by, mean over the voxels; above 0."""
        people = torch.stack([self.values(n) for n in range(len(self.volumes))])
        return float(people.var(0, correction=min(1, len(people) - 1)).mean().clamp(min=1e-6))

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Tensors to store."""
        return {
            "donors": self.volumes,
            "donor_covariate": self.covariate,
            "donor_mirror": torch.tensor(int(self.mirror)),
            "donor_fitted": torch.tensor(int(self.fitted)),
        }

    @classmethod
    def from_tensors(cls, t: dict[str, torch.Tensor]) -> DonorBank | None:
        """The inverse of `to_tensors`; None where there is no bank."""
        if "donors" not in t:
            return None
        fitted = bool(t.get("donor_fitted", 0))  # files of before templates were donors do not say
        return cls(t["donors"], t["donor_covariate"], bool(t["donor_mirror"]), fitted)


@dataclass(frozen=True, eq=False)
class GaussianParameters:
    """What is fitted and stored. Voxel arrays hold the masked voxels in array order, canonical units [0, 1].

    grid, evaluation_grid: the canonical grid and that of the evaluation protocol. mask: (K, J, I) bool.
    means: (Q, n), one per covariate value in `knots` (Q,). loadings: (rank, n). sd: (n,). curves: residual
    correlation at lags 0, 1, ... voxels along k, j, i. noise: share of the residual variance. multipliers:
    see IntervalScale. scale_knots: (Q, 2) mean and standard deviation of the log ratio of canonical to
    patient size at each knot. rotation_sd: spread of the patients' orientation (rad; above 1 it is not
    trusted). min_score: slices explained less are refused. reference: (K, J, I), what whole volumes are
    registered to. donors: None where samples start from draws of the Gaussian alone. tissues: fields of
    tissue fractions, where they were fitted. contrast: in which the process is seen, None for its own.
    """

    grid: Grid
    evaluation_grid: Grid
    mask: np.ndarray
    means: torch.Tensor
    knots: torch.Tensor
    loadings: torch.Tensor
    sd: torch.Tensor
    curves: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    noise: float
    multipliers: tuple[float, ...]
    scale_knots: torch.Tensor
    reference: torch.Tensor
    rotation_sd: float = 0.35
    min_score: float = 0.3
    donors: DonorBank | None = None
    tissues: TissueFields | None = None
    contrast: TissueContrast | None = None

    @cached_property
    def zones(self) -> torch.Tensor:
        """See `tissues.zones_of`, (3, n)."""
        return zones_of(self.mask, self.grid.spacing_ijk[::-1])

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Tensors to store: int8 loadings with a scale each, float16 means and sd, packed mask."""
        scale = self.loadings.abs().amax(1).clamp(min=1e-8) / 127
        tensors = {
            "means": self.means.half(),
            "knots": self.knots.float(),
            "loadings": (self.loadings / scale[:, None]).round().to(torch.int8),
            "loading_scale": scale.float(),
            "sd": self.sd.half(),
            "mask": torch.as_tensor(np.packbits(self.mask)),
            "noise": torch.tensor(self.noise),
            "multipliers": torch.tensor(self.multipliers),
            "scale_knots": self.scale_knots.float(),
            "reference": (self.reference * 255).round().clamp(0, 255).to(torch.uint8),
            "alignment": torch.tensor([self.rotation_sd, self.min_score]),
        }
        for name, grid in (("grid", self.grid), ("protocol", self.evaluation_grid)):
            tensors[f"{name}_shape"] = torch.tensor(grid.shape_kji)
            tensors[f"{name}_ijk_to_ras"] = torch.tensor(grid.ijk_to_ras)
        for axis, curve in zip("kji", self.curves, strict=True):
            tensors[f"curve_{axis}"] = curve.float()
        tensors |= self.donors.to_tensors() if self.donors else {}
        return tensors | (self.tissues.to_tensors() if self.tissues else {})

    @classmethod
    def from_tensors(cls, t: dict[str, torch.Tensor]) -> GaussianParameters:
        """The inverse of `to_tensors`. Raises KeyError when a tensor is missing."""
        grid, protocol = (
            Grid(tuple(t[f"{n}_shape"].tolist()), t[f"{n}_ijk_to_ras"].numpy()) for n in ("grid", "protocol")
        )
        mask = np.unpackbits(t["mask"].numpy(), count=grid.size).astype(bool).reshape(grid.shape_kji)
        rotation_sd, min_score = t["alignment"].tolist()
        return cls(
            grid,
            protocol,
            mask,
            t["means"].float(),
            t["knots"],
            t["loadings"].float() * t["loading_scale"][:, None],
            t["sd"].float(),
            (t["curve_k"], t["curve_j"], t["curve_i"]),
            float(t["noise"]),
            tuple(t["multipliers"].tolist()),
            t["scale_knots"],
            t["reference"].float() / 255,
            rotation_sd,
            min_score,
            DonorBank.from_tensors(t),
            TissueFields.from_tensors(t),
        )
