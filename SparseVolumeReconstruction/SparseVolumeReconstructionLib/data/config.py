"""What a configuration says of the data: the stack that a prior knows, and how volumes vary."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Part of a configuration: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(Section):
    """The stack of axial slices that a prior knows.

    size: pixels along R and A. slices: their number. field_mm, height_mm: extent of the whole stack; None:
    from the reference. reference: "mni152", a subject of the cohort, a volume file, or None to choose a
    subject. spacing_mm: voxels of the reference.
    """

    size: Annotated[int, Field(ge=16, le=512)] = 64
    slices: Count = 120
    field_mm: float | None = Field(218.0, gt=0)
    height_mm: float | None = Field(120.0, gt=0)
    reference: str | None = "mni152"
    spacing_mm: float = Field(2.0, gt=0)


class AugmentationConfig(Section):
    """Random changes of every training volume, standard deviations.

    deformation_mm: displacement along each axis, smooth over `nodes` control points per axis; where the
    data's extent is not given, of a stack of 218 x 218 x 120 mm. gamma: log of the exponent of the
    intensities. bias: log of the shading at the control points. noise: share of the range. mirror: left and
    right are exchanged in half of the volumes.
    """

    deformation_mm: float = Field(2.0, ge=0)
    nodes: Annotated[int, Field(ge=2)] = 6
    gamma: float = Field(0.1, ge=0)
    bias: float = Field(0.05, ge=0)
    noise: float = Field(0.01, ge=0)
    mirror: bool = True
