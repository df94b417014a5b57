"""Volumes as DICOM series that are derived from others: same patient, study and frame of reference, new UIDs.

One file a slice, 16 bits with one slope for the whole series, as every archive and viewer reads them.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .dicom_source import MANUFACTURER, Source
from .grid import Grid, Volume
from .image import LPS

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

NOTICE = "inferred - not for diagnosis"
_FULL = 65535
# Attributes of patient and study: those that are there even when empty, and those that are there when stated.
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
    "PatientPosition",
)
_TYPE_3 = (
    "IssuerOfPatientID",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientComments",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "PregnancyStatus",
    "StudyDescription",
    "BodyPartExamined",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
)
_MR = dict(
    ScanningSequence="RM",
    SequenceVariant="NONE",
    ScanOptions="",
    MRAcquisitionType="",
    EchoTime=None,
    EchoTrainLength=None,
    RepetitionTime=None,
)
_CT: dict[str, Any] = dict(KVP=None, AcquisitionNumber=None)


@dataclass(frozen=True)
class Study:
    """What all objects of one result have in common.

    Attributes:
        sources: the series that it was made of; the first one gives patient, study and frame of reference.
        model, version: of what inferred it.
        description: how it was made, a sentence or two.
        modality: "MR" or "CT".
    """

    sources: Sequence[Source]
    model: str
    version: str
    description: str
    modality: str = "MR"
    now: datetime.datetime = field(default_factory=datetime.datetime.now)

    @cached_property
    def frame_of_reference(self) -> str:
        """The UID of the space in which the result lies: that of the first source, else a new one."""
        from pydicom.uid import generate_uid

        return str(self._said("FrameOfReferenceUID") or generate_uid())

    @cached_property
    def common(self) -> Dataset:
        """Attributes of patient, study, equipment and derivation, the same in every image."""
        from pydicom.dataset import Dataset
        from pydicom.uid import generate_uid

        made = Dataset()
        made.SpecificCharacterSet = "ISO_IR 192"
        for key in _TYPE_2:
            setattr(made, key, self._said(key) or "")
        for key in _TYPE_3:
            if said := self._said(key):
                setattr(made, key, said)
        if "BodyPartExamined" not in made:  # then it could be one of two
            made.Laterality = self._said("Laterality") or ""
        made.StudyInstanceUID = str(self._said("StudyInstanceUID") or generate_uid())
        made.Manufacturer = MANUFACTURER
        made.ManufacturerModelName = made.DeviceSerialNumber = self.model[:64]
        made.SoftwareVersions = self.version[:64]
        made.SeriesDate = made.ContentDate = made.InstanceCreationDate = f"{self.now:%Y%m%d}"
        made.SeriesTime = made.ContentTime = made.InstanceCreationTime = f"{self.now:%H%M%S}"
        made.DerivationDescription = self.description[:1024]
        made.DerivationCodeSequence = [code("113085", "DCM", "Spatial resampling")]
        made.ContributingEquipmentSequence = self._equipment()
        self._refer(made)
        return made

    def _said(self, key: str) -> Any:
        """What the first source says, texts in Unicode; None where it says nothing."""
        value = self.sources[0].said(key) if self.sources else None
        return str(value) if isinstance(value, str) or (key.endswith("Name") and value is not None) else value

    def _equipment(self) -> list[Dataset]:
        """The scanner of each source, and this program."""
        from pydicom.dataset import Dataset

        items = []
        for source in self.sources:
            if source.said("Manufacturer"):
                scanner = Dataset()
                scanner.PurposeOfReferenceCodeSequence = [code("109101", "DCM", "Acquisition Equipment")]
                scanner.Manufacturer = str(source.said("Manufacturer"))
                for key in ("ManufacturerModelName", "InstitutionName", "StationName", "DeviceSerialNumber"):
                    if source.said(key):
                        setattr(scanner, key, str(source.said(key)))
                items.append(scanner)
        own = Dataset()
        own.PurposeOfReferenceCodeSequence = [code("109102", "DCM", "Processing Equipment")]
        own.Manufacturer = MANUFACTURER
        own.ManufacturerModelName = self.model[:64]
        own.SoftwareVersions = self.version[:64]
        own.ContributionDateTime = f"{self.now:%Y%m%d%H%M%S}"
        own.ContributionDescription = self.description[:1024]
        return [*items, own]

    def _refer(self, made: Dataset) -> None:
        """Name the images of this study that the result was made of."""
        from pydicom.dataset import Dataset

        images, series = [], []
        for source in self.sources:
            if source.said("StudyInstanceUID") != made.StudyInstanceUID:
                continue
            listed = Dataset()
            listed.SeriesInstanceUID = source.said("SeriesInstanceUID")
            listed.ReferencedInstanceSequence = [_reference(*one) for one in source.instances]
            series.append(listed)
            images += [_reference(*one, purpose=True) for one in source.instances]
        if images:
            made.SourceImageSequence, made.ReferencedSeriesSequence = images, series


def _reference(storage: str, instance: str, purpose: bool = False) -> Dataset:
    from pydicom.dataset import Dataset

    made = Dataset()
    made.ReferencedSOPClassUID = storage
    made.ReferencedSOPInstanceUID = instance
    if purpose:
        meaning = "Source image for image processing operation"
        made.PurposeOfReferenceCodeSequence = [code("121322", "DCM", meaning)]
    return made


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence.

    Args:
        value: within the scheme.
        scheme: its designator, "DCM", "SCT", "UCUM".
        meaning: in words.
    """
    from pydicom.dataset import Dataset

    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = value, scheme, meaning
    return made


