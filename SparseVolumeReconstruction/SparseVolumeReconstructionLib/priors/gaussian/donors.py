"""Draws of a prior that are real anatomy: the donors of a bank, on any grid along the canonical axes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch.nn.functional import affine_grid, grid_sample, interpolate

from ..base import seeded_generator
from .field import GaussianField, along_axes, axis_operators
from .fit import hat_functions
from .parameters import DonorBank, GaussianParameters
from .sharpness import blur_operator, blur_response

_WARP = ((40.0, 1.5), (20.0, 0.7))  # correlation length, displacement (mm): spreads samples as widely
_RELATIVE = ((22.0, 0.6), (11.0, 0.3))  # of templates, which differ by their age and kind, too
_MIN_NEAR = 4  # people among whom a sample chooses
_COMPARED = 5  # people, whose spectrum tells what a blur takes
_FIRST_SEED = 2**41  # of what donors do not show: not that of the noise of their samples
_UNIT = 1.5  # times linearly interpolated white noise has a standard deviation of about 1


class Donors:
    """The people of a bank and their mirror images.

    Nobody of them may have been fitted, unless each draw is a new relative of a fitted template: of those who
    were, the loadings know too much, and samples around them spread half as widely as they should.
    """

    def __init__(self, parameters: GaussianParameters, bank: DonorBank):
        """The bank of these parameters.

        Args:
            parameters: of a process that was fitted without these people, or with their relatives.
            bank: their masked voxels; at least one person.
        """
        self._grid, self._bank = parameters.grid, bank
        self._mask = torch.as_tensor(parameters.mask)
        self._knots = parameters.knots.numpy()
        weights = hat_functions(bank.covariate.numpy(), self._knots)
        self._expected = torch.as_tensor(weights, dtype=torch.float32) @ parameters.means
        self._common = lru_cache(maxsize=2)(self._make_common)

    def __len__(self) -> int:
        """How many people and mirror images there are."""
        return len(self._bank.volumes) * self._sides

    def near(self, covariate: float | None = None) -> tuple[int, ...]:
        """The people among whom a sample chooses, nearest first.

        Those within a step of the mean's knots around the covariate, four at least: a brain of 34 weeks is no
        draw for one of 22.

        Args:
            covariate: of the patient; the middle of the knots if None.
        """
        covariate = float(self._knots.mean()) if covariate is None else covariate
        away = np.abs(self._bank.covariate.numpy() - covariate)
        step = float(np.diff(self._knots).min()) if len(self._knots) > 1 else 0.0
        enough = np.sort(away)[min(_MIN_NEAR, len(away)) - 1]
        order = np.argsort(away, kind="stable")
        return tuple(int(n) for n in order if away[n] <= max(step, enough) + 1e-4)

    def volume(self, seed: int, covariate: float | None = None) -> torch.Tensor:
        """The donor of a seed on the canonical grid, (K, J, I) in canonical units.

        As many neighbouring seeds as there are donors near the covariate give different ones. Seeds beyond
        give them again, each with a small smooth deformation of its own; templates always have one.
        """
        person, mirrored, again = self._who(seed, covariate)
        volume = self._filled(self._bank.values(person))
        volume = volume.flip(-1) if mirrored else volume
        if self._bank.fitted:
            return self._deformed(volume, _RELATIVE, seeded_generator(seed))
        return self._deformed(volume, _WARP, seeded_generator(seed)) if again else volume

    def draw(
        self,
        seed: int,
        field: GaussianField,
        covariate: float | None = None,
        wider: float = 1.0,
        blur_mm: float = 0.0,
    ) -> torch.Tensor:
        """The draw of a seed, (1, K, J, I) on the grid of `field`.

        The field's mean, and by how much the donor differs from what the prior expects of the donor's
        covariate, `wider` times. Of a contrast that was not scanned, what all donors in question have in
        common is left out, as their grey values were made; the rest is stretched by what that takes from its
        variance. Of scanned ones it stays: taken from all, it would be in every sample, and samples are told
        from scans by it.

        Args:
            seed: 0, 1, ...; see `volume`.
            field: the process on a grid with the canonical axes, with the mean at the covariate.
            covariate: see `near`.
            wider: factor on the difference.
            blur_mm: standard deviation by which the difference is blurred: no scanner is as sharp as another.
        """
        person, *_ = self._who(seed, covariate)
        shown = self._shown(self.volume(seed, covariate), person, field, self.near(covariate), wider, blur_mm)
        return shown if self._bank.unshown is None else shown + self._unshown(seed, field)

    def around(self, covariate: float | None = None) -> torch.Tensor:
        """People near the covariate, then their mirror images, less what all have in common.

        Returns:
            (n, K, J, I) on the canonical grid, canonical units.
        """
        near = self.near(covariate)
        people = torch.stack([self._filled(self._bank.values(n)) for n in near]) - self._common(near)
        return torch.cat([people, people.flip(-1)]) if self._bank.mirror else people

    def undeformed(self, field_at: Callable[[float | None], GaussianField]) -> torch.Tensor:
        """All people and their mirror images as samples of their own covariate take them, (n, K, J, I).

        Args:
            field_at: the process at a covariate, on the grid that is wanted.
        """
        drawn = []
        for mirrored in range(self._sides):
            for person, covariate in enumerate(self._bank.covariate.tolist()):
                volume = self._filled(self._bank.values(person))
                volume = volume.flip(-1) if mirrored else volume
                near = self.near(covariate)
                drawn.append(self._shown(volume, person, field_at(covariate), near, 1.0, 0.0))
        return torch.cat(drawn)

    def _who(self, seed: int, covariate: float | None) -> tuple[int, bool, bool]:
        """The person of a seed, whether mirrored, and whether this is a repetition."""
        people = self.near(covariate)
        again, number = divmod(seed, len(people) * self._sides)
        mirrored, place = divmod(number, len(people))
        return people[place], bool(mirrored), bool(again)

    def _shown(
        self,
        volume: torch.Tensor,
        person: int,
        field: GaussianField,
        near: tuple[int, ...],
        wider: float,
        blur_mm: float,
    ) -> torch.Tensor:
        """A volume of a person as a draw, see `draw`; without what the bank does not show."""
        difference = volume - self._filled(self._expected[person])
        if self._bank.unshown is not None:
            difference = difference - self._common(near)
            wider = wider * (len(near) / max(len(near) - 1, 1)) ** 0.5 * self._bank.stretch
        operators = axis_operators(self._grid, field.grid)
        if blur_mm > 0:
            operators = [
                operator @ blur_operator(n, mm, blur_mm)
                for operator, (n, mm) in zip(operators, self._axes, strict=True)
            ]
            wider = wider * self._given_back(blur_mm)
        operators = [operator.to(field.mean) for operator in operators]
        return field.mean + wider * along_axes(operators, difference[None].to(field.mean))

    def _make_common(self, people: tuple[int, ...]) -> torch.Tensor:
        """What people have in common beyond what is expected of them, (K, J, I)."""
        common = self._filled(torch.stack([self._differs(n) for n in people]).mean(0))
        return (common + common.flip(-1)) / 2 if self._bank.mirror else common

    def _differs(self, person: int) -> torch.Tensor:
        """By how much a person differs from what is expected of the covariate, (n,)."""
        return self._bank.values(person) - self._expected[person]

    @property
    def _sides(self) -> int:
        return 2 if self._bank.mirror else 1

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
        common = self._common(tuple(range(count)))
        people = [self._differs(n) for n in range(0, count, -(-count // _COMPARED))]
        volumes = torch.stack([self._filled(each) - common for each in people])
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

    def _deformed(
        self, volume: torch.Tensor, scales: tuple[tuple[float, float], ...], generator: torch.Generator
    ) -> torch.Tensor:
        """(K, J, I) moved along a smooth random field. scales: correlation length and displacement, mm."""
        extent = torch.as_tensor(self._grid.spacing_ijk.copy()).float() * torch.tensor(volume.shape[::-1])
        moved = torch.zeros(3, *volume.shape)
        for length_mm, sd_mm in scales:
            nodes = [2 + max(1, round(float(mm) / length_mm)) for mm in extent.flip(0)]
            noise = torch.randn(1, 3, *nodes, generator=generator)
            moved += sd_mm * _UNIT * interpolate(noise, volume.shape, mode="trilinear", align_corners=True)[0]
        where = affine_grid(torch.eye(3, 4)[None], [1, 1, *volume.shape], align_corners=False)
        where = where + (moved.movedim(0, -1) / extent * 2)[None]
        return grid_sample(volume[None, None], where, align_corners=False)[0, 0]
