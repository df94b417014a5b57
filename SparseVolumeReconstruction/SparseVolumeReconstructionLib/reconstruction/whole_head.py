"""Slices of whole heads for a prior of brains: what is around the brain is removed, told, and kept as a
mask.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import binary_fill_holes

from ..alignment.head import disagreement_mm, head_reader
from ..alignment.reader import Brain
from ..geometry import Volume
from ..observation import Slice, observed_voxels
from ..priors.card import ModelCard

_TISSUE = 0.1  # of the brightest voxels, where a mean is half inside the brain
_FAR_MM = 22.0  # more than a right frame differs from what single slices tell


def find_brain(slices: list[Slice], card: ModelCard) -> Brain | None:
    """The slices without skull and scalp; None where they have none, or the prior is not one of adult brains.

    card: of the prior.
    """
    reads = head_reader().card
    if not slices or (card.anatomy, card.canonical_space) != (reads.anatomy, reads.canonical_space):
        return None
    return head_reader().brain_of(slices)


def told_of(brain: Brain | None) -> list[str]:
    """Warnings about what was removed."""
    if brain is None:
        return []
    told = [
        "The slices show a whole head: what is around the brain was found and set to 0 in "
        f"{len(brain.slices)} slices. Look at the brain mask before using the result."
    ]
    if brain.left_out:
        told.append(f"Slices without any brain were left out: {', '.join(brain.left_out)}.")
    return told


def doubt_about_frame(brain: Brain | None, patient_to_canonical: np.ndarray) -> list[str]:
    """A warning where the frame (4x4, RAS mm) and what single slices tell of their place exclude each
    other.
    """
    apart = disagreement_mm(brain.readings, patient_to_canonical) if brain else 0.0
    if apart <= _FAR_MM:
        return []
    return [
        f"The frame puts the brain {apart:.0f} mm from where its slices look to be: it is probably wrong; "
        "check the orientation of the files, add slices, or give the frame."
    ]


def brain_mask(brain: Brain, mean: Volume) -> Volume:
    """The brain on the grid of a posterior mean (any units), uint8: as observed where a slice passes, else
    where the mean is as bright as tissue, without holes.
    """
    inferred = binary_fill_holes(mean.array > _TISSUE * np.quantile(mean.array, 0.995))
    pairs = zip(brain.slices, brain.masks, strict=True)
    masks = [replace(s, pixels=m.astype(np.float32)) for s, m in pairs if not m.all()]
    observed, values = observed_voxels(masks, mean.grid)
    return Volume(np.where(observed, values >= 0.5, inferred).astype(np.uint8), mean.grid)
