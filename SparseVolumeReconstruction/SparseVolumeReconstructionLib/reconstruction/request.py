"""The request: everything one reconstruction needs, as plain data that travels between processes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from ..observation import SliceSpec
from ..observation.spec import AnyObservationSpec
from .formats import ImageFormat

__all__ = ["Fusion", "IntensityMap", "ReconstructionRequest", "SliceSpec"]

Fusion = Literal["exact", "paper", "as-printed", "none"]  # see `fusion.fuse`


class IntensityMap(BaseModel):
    """Knots of a monotone map between patient and canonical intensities, as a result.json states it.

    gains: of the series whose values have to be divided first, by name; empty where none differs. tissues:
    the grey values of each tissue in a contrast of its own, None where the map tells them.
    """

    model_config = ConfigDict(extra="forbid")
    patient: list[float] = Field(min_length=2)
    canonical: list[float] = Field(min_length=2)
    gains: dict[str, Annotated[float, Field(gt=0)]] = {}
    tissues: dict[Literal["csf", "gm", "wm"], list[float]] | None = None

    @model_validator(mode="after")
    def _ascends(self) -> IntensityMap:
        knots = zip(self.patient, self.patient[1:], self.canonical, self.canonical[1:], strict=False)
        if len(self.patient) != len(self.canonical) or not all(a < b and c < d for a, b, c, d in knots):
            raise ValueError("expected as many patient as canonical values, both ascending")
        return self


class ReconstructionRequest(BaseModel):
    """What to reconstruct. Lengths in mm, paths absolute.

    contexts: what was observed, of any kind in the table of `observation.spec`; slices if they do not say.
    frame: "auto" (find it from the slices), "registered" (patient space is canonical space) or the path of an
    affine transform file from patient to canonical space. like: output on this volume's grid; otherwise
    isotropic `spacing_mm` (1 mm if None) in patient RAS. covariate: value of the prior's covariate
    (gestational age in weeks for fetal priors), inferred if None. keep_observed: observed pixels are
    reproduced in the mean. mask: path of a volume above 0 in the brain, found in the slices if None. outputs:
    the volumes wanted besides `samples` samples; at least one output or sample. "atlas" is the prior
    without slices, and alone it needs nothing but the frame; "tissues" are the shares of fluid, grey and
    white matter. fast: a rough and quick mean for interaction.
    compress: smaller files, more time. format: of all images; samples are a Slicer sequence in NRRD, one
    file of four dimensions in NIfTI, series of their own in DICOM. intensity: the map that an earlier
    result found; only with a frame, and with the covariate where the prior has one. show_as: what is
    inferred has the contrast of the first series ("own"), or another one, carried over by the tissues where
    no series is of it. draws: what samples start from, where the prior leaves a choice: real anatomy
    ("donors"; they do where there are some, if None), or draws of the Gaussian. fusion: how the mean is
    changed so that its rays sum up to the radiographs, where there are some; see `fusion.fuse`.
    """

    model_config = ConfigDict(extra="forbid")
    prior: str
    contexts: list[AnyObservationSpec] = []
    frame: str = "auto"
    like: str | None = None
    spacing_mm: float | None = Field(default=None, gt=0)
    samples: int = Field(default=0, ge=0, le=1000)
    outputs: list[Literal["mean", "std", "template", "atlas", "tissues"]] = ["mean", "std", "template"]
    seed: int = Field(default=0, ge=0)
    covariate: float | None = None
    device: str = "auto"
    keep_observed: bool = True
    mask: str | None = None
    fast: bool = False
    compress: bool = True
    intensity: IntensityMap | None = None
    format: ImageFormat = "nrrd"
    show_as: Literal["own", "t1w", "t2w", "flair"] = "own"
    draws: Literal["donors", "gaussian"] | None = None
    fusion: Fusion = "exact"
    output: str

    @field_validator("outputs")
    @classmethod
    def _something_is_wanted(cls, outputs: list[str], others: ValidationInfo) -> list[str]:
        if not outputs and not others.data.get("samples"):
            raise ValueError(
                "nothing is asked for; choose at least one of mean, std, template, atlas, tissues, or samples"
            )
        return outputs

    @property
    def on_grid(self) -> bool:
        """Whether anything is wanted on the output grid: mean, std, tissues or samples."""
        return bool(self.samples or {"mean", "std", "tissues"} & set(self.outputs))

    @model_validator(mode="after")
    def _is_not_too_much(self) -> ReconstructionRequest:
        if self.fast and "tissues" in self.outputs:
            raise ValueError("tissues take their time; leave out either them or fast")
        return self
