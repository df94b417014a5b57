"""Grids, planes and slice images in patient millimetres (RAS); numpy and SimpleITK only."""

from .errors import InputError
from .grid import Grid, Volume
from .plane import Plane, SliceImage

__all__ = ["Grid", "InputError", "Plane", "SliceImage", "Volume"]
