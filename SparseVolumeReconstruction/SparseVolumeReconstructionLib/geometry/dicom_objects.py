"""Masks as DICOM segmentations, and maps of numbers as DICOM parametric maps, by highdicom."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .dicom_source import MANUFACTURER
from .dicom_writing import NOTICE, Study, described, upright
from .errors import InputError
from .grid import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_OWN = "99SVR"  # designator of codes that no scheme has


def check_can_write() -> None:
    """Raise InputError where the package that writes them is not installed."""
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise InputError(
            "writing DICOM needs the package highdicom; install it (pip install highdicom), or choose "
            "another --format."
        ) from error


def write_segmentation(
    masks: dict[str, np.ndarray],
    images: Sequence[Dataset],
    like: Volume,
    path: Path,
    study: Study,
    number: int,
) -> None:
    """Write masks as the segments of one DICOM segmentation.

    Args:
        masks: label to (K, J, I), bool or 0 and 1, on the grid of `like`.
        images: the series on the same grid that they belong to, as `write_series` returned it.
        like: a volume on that grid.
        path: the file.
        study: where they belong.
        number: of the series.

    Raises:
        OSError: when it cannot be written.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes

    algorithm = hd.AlgorithmIdentificationSequence(
        name=study.model[:64],
        family=codes.DCM.ArtificialIntelligence,
        version=study.version[:64],
        source=MANUFACTURER,
    )
    segments = [
        hd.seg.SegmentDescription(
            segment_number=n,
            segment_label=label,
            segmented_property_category=codes.SCT.SpatialAndRelationalConcept,
            segmented_property_type=codes.SCT.Brain
            if label == "brain"
            else hd.sr.CodedConcept(label.upper().replace(" ", "_")[:16], _OWN, label),
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
        )
        for n, label in enumerate(masks, 1)
    ]
    pixels = np.stack([upright(Volume(mask, like.grid)).array > 0 for mask in masks.values()], axis=-1)
    _save(
        hd.seg.Segmentation,
        images,
        pixels.astype(np.uint8),
        path,
        study,
        number,
        segmentation_type="BINARY",
        segment_descriptions=segments,
        omit_empty_frames=False,
        content_label=_label(path),
    )


def write_map(
    volume: Volume, images: Sequence[Dataset], title: str, path: Path, study: Study, number: int
) -> None:
    """Write a volume as one DICOM parametric map of 32 bit floats.

    Args:
        volume: finite values.
        images: the series on the same grid that it belongs to, as `write_series` returned it.
        title: what it shows.
        path: the file.
        study: where it belongs.
        number: of the series.

    Raises:
        OSError: when it cannot be written.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes

    values = upright(volume).array.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    mapping = hd.pm.RealWorldValueMapping(
        lut_label="VALUE",
        lut_explanation=title[:64],
        unit=codes.UCUM.NoUnits,
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
    )
    _save(
        hd.pm.ParametricMap,
        images,
        values,
        path,
        study,
        number,
        contains_recognizable_visual_features=True,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[
            hd.VOILUTTransformation(window_center=(low + high) / 2, window_width=max(high - low, 1e-6))
        ],
        content_qualification="RESEARCH",
        content_label=_label(path),
    )


def _label(path: Path) -> str:
    return path.stem.upper().replace("-", "_")[:16]


def _save(kind: Any, images, pixels, path: Path, study: Study, number: int, **particular: Any) -> None:
    """Make an object of highdicom with what they all say, and write it."""
    from pydicom.uid import generate_uid

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # highdicom's, of names of patients among others
        made = kind(
            source_images=images,
            pixel_array=pixels,
            series_instance_uid=generate_uid(),
            series_number=number,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=study.model[:64],
            software_versions=study.version[:64],
            device_serial_number=study.model[:64],
            content_description=NOTICE,
            series_description=described(path.stem.replace("_", " ").capitalize()),
            **particular,
        )
        for key in ("ContributingEquipmentSequence", "BodyPartExamined", "Laterality"):
            if key in study.common and (key, made.Modality) != ("Laterality", "SEG"):  # that of its segments
                setattr(made, key, getattr(study.common, key))
        made.save_as(path)
