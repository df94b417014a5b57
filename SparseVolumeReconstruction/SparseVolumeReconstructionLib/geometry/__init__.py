"""Grids and planes in patient millimetres (RAS); numpy and SimpleITK only."""

from .errors import InputError
from .grid import Grid, Volume
from .plane import Plane

__all__ = ["Grid", "InputError", "Plane", "Volume"]
