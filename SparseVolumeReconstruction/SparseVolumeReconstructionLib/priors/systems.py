"""The generative systems by the name that model cards use: "module:Class" in this folder.

Each class has `from_weights(tensors: dict[str, Tensor], card: ModelCard, device: torch.device)`.
"""

from __future__ import annotations

import importlib

SYSTEMS = {
    "structured-gaussian": "structured_gaussian:StructuredGaussian",
    "slice-vae": "slice_vae.prior:SliceVaePrior",
    "bruno": "bruno.prior:BrunoPrior",
    "gqn": "query.prior:QueryPrior",
    "cvae": "query.prior:QueryPrior",
    "volume-model": "volume_model.prior:VolumeModelPrior",
}


def system_class(system: str) -> type:
    """The class of a system, whose module is imported now. Raises KeyError for an unknown name."""
    module, name = SYSTEMS[system].split(":")
    return getattr(importlib.import_module(f".{module}", __package__), name)
