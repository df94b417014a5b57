"""Tensors of weights files, smaller without loss.

The bytes of all numbers are sorted by their place in the number, then deflated.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
import torch

_MIN_BYTES = 4096
_MAX_BYTES = 2**30
_SUFFIX = ".deflated"
_TYPES = (torch.float32, torch.float16, torch.uint8, torch.int8, torch.int64)


def compress(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors, those that get smaller as bytes (n,) uint8 beside "<name>.deflated".

    Their type and shape.
    """
    kept = {}
    for name, tensor in tensors.items():
        tensor = kept[name] = tensor.detach().cpu().contiguous()
        if tensor.nbytes >= _MIN_BYTES and tensor.dtype in _TYPES:
            places = tensor.numpy().view(np.uint8).reshape(-1, tensor.itemsize).T
            content = np.frombuffer(zlib.compress(places.tobytes(), 9), np.uint8)
            if len(content) < 0.95 * tensor.nbytes:
                kept[name] = torch.from_numpy(content.copy())
                kept[name + _SUFFIX] = torch.tensor([_TYPES.index(tensor.dtype), *tensor.shape])
    return kept


def expand(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What `compress` was given, (n,) or any other shape.

    Raises:
        ValueError: for damaged content, and for over a gigabyte.
    """
    return {name: _expanded(name, tensors) for name in tensors if not name.endswith(_SUFFIX)}


def _expanded(name: str, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    stored = tensors[name]
    if name + _SUFFIX not in tensors:
        return stored
    kind, *shape = tensors[name + _SUFFIX].tolist()
    size = math.prod(shape) * _TYPES[kind].itemsize
    if not 0 < size <= _MAX_BYTES:
        raise ValueError(f"{name} holds {size} bytes")
    try:
        content = zlib.decompressobj().decompress(stored.numpy().tobytes(), size + 1)
    except zlib.error as error:
        raise ValueError(f"{name} is damaged ({error})") from error
    if len(content) != size:
        raise ValueError(f"{name} holds other than {size} bytes")
    places = np.frombuffer(content, np.uint8).reshape(_TYPES[kind].itemsize, -1)
    return torch.from_numpy(places.T.copy()).view(_TYPES[kind]).reshape(shape)
