"""Checkpoints: one .safetensors each, numbers and configuration as JSON in its metadata, written atomically.

Tensors keep their shapes and units; names are those of the state dicts with a prefix per part.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ...geometry import InputError, file_errors
from ...geometry.io import write_atomically
from .config import TrainConfig, differences, validated
from .optimisers import Optimisers

CHECKPOINT, BEST = "checkpoint.safetensors", "best.safetensors"


class Average:
    """Exponential moving average of all parameters and buffers; `tensors` by the names of the state dict.

    Args:
        networks: where it starts.
        decay: share of itself that it keeps in a step, 0..1.
    """

    def __init__(self, networks: nn.Module, decay: float):
        self._decay = decay
        self.tensors = {name: tensor.detach().clone() for name, tensor in networks.state_dict().items()}

    @torch.no_grad()
    def update(self, networks: nn.Module, step: int) -> None:
        """Move towards the networks; faster in the first steps, so that the start is forgotten.

        Args:
            networks: those it was made of, after the step.
            step: number of steps done.
        """
        state = networks.state_dict()
        moving = [name for name, tensor in state.items() if tensor.is_floating_point()]
        update = get_ema_multi_avg_fn(
            min(self._decay, (1 + step) / (10 + step))
        )  # one call for all: a GPU waits for each
        update([self.tensors[name] for name in moving], [state[name] for name in moving], None)
        for name in state.keys() - moving:
            self.tensors[name].copy_(state[name])


def prepare_folder(out: Path, resume: bool) -> None:
    """Make the folder of a run.

    Args:
        resume: a checkpoint in it is welcome.

    Raises:
        InputError: it cannot be made, or holds a run that is not to be continued.
    """
    if (out / CHECKPOINT).exists() and not resume:
        raise InputError(f"{out}: holds another run; continue it with --resume, or choose another --out.")
    with file_errors(f"{out}: cannot be made a folder", "; choose another --out"):
        out.mkdir(parents=True, exist_ok=True)


def save(path: Path, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
    """Write tensors and JSON state. Raises InputError when there is no space; what was there before stays.

    Args:
        tensors: by name, on any device.
        state: JSON-ready.
    """
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        write_atomically(path, lambda temporary: save_file(kept, temporary, {"state": json.dumps(state)}))
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(
            f"{path}: could not be written ({reason}); free some space or choose another --out, then "
            "continue with --resume."
        ) from error


def load(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and state of a file that `save` wrote. Raises InputError for a damaged one."""
    try:
        with safe_open(path, "pt") as file:
            state = json.loads((file.metadata() or {})["state"])
            return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118
    except (SafetensorError, OSError, LookupError, ValueError) as error:
        raise InputError(
            f"{path}: not a checkpoint of this program, or damaged; delete it and start anew."
        ) from error


def pack(networks: nn.Module, optimisers: Optimisers, average: Average) -> dict[str, torch.Tensor]:
    """All that changes in a step.

    Returns:
        Tensors by name, each with the prefix "network.", "average." or "optimiser.".
    """
    return {
        **{f"network.{name}": tensor for name, tensor in networks.state_dict().items()},
        **{f"average.{name}": tensor for name, tensor in average.tensors.items()},
        **{f"optimiser.{name}": tensor for name, tensor in optimisers.state().items()},
    }


def unpack(
    tensors: dict[str, torch.Tensor], networks: nn.Module, optimisers: Optimisers, average: Average
) -> None:
    """The inverse of `pack`, in place.

    Args:
        tensors: as `pack` gives them, on any device.
        networks, optimisers, average: of the same configuration.
    """
    networks.load_state_dict(_under(tensors, "network."))
    for name, tensor in _under(tensors, "average.").items():
        average.tensors[name].copy_(tensor)
    optimisers.load_state(_under(tensors, "optimiser."))


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def require_same_run(path: Path, state: dict[str, Any], config: TrainConfig, data: str) -> None:
    """Raise InputError unless a checkpoint is of this configuration and of these data (digest).

    Args:
        path: of the checkpoint, for the message.
        state: what was saved in it.
        config: of the run that is to go on.
        data: digest of its volumes.

    Raises:
        InputError: names the differences.
    """
    changed = differences(
        validated(TrainConfig, state["config"], str(path)).model_dump(mode="json"),
        config.model_dump(mode="json"),
    )
    changed += [] if state["data"] == data else ["the training volumes"]
    if changed:
        raise InputError(
            f"{path}: made with another configuration ({'; '.join(changed)}); restore it, or choose another "
            "--out."
        )
