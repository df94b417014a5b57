"""Finding the brain in a stack, as a mask to be corrected, and which of its slices belong together."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from ..observation import SliceSpec
from ..progress import Progress


class MaskRequest(BaseModel):
    """prior: the model that the mask is for. stack: the file. output: the file of the mask."""

    model_config = ConfigDict(extra="forbid")
    prior: str
    stack: SliceSpec
    output: str


def find_mask(request: MaskRequest, progress: Progress) -> dict[str, Any]:
    """The brain in every slice of a stack.

    Args:
        request: the mask is written to its `output`.
        progress: told of steps, asked whether to stop.

    Returns:
        {"files": {"mask": path}, "result": {"proposed": [number, ...] of the slices that belong together,
        "slices": {number: {"off_mm", "together", ...}}, "warnings": [text, ...]}}.

    Raises:
        InputError: as `mask_stacks`.
    """
    from ..geometry.io import write_volume
    from ..reconstruction.stack_mask import mask_stacks
    from ..zoo import ModelStore

    progress.update("looking for the brain", 0.05)
    found = mask_stacks([request.stack], ModelStore().find(request.prior).entry.card)[0]
    write_volume(found.volume, request.output, compress=False)
    progress.finish()
    said = {"proposed": found.proposed, "slices": found.motion, "warnings": found.warnings}
    return {"files": {"mask": request.output}, "result": said}
