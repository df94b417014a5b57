"""The sample "sparse brain, 4 slices" of Slicer's Sample Data module.

A file of this module, so no network is needed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..geometry import Grid, Volume
from ..geometry.image import to_image
from ..geometry.io import read_volume, stated_thickness, write_atomically
from .nodes import THICKNESS, add_volume

_RESOURCES = Path(__file__).resolve().parents[2] / "Resources"
NAME = "Sparse brain, 4 slices"
FILE = _RESOURCES / "SampleData" / "sparse-brain-4-slices.nrrd"
SHA256 = "0d97363ac5ce4c89ded64cd13fa57b2e19168f7e7c31a32807ed09a16306f198"
_THUMBNAIL = _RESOURCES / "Icons" / "sparse-brain-4-slices.png"
_MARGIN = 10


def register_sample_data() -> None:
    """Offer the sample in Slicer's Sample Data module, below a heading of its own."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="Sparse Volume Reconstruction",
        sampleName=NAME,
        uris=FILE.as_uri(),
        fileNames=FILE.name,
        nodeNames=NAME,
        checksums=f"SHA256:{SHA256}",
        thumbnailFileName=str(_THUMBNAIL),
        customDownloader=load_sparse_brain,
    )


def load_sparse_brain(source=None):
    """Add the sample to the scene and show it.

    The node has no storage node: it is not to be saved over the file.

    Args:
        source: Slicer's description of the sample, not needed.

    Returns:
        The volume node, which states its slice thickness in mm (THICKNESS).
    """
    import slicer

    node = add_volume(read_volume(FILE), NAME)
    node.SetAttribute(THICKNESS, str(stated_thickness(FILE)))
    application = slicer.app.applicationLogic()
    application.GetSelectionNode().SetActiveVolumeID(node.GetID())
    application.PropagateVolumeSelection()
    return node


def write_sparse_brain(path: str | Path) -> None:
    """Make the sample from the MNI152 template of nilearn.

    The four slices of the demonstration as one volume.

    1 mm pixels, 1 mm thick slices (so says the header) 30 mm apart, in an oblique patient frame; int16, grey
    values 0..1000.
    """
    from .demo import make_case

    slices = make_case(None).slices
    matrix = slices[0].plane.ij_to_ras.copy()
    matrix[:3, 2] = (slices[-1].plane.centre - slices[0].plane.centre) / (len(slices) - 1)
    pixels = np.rint([image.pixels for image in slices]).astype(np.int16)
    filled = np.argwhere(pixels.any(0))
    start, stop = filled.min(0) - _MARGIN, filled.max(0) + 1 + _MARGIN
    matrix[:3, 3] += matrix[:3, :2] @ start[::-1]
    pixels = pixels[:, start[0] : stop[0], start[1] : stop[1]]
    image = to_image(Volume(pixels, Grid(pixels.shape, matrix)))
    stated = f"{slices[0].plane.thickness_mm:g}"

    def write(temporary: str) -> None:
        sitk.WriteImage(image, temporary, useCompression=True)
        data = Path(temporary).read_bytes()  # ITK does not write thicknesses
        Path(temporary).write_bytes(
            data.replace(b"encoding:", f"thicknesses: NaN NaN {stated}\nencoding:".encode(), 1)
        )

    write_atomically(path, write)
