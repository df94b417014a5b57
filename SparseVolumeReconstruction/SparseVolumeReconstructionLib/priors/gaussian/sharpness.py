"""How much sharper pictures of one kind are than those of another, by their power spectra."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

_LOW, _HIGH, _STEP = 0.04, 0.20, 0.01  # cycles/mm: finer detail is noise, coarser is anatomy
_MAX_BLUR_MM = 3.0
_PER_FREE = 4.0  # frequencies: half mirror the others, and a window ties neighbours together
_SURE = 2.0  # standard deviations


def blur_between(
    sharp: Sequence[torch.Tensor], soft: Sequence[torch.Tensor], spacings: Sequence[tuple[float, float]]
) -> float:
    """Standard deviation (mm) of the Gaussian blur that makes sharp pictures as soft as the others.

    A blur of s mm takes 4 pi^2 s^2 f^2 from the logarithm of the power at f cycles/mm: a line in f^2, fitted
    with as much weight as there are frequencies. What is brighter or richer in contrast by a factor is no
    sharper.

    Args:
        sharp: of every plane (n, J, I): n pictures, of which the power is averaged.
        soft: of every plane (m, J, I).
        spacings: of every plane's rows and columns, mm.

    Returns:
        0 where `sharp` is not sharper, may be so by chance, or nothing can be compared.
    """
    count = round((_HIGH - _LOW) / _STEP)
    powers, numbers = torch.zeros(2, count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
    for one, other, spacing in zip(sharp, soft, spacings, strict=True):
        shape = one.shape[-2:]
        rows, columns = (torch.fft.fftfreq(n, mm) for n, mm in zip(shape, spacing, strict=True))
        number = torch.floor((torch.hypot(rows[:, None], columns) - _LOW) / _STEP).long()
        inside = (number >= 0) & (number < count)
        numbers.index_add_(0, number[inside], torch.ones(int(inside.sum()), dtype=torch.float64))
        window = torch.hann_window(shape[0])[:, None] * torch.hann_window(shape[1])
        for n, pictures in enumerate((one, other)):
            power = torch.fft.fft2(pictures.cpu() * window).abs().square().mean(0).double()
            powers[n].index_add_(0, number[inside], power[inside])
    known = (powers > 0).all(0)
    if known.sum() < 3:
        return 0.0
    weight = numbers[known] / numbers[known].sum()
    square = ((torch.arange(count).double() + 0.5) * _STEP + _LOW)[known] ** 2
    ratio = (powers[0] / powers[1])[known].log()
    square = square - (weight * square).sum()
    spread = float((weight * square**2).sum())
    slope = float((weight * square * ratio).sum()) / spread
    chance = math.sqrt(_PER_FREE / float(numbers[known].sum()) / spread)
    return min(math.sqrt(slope) / (2 * math.pi), _MAX_BLUR_MM) if slope > _SURE * chance else 0.0


def blur_operator(size: int, spacing_mm: float, blur_mm: float) -> torch.Tensor:
    """A Gaussian blur along one axis, (size, size) float32.

    Args:
        size: samples along the axis.
        spacing_mm: of these.
        blur_mm: standard deviation, above 0.
    """
    place = torch.arange(size) * spacing_mm
    weight = torch.exp(-0.5 * ((place[:, None] - place) / blur_mm) ** 2)
    return weight / weight.sum(1, keepdim=True)


def blur_response(size: int, spacing_mm: float, blur_mm: float) -> torch.Tensor:
    """What the blur of `blur_operator` leaves of every frequency of `torch.fft.fftfreq`, (size,).

    Far from the ends of the axis; arguments as there.
    """
    number = torch.arange(size)
    distance = torch.minimum(number, size - number) * spacing_mm
    weight = torch.exp(-0.5 * (distance / blur_mm) ** 2)
    return torch.fft.fft(weight / weight.sum()).real
