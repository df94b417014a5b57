"""Images in weights files: 8 bits a voxel between the least and the largest value, compressed without loss after that."""

from __future__ import annotations

import zlib

import numpy as np
import torch


def pack(name: str, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """Tensors that hold `image` (any shape, finite) under `name`; values move by at most 1/510 of their range."""
    low, high = float(image.min()), float(image.max())
    steps = ((image.detach().cpu().float() - low) / max(high - low, 1e-12) * 255).round().to(torch.uint8)
    content = np.frombuffer(zlib.compress(steps.contiguous().numpy().tobytes(), 9), np.uint8).copy()
    return {name: torch.from_numpy(content), f"{name}_shape": torch.tensor(image.shape), f"{name}_range": torch.tensor([low, high])}


def unpack(name: str, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """The float32 image that `pack` stored. Raises KeyError when a tensor is missing, ValueError for other content."""
    shape, (low, high) = tensors[f"{name}_shape"].tolist(), tensors[f"{name}_range"].tolist()
    size = int(np.prod(shape))
    try:
        content = zlib.decompressobj().decompress(tensors[name].numpy().tobytes(), size + 1)
    except zlib.error as error:
        raise ValueError(f"{name}: is damaged ({error})") from error
    if len(content) != size:
        raise ValueError(f"{name}: holds other than {size} values")
    return torch.from_numpy(np.frombuffer(content, np.uint8).astype(np.float32).reshape(shape)) / 255 * (high - low) + low
