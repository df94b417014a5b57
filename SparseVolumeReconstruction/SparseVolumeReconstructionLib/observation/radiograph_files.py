"""Radiographs in files: PNG, JPEG, TIFF, DICOM (CR, DX, XA) and images with geometry, as line integrals."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
from pydantic import Field

from ..geometry import InputError
from .grey_values import GreyValues, integrals_of
from .projection import Radiograph
from .spec import ObservationSpec, Reading
from .views import detector

_SLICES_OF_OTHERS = ("CT", "MR", "PT", "NM")


class RadiographSpec(ObservationSpec):
    """One radiograph.

    Attributes:
        view: "front", "side", "top", "unknown" (found by evidence), or the path of an affine transform from
            the detector (mm from its middle: columns, rows downwards, along the rays) to the patient.
        source_distance_mm: from the source to the detector; parallel rays if None and the file states none.
        pixel_mm: of the detector; as the file states if None.
        body_distance_mm: from the middle of the body to the detector, where that is to be found.
        grey: "transparency" (air is bright), "absorption" (bone is bright), "integral" (already -ln of the
            transparency), or "auto".
        open_field: grey value where nothing absorbs; found if None.
        gamma: the file's grey values are the transparency to this power.
        attenuation_per_mm: of the brightest voxel; found by evidence if None.
    """

    kind: Literal["radiograph"] = "radiograph"
    view: str = "front"
    source_distance_mm: float | None = Field(default=None, gt=0)
    pixel_mm: float | None = Field(default=None, gt=0)
    body_distance_mm: float = Field(default=0.0, ge=0)
    grey: GreyValues = "auto"
    open_field: float | None = Field(default=None, gt=0)
    gamma: float = Field(default=1.0, gt=0)
    attenuation_per_mm: float | None = Field(default=None, gt=0)

    def read(self) -> Reading:
        """The radiograph in the space of its detector: mm from its middle, columns, rows downwards, rays.

        Where the body lies is found later (`view`); pixels are taken as 1 mm wide where nothing states it.
        """
        pixels, tags = read_picture(self.path, self.name)
        logarithmic = self.grey == "auto" and tags.get("relationship") == "LOG"
        grey: GreyValues = "integral" if logarithmic else self.grey
        found = integrals_of(pixels, grey, self.open_field, self.gamma, self.name)
        size = self.pixel_mm or tags.get("pixel", 0.0)
        distance = self.source_distance_mm or tags.get("source", None)
        rows, columns = pixels.shape
        plane = detector(np.eye(3), np.zeros(3), (rows, columns), size or 1.0)
        start = None if distance is None else np.array([0.0, 0.0, -distance])
        seen = Radiograph(
            found.integrals,
            plane,
            self.name,
            self.name,
            start,
            found.valid,
            self.attenuation_per_mm or 0.0,
            found.noise,
            view=self.view,
            body_distance_mm=self.body_distance_mm,
            pixel_known=bool(size),
        )
        return Reading([seen], found.warnings)


def read_picture(path: str, name: str) -> tuple[np.ndarray, dict[str, Any]]:
    """One grey image, (rows, columns) float32 as in the file, and what DICOM tags or a header state.

    Returns:
        Pixels, and {"pixel": mm, "source": mm, "relationship": "LIN" or "LOG"}, as far as stated.

    Raises:
        InputError: no file, several slices, colours, or a CT or MR image.
    """
    if not Path(path).is_file():
        raise InputError(f"{name}: no such file; expected a radiograph (PNG, JPEG, TIFF, DICOM or NRRD).")
    try:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        keys = {key: reader.GetMetaData(key).strip() for key in reader.GetMetaDataKeys()}
        image = reader.Execute()
    except RuntimeError as error:
        raise InputError(
            f"{name}: cannot be read as an image; expected PNG, JPEG, TIFF, DICOM or NRRD."
        ) from error
    modality = keys.get("0008|0060", "")
    if modality in _SLICES_OF_OTHERS:
        raise InputError(f"{name}: a {modality} image, no radiograph; give its slices with --context.")
    size = [n for n in image.GetSize() if n > 1]
    if len(size) != 2:
        raise InputError(
            f"{name}: a volume of {' x '.join(map(str, image.GetSize()))} voxels, no radiograph; expected "
            "one image (give slices of a CT with --context)."
        )
    array = _grey_of(sitk.GetArrayFromImage(image), image.GetNumberOfComponentsPerPixel(), name)
    return array, _stated(image, keys)


def _grey_of(array: np.ndarray, components: int, name: str) -> np.ndarray:
    """(rows, columns) of an image whose colours are all greys. Raises InputError."""
    if components > 1:
        colours = array.reshape(*array.shape[-3:-1], components)[..., : 3 if components > 2 else 1].astype(
            float
        )
        if np.ptp(colours, axis=2).mean() > 0.01 * max(np.ptp(colours), 1):
            raise InputError(f"{name}: a colour picture; expected a radiograph in grey values.")
        array = colours.mean(2)
    array = array.reshape([n for n in array.shape if n > 1]).astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError(f"{name}: pixels are NaN or infinite; clean the image first.")
    if np.ptp(array) == 0:
        raise InputError(f"{name}: the radiograph is empty; every pixel is {array.flat[0]:g}.")
    return array


def _stated(image: sitk.Image, keys: dict[str, str]) -> dict[str, Any]:
    """What a header says of detector and source."""
    said: dict[str, Any] = {}
    dicom = "0008|0060" in keys
    spacing = [s for s, n in zip(image.GetSpacing(), image.GetSize(), strict=True) if n > 1]
    stated = keys.get("0018|1164") or keys.get("0028|0030")
    if dicom and stated:
        said["pixel"] = float(stated.split("\\")[0])
    elif not dicom and any(abs(s - 1) > 1e-6 for s in spacing):
        said["pixel"] = float(spacing[0])
    if keys.get("0018|1110"):
        said["source"] = float(keys["0018|1110"])
    if keys.get("0028|1040"):
        said["relationship"] = keys["0028|1040"]
    return said
