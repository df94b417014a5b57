"""Names of structures of the brain where they lie in MNI152 space, for lessons: what a slice passes near.

The coordinates are approximate: middles of structures in whole millimetres, written down from general
knowledge of the MNI152 template and compared by eye with the mean of `brain-t1`. They orient a student; they
are no parcellation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..mrml.i18n import _

_NEAR_MM, _MAX_LANDMARKS = 6.0, 5


@dataclass(frozen=True)
class Landmark:
    """A structure's name, and its middle (x to the right, y to the front, z up; mm).

    On the right where there are two.
    """

    name: str
    point: tuple[float, float, float]

    @property
    def points(self) -> np.ndarray:
        """(1, 3) or, where there is one on each side, (2, 3) in mm."""
        x, y, z = self.point
        return np.array([self.point] if x == 0 else [self.point, (-x, y, z)], float)


def landmarks() -> tuple[Landmark, ...]:
    """The structures that are known, in the language of the application."""
    return (
        Landmark(_("corpus callosum, genu"), (0, 28, 6)),
        Landmark(_("corpus callosum, body"), (0, -6, 27)),
        Landmark(_("corpus callosum, splenium"), (0, -38, 14)),
        Landmark(_("lateral ventricle, frontal horn"), (8, 18, 7)),
        Landmark(_("lateral ventricle, atrium"), (25, -42, 9)),
        Landmark(_("third ventricle"), (0, -16, 1)),
        Landmark(_("fourth ventricle"), (0, -46, -32)),
        Landmark(_("caudate nucleus, head"), (13, 15, 8)),
        Landmark(_("putamen"), (26, 4, 2)),
        Landmark(_("globus pallidus"), (19, -4, 0)),
        Landmark(_("thalamus"), (11, -18, 8)),
        Landmark(_("insula"), (38, 4, 2)),
        Landmark(_("hippocampus"), (28, -22, -14)),
        Landmark(_("amygdala"), (23, -4, -18)),
        Landmark(_("midbrain"), (0, -28, -12)),
        Landmark(_("pons"), (0, -26, -34)),
        Landmark(_("medulla oblongata"), (0, -40, -56)),
        Landmark(_("cerebellar vermis"), (0, -64, -24)),
        Landmark(_("cerebellar hemisphere"), (32, -64, -38)),
        Landmark(_("precentral gyrus, hand area"), (38, -22, 58)),
        Landmark(_("frontal pole"), (14, 64, 4)),
        Landmark(_("temporal pole"), (40, 14, -32)),
        Landmark(_("occipital pole"), (14, -98, 2)),
        Landmark(_("calcarine sulcus"), (10, -76, 8)),
        Landmark(_("precuneus"), (7, -60, 44)),
        Landmark(_("anterior cingulate gyrus"), (5, 36, 18)),
    )


def near(plane: np.ndarray) -> list[tuple[str, float]]:
    """Name and distance in mm of the structures nearest to a plane, the nearest first.

    plane: 4x4 SliceToRAS in MNI152 space, mm.
    """
    found = [
        (each.name, float(np.abs((each.points - plane[:3, 3]) @ plane[:3, 2]).min())) for each in landmarks()
    ]
    return sorted([pair for pair in found if pair[1] <= _NEAR_MM], key=lambda pair: pair[1])[:_MAX_LANDMARKS]


def near_words(plane: np.ndarray) -> str:
    """The same in words: "near: thalamus (4 mm), putamen (5 mm)"; "" where nothing that is known is near."""
    named = ", ".join(_("{name} ({mm:.0f} mm)").format(name=name, mm=mm) for name, mm in near(plane))
    return _("near: {names}").format(names=named) if named else ""


def knows(card) -> bool:
    """Whether the names hold for a model with this card: a brain in MNI152 space."""
    return card.anatomy == "brain" and card.canonical_space.upper().startswith("MNI152")
