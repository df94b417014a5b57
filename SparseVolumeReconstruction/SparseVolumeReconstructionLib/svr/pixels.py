"""The pixels of all slices of all stacks as flat tensors: what registration and the volume are made from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from ..observation import Slice

_MIN_PIXELS = 12  # at the level's pixel size; fewer tell nothing of a pose
_COVERED = 0.5  # of the blur's weight that has to lie in the mask


@dataclass(frozen=True, eq=False)
class MaskedSlice:
    """A slice in scanner space, which of its pixels are to be used, where and when it was acquired.

    Attributes:
        mask: (rows, columns) bool, at least one pixel.
        stack: number of its stack.
        place: in the stack, from 0.
        shot: its place in the order of acquisition of the stack, from 0; slices of one shot move together.
        included: whether it belongs, where the user has said so; found from the data if None.
    """

    image: Slice
    mask: np.ndarray
    stack: int
    place: int
    shot: int
    included: bool | None = None


@dataclass(frozen=True, eq=False)
class Pixels:
    """Used pixels of all slices, P of them in S slices.

    Attributes:
        points: (P, 3) RAS mm, where the scanner saw them.
        values: (P,) in the units of the volume.
        owner: (P,) number of the slice, ascending.
        normals: (S, 3) of the slices; thickness: (S,) mm.
        decided: (S,) probability that a slice belongs, where the user has said so; else nan.
        keep: of each slice, (rows, columns) bool, which pixels of `slices` are these.
        slices: the images, maybe on coarser pixels.
    """

    points: torch.Tensor
    values: torch.Tensor
    owner: torch.Tensor
    normals: torch.Tensor
    thickness: torch.Tensor
    decided: torch.Tensor
    keep: list[np.ndarray]
    slices: list[Slice]

    @property
    def count(self) -> int:
        """S, the number of slices, those without pixels at this level among them."""
        return len(self.slices)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.values.device

    def sums(self, values: torch.Tensor) -> torch.Tensor:
        """Sums (S, ...) over the pixels of every slice of values (P, ...); the same bytes every time."""
        return torch.segment_reduce(values, "sum", lengths=self._lengths, axis=0)

    @cached_property
    def _lengths(self) -> torch.Tensor:
        """(S,) how many pixels each slice has."""
        return torch.bincount(self.owner, minlength=self.count)

    def as_decided(self, belongs: torch.Tensor) -> torch.Tensor:
        """Probabilities (S,) of slices, with those that the user has decided."""
        return torch.where(self.decided.isnan(), belongs, self.decided)

    def only(self, chosen: torch.Tensor) -> Pixels:
        """Those of some slices; chosen: (S,) bool. The slices keep their numbers."""
        mine = chosen.to(self.device)[self.owner]
        keep = [k if c else np.zeros_like(k) for k, c in zip(self.keep, chosen.tolist(), strict=True)]
        return Pixels(
            self.points[mine],
            self.values[mine],
            self.owner[mine],
            self.normals,
            self.thickness,
            self.decided,
            keep,
            self.slices,
        )


def pixels_of(slices: list[MaskedSlice], pixel_mm: float, device: torch.device | str = "cpu") -> Pixels:
    """The pixels of slices, averaged to about `pixel_mm` where theirs are finer.

    Args:
        slices: in scanner space, values in one unit.
        pixel_mm: averaged with a Gaussian that knows the mask, then every n-th pixel is kept.
        device: where the tensors are.
    """
    images, keeps = zip(*(_coarse(each, pixel_mm) for each in slices), strict=True)
    points = [i.plane.points_ras()[k.ravel()] for i, k in zip(images, keeps, strict=True)]
    owner = np.repeat(np.arange(len(slices)), [len(p) for p in points])
    values = np.concatenate([i.pixels[k] for i, k in zip(images, keeps, strict=True)])

    def tensor(array, dtype=torch.float32):
        return torch.as_tensor(np.asarray(array), dtype=dtype, device=device)

    return Pixels(
        tensor(np.concatenate(points)),
        tensor(values),
        tensor(owner, torch.long),
        tensor([i.plane.normal for i in images]),
        tensor([i.plane.thickness_mm for i in images]),
        tensor([np.nan if s.included is None else s.included for s in slices]),
        list(keeps),
        list(images),
    )


def _coarse(each: MaskedSlice, pixel_mm: float) -> tuple[Slice, np.ndarray]:
    """A slice and its mask on every n-th pixel, blurred within the mask first."""
    image, spacing = each.image, each.image.plane.spacing_ij
    step = np.maximum(np.rint(pixel_mm / spacing), 1).astype(int)
    if (step == 1).all():
        return image, each.mask
    sigma = [0.45 * s if s > 1 else 0.0 for s in step[::-1]]
    inside = gaussian_filter(each.mask.astype(np.float32), sigma)
    grey = gaussian_filter(np.where(each.mask, image.pixels, 0), sigma)
    columns, rows = step
    at = np.s_[rows // 2 :: rows, columns // 2 :: columns]
    inside, grey = inside[at], grey[at]
    keep = inside > _COVERED
    if keep.sum() < _MIN_PIXELS:
        keep = np.zeros_like(keep)
    matrix = image.plane.ij_to_ras.copy()
    matrix[:3, 3] = matrix @ [columns // 2, rows // 2, 0, 1] @ np.eye(4)[:, :3]
    matrix[:3, :2] *= step
    plane = type(image.plane)(keep.shape, matrix, image.plane.thickness_mm)
    grey = np.where(keep, grey / np.maximum(inside, 1e-6), 0)
    if np.ptp(grey) == 0:  # a slice must show something, used or not
        grey[0, 0] += 1.0
    return Slice(grey, plane, image.name, image.thickness_assumed, image.source, image.volume_index), keep
