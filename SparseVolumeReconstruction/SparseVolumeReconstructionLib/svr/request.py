"""What to merge: stacks of one body that may have moved, as plain data that travels between processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ..observation import SliceSpec
from ..reconstruction.formats import ImageFormat
from .acquisition import Acquisition
from .lengths import SHARP_MM

MAX_STACKS = 12
NONE, AUTO = "none", "auto"  # models


class SliceChoice(BaseModel):
    """Slices of one stack, on which the user has decided.

    stack: its number among the stacks, from 1. slices: their indices, as "index" in poses.json.
    """

    model_config = ConfigDict(extra="forbid")
    stack: int = Field(ge=1, le=MAX_STACKS)
    slices: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)


class SvrRequest(BaseModel):
    """Stacks in, one volume out. Lengths in mm, paths absolute.

    stacks: 1 to 12 files, each one series of parallel slices. masks: none, one for all, or one for each stack
    in their order; above 0 in what moves as one; without any, fetal brains are masked where they are found.
    prior: a model whose posterior, given slices that belong together, is tried as the first volume beside the
    stacks as they lie; "auto" is the fetal one where fetal brains are seen, and else, as "none", these alone.
    length_mm: over which voxels of the volume are alike; more is smoother.
    acquisition: how the stacks were acquired, none (slice after slice in order of place), one for all, or one
    for each stack in their order.
    exclude, include: slices that are left out of the volume, or belong whatever is found of them; the
    probability of all others is found. continue_from: the folder of an earlier merge of the same slices; its
    poses and weights are refined, which takes less time.
    outputs: what to write; "poses" are always found. samples: how many, where they are wanted. device: that
    computes, "auto", "cpu" or "cuda:0". format: of all images.
    """

    model_config = ConfigDict(extra="forbid")
    stacks: list[SliceSpec] = Field(min_length=1, max_length=MAX_STACKS)
    masks: list[str] = []
    prior: str = AUTO
    spacing_mm: float = Field(default=0.8, gt=0)
    length_mm: float = Field(default=SHARP_MM, ge=2, le=50)
    acquisition: list[Acquisition] = []
    exclude: list[SliceChoice] = []
    include: list[SliceChoice] = []
    continue_from: str | None = None
    outputs: list[Literal["volume", "std", "poses", "samples"]] = ["volume", "std", "poses"]
    samples: int = Field(default=4, ge=1, le=100)
    seed: int = Field(default=0, ge=0)
    device: str = "auto"
    format: ImageFormat = "nrrd"
    output: str

    @field_validator("outputs")
    @classmethod
    def _something_is_wanted(cls, outputs: list[str]) -> list[str]:
        if not outputs:
            raise ValueError("nothing is asked for; choose at least one of volume, std, poses, samples")
        return outputs

    @model_validator(mode="after")
    def _no_slice_is_both(self) -> SvrRequest:
        if both := sorted(_chosen(self.exclude) & _chosen(self.include)):
            raise ValueError(f"slice {both[0][1]} of stack {both[0][0]} is both excluded and included")
        return self

    def choices(self) -> dict[tuple[int, int], bool]:
        """{(number of the stack from 1, index of the slice): whether it is included}."""
        return dict.fromkeys(_chosen(self.exclude), False) | dict.fromkeys(_chosen(self.include), True)

    def deciding(self, choices: dict[tuple[int, int], bool]) -> SvrRequest:
        """The same with other choices, in the form of `choices`."""
        both = {
            "exclude": as_choices([key for key, included in choices.items() if not included]),
            "include": as_choices([key for key, included in choices.items() if included]),
        }
        return self.model_copy(update=both)


def as_choices(slices: Iterable[tuple[int, int]]) -> list[SliceChoice]:
    """(Number of the stack from 1, index of the slice) grouped by stack."""
    found: dict[int, list[int]] = {}
    for stack, index in sorted(slices):
        found.setdefault(stack, []).append(index)
    return [SliceChoice(stack=stack, slices=indices) for stack, indices in found.items()]


def _chosen(choices: list[SliceChoice]) -> set[tuple[int, int]]:
    return {(choice.stack, index) for choice in choices for index in choice.slices}
