"""Generative Query Network (Eslami et al., Science 360, 2018).

A slice is drawn in steps, each with Gaussian latents of its own.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from pydantic import Field, model_validator
from torch import nn
from torch.nn import functional

from .parts import NetworkSettings, NeuralRenderingNetwork, NeuralRenderingShape, divergence, mean_and_log_sd

_State = tuple[torch.Tensor, torch.Tensor]


class GqnShape(NeuralRenderingShape):
    """The shape of a GQN.

    steps: of drawing. hidden: channels of both recurrent cores. kernel: width of their convolutions. canvas:
    channels of the drawing. shared: the cores are the same in every step. scale: pixels of the slice per
    place of the maps, a power of two.
    """

    system: Literal["gqn"] = "gqn"
    steps: int = Field(8, ge=1)
    hidden: int = Field(256, ge=1)
    kernel: int = Field(5, ge=1)
    canvas: int = Field(256, ge=1)
    shared: bool = False
    scale: int = Field(4, ge=2)

    @model_validator(mode="after")
    def _shapes_agree(self) -> GqnShape:
        if self.scale & (self.scale - 1) or not self.kernel % 2:
            raise ValueError("scale must be a power of two, and kernel odd")
        return self


class GqnSettings(GqnShape, NetworkSettings):
    """All that the network depends on; slices of size x size pixels."""

    @model_validator(mode="after")
    def _size_fits(self) -> GqnSettings:
        if self.size % self.scale:
            raise ValueError(f"scale {self.scale} needs a size that is a multiple of it")
        return self


class Core(nn.Module):
    """Convolutional LSTM whose inputs are partly the same in all steps, so that these are convolved once.

    Args:
        constant: channels of the inputs that are the same in all steps.
        changing: channels of the others.
        hidden: channels of the state.
        kernel: pixels of a kernel along a side.
    """

    def __init__(self, constant: int, changing: int, hidden: int, kernel: int):
        super().__init__()
        self.constant = nn.Conv2d(constant, 4 * hidden, kernel, padding="same")
        self.changing = nn.Conv2d(changing + hidden, 4 * hidden, kernel, padding="same", bias=False)

    def forward(self, constant: torch.Tensor, changing: torch.Tensor, state: _State) -> _State:
        """The state (N, hidden, S, S) twice after a step.

        Args:
            constant: what `self.constant` made of the constant inputs.
            changing: the other inputs, (N, channels, S, S).
            state: hidden and cell, before the step.
        """
        hidden, cell = state
        gates = constant + self.changing(torch.cat([changing, hidden], 1))
        forget, enter, leave, new = gates.chunk(4, 1)
        cell = torch.sigmoid(forget + 1) * cell + torch.sigmoid(enter) * torch.tanh(new)
        return torch.sigmoid(leave) * torch.tanh(cell), cell


class Step(nn.Module):
    """The layers of one step of drawing."""

    def __init__(self, s: GqnSettings):
        super().__init__()
        asked = s.representation + s.pose_channels
        self.generation = Core(asked, s.latent, s.hidden, s.kernel)
        self.inference = Core(asked + s.hidden, s.hidden + s.canvas, s.hidden, s.kernel)
        self.prior = nn.Conv2d(s.hidden, 2 * s.latent, s.kernel, padding="same")
        self.posterior = nn.Conv2d(s.hidden, 2 * s.latent, s.kernel, padding="same")
        self.canvas = nn.Conv2d(s.hidden, s.canvas, 1)


class Gqn(NeuralRenderingNetwork):
    """The network; latents are maps (latent, S, S) in each step."""

    settings: GqnSettings

    def __init__(self, settings: GqnSettings):
        s = settings
        super().__init__(s, s.scale)
        self.noise_shape = (s.steps, s.latent, self.side, self.side)
        self.look = nn.Conv2d(1, s.hidden, s.scale, s.scale)
        self.steps = nn.ModuleList(Step(s) for _ in range(1 if s.shared else s.steps))
        self.show = nn.Conv2d(s.canvas, s.scale**2, 3, padding=1)
        # faster on a CPU; torch's stubs do not know the argument
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self,
        index: torch.Tensor,
        representation: torch.Tensor,
        noise: torch.Tensor,
        truth: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See NeuralRenderingNetwork; (N, H, W) and (N,)."""
        s = self.settings
        asked = torch.cat([representation, self.pose(index)], 1)
        looked = None if truth is None else torch.cat([asked, self.look(truth[:, None])], 1)
        empty = asked.new_zeros(len(index), s.hidden, self.side, self.side)
        state = (empty, empty)
        inferring = (empty, empty)
        total = noise.new_zeros(len(index))
        canvas = asked.new_zeros(len(index), s.canvas, self.side, self.side)
        for number in range(s.steps):
            step = cast(Step, self.steps[number % len(self.steps)])
            if number < len(self.steps):
                constant = step.generation.constant(asked)
                to_infer = None if looked is None else step.inference.constant(looked)
            expected = mean, log_sd = mean_and_log_sd(step.prior(state[0]))
            if looked is not None:
                inferring = step.inference(to_infer, torch.cat([state[0], canvas], 1), inferring)
                mean, log_sd = mean_and_log_sd(step.posterior(inferring[0]))
                total = total + divergence(mean, log_sd, *expected)
            state = step.generation(constant, mean + log_sd.exp() * noise[:, number], state)
            canvas = canvas + step.canvas(state[0])
        return torch.sigmoid(functional.pixel_shuffle(self.show(canvas), s.scale).float())[:, 0], total
