"""The X-ray network as a prior: the volume that it sees in each radiograph, and how far it errs."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch.nn.functional import grid_sample

from ...geometry import Grid
from ...observation import Radiograph
from ...observation.views import facing, middle_of, view_axes
from ..base import Conditions, Posterior, Prior
from ..card import ModelCard
from ..device import placed
from ..intervals import IntervalScale
from ..on_base import PriorOnBase
from ..stored import network_state, settings_tensor, settings_text, stored_state
from .cube import side_mm, turned
from .network import XrayNetwork, XraySettings, in_depth


def to_tensors(
    network: XrayNetwork, atlas: torch.Tensor, width: float, multipliers: tuple[float, ...]
) -> dict[str, torch.Tensor]:
    """Tensors to store: float16 weights, the settings, the atlas (size, size, size) in 8 bits, and numbers.

    Args:
        network: as it was trained.
        atlas: mean of the training volumes, [0, 1].
        width: factor on the base's standard deviations.
        multipliers: of intervals; those of the base where there are none.
    """
    return {
        **stored_state(network.state_dict()),
        "settings": settings_tensor(network.settings),
        "atlas": (atlas * 255).round().clamp(0, 255).to(torch.uint8),
        "width": torch.tensor(width),
        "multipliers": torch.tensor(multipliers),
    }


class XrayNetworkPrior(PriorOnBase):
    """A network's volume as the posterior mean; frame, views and the shape of deviations are the base's.

    Of several radiographs it is the mean of what each one alone gives; without any, the base's.

    Args:
        network: is put on the device and in evaluation mode.
        atlas: mean of its training volumes, (size, size, size) on a cube around the base's grid.
        width: factor on the standard deviation that the base's posterior has.
        multipliers: of intervals, as in IntervalScale; the base's if empty.
        base: a prior that can be conditioned on radiographs.
        card: what it is.
        device: where it computes.
    """

    observes = (Radiograph,)

    def __init__(
        self,
        network: XrayNetwork,
        atlas: torch.Tensor,
        width: float,
        multipliers: tuple[float, ...],
        base: Prior,
        card: ModelCard,
        device: torch.device | str = "cpu",
    ):
        super().__init__(base, card, device, IntervalScale(multipliers) if multipliers else None)
        self.width, self.network = width, network
        self.atlas = atlas.to(self.device)
        placed(network, self.device).eval().requires_grad_(False)

    @classmethod
    def from_weights(
        cls,
        tensors: dict[str, torch.Tensor],
        card: ModelCard,
        device: torch.device,
        base: Prior | None = None,
    ) -> XrayNetworkPrior:
        """The prior from the tensors of a weights file, atlas (size, size, size), and its base."""
        if base is None:
            raise ValueError("the card names no base")
        network = XrayNetwork(XraySettings.model_validate_json(settings_text(tensors["settings"])))
        network.load_state_dict(network_state(tensors))
        multipliers = tuple(tensors["multipliers"].tolist())
        atlas = tensors["atlas"].float() / 255
        return cls(network.float(), atlas, float(tensors["width"]), multipliers, base, card, device)

    def _condition(self, given: Conditions) -> Posterior:
        base = self.base_given(given)
        seen = [one for one in given.observations if isinstance(one, Radiograph)]
        return XrayPosterior(base, self, seen) if seen else base

    @torch.no_grad()
    def volume(self, seen: Radiograph, grid: Grid) -> torch.Tensor:
        """What the network sees in one radiograph, (K, J, I) on a grid, at least 0.

        Args:
            seen: canonical mm; its rays are taken as parallel to that in the middle.
            grid: canonical mm.
        """
        settings = self.network.settings
        axes = view_axes(facing(seen.plane.normal))
        turns = torch.as_tensor(axes, dtype=torch.float32, device=self.device)[None]
        atlas = turned(self.atlas[None], turns)
        picture = self._picture(seen, axes, atlas)
        added = self.network(picture[None], in_depth(atlas, settings.depth))
        added = in_depth(added, settings.size)
        points = torch.as_tensor(grid.points_ras(), dtype=torch.float32, device=self.device)
        points = (points - torch.as_tensor(self._middle).to(points)) * self._scale
        whole = self._sampled(added, points @ turns[0].T, grid)
        if settings.atlas:
            whole = whole + self._sampled(self.atlas[None], points, grid)
        return whole.clamp(min=0)

    @cached_property
    def _middle(self) -> np.ndarray:
        return middle_of(self.grid)

    @cached_property
    def _scale(self) -> float:
        """From mm to the cube, whose outer voxels have their centres at -1 and 1."""
        size = self.network.settings.size
        return 2 * size / (side_mm(self.grid) * (size - 1))

    def _sampled(self, cube: torch.Tensor, points: torch.Tensor, grid: Grid) -> torch.Tensor:
        """A cube (1, size, size, size) at points (n, 3) of it, (K, J, I)."""
        at = points.reshape(1, *grid.shape_kji, 3)
        return grid_sample(cube[:, None], at, align_corners=True)[0, 0]

    def _picture(self, seen: Radiograph, axes: np.ndarray, atlas: torch.Tensor) -> torch.Tensor:
        """The transparency that a detector of the network behind the cube has, (size, size).

        Pixels that the radiograph does not show have the atlas's.
        """
        settings = self.network.settings
        at = np.linspace(-1, 1, settings.size) / self._scale
        y, x = np.meshgrid(at, at, indexing="ij")
        points = np.stack([x, y], -1).reshape(-1, 2) @ axes[:2] + self._middle
        columns, rows = _on_detector(seen, points)
        height, width = seen.plane.shape_ji
        place = np.stack([2 * columns / max(width - 1, 1) - 1, 2 * rows / max(height - 1, 1) - 1], -1)
        grid = torch.as_tensor(place, dtype=torch.float32, device=self.device)
        both = np.stack([np.where(seen.kept_pixels, seen.values, 0), seen.kept_pixels]).astype(np.float32)
        found = grid_sample(
            torch.as_tensor(both, device=self.device)[None],
            grid.reshape(1, settings.size, settings.size, 2),
            align_corners=True,
        )[0]
        unit = settings.chi / (side_mm(self.grid) * seen.attenuation_per_mm)
        expected = settings.chi * atlas[0].clamp(min=0).mean(0)
        integrals = torch.where(found[1] > 0.5, unit * found[0] / found[1].clamp(min=0.5), expected)
        return torch.exp(-integrals.clamp(min=0))


def _on_detector(seen: Radiograph, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows (n,) of the pixels that points (n, 3) are seen at."""
    if seen.source_ras is not None:
        rays = points - seen.source_ras
        distance = (seen.plane.centre - seen.source_ras) @ seen.plane.normal
        points = seen.source_ras + rays * (distance / (rays @ seen.plane.normal))[:, None]
    inverse = np.linalg.inv(seen.plane.ij_to_ras)
    local = points @ inverse[:3, :3].T + inverse[:3, 3]
    return local[:, 0], local[:, 1]


class XrayPosterior(Posterior):
    """What the network sees, with the deviations and samples of the base's posterior around it; (K, J, I).

    Args:
        base: the base's posterior given the same radiographs.
        prior: its network is asked when it is needed.
        seen: at least one radiograph, canonical mm.
    """

    def __init__(self, base: Posterior, prior: XrayNetworkPrior, seen: list[Radiograph]):
        self.base, self.grid, self.intervals = base, base.grid, prior.intervals
        self._prior, self._seen = prior, seen

    @cached_property
    def _mean(self) -> torch.Tensor:
        return torch.stack([self._prior.volume(one, self.grid) for one in self._seen]).mean(0)

    def mean(self) -> torch.Tensor:
        """The network's volume; of several radiographs the mean of theirs."""
        return self._mean

    def std(self) -> torch.Tensor:
        """The base's standard deviation, by the factor that was measured on validation subjects."""
        return self._prior.width * self.base.std()

    def _sample(self, seeds: list[int]) -> torch.Tensor:
        """The base's samples, moved alike and spread by the same factor."""
        return self.mean() + self._prior.width * (self.base.sample(seeds) - self.base.mean())

    def log_evidence(self) -> float:
        """The base's."""
        return self.base.log_evidence()
