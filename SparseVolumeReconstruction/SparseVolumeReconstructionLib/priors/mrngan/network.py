"""What the prior keeps of MRNGAN: localiser, pix2pix from slice to slice, recurrent cell, general brain.

Slices are (N, H, W) in [0, 1]; places are numbers of slices (N,); a direction is +1 or -1, (N,).
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn
from torch.nn.functional import interpolate, leaky_relu, pixel_shuffle, pixel_unshuffle

from .localisers import make_localiser

_SLOPE = 0.2
_INPUTS = 3  # of the cell: the last slice, pix2pix of it, the general brain
_FOLD = 2  # pixels along a side that become channels of the cell's maps
_NOISE_PIXELS = 8  # of a slice, along a side, for one number of a noise map


class MrnganShape(BaseModel):
    """The shape of the networks, apart from that of the data.

    localiser: filters of its first convolution. dense: units of its dense layer. pool: pixels along a side
    that it averages first. flow: filters of the levels of pix2pix's U-Net. dropout: share of its deepest
    features that training drops. hidden: channels of the recurrent state. noise: channels of the noise that a
    sample is drawn with.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    localiser: int = Field(128, ge=4)
    dense: int = Field(256, ge=1)
    pool: int = Field(1, ge=1)
    flow: tuple[Annotated[int, Field(ge=1)], ...] = Field((64, 128, 256, 512), min_length=2)
    dropout: float = Field(0.2, ge=0, lt=1)
    hidden: int = Field(64, ge=1)
    noise: int = Field(8, ge=1)


class MrnganSettings(MrnganShape):
    """All that makes the networks.

    size: pixels of a slice along a side. slices: those of the stack.
    """

    size: int = Field(64, ge=8)
    slices: int = Field(120, ge=2)

    @model_validator(mode="after")
    def _sides_halve(self) -> MrnganSettings:
        step = max(2 ** len(self.flow), _NOISE_PIXELS)
        if self.size % step or self.size % self.pool or self.size & (self.size - 1):
            raise ValueError(f"expected a size that is a power of two and a multiple of {step} and of pool")
        return self


class FlowNet(nn.Module):
    """Pix2pix's generator: a U-Net from a slice to the next one in a direction, as a change of the slice.

    Args:
        widths: filters of its levels.
        dropout: share of the deepest features that training drops.
    """

    def __init__(self, widths: tuple[int, ...], dropout: float):
        super().__init__()
        self.downs = nn.ModuleList(
            nn.Conv2d(a, b, 4, 2, 1) for a, b in zip((2, *widths), widths, strict=False)
        )
        below = [widths[-1], *(2 * w for w in widths[-2::-1])]
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in zip(below, (*widths[-2::-1], 1), strict=True)
        )
        for parameter in self.ups[-1].parameters():  # at first, the next slice is a copy of this one
            nn.init.zeros_(parameter)
        self.dropout = nn.Dropout(dropout)

    def forward(self, slices: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        """The neighbours (N, H, W), float32 in [0, 1]."""
        x = torch.stack([slices, direction[:, None, None].expand_as(slices)], 1)
        kept = []
        for down in self.downs:
            x = leaky_relu(down(x), _SLOPE)
            kept.append(x)
        x = self.dropout(kept.pop())
        for number, up in enumerate(self.ups):
            x = up(x if number == 0 else torch.cat([torch.relu(x), kept.pop()], 1))
        return (slices + torch.tanh(x[:, 0].float())).clamp(0, 1)


class Cell(nn.Module):
    """The recurrent cell, a convolutional gated recurrent unit on maps of half the size.

    What it gives is a mixture, pixel by pixel, of its three inputs, and a change of that.

    Args:
        settings: of the networks.
    """

    def __init__(self, settings: MrnganSettings):
        super().__init__()
        self.hidden = settings.hidden
        inputs = _INPUTS * _FOLD**2 + settings.noise + 1
        self.gates = nn.Conv2d(inputs + self.hidden, 2 * self.hidden, 3, padding=1)
        self.new = nn.Conv2d(inputs + self.hidden, self.hidden, 3, padding=1)
        self.out = nn.Conv2d(self.hidden, (_INPUTS + 1) * _FOLD**2, 3, padding=1)
        for parameter in self.out.parameters():  # at first, the next slice is the mean of the three inputs
            nn.init.zeros_(parameter)

    def forward(
        self, images: torch.Tensor, hidden: torch.Tensor, direction: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The next slice (N, H, W) and the next state (N, C, H / 2, W / 2).

        Args:
            images: the three inputs, (N, 3, H, W).
            hidden: the state.
            direction: (N,).
            noise: (N, channels, H / 8, W / 8), standard normal.
        """
        folded = pixel_unshuffle(images, _FOLD)
        side = folded.shape[-2:]
        maps = [
            folded,
            interpolate(noise, side, mode="bilinear", align_corners=False),
            direction[:, None, None, None].expand(-1, 1, *side),
        ]
        x = torch.cat(maps, 1)
        keep, use = torch.sigmoid(self.gates(torch.cat([x, hidden], 1)).float()).chunk(2, 1)
        new = torch.tanh(self.new(torch.cat([x, use * hidden], 1)).float())
        hidden = keep * hidden + (1 - keep) * new
        out = pixel_shuffle(self.out(hidden).float(), _FOLD)
        mixed = (out[:, :_INPUTS].softmax(1) * images).sum(1)
        return (mixed + out[:, _INPUTS]).clamp(0, 1), hidden


class State(NamedTuple):
    """Where chains of slices are: their last slices (N, H, W), hidden states, and places (N,)."""

    image: torch.Tensor
    hidden: torch.Tensor
    place: torch.Tensor


class Mrngan(nn.Module):
    """Localiser, pix2pix, cell and general brain.

    Attributes:
        general: the slices of a general brain, (K, H, W), in [0, 1].
    """

    general: torch.Tensor

    def __init__(self, settings: MrnganSettings):
        super().__init__()
        s = self.settings = settings
        self.localiser = make_localiser("cnn", s.size, s.localiser, s.dense, s.pool)
        self.flow = FlowNet(s.flow, s.dropout)
        self.cell = Cell(s)
        self.register_buffer("general", torch.zeros(s.slices, s.size, s.size))

    @property
    def noise_shape(self) -> tuple[int, int, int]:
        """Of the standard normal numbers that a sample is drawn with."""
        side = self.settings.size // _NOISE_PIXELS
        return self.settings.noise, side, side

    def begin(self, slices: torch.Tensor, place: torch.Tensor) -> State:
        """Chains that begin at slices (N, H, W) which lie at places (N,)."""
        side = self.settings.size // _FOLD
        return State(slices, slices.new_zeros(len(slices), self.settings.hidden, side, side), place)

    def step(self, state: State, direction: torch.Tensor, noise: torch.Tensor) -> State:
        """The chains one slice further.

        Args:
            state: N chains.
            direction: (N,).
            noise: (N, *noise_shape).
        """
        place = state.place + direction.long()
        with torch.no_grad():
            flow = self.flow(state.image, direction)
        general = self.general[place.clamp(0, len(self.general) - 1)]
        images = torch.stack([state.image, flow, general], 1)
        image, hidden = self.cell(images, state.hidden, direction, noise)
        return State(image, hidden, place)

    def place_of(self, slices: torch.Tensor) -> torch.Tensor:
        """Where the localiser finds slices (N, H, W): numbers of slices (N,)."""
        return (self.localiser(slices) * (self.settings.slices - 1)).round().long()
