"""What to merge: stacks of one body that may have moved, as plain data that travels between processes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ..observation import SliceSpec
from ..reconstruction.formats import ImageFormat

MAX_STACKS = 12
NONE, AUTO = "none", "auto"  # models


class SvrRequest(BaseModel):
    """Stacks in, one volume out. Lengths in mm, paths absolute.

    stacks: 1 to 12 files, each one series of parallel slices. masks: none, one for all, or one for each stack
    in their order; above 0 in what moves as one; without any, fetal brains are masked where they are found.
    prior: a model whose posterior, given slices that belong together, is tried as the first volume beside the
    stacks as they lie; "auto" is the fetal one where fetal brains are seen, and else, as "none", these alone.
    outputs: what to write; "poses" are always found. samples: how many, where they are wanted. format: of all
    images.
    """

    model_config = ConfigDict(extra="forbid")
    stacks: list[SliceSpec] = Field(min_length=1, max_length=MAX_STACKS)
    masks: list[str] = []
    prior: str = AUTO
    spacing_mm: float = Field(default=0.8, gt=0)
    outputs: list[Literal["volume", "std", "poses", "samples"]] = ["volume", "std", "poses"]
    samples: int = Field(default=4, ge=1, le=100)
    seed: int = Field(default=0, ge=0)
    format: ImageFormat = "nrrd"
    output: str

    @field_validator("outputs")
    @classmethod
    def _something_is_wanted(cls, outputs: list[str]) -> list[str]:
        if not outputs:
            raise ValueError("nothing is asked for; choose at least one of volume, std, poses, samples")
        return outputs
