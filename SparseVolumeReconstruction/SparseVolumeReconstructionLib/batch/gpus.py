"""One GPU for each process of a batch on this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from distributed import WorkerPlugin

VARIABLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; none without torch for CUDA."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
    return named[:count] or [str(n) for n in range(count)]


class OneGpu(WorkerPlugin):
    """Shows every worker one GPU alone, in turn; those that are started again after a death, too.

    Args:
        gpus: as `visible_gpus` names them, at least one.
    """

    name = "one-gpu"

    def __init__(self, gpus: Sequence[str]):
        self.gpus = list(gpus)

    def setup(self, worker: Any) -> None:
        """Before its first case, before torch looks for GPUs; workers of this machine are called 0, 1, ..."""
        os.environ[VARIABLE] = self.gpus[int(worker.name) % len(self.gpus)]
