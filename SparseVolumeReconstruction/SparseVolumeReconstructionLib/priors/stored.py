"""What networks share: how they are stored, their group norm, and positions of a stack as vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import BaseModel
from torch import nn

PoseKind = Literal["one-hot", "fourier"]
_OCTAVES, _GROUPS = 6, 8


def settings_tensor(settings: BaseModel) -> torch.Tensor:
    """Settings as the bytes of their JSON, (n,) uint8, to be stored among the weights."""
    return torch.tensor(list(settings.model_dump_json().encode()), dtype=torch.uint8)


def stored_state(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict of a network as it is stored among other tensors, in float16; see `network_state`."""
    return {f"network.{name}": t.half() if t.is_floating_point() else t for name, t in state.items()}


def network_state(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict of a network that is stored under "network." among other tensors."""
    return {name.removeprefix("network."): t for name, t in tensors.items() if name.startswith("network.")}


def settings_text(stored: torch.Tensor) -> str:
    """The JSON of a `settings_tensor` (n,). Raises ValueError where it is not text."""
    return bytes(stored.tolist()).decode()


def group_norm(channels: int) -> nn.GroupNorm:
    """In eight groups, or as many as divide both that and the channels."""
    return nn.GroupNorm(math.gcd(_GROUPS, channels), channels)


def pose_table(slices: int, kind: PoseKind) -> torch.Tensor:
    """The positions of a stack as vectors (slices, P).

    One-hot, or sines and cosines, so that neighbours are alike.

    Args:
        slices: positions of the stack.
        kind: "one-hot", or the other.
    """
    position = (torch.arange(slices) + 0.5) / slices
    waves = math.pi * 2.0 ** torch.arange(_OCTAVES) * position[:, None]
    return (
        torch.eye(slices)
        if kind == "one-hot"
        else torch.cat([position[:, None], waves.sin(), waves.cos()], 1)
    )
