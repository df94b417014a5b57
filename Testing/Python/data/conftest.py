"""The cohort of tiny bodies and the volumes of the training tests."""

from training.conftest import cache_folder, cohort_dir, one_thread
from training.loop.conftest import volumes

__all__ = ["cache_folder", "cohort_dir", "one_thread", "volumes"]
