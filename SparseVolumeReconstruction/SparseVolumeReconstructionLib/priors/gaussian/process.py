"""The process that fitted parameters describe, on any grid along the canonical axes."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from ...geometry import Grid
from ..alignment_model import AlignmentModel
from ..card import ModelCard
from .field import GaussianField, correlation_matrix
from .parameters import SD_FLOOR, GaussianParameters

_KEPT_GRIDS = 2
_SMALL_MM, _COARSE = 40.0, 32  # bodies that are smaller are aligned on so many voxels


class GaussianProcess:
    """Mean at every knot, loadings and residual of parameters; tensors live on `device`.

    Args:
        parameters: of the process.
        device: where it computes.
    """

    def __init__(self, parameters: GaussianParameters, device: torch.device | str = "cpu"):
        self.parameters, self._device = parameters, torch.device(device)
        self._mask = torch.as_tensor(parameters.mask)
        self._means = self._expand(parameters.means)
        k, j, i = (
            correlation_matrix(curve, size).to(self._device)
            for curve, size in zip(parameters.curves, parameters.grid.shape_kji, strict=True)
        )
        sd = self._expand(parameters.sd[None], SD_FLOOR)[0]
        loadings = self._expand(parameters.loadings)
        self._field = GaussianField(
            parameters.grid, self._means[0], loadings, sd, (k, j, i), parameters.noise
        )
        self._kept = lru_cache(maxsize=_KEPT_GRIDS)(self._on)

    def _expand(self, masked: torch.Tensor, fill: float = 0.0) -> torch.Tensor:
        """Masked voxels (m, n) as volumes (m, K, J, I)."""
        out = torch.full((len(masked), *self._mask.shape), fill)
        out[:, self._mask] = masked.clamp(min=fill) if fill else masked
        return out.to(self._device)

    def on(self, grid: Grid) -> tuple[GaussianField, torch.Tensor, torch.Tensor]:
        """The process on another grid; the last two are kept.

        Returns:
            The field with the mean of the first knot, the means of all knots (Q, K, J, I), and the anatomy
            mask (K, J, I) bool.

        Raises:
            InputError: when the axes of the grid are not the canonical ones.
        """
        return self._kept(grid.shape_kji, grid.ijk_to_ras.tobytes())

    def _on(
        self, shape_kji: tuple[int, int, int], ijk_to_ras: bytes
    ) -> tuple[GaussianField, torch.Tensor, torch.Tensor]:
        grid = Grid(shape_kji, np.frombuffer(ijk_to_ras).reshape(4, 4))
        rank, mask = len(self._field.loadings), self._mask[None].to(self._means)
        field = replace(self._field, loadings=torch.cat([self._field.loadings, self._means, mask])).on(grid)
        return (
            replace(field, loadings=field.loadings[:rank]),
            field.loadings[rank:-1],
            field.loadings[-1] > 0.5,
        )

    def alignment_model(self, card: ModelCard, spacing_mm: float = 4.0, rank: int = 20) -> AlignmentModel:
        """The process on a coarse grid (CPU), for finding the frame of slices.

        Args:
            card: of the model that is aligned to, for its name.
            spacing_mm: of the coarse grid, unless the canonical one is coarser, or the body that of a mouse.
            rank: at most so many loadings.
        """
        p = self.parameters
        extent = float(np.ptp(p.grid.corners_ras(), axis=0).max())
        spacing_mm = extent / _COARSE if extent < _SMALL_MM else spacing_mm
        grid = p.grid.with_spacing(max(spacing_mm, float(p.grid.spacing_ijk.max())))
        field, means, _ = self._on(grid.shape_kji, grid.ijk_to_ras.tobytes())
        maps = torch.cat([means, field.sd[None], field.loadings[:rank]]).cpu()
        name = f"{card.anatomy} {card.modality} ({card.id})"
        return AlignmentModel(
            name, grid, maps, p.knots.cpu(), p.scale_knots.cpu(), p.rotation_sd, p.min_score
        )
