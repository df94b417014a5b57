"""Models on disk: the manifest, the weights files and their verification, import and removal."""

from .store import ModelStore

__all__ = ["ModelStore"]
