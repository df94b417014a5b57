"""The 2D variational autoencoder of axial slices (Kingma and Welling, ICLR 2014).

Residual blocks halve and double the image down to 2 x 2.
"""

from __future__ import annotations

import torch
from torch import nn


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    layers = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)
    return nn.Sequential(*layers)


class ResDown(nn.Module):
    """(B, inputs, H, W) -> (B, outputs, H / 2, W / 2).

    Args:
        inputs: channels that go in.
        outputs: channels that come out.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.main, self.skip = (
            nn.Sequential(_conv(inputs, outputs, 2), _conv(outputs, outputs)),
            _conv(inputs, outputs, 2),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Sum of both branches, of half the height and width in pixels."""
        return self.main(x) + self.skip(x)


class ResUp(nn.Module):
    """(B, inputs, H, W) -> (B, outputs, 2 H, 2 W).

    Args:
        inputs: channels that go in.
        outputs: channels that come out.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.up = nn.Upsample(scale_factor=2)
        self.main, self.skip = (
            nn.Sequential(_conv(inputs, outputs), _conv(outputs, outputs)),
            _conv(inputs, outputs),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Sum of both branches, of twice the height and width in pixels."""
        x = self.up(x)
        return self.main(x) + self.skip(x)


class SliceVae(nn.Module):
    """Codes of (B, 1, size, size) slices in [0, 1] are vectors of 4 * latent_channels numbers.

    Args:
        size: pixels of a slice along a side; a power of two.
        width: channels after the first block; they double with every further one.
        latent_channels: a quarter of the numbers of a code.
    """

    def __init__(self, size: int = 64, width: int = 16, latent_channels: int = 256):
        super().__init__()
        widths = [width * 2**n for n in range(size.bit_length() - 2)]
        self.size = size
        self.width = width
        self.latent = 4 * latent_channels
        self.encoder = nn.Sequential(*(ResDown(a, b) for a, b in zip([1, *widths], widths, strict=False)))
        self.heads = nn.Conv2d(widths[-1], 2 * latent_channels, 1)
        self.start = nn.Conv2d(latent_channels, widths[-1], 1)
        down = widths[::-1]
        self.decoder = nn.Sequential(
            *(ResUp(a, b) for a, b in zip(down, [*down[1:], width], strict=True)),
            nn.Conv2d(width, 1, 3, 1, 1),
        )
        # a quarter faster on a CPU; torch's stubs do not know the argument
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, slices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log variance of the codes of slices (B, H, W), each (B, latent)."""
        mean, log_variance = self.heads(self.encoder(slices[:, None])).chunk(2, 1)
        return mean.flatten(1), log_variance.flatten(1).clamp(-10, 10)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Slices (B, H, W), [0, 1], of codes (B, latent)."""
        return torch.sigmoid(self.decoder(self.start(codes.unflatten(1, (-1, 2, 2))))[:, 0])
