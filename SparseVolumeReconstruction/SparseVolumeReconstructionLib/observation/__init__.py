"""What was observed of a body, and the linear operators that say how a volume gives it.

A kind is one module here: an Observation, and the ObservationSpec by which requests name its files. Both are
imported below, so that every request knows the kind.
"""

from .base import Observation, observed_voxels
from .projection import Radiograph
from .radiograph_files import RadiographSpec
from .slice_files import SliceSpec
from .slices import Slice, split_slices

__all__ = [
    "Observation",
    "Radiograph",
    "RadiographSpec",
    "Slice",
    "SliceSpec",
    "observed_voxels",
    "split_slices",
]
