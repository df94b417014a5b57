"""The request: everything one reconstruction needs, as plain data that travels between processes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ContextSpec(BaseModel):
    """Slices of one file. slices None: all of them. thickness_mm None: the spacing between slices is assumed."""

    model_config = ConfigDict(extra="forbid")
    path: str
    slices: list[int] | None = None
    thickness_mm: float | None = Field(default=None, gt=0)


class ReconstructionRequest(BaseModel):
    """What to reconstruct. Lengths in mm, paths absolute.

    frame: "auto" (find it from the slices), "registered" (patient space is canonical space) or the path of an
    affine transform file from patient to canonical space. like: output on this volume's grid; otherwise
    isotropic `spacing_mm` (1 mm if None) in patient RAS. covariate: value of the prior's covariate (gestational
    age in weeks for fetal priors), inferred if None. keep_observed: observed pixels are reproduced in the mean.
    """

    model_config = ConfigDict(extra="forbid")
    prior: str
    contexts: list[ContextSpec] = []
    frame: str = "auto"
    like: str | None = None
    spacing_mm: float | None = Field(default=None, gt=0)
    samples: int = Field(default=0, ge=0, le=1000)
    seed: int = Field(default=0, ge=0)
    covariate: float | None = None
    device: str = "auto"
    keep_observed: bool = True
    output: str
