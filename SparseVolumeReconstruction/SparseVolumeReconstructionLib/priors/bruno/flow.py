"""Conditional RealNVP (Dinh et al., ICLR 2017): an invertible map from an image to latents, given the pose.

All log determinants are exact.

Images are (N, C, H, W); a pose is known to the couplings as its embedding (N, E).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional


class PosedConvs(nn.Module):
    """Some convolutions of one shape with weight norm, to which the pose is added.

    Every channel gets a bias-free projection of the pose embedding.

    The weights of all are made in one go: on a GPU, hundreds of small computations take longer than the
    convolutions. The norms and the biases are set from the first batch (see `initialising`), so that outputs
    have mean 0 and variance 1.

    Args:
        count: how many.
        inputs: channels that go in.
        outputs: channels that come out.
        size: pixels of a kernel along a side.
        embedding: E, components of the pose embedding.
    """

    def __init__(self, count: int, inputs: int, outputs: int, size: int, embedding: int):
        super().__init__()
        self.direction = nn.Parameter(0.05 * torch.randn(count, outputs, inputs, size, size))
        self.log_gain = nn.Parameter(torch.zeros(count, outputs))
        self.bias = nn.Parameter(torch.zeros(count, outputs))
        self.pose = nn.Linear(embedding, count * outputs, bias=False)
        self.measure = False

    def layers(self, pose: torch.Tensor, kind: torch.dtype) -> list[Callable[[torch.Tensor], torch.Tensor]]:
        """One after the other, for poses (N, E).

        Each maps numbers of that kind (N, C, H, W) to (N, outputs, H, W).

        Args:
            pose: embeddings.
            kind: of the numbers that go through.
        """
        made = self._made(pose, kind)

        def layer(number: int, x: torch.Tensor) -> torch.Tensor:
            weight, shift = (self._measured(number, x, pose) if self.measure else made)[number]
            return functional.conv2d(x, weight, padding="same") + shift

        return [partial(layer, number) for number in range(len(self.direction))]

    def _made(self, pose: torch.Tensor, kind: torch.dtype) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Weights (outputs, C, size, size) of every layer, and what it adds, (N, outputs, 1, 1)."""
        gain = self.log_gain.exp() / self.direction.flatten(2).norm(dim=2)
        shifts = functional.linear(pose, self.pose.weight, self.bias.flatten()).unflatten(1, self.bias.shape)
        weights = (self.direction * gain[..., None, None, None]).to(kind)
        return list(zip(weights.unbind(0), shifts[..., None, None].unbind(1), strict=True))

    def _measured(
        self, number: int, x: torch.Tensor, pose: torch.Tensor
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The same after gain and bias of one layer were set from its inputs (N, C, H, W)."""
        unit = self.direction[number] / self.direction[number].flatten(1).norm(dim=1)[:, None, None, None]
        spread, mean = torch.std_mean(functional.conv2d(x, unit, padding="same"), (0, 2, 3))
        self.log_gain.data[number] = -spread.clamp(min=1e-3).log()
        self.bias.data[number] = -mean / spread.clamp(min=1e-3)
        return self._made(pose, x.dtype)


class PosedLinear(nn.Module):
    """Dense layer with weight norm of a vector with the pose embedding joined to it.

    Initialised like `PosedConvs`.

    Args:
        inputs: components that go in, without the pose.
        outputs: components that come out.
        embedding: E, components of the pose embedding.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int):
        super().__init__()
        self.direction = nn.Parameter(0.05 * torch.randn(outputs, inputs + embedding))
        self.log_gain = nn.Parameter(torch.zeros(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.measure = False

    def forward(self, x: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
        """(N, inputs) to (N, outputs).

        Args:
            x: (N, inputs).
            pose: embeddings (N, E).
        """
        x, unit = torch.cat([x, pose], 1), self.direction / self.direction.norm(dim=1, keepdim=True)
        if self.measure:
            spread, mean = torch.std_mean(x @ unit.T, 0)
            self.log_gain.data[:] = -spread.clamp(min=1e-3).log()
            self.bias.data[:] = -mean / spread.clamp(min=1e-3)
        return functional.linear(x, unit * self.log_gain.exp()[:, None], self.bias)


@contextmanager
def initialising(network: nn.Module) -> Iterator[None]:
    """A forward pass inside sets the gains and biases of all weight-normed layers from its data."""
    layers = [layer for layer in network.modules() if isinstance(layer, (PosedConvs, PosedLinear))]
    for layer in layers:
        layer.measure = True
    try:
        with torch.no_grad():
            yield
    finally:
        for layer in layers:
            layer.measure = False


class ResidualNet(nn.Module):
    """Log scale and shift of a coupling, by residual blocks of convolutions.

    1x1 convolution, residual blocks of two 3x3 with ELU, 1x1 heads that start at 0.

    Args:
        inputs: channels that it sees.
        outputs: channels that are scaled and shifted.
        filters: channels between.
        blocks: how many.
        embedding: E, components of the pose embedding.
    """

    def __init__(self, inputs: int, outputs: int, filters: int, blocks: int, embedding: int):
        super().__init__()
        self.enter = PosedConvs(1, inputs, filters, 1, embedding)
        self.blocks = PosedConvs(2 * blocks, filters, filters, 3, embedding)
        self.head = nn.Conv2d(filters, 2 * outputs, 1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: torch.Tensor, pose: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log scale in (-1, 1) and shift, (N, outputs, H, W) each.

        Args:
            x: (N, inputs, H, W).
            pose: embeddings (N, E).
        """
        (enter,) = self.enter.layers(pose, x.dtype)
        hidden = enter(x)
        if hidden.is_cuda:  # see priors.device.placed
            hidden = hidden.contiguous(memory_format=torch.channels_last)
        layers = self.blocks.layers(pose, hidden.dtype)
        for first, second in zip(layers[::2], layers[1::2], strict=True):
            hidden = hidden + second(functional.elu(first(functional.elu(hidden))))
        scale, shift = self.head(functional.elu(hidden)).to(x.dtype).chunk(2, 1)
        return scale.tanh(), shift


class DenseNet(nn.Module):
    """Log scale and shift of a dense coupling: two hidden layers; heads that start at 0.

    Args:
        inputs: components that it sees.
        outputs: components that are scaled and shifted.
        hidden: units of each layer.
        embedding: E, components of the pose embedding.
    """

    def __init__(self, inputs: int, outputs: int, hidden: int, embedding: int):
        super().__init__()
        self.layers = nn.ModuleList(
            [PosedLinear(inputs, hidden, embedding), PosedLinear(hidden, hidden, embedding)]
        )
        self.head = nn.Linear(hidden, 2 * outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: torch.Tensor, pose: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log scale in (-1, 1) and shift, (N, outputs) each.

        Args:
            x: (N, inputs).
            pose: embeddings (N, E).
        """
        hidden = x
        for layer in self.layers:
            hidden = functional.elu(layer(hidden, pose))
        scale, shift = self.head(hidden).to(x.dtype).chunk(2, 1)
        return scale.tanh(), shift


class Coupling(nn.Module):
    """An invertible map of images or vectors, given the pose; `forward` gives its log determinant, too."""

    def inverse(self, y: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
        """The image or vector (N, C, ...) whose result is `y`.

        Args:
            y: in the shape of the result.
            pose: embeddings (N, E), the same as forwards.
        """
        raise NotImplementedError


class CheckerboardCoupling(Coupling):
    """Pixels of one colour of a checkerboard are scaled and shifted by what those of the other colour say.

    Args:
        channels: of the image.
        colour: 0 or 1, which pixels are moved.
        net: the other arguments of ResidualNet.
    """

    def __init__(self, channels: int, colour: int, **net: int):
        super().__init__()
        self.colour = colour
        self.net = ResidualNet(channels, channels, **net)

    def _terms(self, x: torch.Tensor, pose: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        row, column = (torch.arange(n, device=x.device) for n in x.shape[2:])
        moved = ((row[:, None] + column + self.colour) % 2).to(x)
        scale, shift = self.net(x * (1 - moved), pose)
        return scale * moved, shift * moved

    def forward(self, x: torch.Tensor, pose: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The image and the log determinant (N,).

        Args:
            x: (N, C, H, W).
            pose: embeddings (N, E).
        """
        scale, shift = self._terms(x, pose)
        return x * scale.exp() + shift, scale.flatten(1).sum(1)

    def inverse(self, y: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
        """The image (N, C, H, W) whose result is `y`."""
        scale, shift = self._terms(y, pose)
        return (y - shift) * (-scale).exp()


class HalfCoupling(Coupling):
    """One half of the channels is scaled and shifted by what the other half says.

    Given a DenseNet, one half of the components.

    Args:
        net: a ResidualNet or DenseNet from the one half to the other.
        swap: the first (or even) half is moved, instead of the other.
        alternate: the halves are the even and the odd ones, instead of the first and the last.
    """

    def __init__(self, net: nn.Module, swap: bool, alternate: bool = False):
        super().__init__()
        self.net, self.swap, self.alternate = net, swap, alternate

    def _split(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first, last = (x[:, ::2], x[:, 1::2]) if self.alternate else x.chunk(2, 1)
        return (last, first) if self.swap else (first, last)

    def _join(self, kept: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
        pair = (moved, kept) if self.swap else (kept, moved)
        return torch.stack(pair, 2).flatten(1, 2) if self.alternate else torch.cat(pair, 1)

    def forward(self, x: torch.Tensor, pose: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The image or vector and the log determinant (N,).

        Args:
            x: (N, C, ...), C even.
            pose: embeddings (N, E).
        """
        kept, moved = self._split(x)
        scale, shift = self.net(kept, pose)
        return self._join(kept, moved * scale.exp() + shift), scale.flatten(1).sum(1)

    def inverse(self, y: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
        """The image or vector (N, C, ...) whose result is `y`."""
        kept, moved = self._split(y)
        scale, shift = self.net(kept, pose)
        return self._join(kept, (moved - shift) * (-scale).exp())


class Flow(nn.Module):
    """RealNVP of images (N, 1, size, size) with as many latents as pixels, coarse to fine from the end.

    Between two scales the image is squeezed (a quarter of the area, four times the channels), then half of
    the channels are done.

    Args:
        size: pixels along a side.
        checkerboard: number of checkerboard couplings of each scale.
        channel: number of couplings of channels after each scale; that of the last scale does not count.
        filters: as in ResidualNet.
        blocks: as in ResidualNet.
        dense: number of couplings of all latents at the end.
        hidden: their units.
        embedding: E, components of the pose embedding.
    """

    def __init__(
        self,
        size: int,
        checkerboard: Sequence[int],
        channel: Sequence[int],
        filters: int,
        blocks: int,
        dense: int,
        hidden: int,
        embedding: int,
    ):
        super().__init__()
        net = {"filters": filters, "blocks": blocks, "embedding": embedding}
        self.scales = nn.ModuleList()
        channels = 1
        self.shapes: list[tuple[int, int, int]] = []
        for number, (plain, squeezed) in enumerate(zip(checkerboard, channel, strict=True)):
            before = nn.ModuleList(CheckerboardCoupling(channels, n % 2, **net) for n in range(plain))
            after = nn.ModuleList()
            if number < len(checkerboard) - 1:
                channels, size = 4 * channels, size // 2
                after.extend(
                    HalfCoupling(ResidualNet(channels // 2, channels // 2, **net), bool(n % 2))
                    for n in range(squeezed)
                )
                channels //= 2
            self.shapes.append((channels, size, size))
            self.scales.append(nn.ModuleList([before, after]))
        latents = sum(c * h * w for c, h, w in self.shapes)
        self.dense = nn.ModuleList(
            HalfCoupling(DenseNet(latents // 2, latents // 2, hidden, embedding), bool(n % 2), alternate=True)
            for n in range(dense)
        )

    def _couplings(self) -> list[tuple[list[Coupling], list[Coupling]]]:
        """Those of every scale, before and after it is squeezed."""
        return [(list(before), list(after)) for before, after in cast(Any, self.scales)]

    def forward(self, x: torch.Tensor, pose: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents (N, D) of images (N, 1, H, W) and the log determinant (N,).

        Args:
            x: logits.
            pose: embeddings (N, E).
        """
        total = x.new_zeros(len(x))
        done: list[torch.Tensor] = []
        for number, (before, after) in enumerate(self._couplings()):
            for coupling in before:
                x, log_det = coupling(x, pose)
                total = total + log_det
            if number < len(self.scales) - 1:
                x = functional.pixel_unshuffle(x, 2)
                for coupling in after:
                    x, log_det = coupling(x, pose)
                    total = total + log_det
                finished, x = x.chunk(2, 1)
                done.append(finished.flatten(1))
        z = torch.cat([*done, x.flatten(1)], 1)
        for coupling in cast(list[Coupling], self.dense):
            z, log_det = coupling(z, pose)
            total = total + log_det
        return z, total

    def inverse(self, z: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
        """The images (N, 1, H, W) of latents (N, D).

        Args:
            z: as `forward` gives them.
            pose: embeddings (N, E).
        """
        for coupling in reversed(cast(list[Coupling], list(self.dense))):
            z = coupling.inverse(z, pose)
        parts = [
            part.unflatten(1, shape)
            for part, shape in zip(
                z.split([c * h * w for c, h, w in self.shapes], 1), self.shapes, strict=True
            )
        ]
        x = parts[-1]
        for number, (before, after) in reversed(list(enumerate(self._couplings()))):
            if number < len(self.scales) - 1:
                x = torch.cat([parts[number], x], 1)
                for coupling in reversed(after):
                    x = coupling.inverse(x, pose)
                x = functional.pixel_shuffle(x, 2)
            for coupling in reversed(before):
                x = coupling.inverse(x, pose)
        return x
