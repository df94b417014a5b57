"""What a DICOM series says of its patient and study, for images that are derived from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MANUFACTURER = "SparseVolumeReconstruction"


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
    def is_own(self) -> bool:
        """Whether this program has made it: then it was inferred, not observed."""
        return self.said("Manufacturer") == MANUFACTURER

    def said(self, key: str) -> Any:
        """The value of an attribute; None where it is not stated, or nonsense.

        Args:
            key: its keyword, as pydicom calls it.
        """
        try:
            return self.header.get(key)
        except Exception:  # nonsense in a header fails in pydicom in many ways
            return None
