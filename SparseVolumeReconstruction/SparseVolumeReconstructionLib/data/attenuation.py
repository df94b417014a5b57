"""Attenuation volumes of heads made from their label maps, where no CT is to be had.

Every tissue has the attenuation that CT finds in it, with texture, and bone of another density in everybody.
"""

from __future__ import annotations

import zlib

import numpy as np
from scipy.ndimage import gaussian_filter

from ..geometry import InputError, Volume

SKIN = 30.0
FAT = -90.0
MUSCLE = 45.0
BRAIN = 35.0
FLUID = 8.0
BLOOD = 50.0
EYE = 15.0
CORTICAL = 1300.0
CANCELLOUS = 450.0
# Hounsfield units by the label; what is not named and not air is brain
_FREESURFER = {4: FLUID, 5: FLUID, 14: FLUID, 15: FLUID, 24: FLUID, 43: FLUID, 44: FLUID} | {
    502: BLOOD, 506: EYE, 507: 0.5 * (FAT + MUSCLE), 508: MUSCLE, 509: MUSCLE, 511: SKIN, 512: BRAIN,
    514: BLOOD, 515: CORTICAL, 516: CANCELLOUS, 530: BRAIN,
}  # fmt: skip
_BRAINWEB = {
    1: FLUID, 2: BRAIN, 3: BRAIN, 4: FAT, 5: MUSCLE, 6: SKIN, 7: CORTICAL, 8: BLOOD, 9: FAT, 10: MUSCLE,
    11: CANCELLOUS,
}  # fmt: skip
KINDS = {"freesurfer": _FREESURFER, "brainweb": _BRAINWEB}
_BONY = 300.0  # HU, from where on density and texture are those of bone
_DENSITY_SD = 0.08  # log, of a person's bone
_TEXTURE = ((1.0, 100.0, 12.0), (4.0, 60.0, 8.0))  # width in mm; HU in bone, elsewhere
_AIR = -1000.0


def attenuation(labels: Volume, kind: str, name: str) -> Volume:
    """Attenuation relative to water, float32 (K, J, I), 0 is air.

    Args:
        labels: a label map; 0 is air, within the head as well.
        kind: its numbers, a key of KINDS; "freesurfer" with those of skull and soft tissue (502 to 530).
        name: of the person, from which density and texture are drawn: the same name, the same volume.

    Raises:
        InputError: the map has no bone.
    """
    numbers = np.rint(labels.array).astype(int)
    known = KINDS[kind]
    table = np.full(max(numbers.max(), *known) + 1, BRAIN)
    table[0] = _AIR
    table[list(known)] = list(known.values())
    units = table[numbers.clip(0)]
    bony = units > _BONY
    if bony.mean() < 1e-3:
        raise InputError(
            f"{name}: a label map without bone; expected a whole head with the numbers of {kind}, "
            "that of the skull among them."
        )
    random = np.random.default_rng(zlib.crc32(name.encode()))
    units[bony] = (1000 + units[bony]) * np.exp(_DENSITY_SD * random.standard_normal()) - 1000
    for width_mm, in_bone, elsewhere in _TEXTURE:
        noise = gaussian_filter(
            random.standard_normal(units.shape).astype(np.float32), width_mm / labels.grid.spacing_ijk[::-1]
        )
        units += noise / noise.std() * np.where(bony, in_bone, elsewhere)
    relative = np.where(numbers > 0, np.clip(1 + units / 1000, 0.05, None), 0)
    return Volume(relative.astype(np.float32), labels.grid)