def upright(volume: Volume) -> Volume:
    """The same voxels with their axes in the senses in which radiologists look at them.

    Columns run to the patient's left, back or feet, rows too, slices along the cross product of the two.
    """
    lps = LPS @ volume.grid.ijk_to_ras
    flips = []
    for axis in (0, 1):
        main = int(np.abs(lps[:3, axis]).argmax())
        if (lps[main, axis] < 0) != (main == 2):
            flips.append(axis)
    sense = np.linalg.det(lps[:3, :3]) * (-1) ** len(flips)
    flips += [2] * bool(sense < 0)
    array = volume.array
    matrix = volume.grid.ijk_to_ras.copy()
    for axis in flips:
        array = np.flip(array, 2 - axis)
        matrix[:3, 3] += matrix[:3, axis] * (volume.grid.shape_kji[2 - axis] - 1)
        matrix[:3, axis] *= -1
    return Volume(np.ascontiguousarray(array), Grid(volume.grid.shape_kji, matrix))


def write_series(
    volume: Volume,
    folder: Path,
    title: str,
    study: Study,
    number: int,
    frame_of_reference: str | None = None,
) -> list[Dataset]:
    """Write a volume as one series, a file a slice: 0001.dcm, 0002.dcm, ...

    Args:
        volume: finite values; patient RAS mm.
        folder: is made.
        title: what it shows; Series Description, together with NOTICE.
        study: where it belongs.
        number: of the series.
        frame_of_reference: UID of its space, that of the study if None.

    Returns:
        The images in the order of the files, for objects that refer to them.

    Raises:
        OSError: when they cannot be written.
    """
    from pydicom.uid import generate_uid

    folder.mkdir(parents=True)
    volume = upright(volume)
    series = _series_header(volume, title, study, number)
    series.SeriesInstanceUID = generate_uid()
    series.FrameOfReferenceUID = frame_of_reference or study.frame_of_reference
    stored = _stored(volume.array, series)
    made = []
    for k, pixels in enumerate(stored):
        image = _slice(series, volume.grid, k, pixels)
        image.save_as(folder / f"{k + 1:04d}.dcm", enforce_file_format=True)
        made.append(image)
    return made


def described(title: str) -> str:
    """Series Description of what a title says: 64 characters, NOTICE among them."""
    return f"{title[: 64 - len(NOTICE) - 2]}, {NOTICE}"


def _series_header(volume: Volume, title: str, study: Study, number: int) -> Dataset:
    """What all images of a series say, but for their values."""
    from copy import deepcopy

    from pydicom.uid import CTImageStorage, MRImageStorage

    made = deepcopy(study.common)
    made.SOPClassUID = CTImageStorage if study.modality == "CT" else MRImageStorage
    for key, value in (_CT if study.modality == "CT" else _MR).items():
        setattr(made, key, value)
    made.Modality = study.modality
    made.SeriesNumber = number
    made.SeriesDescription = described(title)
    made.ImageType = ["DERIVED", "SECONDARY", "OTHER", "INFERRED"]
    made.ImageComments = f"{NOTICE}: voxels that were not observed were inferred by a model."
    made.BurnedInAnnotation, made.LossyImageCompression = "NO", "00"
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 0
    _, made.Rows, made.Columns = volume.grid.shape_kji
    spacing = volume.grid.spacing_ijk
    made.PixelSpacing = _numbers(spacing[1::-1])
    made.SliceThickness, made.SpacingBetweenSlices = _numbers(spacing[[2, 2]])
    directions = (LPS @ volume.grid.ijk_to_ras)[:3, :2] / spacing[:2]
    made.ImageOrientationPatient = _numbers(directions.T.ravel())
    return made


def _stored(array: np.ndarray, series: Dataset) -> np.ndarray:
    """Values as uint16, with what makes the values of them entered into the header."""
    from pydicom.dataset import Dataset

    low, high = min(float(array.min()), 0.0), float(array.max())
    slope, intercept = _numbers([(high - low) / _FULL or 1.0, low])
    series.RescaleSlope, series.RescaleIntercept = slope, intercept
    series.RescaleType = "US"
    top = max(float(np.percentile(array, 99.9)), low + float(slope))
    series.WindowCenter, series.WindowWidth = _numbers([(low + top) / 2, top - low])
    real = Dataset()
    real.LUTLabel, real.LUTExplanation = "VALUE", "value of the result"
    real.add_new(0x00409216, "US", 0)  # first and last value mapped
    real.add_new(0x00409211, "US", _FULL)
    real.RealWorldValueSlope, real.RealWorldValueIntercept = float(slope), float(intercept)
    real.MeasurementUnitsCodeSequence = [code("1", "UCUM", "no units")]
    series.RealWorldValueMappingSequence = [real]
    return np.rint((array - float(intercept)) / float(slope)).clip(0, _FULL).astype("<u2")


def _slice(series: Dataset, grid: Grid, k: int, pixels: np.ndarray) -> Dataset:
    """One image of a series."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    made = Dataset()
    made.update(series)
    position = LPS @ grid.ijk_to_ras @ [0, 0, k, 1]
    made.ImagePositionPatient = _numbers(position[:3])
    made.SOPInstanceUID = generate_uid()
    made.InstanceNumber = k + 1
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.PixelData = pixels.tobytes()
    return made


def _numbers(values) -> list:
    """Decimal strings, as exact as their 16 characters allow."""
    from pydicom.valuerep import DSfloat

    return [DSfloat(float(value), auto_format=True) for value in values]
