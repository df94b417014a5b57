"""Thick slices through a made-up mother with a fetus whose brain is what the embedded model expects."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_closing, distance_transform_edt, gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.zoo import ModelStore

SHAPE, PIXEL_MM, STEP_MM, THICK_MM = (24, 144, 144), 2.0, 4.0, 4.0
UTERUS_MM, BODY_MM = np.array([75.0, 85.0, 90.0]), np.array([120.0, 95.0, 1000.0])
TWIN_MM = np.array([52.0, 0, 0])  # of a twin from the middle


class Pregnancy:
    """The brain at a number of weeks, turned by chance, in fluid, in a mother of smooth random tissue."""

    def __init__(self, weeks: float = 29.0, seed: int = 0):
        prior = ModelStore().load("fetal-t2", "cpu")
        self.brain = prior.condition([], covariate=weeks).mean().numpy()
        self.grid, self.random = prior.grid, np.random.default_rng(seed)
        mask = binary_closing(np.pad(self.brain > 0.08, 20), iterations=4)
        spacing = float(self.grid.spacing_ijk[0])
        self.inside = mask.astype(np.float32)
        self.outside = distance_transform_edt(~mask) * spacing
        self.middle = np.array(np.nonzero(mask)).mean(1)
        self.pose = Rotation.random(random_state=seed).as_matrix() / spacing
        noise = self.random.standard_normal((3, 96, 96, 96))
        self.tissue = [gaussian_filter(n, s) for n, s in zip(noise, (1.5, 3, 5), strict=True)]
        self.tissue = [t / t.std() for t in self.tissue]

    def stack(self, moved: dict[int, np.ndarray] | None = None, brains: int = 1) -> tuple[Volume, Volume]:
        """What a scanner sees, and its brain mask.

        moved: shifts (mm) of the head in slices. brains: none, one in the middle, or those of twins.
        """
        places = {0: [], 1: [np.zeros(3)], 2: [-TWIN_MM, TWIN_MM]}[brains]
        womb_mm = UTERUS_MM + (np.abs(TWIN_MM) if brains > 1 else 0)
        grid = Grid.centred(SHAPE, PIXEL_MM)
        matrix = grid.ijk_to_ras.copy()
        matrix[:, 2] *= STEP_MM / PIXEL_MM
        matrix[2, 3] = -STEP_MM * (SHAPE[0] - 1) / 2
        grid = Grid(SHAPE, matrix)
        points = grid.points_ras().reshape(*SHAPE, 3)
        image, inside = np.zeros(SHAPE), np.zeros(SHAPE)
        for k, plane in enumerate(points):
            for up in (-THICK_MM / 3, 0, THICK_MM / 3):
                shift = (moved or {}).get(k, np.zeros(3))
                at = [place + shift for place in places]
                seen, part = self._seen(plane + np.array([0, 0, up]), at, womb_mm)
                image[k] += seen / 3
                inside[k] += part / 3
        image = np.abs(image + 0.02 * self.random.standard_normal(SHAPE)) * 600
        return Volume(image.astype(np.float32), grid), Volume((inside > 0.5).astype(np.uint8), grid)

    def _seen(self, points, places, womb_mm) -> tuple[np.ndarray, np.ndarray]:
        """Grey values and brain of points (rows, columns, 3) mm; places: of the heads' middles, mm."""
        at = np.moveaxis(points / 3 + 48, -1, 0)
        fine, middle, coarse = (map_coordinates(t, at, order=1, mode="wrap") for t in self.tissue)
        mother = np.where(middle > 0.4, 0.5, 0.2) + 0.08 * fine
        body = ((points / BODY_MM) ** 2).sum(-1)
        mother = np.where(body > 0.85, 0.8, mother) * (body < 1)
        womb = ((points / womb_mm) ** 2).sum(-1) + 0.08 * coarse
        image = np.where(womb < 1, 0.95 + 0.03 * middle, np.where(womb < 1.1, 0.3, mother))
        inside = np.zeros(image.shape)
        for place in places:
            q = np.moveaxis((points - place) @ self.pose.T, -1, 0)[::-1] + self.middle[:, None, None]
            away = map_coordinates(self.outside, q, order=1, cval=99.0)
            part = map_coordinates(self.inside, q, order=1, cval=0.0)
            grey = map_coordinates(self.brain, q - 20, order=1, cval=0.0)
            image = np.where(away < 5, np.where(away < 2, 0.08, 0.5), image)
            image = np.where(part > 0.5, np.maximum(grey, 0.15), image)
            inside = np.maximum(inside, part)
        return image, inside
