"""DICOM files as scanners write them, made with pydicom: single slices, and enhanced multi-frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

AXIAL, CORONAL, SAGITTAL = (1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1)


def _dataset(pixels: np.ndarray, series_uid: str, storage: str) -> Dataset:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = storage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.Modality, made.SeriesInstanceUID, made.StudyInstanceUID = "MR", series_uid, "1.2.3"
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 1
    made.Rows, made.Columns = pixels.shape[-2:]
    made.PixelData = pixels.astype("<i2").tobytes()
    return made


def write_slice(
    path: Path,
    pixels,
    position,
    directions=AXIAL,
    series="1.2.3.4",
    spacing=(0.9, 0.7),
    thickness=3.0,
    number=1,
    **attributes,
) -> Path:
    """One slice of a series. position, directions: LPS, mm. spacing: rows, columns. attributes: further ones;
    None takes one away.
    """
    made = _dataset(np.asarray(pixels), series, MRImageStorage)
    made.ImagePositionPatient = [f"{x:.6f}" for x in position]
    made.ImageOrientationPatient = [f"{x:.9f}" for x in directions]
    made.PixelSpacing, made.SliceThickness, made.InstanceNumber = list(spacing), thickness, number
    made.SeriesNumber, made.SeriesDescription = 3, "T1 axial"
    for name, value in attributes.items():
        if value is None:
            delattr(made, name)
        else:
            setattr(made, name, value)
    made.save_as(path, enforce_file_format=True)
    return path


def write_series(folder: Path, positions, array=None, **options) -> np.ndarray:
    """A file for each of positions (n, 3); returns the pixels (n, 6, 5)."""
    folder.mkdir(exist_ok=True)
    positions = np.asarray(positions, float)
    array = np.random.default_rng(0).integers(1, 999, (len(positions), 6, 5)) if array is None else array
    uid = options.get("series", "1.2.3.4")
    for n, (pixels, position) in enumerate(zip(array, positions, strict=True)):
        write_slice(folder / f"{uid}-{len(positions) - n:03d}", pixels, position, number=n + 1, **options)
    return array


def write_enhanced(
    path: Path, array, positions, thicknesses, slopes, directions=AXIAL, spacing=(0.9, 0.7)
) -> None:
    """One enhanced multi-frame; thickness and slope of every frame in its own functional groups."""
    made = _dataset(np.asarray(array), "1.2.3.9", EnhancedMRImageStorage)
    made.NumberOfFrames, made.InstanceNumber = len(array), 1
    shared, orientation = Dataset(), Dataset()
    orientation.ImageOrientationPatient = list(directions)
    shared.PlaneOrientationSequence = [orientation]
    made.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for position, thickness, slope in zip(positions, thicknesses, slopes, strict=True):
        frame, place, measures, scale = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = list(map(float, position))
        measures.PixelSpacing, measures.SliceThickness = list(spacing), thickness
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = slope, 1, "US"
        frame.PlanePositionSequence, frame.PixelMeasuresSequence = [place], [measures]
        frame.PixelValueTransformationSequence = [scale]
        frames.append(frame)
    made.PerFrameFunctionalGroupsSequence = frames
    made.save_as(path, enforce_file_format=True)


def change(path: Path, **attributes) -> None:
    """Set attributes of a file; None takes one away."""
    made = pydicom.dcmread(path)
    for name, value in attributes.items():
        if value is None:
            delattr(made, name)
        else:
            setattr(made, name, value)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.save_as(path)
