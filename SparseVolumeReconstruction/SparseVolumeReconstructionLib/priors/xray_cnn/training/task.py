"""What the X-ray network learns: volumes behind pictures from random directions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from ....data.augment import augment
from ....data.stored import Volumes
from ....observation.views import VIEWS, facing, rolled, view_axes
from ....training.loop.config import TrainConfig, validated
from ....training.loop.task import Task
from ..cube import transparency, turned
from ..network import XrayNetwork, XraySettings, in_depth
from ..prior import to_tensors

_TILT = 0.05  # rad, of the picture in its plane, as poses by evidence err
_NOISE = 0.004  # of the transparency
_EXPOSURE = 0.05  # of the log attenuation
_OBLIQUE = ((0.6, -0.5, -0.6), (0.3, -0.8, 0.5))


class XrayTask(Task):
    """The network, pictures from random directions, and the squared error of its volume.

    "Volumes" are cubes (N, size, size, size) with RAS axes. atlas: their mean (size, size, size), of those to
    be trained on; must be set before the first batch.
    """

    networks: XrayNetwork
    atlas: torch.Tensor

    def __init__(self, config: TrainConfig):
        """Raises InputError where `config.model` is not what the network needs."""
        self.config = config
        self.settings = validated(XraySettings, config.model, "model")
        self.networks = XrayNetwork(self.settings)

    def batch(self, volumes: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Pictures (B, size, size) of changed volumes from half a sphere of directions, and their volumes."""
        count, device = len(volumes), volumes.device
        volumes = augment(volumes, self.config.augmentation, self.config.data, generator)
        directions = torch.randn(count, 3, generator=generator, device=device).cpu().numpy()
        tilts = (_TILT * torch.randn(count, generator=generator, device=device)).cpu().numpy()
        axes = np.stack([rolled(view_axes(facing(d)), t) for d, t in zip(directions, tilts, strict=True)])
        turns = torch.as_tensor(axes, device=device)
        seen = turned(volumes, turns)
        exposure = torch.randn(count, 1, 1, generator=generator, device=device) * _EXPOSURE
        picture = transparency(seen, self.settings.chi) ** exposure.exp()
        noise = torch.randn(picture.shape, generator=generator, device=device)
        volume = in_depth(seen, self.settings.depth)
        atlas = self._atlas(turns) if self.settings.atlas else seen.new_zeros(seen.shape)
        return {"picture": picture + _NOISE * noise, "volume": volume, "atlas": atlas}

    def _atlas(self, axes: torch.Tensor) -> torch.Tensor:
        """The atlas from some directions, (B, size, rows, columns)."""
        return turned(self.atlas.to(axes.device).expand(len(axes), -1, -1, -1), axes)

    def found(self, picture: torch.Tensor, atlas: torch.Tensor, slices: int) -> torch.Tensor:
        """The volume that the network sees in pictures, (B, slices, size, size); the atlas has all slices."""
        added = self.networks(picture, in_depth(atlas, self.settings.depth)).float()
        added = in_depth(added, slices)
        return in_depth(atlas, slices) + added if self.settings.atlas else added

    def loss(
        self, batch: dict[str, torch.Tensor], generator: torch.Generator, step: int
    ) -> tuple[torch.Tensor, Mapping[str, float | torch.Tensor]]:
        """Mean squared error of the voxels, in ten thousandths."""
        found = self.found(batch["picture"], batch["atlas"], self.settings.depth)
        error = 1e4 * ((found - batch["volume"]) ** 2).mean()
        return error, {"error": error.detach()}

    @torch.no_grad()
    def validate(self, volumes: Volumes, generator: torch.Generator) -> dict[str, float]:
        """Root mean square error over front, side, top and two oblique directions, and of the atlas.

        Of all voxels of the cube, whatever the depth of the network: depths can be compared.
        """
        errors, blind = [], []
        for direction in (*VIEWS.values(), *_OBLIQUE):
            axes = torch.as_tensor(view_axes(facing(np.array(direction))), device=volumes.device)[None]
            for volume in (each[None] for each in volumes):
                truth, atlas = turned(volume, axes), self._atlas(axes)
                picture = transparency(truth, self.settings.chi)
                found = self.found(picture, atlas, self.settings.size).clamp(min=0)
                errors.append(float(((found - truth) ** 2).mean()))
                blind.append(float(((atlas - truth) ** 2).mean()))
        return {"score": float(np.mean(errors)) ** 0.5, "atlas": float(np.mean(blind)) ** 0.5}

    def weights(self, volumes: Volumes) -> dict[str, torch.Tensor]:
        """The network and the atlas; its deviations are 1 until they are measured."""
        return to_tensors(self.networks.cpu(), self.atlas, 1.0, ())
