"""What a DICOM series says of its patient and study, for images that are derived from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MANUFACTURER = "SparseVolumeReconstruction"
INFERRED = "INFERRED"  # value of Image Type of what a model has inferred


@dataclass(frozen=True, eq=False)
class Source:
    """One DICOM series that something is derived from.

    Attributes:
        header: of its first image, without pixels.
        instances: (SOP Class UID, SOP Instance UID) of its images.
    """

    header: Dataset
    instances: tuple[tuple[str, str], ...]

    @property
    def is_inferred(self) -> bool:
        """Whether this program has made it: what was inferred was not observed."""
        own = self.header.get("Manufacturer", "") == MANUFACTURER
        return own and INFERRED in (self.header.get("ImageType") or [])
