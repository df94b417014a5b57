"""In which contrast a result is shown, and by which prior: that of T1w, or the same anatomy by its tissues.

Evidence chooses between the two; what is known of the tissues can be shown in any other contrast.
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
from ..priors.gaussian.tissues import SHOWN_WIDENING, USUAL, ZONES
from .other_contrast import KNOWN, Contrasts

_GUESSED = 0.15  # noise of what is known by another contrast, of the brightest tissue
_UNITS = 1000.0  # of a contrast that nobody scanned


@dataclass(frozen=True, eq=False)
class View:
    """What a posterior is made of.

    prior: in the contrast that is shown. slices: as it takes them, in patient units. alignment: the frame,
    and the grey values of the result. shown: the slices whose pixels stand in it. seen: what evidence said of
    the first series, None where it was not asked. by_tissues: whether the tissues were given the grey values
    of the slices.
    """

    prior: Prior
    slices: list[Slice]
    alignment: Alignment
    shown: list[Slice]
    seen: Seen | None = None
    by_tissues: bool = False

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
    prior: Prior, contrasts: Contrasts, found: Alignment, known: dict[str, list[float]] | None = None
) -> View:
    """The view that shows what is inferred in the contrast that `contrasts` asks for.

    A series of that contrast leads, where there is one; else the tissues carry it over.

    Args:
        prior: of T1w, where contrasts were looked at.
        contrasts: of the series.
        found: frame and intensity map of `contrasts.for_prior`.
        known: grey values of the tissues that an earlier result found in the first series of all.
    """
    leads = bool(contrasts.slices) and contrasts.first == contrasts.slices[0].source
    known = known if leads else None
    if not prior.knows_tissues or not (known or contrasts.is_doubtful(contrasts.first)):
        view = _by_pictures(prior, contrasts, found)
    else:
        view = _by_evidence(prior, contrasts, found, known)
    own = contrasts.words(contrasts.first).split("-")[0] if view.by_tissues else KNOWN
    if contrasts.wanted in (None, own) or not prior.knows_tissues:
        return view
    shades = None if contrasts.wanted == KNOWN else USUAL[contrasts.wanted]
    shown = replace(view.alignment, shown=MonotoneMap(np.array([0.0, _UNITS]), np.array([0.0, 1.0])))
    wider = SHOWN_WIDENING.get((own, contrasts.wanted), 1.0)
    return replace(view, prior=prior.shown_in(view.prior, shades, wider), alignment=shown, shown=[])


def _by_pictures(prior: Prior, contrasts: Contrasts, found: Alignment) -> View:
    """T1w, and pictures of the tissues as T1w would show them."""
    return View(prior, contrasts.for_prior, contrasts.shown(found), contrasts.observed(found))


def _by_evidence(
    prior: Prior, contrasts: Contrasts, found: Alignment, known: dict[str, list[float]] | None
) -> View:
    """The contrast of the first series, by its tissues or as T1w: what is more probable."""
    own = contrasts.like_first()
    plain = None if known else fixed_frame(own, prior.alignment_model(), found.patient_to_canonical)
    inside = [s.transformed(found.patient_to_canonical) for s in own]
    seen = prior.seen_by(inside, plain.intensity) if plain else prior.seen_in(known or {})
    assert seen is not None
    if plain and seen.gain is not None and seen.gain < 0:
        others = _others(contrasts, found, plain.intensity.to_patient, seen.unit)
        return View(prior, [*own, *others], replace(found, intensity=plain.intensity, gains={}), own, seen)
    greys = np.array([0.0, *(shades[0] for shades in seen.shades.values())])
    others = _others(contrasts, found, lambda t1w: np.interp(t1w, [0.0, *T1W], greys), seen.unit)
    straight = MonotoneMap(np.array([0.0, seen.unit]), np.array([0.0, 1.0]))
    found = replace(found, intensity=straight, gains={})
    return View(seen.prior, [*own, *others], found, own, seen, by_tissues=True)


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
