"""Finding the brain in stacks, as masks to be corrected, and which of their slices belong together."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..observation import SliceSpec
from ..progress import Progress


class MaskRequest(BaseModel):
    """prior: the model that the masks are for. stacks: the files, of one visit. outputs: a file for each."""

    model_config = ConfigDict(extra="forbid")
    prior: str
    stacks: list[SliceSpec] = Field(min_length=1)
    outputs: list[str]

    @model_validator(mode="after")
    def _one_file_for_each(self) -> MaskRequest:
        if len(self.outputs) != len(self.stacks):
            raise ValueError(f"{len(self.stacks)} stacks, but {len(self.outputs)} outputs; give one for each")
        return self


def find_masks(request: MaskRequest, progress: Progress) -> dict[str, Any]:
    """The brain in every slice of the stacks of a visit, which is one brain.

    Args:
        request: the masks are written to its `outputs`.
        progress: told of steps, asked whether to stop.

    Returns:
        {"files": {"mask-1": path, ...}, "result": {"masks": [{"proposed": [number, ...] of the slices that
        belong together, "slices": {number: {"off_mm", "together", ...}}, "warnings": [text, ...]}, ...]}}.

    Raises:
        InputError: as `mask_stacks`.
    """
    from ..geometry.io import write_volume
    from ..reconstruction.stack_mask import mask_stacks
    from ..zoo import ModelStore

    progress.update("looking for the brain", 0.05)
    found = mask_stacks(request.stacks, ModelStore().find(request.prior).entry.card)
    progress.update("writing", 0.95)
    for one, output in zip(found, request.outputs, strict=True):
        write_volume(one.volume, output, compress=False)
    progress.finish()
    said = [{"proposed": one.proposed, "slices": one.motion, "warnings": one.warnings} for one in found]
    files = {f"mask-{number}": output for number, output in enumerate(request.outputs, 1)}
    return {"files": files, "result": {"masks": said}}
