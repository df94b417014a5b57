"""GQN and the conditional VAE as a prior: the seen slices become one representation, of which every slice is asked for."""

from __future__ import annotations

import torch

from ..stored import settings_tensor
from .parts import QueryNetwork


def to_tensors(network: QueryNetwork, coherent: bool) -> dict[str, torch.Tensor]:
    """Tensors to store besides those of the space: float16 weights, settings, and `coherent` (see QueryPrior)."""
    weights = {f"network.{name}": t.detach().cpu().half() for name, t in network.state_dict().items()}
    return {**weights, "settings": settings_tensor(network.settings), "coherent": torch.tensor(coherent)}
