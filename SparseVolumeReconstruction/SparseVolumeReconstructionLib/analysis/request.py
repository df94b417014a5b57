"""What one can ask of a posterior, as plain data that travels between processes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

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


class NextPlaneRequest(Question):
    """Which plane to scan next.

    among: planes of any orientation, axial, sagittal and coronal ones of the anatomy, or those of the stack
    that the first context is of. roi: path of a volume above 0 where it matters (the whole anatomy if None).
    count: how many alternatives, and how many planes the sequence has. sequence: whether there is one.
    output: path of the JSON file, None for none.
    """

    among: Literal["any", "orthogonal", "stack"] = "any"
    roi: str | None = None
    count: int = Field(default=3, ge=1, le=10)
    sequence: bool = True
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
