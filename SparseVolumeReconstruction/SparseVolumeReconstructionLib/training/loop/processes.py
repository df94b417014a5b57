"""How the processes of torchrun find each other, also those that it started again."""

from __future__ import annotations

import atexit
import os
import time
import uuid

import torch
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

_POLL_S = 0.05


def meet(accelerator: str) -> None:
    """Join all processes of this start, if torchrun started several; they are what `torch.distributed` knows.

    torchrun's store outlives the processes: those that are started again would find the addresses of the ones
    that died, and wait for them (https://github.com/pytorch/pytorch/issues/135712).

    Args:
        accelerator: "cuda" (they speak by NCCL) or "cpu" (by gloo).
    """
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1 or torch.distributed.is_initialized():
        return
    store, rank, size = next(rendezvous("env://"))
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if accelerator == "cuda" else None
    if device:
        atexit.register(torch.distributed.destroy_process_group)
    torch.distributed.init_process_group(
        "nccl" if device else "gloo",
        store=part_of_this_start(store, rank, size),
        rank=rank,
        world_size=size,
        device_id=device,
    )


def part_of_this_start(store: Store, rank: int, size: int) -> Store:
    """A part of a store that no earlier start has written into, the same for all processes of this one.

    The first process names it, and answers to names that the others chose, until each of them has taken it.

    Args:
        store: of all processes, with what earlier ones left.
        rank: of this process, 0 to size - 1.
        size: number of processes.
    """
    name = uuid.uuid4().hex
    if rank == 0:
        others = range(1, size)
        while not store.check([f"{name}/{other}" for other in others]):
            for other in others:  # by the name that is there, perhaps still that of one that died
                store.set(store.get(f"process {other}").decode(), name)
            time.sleep(_POLL_S)
    else:
        store.set(f"process {rank}", name)
        name = store.get(name).decode()
        store.set(f"{name}/{rank}", "")
    return PrefixStore(name, store)
