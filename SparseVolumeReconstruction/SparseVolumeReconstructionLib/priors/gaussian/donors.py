"""Draws of a prior that are real people: the donors of a bank, on any grid along the canonical axes."""

from __future__ import annotations

from functools import cached_property

import torch
from torch.nn.functional import affine_grid, grid_sample, interpolate

from ..base import seeded_generator
from .field import GaussianField, along_axes, axis_operators
from .fit import hat_functions
from .parameters import DonorBank, GaussianParameters
from .sharpness import blur_operator, blur_response

_WARP = ((40.0, 1.5), (20.0, 0.7))  # correlation length, displacement (mm): spreads samples as widely
_COMPARED = 5  # people, whose spectrum tells what a blur takes
_FIRST_SEED = 2**41  # of what donors do not show: not that of the noise of their samples
_UNIT = 1.5  # times linearly interpolated white noise has a standard deviation of about 1


class Donors:
    """The people of a bank and their mirror images.

    Nobody of them may have been fitted: of those who were, the loadings know too much, and samples around
    them spread half as widely as they should.
    """

    def __init__(self, parameters: GaussianParameters, bank: DonorBank):
        """The bank of these parameters.

        Args:
            parameters: of a process that was fitted without these people.
            bank: their masked voxels; at least one person.
        """
        self._grid, self._bank = parameters.grid, bank
        self._mask = torch.as_tensor(parameters.mask)
        weights = hat_functions(bank.covariate.numpy(), parameters.knots.numpy())
        self._expected = torch.as_tensor(weights, dtype=torch.float32) @ parameters.means
        people = [bank.values(n) - self._expected[n] for n in range(len(bank.volumes))]
        bias = self._filled(torch.stack(people).mean(0))
        self._bias = (bias + bias.flip(-1)) / 2 if bank.mirror else bias
        self._unbiased = (len(people) / max(len(people) - 1, 1)) ** 0.5

    def __len__(self) -> int:
        """How many draws differ in more than a small deformation."""
        return len(self._bank.volumes) * (2 if self._bank.mirror else 1)

    def volume(self, seed: int) -> torch.Tensor:
        """The donor of a seed on the canonical grid, (K, J, I) in canonical units.

        As many neighbouring seeds as there are donors give different ones. Seeds beyond give them again,
        each with a small smooth deformation of its own.
        """
        again, number = divmod(seed, len(self))
        mirrored, person = divmod(number, len(self._bank.volumes))
        volume = self._filled(self._bank.values(person))
        volume = volume.flip(-1) if mirrored else volume
        return self._deformed(volume, seeded_generator(seed)) if again else volume

    def draw(self, seed: int, field: GaussianField, wider: float = 1.0, blur_mm: float = 0.0) -> torch.Tensor:
        """The draw of a seed, (1, K, J, I) on the grid of `field`.

        The field's mean, and by how much the donor differs from what the prior expects of the donor's
        covariate, `wider` times. What all donors have in common is left out, so that the mean of many samples
        is that of the posterior; the rest is stretched by what that takes from its variance.

        Args:
            seed: 0, 1, ...; see `volume`.
            field: the process on a grid with the canonical axes.
            wider: factor on the difference.
            blur_mm: standard deviation by which the difference is blurred: no scanner is as sharp as another.
        """
        person = seed % len(self._bank.volumes)
        difference = self.volume(seed) - self._filled(self._expected[person]) - self._bias
        operators = axis_operators(self._grid, field.grid)
        wider = wider * self._unbiased * self._bank.stretch
        if blur_mm > 0:
            operators = [
                operator @ blur_operator(n, mm, blur_mm)
                for operator, (n, mm) in zip(operators, self._axes, strict=True)
            ]
            wider = wider * self._given_back(blur_mm)
        operators = [operator.to(field.mean) for operator in operators]
        shown = field.mean + wider * along_axes(operators, difference[None].to(field.mean))
        return shown if self._bank.unshown is None else shown + self._unshown(seed, field)

    def _unshown(self, seed: int, field: GaussianField) -> torch.Tensor:
        """What the donor of a seed does not show of the residual: chance instead, (1, K, J, I)."""
        assert self._bank.unshown is not None
        share = self._filled(self._bank.unshown)[None]
        operators = axis_operators(self._grid, field.grid)
        residual = field.draw_residual([seeded_generator(_FIRST_SEED + seed)])
        return along_axes(operators, share).to(residual) * residual

    @property
    def _axes(self) -> list[tuple[int, float]]:
        """Samples and their distance in mm along each array axis."""
        return [
            (n, float(mm)) for n, mm in zip(self._grid.shape_kji, self._grid.spacing_ijk[::-1], strict=True)
        ]

    @cached_property
    def _power(self) -> torch.Tensor:
        """Power spectrum of what some donors differ by, (K, J, I)."""
        count = len(self._bank.volumes)
        people = [self._bank.values(n) - self._expected[n] for n in range(0, count, -(-count // _COMPARED))]
        volumes = torch.stack([self._filled(each) - self._bias for each in people])
        return torch.fft.fftn(volumes, dim=(1, 2, 3)).abs().square().sum(0)

    def _given_back(self, blur_mm: float) -> float:
        """Factor by which blurred differences are as wide as before.

        What a blur takes from the finest detail is given to the rest.
        """
        left = [blur_response(n, mm, blur_mm) ** 2 for n, mm in self._axes]
        return float((self._power.sum() / torch.einsum("kji,k,j,i->", self._power, *left)).sqrt())

    def _filled(self, masked: torch.Tensor) -> torch.Tensor:
        out = torch.zeros(self._mask.shape)
        out[self._mask] = masked
        return out

    def _deformed(self, volume: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """(K, J, I) moved along a smooth random field."""
        extent = torch.as_tensor(self._grid.spacing_ijk.copy()).float() * torch.tensor(volume.shape[::-1])
        moved = torch.zeros(3, *volume.shape)
        for length_mm, sd_mm in _WARP:
            nodes = [2 + max(1, round(float(mm) / length_mm)) for mm in extent.flip(0)]
            noise = torch.randn(1, 3, *nodes, generator=generator)
            moved += sd_mm * _UNIT * interpolate(noise, volume.shape, mode="trilinear", align_corners=True)[0]
        where = affine_grid(torch.eye(3, 4)[None], [1, 1, *volume.shape], align_corners=False)
        where = where + (moved.movedim(0, -1) / extent * 2)[None]
        return grid_sample(volume[None, None], where, align_corners=False)[0, 0]
