"""The structured Gaussian prior, with the exact posterior for any linear measurement.

x = mean(covariate) + W z + r on a canonical grid: probabilistic principal components (Tipping and Bishop, J.
R. Stat. Soc. B 61, 1999) with a residual r that is correlated between neighbours, as in kriging.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, lru_cache

import numpy as np
import torch

from ...geometry import Grid, InputError, Plane, Volume
from ...observation import Observation, Radiograph, Slice
from ...observation.base import IntensityMap
from ...observation.planes import PlaneOperator, plane_operator
from ...observation.slices import are_parallel, resample_slice, split_slices
from ..alignment_model import AlignmentModel
from ..base import Conditions, Posterior, Prior, Seen
from ..card import MeanTempering, MeanWarping, ModelCard
from ..gaussian.contrast_fit import Pixels, fit_contrast, own_evidence
from ..gaussian.donors import Donors
from ..gaussian.field import GaussianField, widening
from ..gaussian.parameters import GaussianParameters
from ..gaussian.process import GaussianProcess
from ..gaussian.seen import seen_in, tissue_maps
from ..gaussian.sharpness import blur_between
from ..gaussian.stack import StackPosterior
from ..gaussian.tissues import TISSUES, TissueContrast
from ..gaussian.warping import MIN_SHARE, SeenPixels, counting, warped_change
from ..intervals import IntervalScale
from .planes import PlanesPosterior, measured_planes
from .posterior import TOLERANCE, Measured, OperatorPosterior
from .radiographs import measured_radiograph
from .shown import ShownPrior
from .tempered import TemperedPosterior

DONORS, GAUSSIAN = "donors", "gaussian"
_MAX_PIXELS = 200_000
_LIKE_THE_COHORT = 0.05  # no nearer scale is worth a second solution
_KEPT_CONTRASTS = 2  # that of the slices, and one that is shown
_COMPARED = 6  # donors, of which the sharpness is compared with that of the slices
_FAST_VOXELS, _FAST_NOISE, _FAST_TOLERANCE = 80_000, 0.2, 0.1


class StructuredGaussian(Prior):
    """The prior over `parameters`; tensors live on `device`.

    Anything that is linear in the volume can be observed of it.

    Args:
        parameters: what was fitted.
        card: what it is.
        device: where it computes.
    """

    observes = (Observation,)
    draws: tuple[str, ...] = (GAUSSIAN,)

    def __init__(self, parameters: GaussianParameters, card: ModelCard, device: torch.device | str = "cpu"):
        p = parameters
        super().__init__(
            card,
            p.grid,
            anatomy_mask=torch.as_tensor(p.mask),
            reference=Volume(p.reference.numpy(), p.grid),
            intervals=IntervalScale(p.multipliers),
            evaluation_grid=p.evaluation_grid,
            device=device,
        )
        self.parameters = p
        self.adapt = True
        self._process = GaussianProcess(p, self.device)
        self._seen_in = lru_cache(maxsize=_KEPT_CONTRASTS)(self._make_seen)
        if p.donors is not None:
            self.draws = (DONORS, *self.draws)
            self._donors = Donors(p, p.donors)

    @classmethod
    def from_weights(
        cls,
        tensors: dict[str, torch.Tensor],
        card: ModelCard,
        device: torch.device,
        base: Prior | None = None,
    ) -> StructuredGaussian:
        """The prior from the tensors of a weights file; voxel arrays as in GaussianParameters.to_tensors."""
        return cls(GaussianParameters.from_tensors(tensors), card, device)

    def field(self, grid: Grid | None = None, covariate: float | None = None) -> GaussianField:
        """The process on `grid` with the mean at `covariate` (the middle of the range if None).

        Args:
            grid: with the canonical axes; the canonical grid if None.
            covariate: in the unit of the card.

        Raises:
            InputError: for a rotated grid, and for a covariate outside the card's range.
        """
        grid = grid or self.grid
        field, means, _ = self._process.on(grid)
        return replace(field, mean=torch.tensordot(self.knot_weights(covariate), means, 1))

    def knot_weights(self, covariate: float | None) -> torch.Tensor:
        """Linear interpolation weights of the knots, (Q,). Raises InputError outside the card's range."""
        knots = self.parameters.knots
        known = self.card.covariate
        if covariate is None or known is None or len(knots) == 1:
            covariate = float(knots.mean())
        elif not known.low <= covariate <= known.high:
            raise InputError(
                f"{known.name} {covariate:g} {known.unit} is out of range; {self.card.id} covers "
                f"{known.low:g} to {known.high:g}."
            )
        weights = [np.interp(covariate, knots.numpy(), np.eye(len(knots))[n]) for n in range(len(knots))]
        return torch.tensor(weights, dtype=torch.float32, device=self.device)

    def donors(self, grid: Grid) -> torch.Tensor:
        """See `Prior`; as samples of their own covariate take them."""
        if self.draws[0] != DONORS:
            return super().donors(grid)
        return self._donors.undeformed(lambda covariate: self.field(grid, covariate))

    @property
    def knows_tissues(self) -> bool:
        """Whether tissues were fitted with it."""
        return self.parameters.tissues is not None

    def seen_by(self, slices: Sequence[Slice], intensity: IntensityMap) -> Seen | None:
        """The process with the grey values of the tissues that make the slices most probable, see `Prior`."""
        if self.parameters.tissues is None:
            return None
        pixels = Pixels.of(list(slices), self.parameters)
        contrast, nats = fit_contrast(pixels, self.parameters)
        own = own_evidence(pixels, self.parameters, intensity)
        seen = self._drawn_alike(contrast.to_dict())
        return replace(seen, gain=nats - own - pixels.cost)

    def seen_in(self, shades: dict[str, list[float]]) -> Seen | None:
        """The process in a contrast that was found before; the last ones are kept."""
        if self.parameters.tissues is None:
            return None
        return self._drawn_alike(shades)

    def _drawn_alike(self, shades: dict[str, list[float]]) -> Seen:
        """The process in another contrast, with samples that start from what those of this prior do."""
        seen = self._seen_in(json.dumps(shades, sort_keys=True))
        return replace(seen, prior=seen.prior.drawing(self.draws[0]))

    def _make_seen(self, shades: str) -> Seen:
        contrast = TissueContrast.from_dict(json.loads(shades))
        prior = StructuredGaussian(seen_in(self.parameters, contrast), self.card, self.device)
        return Seen(prior, contrast.unit, None, contrast.to_dict())

    def shown_in(self, seen: Prior, shades: dict[str, list[float]] | None, wider: float = 1.0) -> Prior:
        """The process in two contrasts at once, see `Prior`."""
        if self.parameters.tissues is None:
            return super().shown_in(seen, shades, wider)
        shown = self if shades is None else self._drawn_alike(shades).prior
        assert isinstance(seen, StructuredGaussian) and isinstance(shown, StructuredGaussian)
        return ShownPrior(seen, shown, wider)

    def tissues(self, posterior: Posterior) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Shares of fluid, grey and white matter given one of its posteriors, see `Prior`."""
        if self.parameters.tissues is None:
            return {}
        exact = posterior.exact if isinstance(posterior, TemperedPosterior) else posterior
        assert isinstance(exact, (StackPosterior, OperatorPosterior))
        means, deviations = tissue_maps(self.parameters, exact.latents(), exact.mean(), exact.std())
        return {name: (means[n], deviations[n]) for n, name in enumerate(TISSUES)}

    def _make_alignment_model(self) -> AlignmentModel:
        return self._process.alignment_model(self.card)

    def _condition(self, given: Conditions) -> Posterior:
        """The exact posterior; with a mean of slices that is tempered and warped as the card says.

        Of slices across each other the tempered mean was measured to be further from the truth, the warped
        one nearer; that of another contrast, or of slices with noise of their own, was not measured.
        """
        exact, warping = self.exact(given), self.card.warping
        slices, others = split_slices(given.observations)
        how = self.card.tempering if are_parallel(slices) else None
        unlike = given.fast or others or self.parameters.contrast or any(s.noise for s in slices)
        if unlike or not slices or not (how or warping):
            return exact
        tempering = how or MeanTempering(shared=1, power=1)
        return TemperedPosterior(exact, lambda: self._nearer_mean(given, tempering, warping))

    def exact(self, given: Conditions) -> StackPosterior | OperatorPosterior:
        """The posterior of the process itself, for `condition`'s arguments and any linear operators.

        In closed form for whole grid planes, else by conjugate gradients.

        The scale of the residual is adapted to the subject by evidence, and that of the whole process, which
        leaves the mean as it is, by how far the subject lies from what is expected; both are 1 for subjects
        like the cohort, and where `adapt` is False.

        Fast is on a coarser grid, with more noise than there is (which makes the equations easy) and solved
        roughly.

        Samples start from the donors of the bank, where there is one and nothing else is wanted.
        """
        if given.fast:
            coarser = max(1.0, (self.grid.size / _FAST_VOXELS) ** (1 / 3))
            grid = given.grid or self.grid.with_spacing(coarser * self.grid.spacing_ijk)
            field = self.field(grid, given.covariate)
            field = replace(field, noise=max(_FAST_NOISE, field.noise))
            return self._observation(given, field, _FAST_TOLERANCE)(field)
        field = self.field(given.grid, given.covariate)
        observe = self._observation(given, field)
        first = observe(field)
        if not (given.observations and self.adapt):
            return first
        scale, wider = first.residual_scale(), widening(first.misfit())
        if max(abs(scale - 1), wider - 1) < _LIKE_THE_COHORT:
            return first
        sd, loadings = wider * scale * field.sd, wider * field.loadings
        return observe(replace(field, sd=sd, loadings=loadings, widened=wider))

    def tempered(
        self, given: Conditions, shared: float, power: float, change: torch.Tensor | None = None
    ) -> Posterior:
        """The posterior of slices that are trusted less about what people share, and more about what is near.

        Its mean is nearer to the truth of people who were left out; its standard deviations are not theirs.

        Args:
            given: slices, and where the posterior lives.
            shared: factor on the loadings.
            power: of the residual's correlation along the axes that no slice looks along; an integer keeps it
                positive definite (Schur).
            change: of the mean before anything was observed, (K, J, I); 0 outside the anatomy.
        """
        field = self.field(given.grid, given.covariate)
        axes = field.grid.ijk_to_ras[:3, :3] / field.grid.spacing_ijk
        slices, _ = split_slices(given.observations)
        along = {2 - int(np.abs(s.plane.normal @ axes).argmax()) for s in slices}
        k, j, i = (c if n in along else c**power for n, c in enumerate(field.correlations))
        weaker = replace(field, loadings=shared * field.loadings, correlations=(k, j, i), widened=shared)
        if change is not None:
            weaker = replace(weaker, mean=field.mean + change)
        return self._observation(given, field)(weaker)

    def _nearer_mean(
        self, given: Conditions, how: MeanTempering, warping: MeanWarping | None
    ) -> torch.Tensor:
        """The tempered mean, (K, J, I); near slices, by some of what deforming the donors to them changes."""
        mean = self.tempered(given, how.shared, how.power).mean()
        if warping is None or self.parameters.donors is None:
            return mean
        slices, _ = split_slices(given.observations)
        grid = given.grid or self.grid
        *_, anatomy = self._process.on(grid)
        counts = counting(slices, grid, warping)
        change = warped_change(
            self._donors.around(given.covariate),
            self.grid,
            SeenPixels.of(slices, self.parameters),
            grid,
            anatomy.cpu() & (counts > MIN_SHARE),
            warping,
            given.check,
        ).to(mean)
        changed = self.tempered(given, how.shared, how.power, change).mean()
        return mean + counts.to(mean) * (changed - mean)

    def _observation(
        self, given: Conditions, field: GaussianField, tolerance: float = TOLERANCE
    ) -> Callable[[GaussianField], StackPosterior | OperatorPosterior]:
        """The observations as a function from a field to its posterior.

        Only what lies in the anatomy is evidence.
        """
        slices, others = split_slices(given.observations)
        *_, anatomy = self._process.on(field.grid)
        mask = anatomy.cpu().numpy()
        donor = self._donor_of(slices, field, mask, given.covariate)
        stack = None if others or any(s.noise for s in slices) else _as_stack(slices, field.grid)
        if stack is not None:
            axis, index, array = stack
            inside, expected = (t.movedim(axis, 0)[index] for t in (anatomy, field.mean))
            stacked = torch.where(inside, torch.as_tensor(array).to(self.device), expected)
            return lambda f: StackPosterior(f, axis, index, stacked, self.intervals, donor(f))
        if not others:
            planes, operator, pixels, noises = self._planes(slices, field.grid, mask)
            return lambda f: PlanesPosterior(
                f, planes, operator, pixels, self.intervals, given.check, tolerance, noises, donor(f)
            )
        measured = [measured_planes(*self._planes(slices, field.grid, mask))] if slices else []
        measured += [self._measured(observation, field.grid, mask) for observation in others]
        return lambda f: OperatorPosterior(f, measured, self.intervals, given.check, tolerance, donor(f))

    def _donor_of(
        self, slices: list[Slice], field: GaussianField, mask: np.ndarray, covariate: float | None
    ) -> Callable[[GaussianField], Callable[[int], torch.Tensor] | None]:
        """The donor of a seed as a draw of the field, which may have been widened, as sharp as the slices.

        None where samples are to start from the field's own draws. Slices are compared when first needed.
        """
        if self.draws[0] != DONORS:
            return lambda f: None
        fitted, *_ = self._process.on(field.grid)
        blur_mm = cache(lambda: self._blur_mm(slices, field, mask, covariate))

        def donor(f: GaussianField) -> Callable[[int], torch.Tensor]:
            wider = _spread(f) / _spread(fitted)
            return lambda seed: self._donors.draw(seed, f, covariate, wider, blur_mm())

        return donor

    def _blur_mm(
        self, slices: list[Slice], field: GaussianField, mask: np.ndarray, covariate: float | None
    ) -> float:
        """By how much donors must be blurred to be no sharper than the slices."""
        if not slices:
            return 0.0
        planes, operator, pixels, _ = self._planes(slices, field.grid, mask)
        drawn = torch.cat([self._donors.draw(seed, field, covariate) for seed in range(_COMPARED)])
        spacings = [tuple(plane.spacing_ij[::-1]) for plane in planes]
        return blur_between(operator.split(operator.forward(drawn)), operator.split(pixels[None]), spacings)

    def _planes(
        self, slices: list[Slice], grid: Grid, mask: np.ndarray
    ) -> tuple[list[Plane], PlaneOperator, torch.Tensor, list[float]]:
        """Slices on the grid: their planes, operator, pixels (count,) inside the mask, and own noises."""
        lattices = [
            resample_slice(s, size) for s, size in zip(slices, _pixel_sizes(slices, grid), strict=True)
        ]
        planes = [s.plane for s in lattices]
        operator = plane_operator(planes, grid, mask, self.device)
        pixels = operator.join([torch.as_tensor(s.pixels)[None].to(self.device) for s in lattices])[0]
        return planes, operator, pixels, [s.noise for s in lattices]

    def _measured(self, observation: Observation, grid: Grid, mask: np.ndarray) -> Measured:
        """Any observation on the grid, as far as it lies inside the mask."""
        if isinstance(observation, Radiograph):
            return measured_radiograph(observation, grid, self.device)
        operator = observation.operator(grid, mask=mask, device=self.device)
        values = torch.as_tensor(observation.values[observation.kept(grid, mask)]).to(self.device)
        return Measured(operator, values, torch.full_like(values, observation.noise**2))


def _spread(field: GaussianField) -> float:
    """Root mean square standard deviation before anything was observed, of every fourth voxel."""
    sd, loadings = (t[..., ::4, ::4, ::4] for t in (field.sd, field.loadings))
    return float(((sd**2).mean() + (loadings**2).sum(0).mean()).sqrt())


def _pixel_sizes(slices: list[Slice], grid: Grid) -> list[float]:
    """Pixel size (mm) per slice: its own or the grid's, whichever is coarser.

    Coarser still beyond _MAX_PIXELS in all.
    """
    sizes = [max(float(s.plane.spacing_ij.max()), float(grid.spacing_ijk.min())) for s in slices]
    area = [float(np.prod(s.plane.spacing_ij * s.plane.shape_ji[::-1])) for s in slices]
    count = sum(a / size**2 for a, size in zip(area, sizes, strict=True))
    return [size * max(1.0, (count / _MAX_PIXELS) ** 0.5) for size in sizes]


def _as_stack(slices: list[Slice], grid: Grid) -> tuple[int, list[int], np.ndarray] | None:
    """Array axis, plane indices and pixels (n, rows, columns) of whole planes of the grid.

    None unless every slice is one, in the grid's layout.
    """
    if not slices:
        return 0, [], np.zeros((0, *grid.shape_kji[1:]), np.float32)
    matrix = grid.ijk_to_ras
    for axis in range(3):
        i, j = (n for n in range(3) if n != 2 - axis)
        shape = tuple(n for a, n in enumerate(grid.shape_kji) if a != axis)
        index = []
        for s in slices:
            start = (grid.ras_to_ijk @ s.plane.ij_to_ras[:, 3])[:3]
            expected = np.zeros(3)
            expected[2 - axis] = n = round(float(start[2 - axis]))
            aligned = (
                s.plane.shape_ji == shape
                and np.abs(s.plane.ij_to_ras[:3, :2] - matrix[:3, [i, j]]).max() < 1e-4
            )
            if not aligned or np.abs(start - expected).max() > 1e-3 or not 0 <= n < grid.shape_kji[axis]:
                break
            if s.plane.thickness_mm > 1.01 * grid.spacing_ijk[2 - axis]:
                break
            index.append(n)
        if len(index) == len(slices) == len(set(index)):
            return axis, index, np.stack([s.pixels for s in slices])
    return None
