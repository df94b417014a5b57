"""Sparse Volume Reconstruction: a 3D Slicer module that sees a whole body from a few slices."""

import slicer.util
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

from SparseVolumeReconstructionLib.mrml import logic
from SparseVolumeReconstructionLib.mrml.logic import Context, ReconstructionInputs

__all__ = [
    "Context",
    "ReconstructionInputs",
    "SparseVolumeReconstruction",
    "SparseVolumeReconstructionLogic",
    "SparseVolumeReconstructionTest",
    "SparseVolumeReconstructionWidget",
]


class SparseVolumeReconstruction(ScriptedLoadableModule):
    """What the application shows of the module in its menus and help."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Sparse Volume Reconstruction")
        parent.categories = ["Image Synthesis"]
        parent.dependencies = []
        parent.contributors = ["The SparseVolumeReconstruction contributors"]
        parent.helpText = _(
            "Reconstructs a dense volume, its uncertainty and samples from a few slices. "
            "Inferred voxels were not observed: generated content, not for diagnosis."
        )
        parent.acknowledgementText = _("The models' cards name the data that they were fitted to.")
        slicer.app.connect("startupCompleted()", _register_sample_data)


def _register_sample_data():
    """Offer the sparse brain in the Sample Data module; once the application and that module are there."""
    from SparseVolumeReconstructionLib.mrml.sample_data import register_sample_data

    register_sample_data()


class SparseVolumeReconstructionLogic(ScriptedLoadableModuleLogic, logic.SparseVolumeReconstructionLogic):
    """Reconstructs nodes from nodes; see the library's logic. It also keeps the module's parameter node."""

    def __init__(self, client=None):
        ScriptedLoadableModuleLogic.__init__(self)
        logic.SparseVolumeReconstructionLogic.__init__(self, client)


class SparseVolumeReconstructionWidget(ScriptedLoadableModuleWidget):
    """The panel. The computing process starts when the panel is shown and ends with it."""

    def __init__(self, parent=None):
        self.panel = None
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self):
        """Build the panel; imported here, so that the module loads where there is no Qt."""
        from SparseVolumeReconstructionLib.panel.panel import Panel

        ScriptedLoadableModuleWidget.setup(self)
        self.logic = SparseVolumeReconstructionLogic()
        self.panel = Panel(self.layout, self.logic, self.logic.getParameterNode, self.resourcePath)

    def enter(self):
        """The panel is shown."""
        self.panel.enter()

    def exit(self):
        """Another module is shown."""
        if self.panel is not None:
            self.panel.leave()

    def cleanup(self):
        """The panel is closed or reloaded."""
        if self.panel is not None:
            self.panel.close()
            self.panel = None


class SparseVolumeReconstructionTest(ScriptedLoadableModuleTest):
    """Self-test of the application, with a real computing process.

    The sample and an empty request go through the logic.
    """

    def setUp(self):
        """Start from an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self):
        """Run all tests."""
        for test in (self.test_zero_contexts, self.test_sample):
            self.setUp()
            test()

    def test_zero_contexts(self):
        """Without contexts the result is the prior itself, as nodes."""
        result = self._reconstruct(frame="registered", spacing_mm=6.0, samples=2)
        assert slicer.util.arrayFromVolume(result.mean).max() > 0
        assert result.samples.GetNumberOfDataNodes() == 2
        self.delayDisplay("The prior was made and loaded.")

    def test_sample(self):
        """The four slices of the sample: they are kept, and the rest of the head appears around them."""
        from SparseVolumeReconstructionLib.mrml.sample_data import load_sparse_brain

        scan = load_sparse_brain()
        contexts = tuple(Context(scan, indices=(k,), thickness_mm=1.0) for k in range(4))
        result = self._reconstruct(contexts, like=scan)
        assert result.mean.GetImageData().GetDimensions() == scan.GetImageData().GetDimensions()
        assert abs(slicer.util.arrayFromVolume(result.mean) - slicer.util.arrayFromVolume(scan)).max() < 1.0
        assert slicer.util.arrayFromVolume(result.template).any()
        self.delayDisplay("The sample was reconstructed.")

    def _reconstruct(self, contexts=(), **choices):
        logic = SparseVolumeReconstructionLogic()
        try:
            return logic.reconstruct(ReconstructionInputs("brain-t1", contexts, **choices))
        finally:
            logic.close()
