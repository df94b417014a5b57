"""Frames are searched with the small heads, patients and priors of the reconstruction tests."""

from reconstruction.conftest import make_patient, models_dir, prior, store

__all__ = ["make_patient", "models_dir", "prior", "store"]
