"""DICOM in every orientation: single slices, compressed or enhanced; even, sparse, uneven, with gap, tilted.

Every slice keeps the place that its own file or frame states; even series lie where SimpleITK puts them.
"""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from geometry.dicom_files import write_enhanced, write_series
from pydicom.uid import RLELossless

from SparseVolumeReconstructionLib.geometry.image import LPS, from_image
from SparseVolumeReconstructionLib.geometry.io import read_scan

TURN = np.reshape(sitk.Euler3DTransform((0, 0, 0), 0.3, -0.2, 0.1).GetMatrix(), (3, 3))
DIRECTIONS = {  # along rows and columns, LPS
    "axial": (1, 0, 0, 0, 1, 0),
    "axial, prone": (-1, 0, 0, 0, -1, 0),
    "axial, feet first": (-1, 0, 0, 0, 1, 0),
    "axial, rows and columns exchanged": (0, 1, 0, 1, 0, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "coronal, upside down": (1, 0, 0, 0, 0, 1),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "sagittal, from the front": (0, -1, 0, 0, 0, -1),
    "oblique": tuple(TURN[:, :2].T.ravel()),
}
STEPS = {  # mm along the normal
    "even": (0, 5, 10, 15, 20, 25),
    "sparse": (0, 30, 70),
    "uneven": (0, 3, 9, 10.5, 20, 23),
    "a gap": (0, 5, 10, 25, 30, 35),
    "tilted": (0, 5, 10, 15, 20, 25),
}
STORED = ("single slices", "compressed", "enhanced")
CASES = [
    (directions, steps, STORED[(n + m) % 3])
    for n, directions in enumerate(DIRECTIONS)
    for m, steps in enumerate(STEPS)
]


def write(folder, directions, steps, stored):
    """The pixels (n, 31, 33) and positions (n, 3) of a case that is written into a folder."""
    along, down = np.reshape(DIRECTIONS[directions], (2, 3)).astype(float)
    tilt = 0.3 * down * (steps == "tilted")
    places = [np.array([-31.25, 12.5, 40.0]) + step * (np.cross(along, down) + tilt) for step in STEPS[steps]]
    array = np.random.default_rng(3).integers(1, 999, (len(places), 31, 33))
    if stored == "enhanced":
        order = np.random.default_rng(5).permutation(len(places))
        folder.mkdir()
        facts = [places[n] for n in order], [3.0] * len(order), [1] * len(order)
        write_enhanced(folder / "all.dcm", array[order] - 1, *facts, (*along, *down))
        return array, places
    write_series(folder, places, array, directions=(*along, *down))
    for file in folder.iterdir() if stored == "compressed" else ():
        made = pydicom.dcmread(file)
        made.compress(RLELossless)
        made.save_as(file)
    return array, places


@pytest.mark.parametrize(("directions", "steps", "stored"), CASES)
def test_every_slice_lies_where_it_was_acquired(tmp_path, directions, steps, stored):
    array, places = write(tmp_path / "series", directions, steps, stored)
    scan = read_scan(tmp_path / "series")
    assert scan.slices == len(places)
    assert (len(scan.parts) == 1 and not scan.notices) == (steps == "even")
    left = {n: pixels for n, pixels in enumerate(array)}
    for index in range(scan.slices):
        part, k = scan.place(index, "scan")
        number = next(n for n, pixels in left.items() if np.array_equal(pixels, part.volume.array[k]))
        del left[number]
        to_lps = LPS @ part.volume.grid.ijk_to_ras
        np.testing.assert_allclose((to_lps @ [0, 0, k, 1])[:3], places[number], atol=1e-4)
        expected = np.reshape(DIRECTIONS[directions], (2, 3)) * [[0.7], [0.9]]
        np.testing.assert_allclose(to_lps[:3, :2].T, expected, atol=1e-6)
        assert part.thickness_mm == 3
    if steps == "even" and stored != "enhanced":
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "series"))
        theirs = from_image(sitk.ReadImage(names))
        assert scan.parts[0].volume.grid.same_as(theirs.grid, 1e-4)
        np.testing.assert_array_equal(scan.parts[0].volume.array, theirs.array)
