"""Conditional BRUNO's networks: pose embedding, flow and process, and the likelihood of slices given others.

Korshunova et al., BRUNO (NeurIPS 2018) and Conditional BRUNO (Neurocomputing 2020).
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn
from torch.nn import functional

from ..stored import PoseKind, pose_table, settings_text
from .flow import Flow, initialising
from .process import ExchangeableProcess, PoseProcess

_MIN_DEVIATION = 0.2  # of logits: where the cohort is empty, another body need not be


class BrunoShape(BaseModel):
    """The shape of the model, apart from that of the data.

    process: whether two slices of a body covary alike wherever they lie ("exchangeable"), or by their
    distance ("pose"). checkerboard, channel, dense, filters, blocks, hidden: as in Flow. embedding:
    components of the pose's embedding. pose: how its layer sees a position: as one of many ("one-hot"), or by
    sines and cosines of it, so that neighbours are alike ("fourier"). alpha: pixels are squeezed into [alpha,
    1 - alpha] before the logit, or the empty background would lie far out. levels: the uniform noise that
    makes densities of grey values is as wide as one of so many. standardise: the flow sees how far a pixel is
    from the cohort's mean at its position, in standard deviations, so that it starts from the mean atlas.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    process: Literal["exchangeable", "pose"] = "exchangeable"
    kind: Literal["gaussian", "student"] = "student"
    checkerboard: tuple[Annotated[int, Field(ge=0)], ...] = (3, 3, 4)
    channel: tuple[Annotated[int, Field(ge=0)], ...] = (3, 3, 0)
    filters: int = Field(64, ge=1)
    blocks: int = Field(6, ge=1)
    dense: int = Field(6, ge=0)
    hidden: int = Field(256, ge=1)
    embedding: int = Field(32, ge=1)
    pose: PoseKind = "one-hot"
    alpha: float = Field(0.05, gt=0, lt=0.5)
    levels: int = Field(256, ge=2)
    standardise: bool = True

    @model_validator(mode="after")
    def _scales_agree(self) -> BrunoShape:
        if not self.checkerboard or len(self.checkerboard) != len(self.channel):
            raise ValueError("checkerboard and channel need one number of couplings for each scale")
        return self


class BrunoSettings(BrunoShape):
    """All that makes the network.

    size: pixels of a slice along a side. slices: positions of the stack.
    """

    size: int = Field(64, ge=4)
    slices: int = Field(120, ge=2)

    @model_validator(mode="after")
    def _size_fits(self) -> BrunoSettings:
        if self.size % 2 ** len(self.checkerboard):
            raise ValueError(
                f"{len(self.checkerboard)} scales need a size that is a multiple of "
                f"{2 ** len(self.checkerboard)}"
            )
        return self


def read_settings(stored: torch.Tensor) -> BrunoSettings:
    """The inverse of `settings_tensor` (n,). Raises ValueError for other content."""
    return BrunoSettings.model_validate_json(settings_text(stored))


class PoseEmbedding(nn.Module):
    """A position of the stack as a vector: one dense layer with leaky ReLU, shared by all couplings.

    Args:
        slices: positions of the stack.
        embedding: components of the vector.
        pose: how a position is given, see `pose_table`.
    """

    table: torch.Tensor

    def __init__(self, slices: int, embedding: int, pose: PoseKind):
        super().__init__()
        table = pose_table(slices, pose)
        self.register_buffer("table", table, persistent=False)
        self.layer = nn.Linear(table.shape[1], embedding)

    def forward(self, index: torch.Tensor) -> torch.Tensor:
        """Vectors (N, embedding) of slice numbers (N,)."""
        return functional.leaky_relu(self.layer(self.table[index]))


