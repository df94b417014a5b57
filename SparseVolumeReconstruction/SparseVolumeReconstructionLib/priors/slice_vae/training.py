"""Training of the slice VAE: its loss, and the Gaussian over codes.

The latter is fitted when the networks are trained.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field
from torch.nn.functional import avg_pool3d

from ...data.stored import Volumes
from ...training.loop.config import Count, Section, TrainConfig, validated
from ...training.loop.task import Task
from ..alignment_model import ANATOMY
from ..gaussian.fit import correlation_curves
from .codes import SliceCodes
from .network import SliceVae
from .prior import SD_FLOOR, to_tensors

_CHUNK = 64
_SMOOTH = 3


class SliceVaeConfig(Section):
    """Shape and training of a slice VAE.

    width, latent_channels: see SliceVae. kl: weight of the divergence from N(0, I) beside the summed squared
    error. slices: how many of each volume are seen in a step. rank: directions of the Gaussian per component
    of the codes.
    """

    width: Count = 16
    latent_channels: Count = 256
    kl: float = Field(0.2, ge=0)
    slices: Count = 32
    rank: Count = 16


class SliceVaeTask(Task):
    """See training.loop.task.Task; volumes are (N, K, H, W) in [0, 1]."""

    networks: SliceVae

    def __init__(self, config: TrainConfig):
        self.config = config
        self._config = validated(SliceVaeConfig, config.model, "model")
        self._mirror = config.augmentation.mirror
        self.networks = SliceVae(config.data.size, self._config.width, self._config.latent_channels)

    def loss(
        self, batch: torch.Tensor, generator: torch.Generator, step: int
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Summed squared error plus weighted divergence.

        A mean over some slices of each volume (B, K, H, W).
        """
        chosen = torch.randperm(batch.shape[1], generator=generator, device=batch.device)[
            : self._config.slices
        ]
        error, divergence = self._terms(batch[:, chosen].flatten(0, 1), generator)
        return error + self._config.kl * divergence, {
            "error": error.detach(),
            "divergence": divergence.detach(),
        }

    def validate(self, volumes: Volumes, generator: torch.Generator) -> dict[str, float]:
        """The loss and its terms over all slices of volumes (N, K, H, W)."""
        terms = torch.stack([torch.stack(self._terms(volume, generator)) for volume in volumes]).mean(0)
        error, divergence = terms.tolist()
        return {"score": error + self._config.kl * divergence, "error": error, "divergence": divergence}

    def _terms(self, slices: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Squared error and divergence per slice of (B, H, W), with one draw of the codes."""
        mean, log_variance = (t.float() for t in self.networks.encode(slices))
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        decoded = self.networks.decode(mean + (0.5 * log_variance).exp() * noise).float()
        divergence = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum()
        return ((decoded - slices) ** 2).sum() / len(slices), divergence / len(slices)

    @torch.no_grad()
    def weights(self, volumes: Volumes) -> dict[str, torch.Tensor]:
        """Networks, the Gaussian over the codes of volumes (N, K, H, W), and the decoder's error.

        Mirror images are among the volumes where the configuration says so.
        """
        self.networks.eval()
        device = next(self.networks.parameters()).device

        def images() -> Iterator[torch.Tensor]:
            for volume in volumes:
                yield volume.to(device)
                if self._mirror:
                    yield volume.to(device).flip(-1)

        def errors() -> Iterator[torch.Tensor]:  # made again where they are wanted, or memory would hold all
            for image, code in zip(images(), codes, strict=True):
                decoded = torch.cat([self.networks.decode(part) for part in code.split(_CHUNK)])
                yield (image - decoded).cpu().half().float()

        codes = [
            torch.cat([self.networks.encode(part)[0] for part in image.split(_CHUNK)]) for image in images()
        ]
        square = torch.zeros(volumes.shape[1:])
        for error in errors():
            square += error**2
        square /= len(codes)
        sd = avg_pool3d(square[None, None], _SMOOTH, 1, _SMOOTH // 2, count_include_pad=False)[0, 0].sqrt()
        inside = (volumes.mean(0) > ANATOMY).cpu() & (sd > SD_FLOOR)
        curves = correlation_curves(
            (torch.where(inside, e / sd, 0).numpy() for e in errors()), inside.numpy()
        )
        gaussian = SliceCodes.fit(torch.stack(codes).cpu(), self._config.rank)
        return to_tensors(
            self.networks, gaussian, sd, [torch.as_tensor(curve, dtype=torch.float32) for curve in curves]
        )
