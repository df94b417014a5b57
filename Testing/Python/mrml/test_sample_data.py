"""The bundled sample is what it says, can be made again, and is offered to Slicer so that it loads without a
network.
"""

import hashlib
import inspect
import sys
import types
import urllib.request

import numpy as np
import pytest
import SimpleITK as sitk
import slicer.util

from SparseVolumeReconstructionLib.geometry.image import image_geometry
from SparseVolumeReconstructionLib.geometry.io import read_volume, stated_thickness
from SparseVolumeReconstructionLib.mrml.demo import make_case
from SparseVolumeReconstructionLib.mrml.nodes import stated_thickness_of, volume_of
from SparseVolumeReconstructionLib.mrml.sample_data import (
    FILE,
    SHA256,
    load_sparse_brain,
    register_sample_data,
    write_sparse_brain,
)


@pytest.fixture(scope="module")
def slices():
    """The four slices of the demonstration."""
    return make_case(None).slices


def test_the_file_is_what_is_made_from_the_template(tmp_path):
    write_sparse_brain(tmp_path / "again.nrrd")
    made, bundled = sitk.ReadImage(str(tmp_path / "again.nrrd")), sitk.ReadImage(str(FILE))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(made), sitk.GetArrayFromImage(bundled))
    np.testing.assert_allclose(image_geometry(made), image_geometry(bundled), atol=1e-6)
    assert bundled.GetPixelID() == made.GetPixelID() == sitk.sitkInt16
    assert FILE.stat().st_size < 150_000 and b"encoding: gzip" in FILE.read_bytes()[:1000]
    assert list(tmp_path.iterdir()) == [tmp_path / "again.nrrd"]


def test_four_thin_slices_lie_where_the_demonstration_keeps_them(slices):
    image = sitk.ReadImage(str(FILE))
    assert image.GetDepth() == len(slices) == 4 and stated_thickness(FILE) == 1.0
    np.testing.assert_allclose(image.GetSpacing(), [1, 1, 30], atol=1e-6)
    axis = np.array(image.GetDirection()).reshape(3, 3)[:, 2]
    assert 5 < np.degrees(np.arccos(axis[2])) < 15  # oblique: nothing is registered by accident
    array = sitk.GetArrayFromImage(image)
    for k, one in enumerate(slices):
        ras = one.plane.points_ras().reshape(*one.plane.shape_ji, 3)
        for row, column in np.argwhere(one.pixels > 100)[::997]:
            index = image.TransformPhysicalPointToContinuousIndex((ras[row, column] * [-1, -1, 1]).tolist())
            i, j = (round(x) for x in index[:2])
            assert np.allclose(index, [i, j, k], atol=1e-4) and array[k, j, i] == round(
                float(one.pixels[row, column])
            )
        assert np.count_nonzero(array[k]) == np.count_nonzero(np.rint(one.pixels))


def test_it_becomes_a_node_that_knows_its_thickness(scene):
    node = load_sparse_brain()
    volume = volume_of(node)
    assert volume.grid.same_as(read_volume(FILE).grid) and np.array_equal(
        volume.array, read_volume(FILE).array
    )
    assert stated_thickness_of(node, volume.grid.ijk_to_ras[:3, 2]) == 1.0
    assert node.GetStorageNode() is None and node.GetDisplayNode() is not None
    assert slicer.app.applicationLogic().GetSelectionNode().GetActiveVolumeID() == node.GetID()


def test_slicer_is_offered_a_file_that_is_there(scene, monkeypatch, tmp_path):
    calls = []

    class SampleDataLogic:
        """With the arguments of Slicer 5.10."""

        @staticmethod
        def registerCustomSampleDataSource(  # noqa: N802
            category="Custom",
            sampleName=None,  # noqa: N803
            uris=None,
            fileNames=None,  # noqa: N803
            nodeNames=None,  # noqa: N803
            customDownloader=None,  # noqa: N803
            thumbnailFileName=None,  # noqa: N803
            loadFileType="VolumeFile",  # noqa: N803
            loadFiles=None,  # noqa: N803
            loadFileProperties=None,  # noqa: N803
            checksums=None,
        ):
            calls.append(dict(inspect.currentframe().f_locals))

    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=SampleDataLogic))
    register_sample_data()
    (said,) = calls
    assert said["category"] == "Sparse Volume Reconstruction" and said["checksums"] == f"SHA256:{SHA256}"
    urllib.request.urlretrieve(said["uris"], tmp_path / said["fileNames"])  # what Slicer does with it
    assert hashlib.sha256((tmp_path / said["fileNames"]).read_bytes()).hexdigest() == SHA256
    assert sitk.ReadImage(said["thumbnailFileName"]).GetSize() == (256, 256)
    assert said["customDownloader"](said).GetName() == said["nodeNames"] == said["sampleName"]


def test_the_notice_of_the_template_lies_beside_it():
    notice = " ".join((FILE.parent / "NOTICE.txt").read_text(encoding="utf-8").split())
    for words in (
        FILE.name,
        "Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre",
        "Copyright (c) The nilearn developers.",
    ):
        assert words in notice
