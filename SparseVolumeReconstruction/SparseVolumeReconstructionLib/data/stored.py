"""Volumes that stay in their files until they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch

from ..geometry import file_errors

_AT_ONCE = 2**22  # numbers of all volumes together that a mean holds
_ALIGNED = 32  # voxels; torch then adds up as it does over whole volumes, to the bit


class StoredVolumes:
    """Volumes (N, K, H, W) in a file each, of which memory holds what was asked for last.

    Args:
        files: .npy of float16 (K, H, W).
        shape_kji: of each.
        device: where float32 tensors of what is asked for come.
    """

    def __init__(
        self,
        files: Sequence[Path],
        shape_kji: tuple[int, ...],
        device: torch.device | str = "cpu",
    ):
        self._files = list(files)
        self.shape = (len(self._files), *shape_kji)
        self.device = torch.device(device)

    def to(self, device: torch.device | str) -> StoredVolumes:
        """The same, read onto another device."""
        return StoredVolumes(self._files, self.shape[1:], device)

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (self._read(file) for file in self._files)

    def __getitem__(self, index: int | slice | torch.Tensor) -> torch.Tensor:
        """One volume (K, H, W), or those of a slice or of numbers (n,), (n, K, H, W).

        Raises:
            InputError: a file cannot be read any more.
        """
        if isinstance(index, int):
            return self._read(self._files[index])
        chosen = np.arange(len(self))[index.cpu().numpy() if isinstance(index, torch.Tensor) else index]
        found = [self._read(self._files[n]) for n in chosen]
        return torch.stack(found) if found else torch.zeros(0, *self.shape[1:], device=self.device)

    def mean(self, dim: Literal[0]) -> torch.Tensor:
        """Of all volumes, (K, H, W). dim: as that of a tensor."""
        return self._measured(lambda part: part.mean(dim))

    def std(self, dim: Literal[0]) -> torch.Tensor:
        """Standard deviation of all volumes, (K, H, W). dim: as that of a tensor."""
        return self._measured(lambda part: part.std(dim))

    def _measured(self, measure: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """What `measure` makes of all volumes at some voxels, (N, n) to (n,), put together."""
        size = int(np.prod(self.shape[1:]))
        step = max(1, _AT_ONCE // max(1, len(self)) // _ALIGNED) * _ALIGNED
        parts = [
            measure(torch.stack([self._read(file, slice(start, start + step)) for file in self._files]))
            for start in range(0, size, step)
        ]
        return torch.cat(parts).reshape(self.shape[1:])

    def _read(self, file: Path, voxels: slice | None = None) -> torch.Tensor:
        """A volume, or some of its voxels (n,)."""
        with file_errors(f"{file}: cannot be read"):
            array = np.load(file, mmap_mode=None if voxels is None else "r", allow_pickle=False)
        part = array if voxels is None else np.array(array.reshape(-1)[voxels])
        return torch.from_numpy(part).to(self.device).float()


Volumes: TypeAlias = torch.Tensor | StoredVolumes
