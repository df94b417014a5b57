"""Specimens of thin bones in any pose, with landmarks beside their volumes."""

import json
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import write_volume
from SparseVolumeReconstructionLib.geometry.resample import resample

# symmetric about R = 0, longest along A, with one landmark at the front and one at the top
POINTS = np.array(
    [[3, -8, 0], [-3, -8, 0], [5, 0, -2], [-5, 0, -2], [2, 8, 1], [-2, 8, 1], [0, 10, 0], [0, 0, 5]]
)
FRONT, TOP = "6", "7"
BODY = Grid.centred((36, 36, 36), 0.8)
_BONES = [(6, 0), (6, 1), (2, 3), (7, 4), (7, 5), (6, 7)]


def body(density: np.ndarray | None = None) -> Volume:
    """Lines between the landmarks; density: of each of the six bones (1)."""
    array = np.zeros(BODY.shape_kji, np.float32)
    at = np.rint(POINTS @ BODY.ras_to_ijk[:3, :3].T + BODY.ras_to_ijk[:3, 3]).astype(int)
    for (start, end), value in zip(_BONES, np.ones(6) if density is None else density, strict=True):
        for f in np.linspace(0, 1, 60):
            array[tuple(np.rint(at[start] + f * (at[end] - at[start])).astype(int)[::-1])] = value
    return Volume(gaussian_filter(array, 1.0) * 6, BODY)


def write_specimen(folder: Path, number: int, body: Volume, off_mm: float = 0.0) -> None:
    """m<number>.nii.gz in a pose of its own, and landmarks that lie so far off."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=number).as_matrix()
    pose[:3, 3] = np.array([number, -number, 2]) if number < 5 else 1.0
    write_volume(resample(body, BODY, np.linalg.inv(pose)), folder / f"m{number}.nii.gz")
    placed = POINTS @ pose[:3, :3].T + pose[:3, 3] + off_mm
    points = [{"label": str(m), "position": (p * [-1, -1, 1]).tolist()} for m, p in enumerate(placed)]
    markups = {"markups": [{"coordinateSystem": "LPS", "controlPoints": points}]}
    (folder / f"m{number}.mrk.json").write_text(json.dumps(markups))
