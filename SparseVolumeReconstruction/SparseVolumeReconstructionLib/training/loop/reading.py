"""Batches for the steps: the next one is read while the one before is learned of."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from ...data.stored import Volumes


class Reading:
    """Batches of volumes in memory or in files, on a device.

    Args:
        volumes: (N, ...), on the CPU.
        choose: gives the numbers (B,) of the volumes of a step.
        device: of the batches.
    """

    def __init__(self, volumes: Volumes, choose: Callable[[int], torch.Tensor], device: torch.device):
        self._volumes, self._choose, self._device = volumes, choose, device
        self._thread = ThreadPoolExecutor(1)
        self._ahead: dict[int, Future[torch.Tensor]] = {}

    def batch(self, step: int) -> torch.Tensor:
        """The volumes (B, ...) of a step; that of the next one is being read from now on.

        Raises:
            InputError: a file cannot be read.
        """
        ahead = self._ahead.pop(step, None) or self._thread.submit(self._read, step)
        batch = ahead.result()
        self._ahead = {step + 1: self._thread.submit(self._read, step + 1)}
        return batch.to(self._device, non_blocking=True)

    def _read(self, step: int) -> torch.Tensor:
        batch = self._volumes[self._choose(step)]
        return batch.pin_memory() if self._device.type == "cuda" else batch

    def close(self) -> None:
        """Let what is being read end."""
        self._thread.shutdown(cancel_futures=True)
