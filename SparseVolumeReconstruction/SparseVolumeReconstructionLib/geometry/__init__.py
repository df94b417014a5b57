"""Grids and planes in patient millimetres (RAS); numpy and SimpleITK only."""

from .errors import InputError, file_errors, first_problem
from .grid import Grid, Volume
from .plane import Plane

__all__ = ["Grid", "InputError", "Plane", "Volume", "file_errors", "first_problem"]