class Standardise(nn.Module):
    """Logits of a slice in standard deviations from the cohort's mean there; mean, deviation: (K, H, W).

    Args:
        slices: K, positions of the stack.
        size: H and W.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, slices: int, size: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(slices, size, size))
        self.register_buffer("deviation", torch.ones(slices, size, size))

    @torch.no_grad()
    def update(self, logits: torch.Tensor, step: int) -> None:
        """Let both be those of all volumes of steps 0 .. step.

        Args:
            logits: (B, K, H, W) of this step.
            step: its number; steps before it were given already.
        """
        square = self.deviation**2 + self.mean**2 - _MIN_DEVIATION**2
        square = torch.lerp(square, (logits**2).mean(0), 1 / (step + 1))
        self.mean.lerp_(logits.mean(0), 1 / (step + 1))
        self.deviation.copy_(((square - self.mean**2).clamp(min=0) + _MIN_DEVIATION**2).sqrt())

    def forward(self, logits: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Standardised slices (N, H, W) and the log determinant (N,).

        Args:
            logits: (N, H, W).
            index: slice numbers (N,).
        """
        deviation = self.deviation[index]
        return (logits - self.mean[index]) / deviation, -deviation.log().flatten(1).sum(1)

    def inverse(self, y: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """The logits (N, H, W) of standardised slices.

        Args:
            y: (N, H, W).
            index: slice numbers (N,).
        """
        return y * self.deviation[index] + self.mean[index]


class Bruno(nn.Module):
    """Flow and process.

    Images are in [0, 1]; slices are numbered 0 .. slices - 1 from inferior to superior.
    """

    def __init__(self, settings: BrunoSettings):
        super().__init__()
        self.settings = s = settings
        self.embedding = PoseEmbedding(s.slices, s.embedding, s.pose)
        self.standardise = Standardise(s.slices, s.size) if s.standardise else None
        self.flow = Flow(
            s.size, s.checkerboard, s.channel, s.filters, s.blocks, s.dense, s.hidden, s.embedding
        )
        self.process = (ExchangeableProcess if s.process == "exchangeable" else PoseProcess)(
            s.size**2, s.kind
        )

    def positions(self, index: torch.Tensor) -> torch.Tensor:
        """Where the slices of numbers (B, M) lie along the stack, as shares of its length."""
        return (index + 0.5) / self.settings.slices

    def encode(
        self, x: torch.Tensor, index: torch.Tensor, noise: torch.Tensor | float = 0.5
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents (B, M, D) and log determinants (B, M) of images (B, M, H, W) at slice numbers (B, M).

        Or the same without B.

        Args:
            x: in [0, 1].
            index: slice numbers.
            noise: uniform in [0, 1) where densities are learned, in the shape of x; 0.5 is its middle.
        """
        flat, at = x.flatten(0, -3), index.flatten()
        y, log_det = self._logits(flat, noise if isinstance(noise, float) else noise.flatten(0, -3))
        if self.standardise:
            y, scaled = self.standardise(y, at)
            log_det = log_det + scaled
        z, flowed = self.flow(y[:, None], self.embedding(at))
        return z.unflatten(0, index.shape), (log_det + flowed).unflatten(0, index.shape)

    def _logits(self, x: torch.Tensor, noise: torch.Tensor | float) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of images (N, H, W) and the log determinant (N,)."""
        s = self.settings
        shrink = (1 - 2 * s.alpha) * (s.levels - 1) / s.levels
        share = s.alpha + (1 - 2 * s.alpha) / s.levels * noise + shrink * x
        return torch.logit(share), (math.log(shrink) - share.log() - torch.log1p(-share)).flatten(1).sum(1)

    def decode(self, z: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Images (B, M, H, W), in [0, 1], of latents (B, M, D) at slice numbers (B, M).

        Or the same without B.

        Args:
            z: as `encode` gives them.
            index: slice numbers.
        """
        s = self.settings
        at = index.flatten()
        logits = self.flow.inverse(z.flatten(0, -2), self.embedding(at))[:, 0]
        if self.standardise:
            logits = self.standardise.inverse(logits, at)
        x = ((torch.sigmoid(logits) - s.alpha) / (1 - 2 * s.alpha) * s.levels - 0.5) / (s.levels - 1)
        return x.clamp(0, 1).unflatten(0, index.shape)

    def forward(
        self, x: torch.Tensor, index: torch.Tensor, contexts: int = 0, noise: torch.Tensor | float = 0.5
    ) -> torch.Tensor:
        """Joint log density of the slices after the first `contexts`, given those, (B,): nats.

        Args:
            x: (B, M, H, W).
            index: (B, M) slice numbers.
            contexts: how many slices are given, 0 .. M.
            noise: as in `encode`.
        """
        z, log_det = self.encode(x, index, noise)
        with torch.autocast(z.device.type, enabled=False):
            position = self.positions(index)
            joint = self.process.log_density(z, position)
            if contexts:
                joint = joint - self.process.log_density(z[:, :contexts], position[:, :contexts])
            return joint + log_det[:, contexts:].sum(1)

    def observe(self, volumes: torch.Tensor, step: int) -> None:
        """Let whole volumes (B, K, H, W) of step 0, 1, ... count for the cohort's mean and deviation.

        Args:
            volumes: in [0, 1].
            step: its number; steps before it were given already.
        """
        if self.standardise:
            self.standardise.update(self._logits(volumes.flatten(0, 1), 0.5)[0].view_as(volumes), step)

    def initialise(self, x: torch.Tensor, index: torch.Tensor) -> None:
        """Set gains and biases of the weight-normed layers from images (N, H, W) at slice numbers (N,).

        Args:
            x: in [0, 1], of several bodies and positions.
            index: slice numbers.
        """
        with initialising(self):
            self.encode(x, index)
