"""Files that are read with a notice, for tests of who tells it."""

from pathlib import Path

import nibabel
import numpy as np

from SparseVolumeReconstructionLib.geometry import Volume

SAYS = "its qform places it up to 9 mm away from where the scanner did"


def write_with_notice(volume: Volume, path: Path) -> Path:
    """A NIfTI file whose two forms disagree by 9 mm; the scanner's is that of the volume."""
    image = nibabel.Nifti1Image(np.ascontiguousarray(volume.array.T), volume.grid.ijk_to_ras)
    apart = volume.grid.ijk_to_ras.copy()
    apart[0, 3] += 9.0
    image.set_sform(volume.grid.ijk_to_ras, 1)
    image.set_qform(apart, 2)
    nibabel.save(image, path)
    return path
