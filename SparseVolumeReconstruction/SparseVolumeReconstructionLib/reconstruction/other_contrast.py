"""Slices in a contrast that the prior does not know: compared as T1w by their tissues, shown in their own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from ..alignment.align import Alignment
from ..alignment.contrast import Contrast, contrast_of, looks_inverted, shows_agent
from ..alignment.gain import by_source, in_common_units, rough_gains, settled
from ..alignment.head import head_reader
from ..alignment.reader import Brain, Reading
from ..alignment.shown import ContrastMap
from ..alignment.tissues import as_t1w
from ..data.bids import WRITTEN
from ..observation import Slice
from ..observation.slices import check_slices_agree
from ..priors.card import ModelCard
from .whole_head import reads_for

KNOWN = "T1w"
"""What the priors of brains were fitted to."""
SHOWN = {"t1w": KNOWN, "t2w": "T2w", "flair": "FLAIR"}
"""Contrasts in which a result can be shown besides that of the slices, as requests name them."""
_SURE, _SEVERAL = 0.9, 2  # that single slices of one series are of another contrast
_LARGE = 0.6  # of the slice with most brain
_WHOLE = 20  # slices of a series that show nearly all of a head


@dataclass(frozen=True, eq=False)
class Contrasts:
    """Slices with the contrast of each series.

    slices: as they are. for_prior: the same as the prior can take them. found: by source, empty where the
    prior is not of T1w brains. mixed: sources whose slices seem to be of more than one contrast.
    readings: what the network reads in the slices, empty where it does not know the anatomy. enhanced: T1w
    sources that show the brightness of a contrast agent. inverted: sources of another contrast that look as
    if dark and bright had been exchanged. show_as: the contrast of the result, "own" (that of the first
    series) or one of SHOWN.
    """

    slices: list[Slice]
    for_prior: list[Slice]
    found: dict[str, Contrast]
    mixed: list[str]
    readings: list[Reading]
    enhanced: list[str] = field(default_factory=list)
    inverted: list[str] = field(default_factory=list)
    show_as: str = "own"

    def is_other(self, source: str) -> bool:
        """Whether a series is of a contrast that the prior does not know."""
        return source in self.found and self.found[source].is_other_than(KNOWN)

    def is_doubtful(self, source: str) -> bool:
        """Whether a series is perhaps of another contrast."""
        return source in self.found and self.words(source) != f"{KNOWN}-like"

    def is_like_first(self, source: str) -> bool:
        """Whether a series is of the contrast of the first."""
        return source == self.first or self.words(source) == self.words(self.first)

    def like_first(self) -> list[Slice]:
        """The slices of the contrast of the first series, in its units."""
        same = [s for s in self.slices if self.is_like_first(s.source)]
        return in_common_units(same, settled(rough_gains(same)))

    @property
    def wanted(self) -> str | None:
        """The contrast in which the result is to be shown, such as "T2w"; None for that of the slices."""
        return SHOWN.get(self.show_as)

    @property
    def first(self) -> str:
        """The series that leads: the first one of the wanted contrast, else the first one of all."""
        wanted = (s.source for s in self.slices if self.words(s.source) == f"{self.wanted}-like")
        return next(wanted, self.slices[0].source if self.slices else "")

    def check_agree(self) -> None:
        """Raise InputError where slices of one contrast show different images on the same pixels."""
        for words in dict.fromkeys(self.words(s.source) for s in self.slices):
            check_slices_agree([s for s in self.slices if self.words(s.source) == words])

    def words(self, source: str) -> str:
        """The contrast of a series, such as "FLAIR-like"."""
        return self.found[source].words if source in self.found else "unknown"

    def shown(self, alignment: Alignment) -> Alignment:
        """The alignment that shows what is inferred from pictures of the tissues.

        Args:
            alignment: of `for_prior`.

        Returns:
            With the grey values of the first series; the alignment itself where they are of the prior's
            contrast, and where another one is wanted.
        """
        if self.wanted or not self.is_other(self.first):
            return alignment
        pairs = zip(self.for_prior, self.slices, strict=True)
        own = [(a, b) for a, b in pairs if b.source == self.first]
        pixels = np.concatenate([a.pixels.ravel() for a in alignment.in_common_units([a for a, _ in own])])
        values = np.concatenate([b.pixels.ravel() for _, b in own])
        return replace(alignment, shown=ContrastMap.fit(alignment.intensity.to_canonical(pixels), values))

    def stands(self, source: str) -> bool:
        """Whether the pixels of a series can stand in the result."""
        if self.wanted in (None, KNOWN) and not self.is_other(self.first):
            return not self.is_other(source)
        return self.wanted in (None, self.words(source).split("-")[0]) and self.is_like_first(source)

    def observed(self, alignment: Alignment) -> list[Slice]:
        """The slices whose pixels can stand in the result, in the units of the first.

        Args:
            alignment: of `for_prior`.
        """
        if self.is_other(self.first) and self.stands(self.first):
            return self.like_first()
        return alignment.in_common_units([s for s in self.slices if self.stands(s.source)])

    def told(self) -> list[str]:
        """Warnings about contrasts that are not the prior's, or not that of the result."""
        other = [source for source in self.found if self.is_other(source)]
        left_out = [source for source in self.found if not self.stands(source)]
        told = [
            f"{source}: the grey values are {_name(self.words(source))}; the model knows {KNOWN} MRI only. "
            "The tissues in the slices were compared with it instead of the grey values: "
            "frame and anatomy are less certain, and lesions are shown only where they were observed."
            for source in other
        ]
        if left_out and (self.wanted or not self.is_other(self.first)):
            told.append(
                f"What was inferred is shown as {self.wanted or KNOWN}; no voxel of {', '.join(left_out)} is "
                f"in it.{self._nearer(left_out)}"
            )
        elif other:
            told.append(
                "What was inferred is shown in the contrast of the slices, by the grey value of each tissue "
                "in them; it can be shown as T1w, too."
            )
        told += [
            f"{source}: its contrast is unclear (the model knows {KNOWN} MRI only); look whether grey and "
            "white matter and fluid are as bright in the result as in the slices."
            for source in self.found
            if source not in other and self.is_doubtful(source)
        ]
        told += [
            f"{source}: its slices seem to be of more than one contrast; give those of each as a file of its "
            "own."
            for source in self.mixed
        ]
        told += [
            f"{source}: parts of the brain are far brighter than white matter, as after a contrast agent; "
            f"the model knows {KNOWN} MRI without it. What takes it up is shown only where it was observed."
            for source in self.enhanced
        ]
        told += [
            f"{source}: the rim of the brain is brighter and white matter darker than MRI shows them: dark "
            "and bright seem to be exchanged. Invert the grey values first if so."
            for source in self.inverted
        ]
        return told

    def _nearer(self, sources: list[str]) -> str:
        """A hint where a whole FLAIR among series is shown as T1w, beginning with a space; else empty."""
        slices = Counter(s.source for s in self.slices)
        whole = [s for s in sources if self.words(s) == "FLAIR-like" and slices[s] >= _WHOLE]
        if self.wanted != KNOWN or not whole:
            return ""
        return (
            " Of a whole FLAIR, Convert contrast (./run synthesize) makes a T1w that is nearer to a real one."
        )

    def provenance(self) -> dict[str, object]:
        """What was found, for result.json."""
        if not self.found:
            return {"found": "not looked at"}
        given = self.slices[0].source
        known = self.wanted or (None if self.is_other(self.first) else KNOWN)
        return {
            "found": self.words(given),
            "other": self.is_other(given),
            "series": {
                s: {"words": c.words, "probabilities": c.probabilities} for s, c in self.found.items()
            },
            "compared_as": KNOWN,
            "shown_as": known or "as observed",
        }


