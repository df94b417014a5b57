"""What stands for a scan as it is: its voxels, and where they lie. A name stays when these change."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np

from ..geometry import Volume
from .nodes import volume_of

_DECIMALS = 4  # of mm: as a saved scene keeps them
_hashed: dict[str, tuple[int, str]] = {}


def digest(volume: Volume) -> str:
    """Of voxels and grid; another where one of them is another."""
    return _of_place(_of_voxels(volume), volume)


def fingerprint(node) -> str:
    """`digest` of a volume node in world RAS; its voxels are read again only after they were modified.

    Raises:
        InputError: as `volume_of`.
    """
    volume, image, key = volume_of(node), node.GetImageData(), node.GetID() or ""
    changed = max(image.GetMTime(), image.GetPointData().GetScalars().GetMTime())
    if _hashed.get(key, (0, ""))[0] != changed:
        _hashed[key] = changed, _of_voxels(volume)
    return _of_place(_hashed[key][1], volume)


def fingerprints(nodes: list) -> dict[str, str]:
    """{ID of the node: its fingerprint}, JSON-ready. Raises InputError as `fingerprint`."""
    return {node.GetID(): fingerprint(node) for node in nodes}


def are_of_one_body(then: dict[str, str], now: dict[str, str]) -> bool:
    """Whether what was found of some scans holds for others: one is among both, and none has changed.

    Args:
        then: `fingerprints` of what something was found of.
        now: those of what is asked about.
    """
    changed = any(then.get(key, each) != each for key, each in now.items())
    return not changed and not set(then.values()).isdisjoint(now.values())


def _of_voxels(volume: Volume) -> str:
    array: Any = np.ascontiguousarray(volume.array)
    return sha256(f"{array.shape} {array.dtype}".encode() + array.tobytes()).hexdigest()


def _of_place(voxels: str, volume: Volume) -> str:
    place = np.round(volume.grid.ijk_to_ras, _DECIMALS) + 0.0  # no -0
    return sha256(voxels.encode() + place.tobytes()).hexdigest()
