"""The module in the host: its own self-test, and its sample in the Sample Data module."""

import sys
import types

import pytest
import slicer
import slicer.util

pytestmark = pytest.mark.slow


def test_the_self_test_passes(host, repository):
    host.load(repository / "SparseVolumeReconstruction" / "SparseVolumeReconstruction.py")
    sys.modules["SparseVolumeReconstruction"].SparseVolumeReconstructionTest().runTest()


def test_the_sample_is_offered_when_the_application_has_started(host, repository, monkeypatch):
    offered = []
    logic = types.SimpleNamespace(registerCustomSampleDataSource=lambda **source: offered.append(source))
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=logic))
    host.load(repository / "SparseVolumeReconstruction" / "SparseVolumeReconstruction.py")
    assert offered == []
    host.application.signals.startupCompleted.emit()
    (source,) = offered
    assert source["category"] == "Sparse Volume Reconstruction"
    node = source["customDownloader"](source)
    assert slicer.util.arrayFromVolume(node).shape[0] == 4
