"""Volumes that look like the tiny model of the tests, and that model in the store."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import slicer.util

from SparseVolumeReconstructionLib.zoo.store import ModelStore

RADII_MM = np.array([60.0, 75.0, 62.0])


def import_tiny(write_weights, folder: Path) -> None:
    """Put the model "tiny" into the folder of the user's models, which the environment names."""
    ModelStore(Path(os.environ["SVR_MODELS_DIR"])).import_file(write_weights(folder / "tiny.safetensors"))


def add_body(name: str = "Body", spacing_mm=(4.0, 4.0, 4.0), shape=(32, 40, 32)):
    """A dense volume node of the body; shape in k, j, i, spacing in i, j, k."""
    ijk = np.indices(shape)[::-1].reshape(3, -1).T
    matrix = np.diag([*spacing_mm, 1.0])
    matrix[:3, 3] = -(np.array(shape[::-1]) - 1) / 2 * spacing_mm
    radius = np.linalg.norm((ijk @ matrix[:3, :3].T + matrix[:3, 3]) / RADII_MM, axis=1).reshape(shape)
    grey = np.where(radius < 1, 1000 * (0.3 + 0.5 * radius), 0).astype(np.int16)
    node = slicer.util.addVolumeFromArray(grey, ijkToRAS=matrix, name=name)
    node.CreateDefaultDisplayNodes()
    return node


def add_stack(name: str = "Stack"):
    """Five slices of the body with gaps."""
    return add_body(name, (4.0, 4.0, 22.0), (5, 40, 32))
