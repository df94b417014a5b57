"""The command line: `./run COMMAND ...`, or `python -m SparseVolumeReconstructionLib.cli COMMAND ...`."""

from .main import main

__all__ = ["main"]
