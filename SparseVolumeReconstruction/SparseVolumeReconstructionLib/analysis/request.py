"""What one can ask of a posterior, as plain data that travels between processes."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ..observation.spec import AnyObservationSpec
from ..reconstruction.request import ReconstructionRequest


class Question(BaseModel):
    """What was observed, and by which prior it is understood. Paths are absolute.

    The fields mean what they do in ReconstructionRequest.
    """

    model_config = ConfigDict(extra="forbid")
    prior: str
    contexts: list[AnyObservationSpec] = []
    frame: str = "auto"
    covariate: float | None = None
    mask: str | None = None
    device: str = "auto"

    def reconstruction(self) -> ReconstructionRequest:
        """The reconstruction of the same slices, which says how they are understood."""
        same = {name: getattr(self, name) for name in Question.model_fields}
        return ReconstructionRequest(**same, outputs=["mean"], output="")


class WantedPlane(BaseModel):
    """A plane that somebody wants to scan: a point on it and its normal, in patient RAS mm."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    point: tuple[float, float, float]
    normal: tuple[float, float, float]

    @field_validator("normal")
    @classmethod
    def _has_a_length(cls, normal: tuple[float, float, float]) -> tuple[float, float, float]:
        if not np.linalg.norm(normal) > 0:
            raise ValueError("expected a direction, not 0 0 0")
        return normal


class NextPlaneRequest(Question):
    """Which plane to scan next.

    among: planes of any orientation, axial, sagittal and coronal ones of the anatomy, or those of the stack
    that the first context is of. roi: path of a volume above 0 where it matters (the whole anatomy if None).
    count: how many alternatives, and how many planes the sequence has. sequence: whether there is one. plan:
    planes that somebody wants to scan, judged one after the other.
    output: path of the JSON file, None for none.
    """

    among: Literal["any", "orthogonal", "stack"] = "any"
    roi: str | None = None
    count: int = Field(default=3, ge=1, le=10)
    sequence: bool = True
    plan: list[WantedPlane] = Field(default=[], max_length=10)
    output: str | None = None


class LocateRequest(Question):
    """Where slices lie. `frame` is what is asked for, so it must be "auto".

    orientation: "stated" (the files say where left, front and top of the body are, as those of scanners do)
    or "unknown" (nothing is taken from it). output: path of the JSON file, None for none.
    """

    frame: Literal["auto"] = "auto"
    contexts: list[AnyObservationSpec] = Field(min_length=1)
    orientation: Literal["stated", "unknown"] = "stated"
    output: str | None = None


class SurpriseRequest(Question):
    """How improbable what was observed is. output: folder of surprise.nrrd and surprise.json."""

    contexts: list[AnyObservationSpec] = Field(min_length=1)
    output: str
