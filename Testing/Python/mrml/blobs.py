"""A volume to take slices from."""

import numpy as np

from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.mrml.nodes import add_volume


def blob(shape=(20, 24, 28), spacing=2.0, name="Scan", matrix=None):
    """A volume node whose values are all different."""
    grid = Grid.centred(shape, spacing) if matrix is None else Grid(shape, matrix)
    return add_volume(Volume(np.arange(grid.size, dtype=np.float32).reshape(shape), grid), name)
