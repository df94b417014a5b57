"""Fields of tissue fractions that share the latents of a fitted process: any contrast is a sum of them.

A scan shows sum_t c_t f_t, for fractions f_t of fluid, grey and white matter, and grey values c_t of its own.
As all f_t are linear in the same latents, so is the scan: it is a structured Gaussian again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.special import expit

TISSUES = ("csf", "gm", "wm")
"""Fluid, grey and white matter."""
ZONES = ("everywhere", "rim", "deep")
"""Where a tissue has a grey value of its own: at the surface, scans differ by what was cut off, and deep grey
matter is not like the cortex."""
USUAL = {
    "T2w": {
        "csf": [1.0, -1.76, 0.61, 0.33],
        "gm": [0.67, -0.45, 0.09, 0.0],
        "wm": [0.52, 0.1, 0.04, 0.18],
    },
    "FLAIR": {
        "csf": [0.24, 0.0, -0.27, 0.0],
        "gm": [0.94, -0.47, 0.13, 0.0],
        "wm": [1.0, 0.12, 0.02, 0.19],
    },
}
"""Grey values of contrasts that nobody scanned, as `TissueContrast.to_dict` gives them.

Medians of five patients (T2w) and of ten people of two sites (FLAIR), found from nine slices of each.
"""
SHOWN_WIDENING = {("T2w", "T1w"): 1.3, ("FLAIR", "T1w"): 1.15, ("unclear", "T1w"): 1.3, ("T1w", "T2w"): 0.6}
"""Factor on standard deviations by the contrast of the slices and that which is shown, where what the process
says of its ignorance is too little or too much.

So that 90 % intervals hold 0.90 of the scan that was not given, on average over ten people of each pair: four
of ds000011, one with multiple sclerosis and five patients, of FLAIR the one and nine of the NiChart sites. A
person who is left out changes it by 0.07 at most. An unclear contrast is taken to be like T2w.
"""
_RIM_MM, _DEEP_MM, _SHARP_MM = 5.0, 25.0, 4.0
_SUM = len(TISSUES) + 1  # what the process itself shows, and the tissues
_PAIRS = torch.triu_indices(_SUM, _SUM)


@dataclass(frozen=True, eq=False)
class TissueContrast:
    """The grey values that a scan gives to the tissues, in its own units.

    shades: (3, 3), of each of TISSUES (rows): the grey value, and what is added to it in each of the other
    ZONES. spread: standard deviation within each tissue, (3,).
    """

    shades: np.ndarray
    spread: np.ndarray

    @property
    def unit(self) -> float:
        """The grey value that is 1 in canonical units: that of the brightest tissue."""
        return float(np.abs(self.shades[:, 0]).max())

    def weights(self, zones: torch.Tensor) -> torch.Tensor:
        """Grey value of each tissue in every voxel, in units of the brightest, (3, n). zones: (3, n)."""
        return torch.as_tensor(self.shades / self.unit).float() @ zones

    def to_dict(self) -> dict[str, list[float]]:
        """JSON-ready: by tissue, its shades and then its spread."""
        rows = np.column_stack([self.shades, self.spread]).tolist()
        return dict(zip(TISSUES, rows, strict=True))

    @classmethod
    def from_dict(cls, rows: dict[str, list[float]]) -> TissueContrast:
        """The inverse of `to_dict`."""
        table = np.array([rows[name] for name in TISSUES])
        return cls(table[:, :-1], table[:, -1])


@dataclass(frozen=True, eq=False)
class TissueFields:
    """Tissue fractions [0, 1] of the n masked voxels of a process of that rank or more.

    means: (3, n). loadings: int8 (3, rank, n), in units of `step`: unpacked only as sums, which are smaller.
    covariance: of the residuals of the process's own contrast (0) and the tissues (1..3), the 10 pairs of
    (4, 4), (10, n).
    """

    means: torch.Tensor
    loadings: torch.Tensor
    step: float
    covariance: torch.Tensor

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Tensors to store: int8 loadings, means in 1/255, covariances as int8 with a scale each."""
        scale = self.covariance.abs().amax(1).clamp(min=1e-8) / 127
        return {
            "tissue_means": (self.means * 255).round().clamp(0, 255).to(torch.uint8),
            "tissue_loadings": self.loadings,
            "tissue_step": torch.tensor(self.step),
            "tissue_covariance": (self.covariance / scale[:, None]).round().to(torch.int8),
            "tissue_covariance_scale": scale.float(),
        }

    @classmethod
    def from_tensors(cls, t: dict[str, torch.Tensor]) -> TissueFields | None:
        """The inverse of `to_tensors`; None where none were stored."""
        if "tissue_means" not in t:
            return None
        return cls(
            t["tissue_means"].float() / 255,
            t["tissue_loadings"],
            float(t["tissue_step"]),
            t["tissue_covariance"].float() * t["tissue_covariance_scale"][:, None],
        )

    def weighted_loadings(self, weights: torch.Tensor) -> torch.Tensor:
        """Sum of the tissues' loadings with weights (3, n): (rank, n)."""
        parts = (w * loadings.float() for w, loadings in zip(weights, self.loadings, strict=True))
        return self.step * sum(parts, torch.zeros(()))

    @cached_property
    def residual_covariance(self) -> torch.Tensor:
        """Of the process's own contrast and the tissues, (4, 4, n)."""
        full = self.covariance.new_zeros(_SUM, _SUM, self.covariance.shape[1])
        full[_PAIRS[0], _PAIRS[1]] = self.covariance
        full[_PAIRS[1], _PAIRS[0]] = self.covariance
        return full


def zones_of(mask: np.ndarray, spacing_kji: np.ndarray) -> torch.Tensor:
    """How much each of the n voxels of a mask (K, J, I) belongs to each of ZONES, 0..1, (3, n).

    Args:
        mask: bool.
        spacing_kji: of its voxels, mm.
    """
    depth = distance_transform_edt(mask, spacing_kji)[mask]
    rim, deep = np.exp(-depth / _RIM_MM), expit((depth - _DEEP_MM) / _SHARP_MM)
    return torch.as_tensor(np.stack([np.ones_like(depth), rim, deep]), dtype=torch.float32)
