"""The worker as a module: python -m SparseVolumeReconstructionLib.worker."""

from .server import main

if __name__ == "__main__":
    raise SystemExit(main())
