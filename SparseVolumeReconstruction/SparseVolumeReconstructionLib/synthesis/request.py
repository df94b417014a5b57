"""What is asked of a synthesis network, as plain data that travels between processes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ..reconstruction.formats import ImageFormat


class SynthesisRequest(BaseModel):
    """Make the missing contrast of one head.

    model: id of a network, or path of a weights file. inputs: {contrast: path}, contrasts as
    `data.bids.contrast_of` calls them. output: folder of the result, on the grid of the first input.
    adapt: folder of other scans of the same scanner, to which the network is carried first; none if None.
    format: of its images. device: "auto", "cpu", "cuda:0".
    """

    model_config = ConfigDict(extra="forbid")
    model: str
    inputs: dict[str, str] = Field(min_length=1)
    output: str
    adapt: str | None = None
    format: ImageFormat = "nrrd"
    device: str = "auto"
