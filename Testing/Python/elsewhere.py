"""A second device where there is no GPU: tensors that say they are on "meta", and refuse others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = "meta"
_TAKES_BOTH = {"_to_copy", "copy_", "index", "index_put", "index_put_", "_index_put_impl_"}  # as a GPU does


class _Far(torch.Tensor):
    """A tensor of the second device."""

    @staticmethod
    def __new__(cls, inner):
        words = {"strides": inner.stride(), "dtype": inner.dtype, "device": DEVICE}
        return torch.Tensor._make_wrapper_subclass(cls, inner.size(), **words)

    def __init__(self, inner):
        self.inner = inner

    def tolist(self):
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func}: outside of a_second_device()")


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        words = dict(kwargs or {})
        tensors = [x for x in tree_leaves((args, words)) if isinstance(x, torch.Tensor)]
        far = [x for x in tensors if isinstance(x, _Far)]
        name = func._overloadpacket.__name__
        mixed = far and any(x.dim() and not isinstance(x, _Far) for x in tensors)
        if mixed and (name not in _TAKES_BOTH or ("index" in name and not isinstance(args[0], _Far))):
            raise RuntimeError(f"{func}: tensors of two devices")
        away = torch.device(words["device"]).type == DEVICE if words.get("device") else bool(far)
        if words.get("device"):
            words["device"] = "cpu"
        out = func(*tree_map(_near, args), **tree_map(_near, words))
        if name.endswith("_") or name == "_index_put_impl_":
            return args[0]
        return tree_map(_put_far, out) if away else out


def _near(value):
    return value.inner if isinstance(value, _Far) else value


def _put_far(value):
    return _Far(value) if isinstance(value, torch.Tensor) else value


def _made(make):
    def made(data, *, dtype=None, device=None):
        out = make(data, dtype=dtype)
        return out if device is None else out.to(device)

    return made


@contextmanager
def a_second_device() -> Iterator[str]:
    """Its name, for code that takes a device; operations on tensors of two devices raise RuntimeError."""
    makers = {name: _made(getattr(torch, name)) for name in ("tensor", "as_tensor")}
    with patch.multiple(torch, **makers), _Mode():
        yield DEVICE
