"""What GQN and the conditional VAE share: settings, maps of poses, the tower of contexts, the divergence.

Slices are (N, H, W) in [0, 1], numbered 0 .. slices - 1 from inferior to superior; maps have S x S places, S
= size / scale.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional

from ..stored import PoseKind, pose_table

_LOG_SD = (-6.0, 3.0)


class NeuralRenderingShape(BaseModel):
    """The shape of either network, apart from that of the data.

    tower: channels of the tower. leak: share of negative numbers that its activations keep; with 0, a ReLU as
    in the papers, all of it can die, and no context is seen. representation: channels of what it makes of the
    contexts. pose: how a position of the stack is given, see `pose_table`; as a map of pose_channels, since
    convolutions do not know where they are. latent: latent numbers (of the whole slice, or channels of a
    map). sigma: standard deviation of the pixels' noise; where it is large, images that say nothing are
    likely enough.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    tower: int = Field(256, ge=2)
    leak: float = Field(0.0, ge=0, lt=1)
    representation: int = Field(256, ge=1)
    pose: PoseKind = "fourier"
    pose_channels: int = Field(16, ge=1)
    latent: int = Field(64, ge=1)
    sigma: float = Field(0.1, gt=0)


class DataShape(BaseModel):
    """The shape of the data that a network is for.

    size: pixels of a slice along a side. slices: positions of the stack.
    """

    size: int = Field(64, ge=8)
    slices: int = Field(120, ge=2)


class NetworkSettings(NeuralRenderingShape, DataShape):
    """All that makes either network."""


class Maps(nn.Module):
    """Vectors (N, inputs) to maps (N, channels, side, side), linearly.

    Args:
        inputs: components of a vector.
        channels: of its maps.
        side: pixels of a map along a side.
    """

    def __init__(self, inputs: int, channels: int, side: int):
        super().__init__()
        self.shape = (channels, side, side)
        self.layer = nn.Linear(inputs, channels * side * side)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, side, side)."""
        return self.layer(x).unflatten(1, self.shape)


class PoseMaps(Maps):
    """Maps (N, channels, side, side) of slice numbers (N,).

    Args:
        slices: positions of the stack.
        kind: how a position is given, see `pose_table`.
        channels: of a slice's maps.
        side: pixels of a map along a side.
    """

    table: torch.Tensor

    def __init__(self, slices: int, kind: PoseKind, channels: int, side: int):
        table = pose_table(slices, kind)
        super().__init__(table.shape[1], channels, side)
        self.register_buffer("table", table, persistent=False)

    def forward(self, index: torch.Tensor) -> torch.Tensor:
        """(N, channels, side, side)."""
        return super().forward(self.table[index])


class Residual(nn.Module):
    """relu(main(x) + skip(x)), where negative numbers keep a share `leak`; stride 2 halves the map.

    Args:
        inputs: channels that go in.
        hidden: channels between.
        outputs: channels that come out.
        stride: 1 or 2.
        leak: 0 is a ReLU.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, stride: int, leak: float):
        super().__init__()
        self.leak = leak
        size = {1: 3, 2: 2}[stride]
        last = nn.Conv2d(hidden, outputs, size, stride, padding=(size - 1) // 2)
        self.main = nn.Sequential(nn.Conv2d(inputs, hidden, 3, padding=1), nn.LeakyReLU(leak), last)
        self.skip = nn.Conv2d(inputs, outputs, size, stride, padding=(size - 1) // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, outputs, H / stride, W / stride)."""
        return functional.leaky_relu(self.main(x) + self.skip(x), self.leak)


class Tower(nn.Module):
    """The representation of slices with their pose: halved to maps of size / scale, where the pose joins.

    Args:
        shape: of the network.
        scale: a power of two, at least 2.
    """

    def __init__(self, shape: NetworkSettings, scale: int):
        super().__init__()
        width = shape.tower
        halvings = scale.bit_length() - 1
        self.pose = PoseMaps(shape.slices, shape.pose, shape.pose_channels, shape.size // scale)
        self.down = nn.Sequential(
            nn.Conv2d(1, width, 2, 2),
            nn.LeakyReLU(shape.leak),
            *(Residual(width, width // 2, width, 2, shape.leak) for _ in range(halvings - 1)),
        )
        self.join = Residual(width + shape.pose_channels, width // 2, width, 1, shape.leak)
        self.out = nn.Conv2d(width, shape.representation, 1)

    def forward(self, slices: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Representations (N, R, S, S) of slices (N, H, W) at slice numbers (N,).

        Args:
            slices: in [0, 1].
            index: 0 .. slices - 1.
        """
        return self.out(self.join(torch.cat([self.down(slices[:, None]), self.pose(index)], 1)))


class NeuralRenderingNetwork(nn.Module):
    """Contexts to a representation, and this with a pose to a slice; a subclass implements `forward`.

    Attributes:
        noise_shape: of the standard normal numbers that a slice is drawn with.

    Args:
        settings: of the network.
        scale: pixels of a slice over those of the maps along a side; a power of two.
    """

    noise_shape: tuple[int, ...]

    def __init__(self, settings: NetworkSettings, scale: int):
        super().__init__()
        self.settings = settings
        self.side = settings.size // scale
        self.tower = Tower(settings, scale)
        self.pose = PoseMaps(settings.slices, settings.pose, settings.pose_channels, self.side)

    def represent(self, contexts: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Mean of the representations of contexts (B, n, H, W) at slice numbers (B, n), (B, R, S, S).

        0 for n = 0.

        Args:
            contexts: slices in [0, 1], n of each body.
            index: 0 .. slices - 1.
        """
        each = self.tower(contexts.flatten(0, 1), index.flatten()).unflatten(0, index.shape)
        return each.sum(1) / max(1, index.shape[1])

    def forward(
        self,
        index: torch.Tensor,
        representation: torch.Tensor,
        noise: torch.Tensor,
        truth: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Slices (N, H, W) at slice numbers (N,), and the divergence (N,) of their latents, nats.

        Args:
            index: of the slices that are asked for.
            representation: of the contexts of each, (N, R, S, S).
            noise: (N, *noise_shape), standard normal; 0 gives the latents' mean.
            truth: (N, H, W), from which the latents are inferred; None: they are drawn from the prior, and
                the divergence is 0.
        """
        raise NotImplementedError


def mean_and_log_sd(head: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The halves of the channels of a map (N, 2 C, ...) or vector, float32."""
    mean, log_sd = head.float().chunk(2, 1)
    return mean, log_sd.clamp(*_LOG_SD)


def divergence(
    mean: torch.Tensor, log_sd: torch.Tensor, prior_mean: torch.Tensor, prior_log_sd: torch.Tensor
) -> torch.Tensor:
    """KL(N(mean, sd) || N(prior_mean, prior_sd)) of independent numbers (N, ...), summed: (N,), nats.

    Args:
        mean: (N, ...).
        log_sd: logarithm of the standard deviation; all four are of one shape.
        prior_mean: of the other distribution.
        prior_log_sd: of the other distribution.
    """
    scaled = ((mean - prior_mean) / prior_log_sd.exp()) ** 2
    ratio = 2 * (log_sd - prior_log_sd)
    return 0.5 * (ratio.exp() + scaled - 1 - ratio).flatten(1).sum(1)
