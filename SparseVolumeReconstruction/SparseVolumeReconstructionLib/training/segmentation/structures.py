"""The structures of a brain: their numbers in label maps, and how bright they are.

As in a T1-weighted image.

The slice VAE paper segments "15 labels" and does not list them. Here they are the 15 structures below, left
and right merged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Structure:
    """A structure as label maps number it, and how bright it is.

    labels: numbers of FreeSurfer. mean: usual intensity, share of the range, in a T1-weighted image.
    """

    name: str
    labels: tuple[int, ...]
    mean: float


STRUCTURES = (
    Structure("cerebral white matter", (2, 41), 0.84),
    Structure("cerebral cortex", (3, 42), 0.52),
    Structure("lateral ventricle", (4, 5, 43, 44), 0.14),
    Structure("cerebellar white matter", (7, 46), 0.82),
    Structure("cerebellar cortex", (8, 47), 0.54),
    Structure("thalamus", (10, 49), 0.68),
    Structure("caudate", (11, 50), 0.57),
    Structure("putamen", (12, 51), 0.63),
    Structure("pallidum", (13, 52), 0.76),
    Structure("third and fourth ventricle", (14, 15), 0.18),
    Structure("brain stem", (16,), 0.78),
    Structure("hippocampus", (17, 53), 0.53),
    Structure("amygdala", (18, 54), 0.53),
    Structure("accumbens", (26, 58), 0.57),
    Structure("ventral diencephalon", (28, 60), 0.73),
)
# What has a brightness of its own, and the structure (by its code) of which it is part; 0: of none.
OTHERS = (
    (Structure("cerebrospinal fluid", (24, 30, 62, 72, 85), 0.16), 0),
    (Structure("choroid plexus", (31, 63, 136, 137, 163, 164), 0.35), 3),
    (Structure("lesion of white matter", (25, 57), 0.66), 1),
)
NAMES = tuple(structure.name for structure in STRUCTURES)
CLASSES = len(STRUCTURES) + 1
FLUID = CLASSES
"""Code of the fluid around the brain: 1 to 15 are STRUCTURES, OTHERS follow, 0 is all else."""

_ALL = (*STRUCTURES, *(structure for structure, _ in OTHERS))
MEANS = np.array([0.0, *(structure.mean for structure in _ALL)], np.float32)
TARGETS = np.array([*range(CLASSES), *(part_of for _, part_of in OTHERS)])
"""The class 0 to 15 that each code is to be segmented as, (19,)."""


def coded(labels: np.ndarray) -> np.ndarray:
    """Codes (uint8, same shape) of FreeSurfer's labels; tissue outside the brain becomes 0."""
    labels = np.asarray(labels)
    codes = np.zeros(labels.shape, np.uint8)
    for code, structure in enumerate(_ALL, 1):
        codes[np.isin(labels, structure.labels)] = code
    return codes
