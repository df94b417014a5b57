"""Sparse Volume Reconstruction: a 3D Slicer module that sees a whole body from a few slices."""

import slicer.util
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest, ScriptedLoadableModuleWidget

from SparseVolumeReconstructionLib.slicerside.logic import Context, ReconstructionInputs, SparseVolumeReconstructionLogic

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
        parent.title = "Sparse Volume Reconstruction"
        parent.categories = ["Image Synthesis"]
        parent.dependencies = []
        parent.contributors = ["The SparseVolumeReconstruction contributors"]
        parent.helpText = (
            "Reconstructs a dense volume, its uncertainty and samples from a few slices. "
            "Inferred voxels were not observed: generated content, not for diagnosis."
        )
        parent.acknowledgementText = "The models' cards name the data that they were fitted to."


class SparseVolumeReconstructionWidget(ScriptedLoadableModuleWidget):
    """The panel. The computing process starts with the first reconstruction and ends with the panel."""

    def setup(self):
        """Build the panel."""
        import qt

        ScriptedLoadableModuleWidget.setup(self)
        self.logic = SparseVolumeReconstructionLogic()
        self.label = qt.QLabel("Reconstruct from Python: SparseVolumeReconstructionLogic().reconstruct(ReconstructionInputs(...)).")
        self.label.wordWrap = True
        self.layout.addWidget(self.label)
        self.layout.addStretch(1)

    def cleanup(self):
        """End the computing process."""
        self.logic.close()
        self.label = None


class SparseVolumeReconstructionTest(ScriptedLoadableModuleTest):
    """Self-test of the application: the prior of a body, without any slice, as nodes."""

    def setUp(self):
        """Start from an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self):
        """Run all tests."""
        self.setUp()
        self.test_zero_contexts()

    def test_zero_contexts(self):
        """Without contexts the result is the prior itself, as nodes."""
        logic = SparseVolumeReconstructionLogic()
        try:
            result = logic.reconstruct(ReconstructionInputs("brain-t1", frame="registered", spacing_mm=6.0, samples=2))
        finally:
            logic.close()
        assert slicer.util.arrayFromVolume(result.mean).max() > 0
        assert result.samples.GetNumberOfDataNodes() == 2
        self.delayDisplay("A reconstruction was made and loaded.")
