"""In which contrast a result is shown, and by which prior: that of T1w, or the same anatomy by its tissues.

Evidence chooses between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..alignment.align import Alignment, fixed_frame
from ..alignment.intensity import MonotoneMap
from ..alignment.tissues import T1W
from ..observation import Slice
from ..priors.base import Prior, Seen
from ..priors.gaussian.tissues import ZONES
from .other_contrast import Contrasts

_GUESSED = 0.15  # noise of what is known by another contrast, of the brightest tissue


@dataclass(frozen=True, eq=False)
class View:
    """What a posterior is made of.

    prior: in the contrast that is shown. slices: as it takes them, in patient units. alignment: the frame,
    and the grey values of the result. shown: the slices whose pixels stand in it. seen: what evidence said of
    the first series, None where it was not asked.
    """

    prior: Prior
    slices: list[Slice]
    alignment: Alignment
    shown: list[Slice]
    seen: Seen | None = None

    @property
    def by_tissues(self) -> bool:
        """Whether the tissues were given the grey values of the slices."""
        return self.seen is not None and self.seen.prior is self.prior

    def told(self, source: str) -> list[str]:
        """What the user should know of the choice. source: the first series."""
        if self.seen is None or self.by_tissues:
            return []
        nats = -(self.seen.gain or 0)
        return [
            f"{source}: its grey values are more probable as those of T1w MRI (by {nats:.0f} nats), and were "
            "taken as such."
        ]

    def provenance(self) -> dict[str, object]:
        """For result.json: what evidence chose, and the grey values of the tissues."""
        if self.seen is None:
            return {}
        columns = (*ZONES, "spread")
        shades = {name: dict(zip(columns, row, strict=True)) for name, row in self.seen.shades.items()}
        chosen = "tissues" if self.by_tissues else "T1w"
        return {"chosen": chosen, "nats_over_t1w": self.seen.gain, "grey_values": shades}


def view_of(
    prior: Prior,
    contrasts: Contrasts,
    found: Alignment,
    show_as: str,
    known: dict[str, list[float]] | None = None,
) -> View:
    """The view that shows what is inferred in the contrast of the first series ("own"), or as T1w ("t1w").

    Args:
        prior: of T1w, where contrasts were looked at.
        contrasts: of the series.
        found: frame and intensity map of `contrasts.for_prior`.
        show_as: "own" or "t1w".
        known: grey values of the tissues that an earlier result found.
    """
    if show_as != "own" or not (known or contrasts.is_doubtful(contrasts.first)):
        return _by_pictures(prior, contrasts, found, show_as)
    own = contrasts.like_first()
    plain = None if known else fixed_frame(own, prior.alignment_model(), found.patient_to_canonical)
    inside = [s.transformed(found.patient_to_canonical) for s in own]
    seen = prior.seen_by(inside, plain.intensity) if plain else prior.seen_in(known or {})
    if seen is None:
        return _by_pictures(prior, contrasts, found, show_as)
    if plain and seen.gain is not None and seen.gain < 0:
        others = _others(contrasts, found, plain.intensity.to_patient, seen.unit)
        return View(prior, [*own, *others], replace(found, intensity=plain.intensity, gains={}), own, seen)
    greys = np.array([0.0, *(shades[0] for shades in seen.shades.values())])
    others = _others(contrasts, found, lambda t1w: np.interp(t1w, [0.0, *T1W], greys), seen.unit)
    straight = MonotoneMap(np.array([0.0, seen.unit]), np.array([0.0, 1.0]))
    return View(seen.prior, [*own, *others], replace(found, intensity=straight, gains={}), own, seen)


def _by_pictures(prior: Prior, contrasts: Contrasts, found: Alignment, show_as: str) -> View:
    """T1w, and pictures of the tissues as T1w would show them."""
    shown = contrasts.shown(found, show_as)
    return View(prior, contrasts.for_prior, shown, contrasts.observed(shown, show_as))


def _others(
    contrasts: Contrasts, found: Alignment, to_first: Callable[[np.ndarray], np.ndarray], unit: float
) -> list[Slice]:
    """The series of other contrasts as the first one would show their tissues, with the noise of that guess.

    to_first: from canonical units of T1w.
    """
    others = [s for s in contrasts.for_prior if not contrasts.is_like_first(s.source)]
    return [
        replace(s, pixels=to_first(found.intensity.to_canonical(s.pixels)), noise=_GUESSED * unit)
        for s in found.in_common_units(others)
    ]