def contrasts_of(
    slices: list[Slice],
    brain: Brain | None,
    card: ModelCard,
    stated: str | None = None,
    show_as: str = "own",
) -> Contrasts:
    """The contrast of each series, and its slices as the prior of `card` can take them.

    Args:
        slices: without what is around the brain, patient mm.
        brain: what was found in whole heads; None where nothing was removed.
        card: of the prior; contrasts are looked at only where it knows T1w brains in the reader's space.
        stated: of all series, where it is known ("flair", as the name of a file tells it); else it is found.
        show_as: the contrast of the result, see `Contrasts`.
    """
    if not slices or KNOWN not in card.modality or not reads_for(card):
        return Contrasts(slices, slices, {}, [], [], show_as=show_as)
    read = brain is not None and all(r.field for r in brain.readings)
    readings = brain.readings if brain and read else head_reader().read(slices)
    found = {}
    mixed, enhanced, inverted = [], [], []
    for source in by_source(slices):
        own = [r for s, r in zip(slices, readings, strict=True) if s.source == source]
        contrast = Contrast({KNOWN: 0.0, WRITTEN[stated]: 1.0}) if stated in WRITTEN else contrast_of(own)
        if contrast is not None:
            found[source] = contrast
            if stated is None and _differ(own):
                mixed.append(source)
            if not contrast.is_other_than(KNOWN) and shows_agent(own):
                enhanced.append(source)
            if contrast.is_other_than(KNOWN) and looks_inverted(own):
                inverted.append(source)
    contrasts = Contrasts(slices, slices, found, mixed, readings, enhanced, inverted, show_as)
    pairs = zip(slices, readings, strict=True)
    return replace(
        contrasts, for_prior=[as_t1w(s, r) if contrasts.is_other(s.source) else s for s, r in pairs]
    )


def _differ(readings: list[Reading]) -> bool:
    """Whether several slices of a series are surely of the prior's contrast, and several surely not.

    Slices with little brain, near its surface, do not tell.
    """
    areas = np.array([float((r.classes[0] < 0.5).sum()) for r in readings])
    large = [r for r, area in zip(readings, areas, strict=True) if area > _LARGE * areas.max()]
    each = [c.probabilities[KNOWN] for r in large if (c := contrast_of([r]))]
    return sum(p > _SURE for p in each) >= _SEVERAL <= sum(p < 1 - _SURE for p in each)


def _name(words: str) -> str:
    return f"not those of {KNOWN} MRI" if words == "unclear" else f"those of {words.split('-')[0]} MRI"
