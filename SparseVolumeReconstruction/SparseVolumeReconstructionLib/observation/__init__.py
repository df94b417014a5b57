"""What was observed of a body, and the linear operators that say how a volume gives it."""

from .base import Observation, observed_voxels
from .slices import Slice

__all__ = ["Observation", "Slice", "observed_voxels"]
