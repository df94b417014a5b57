"""The template of a result and the stacks of its slices as files for slice-to-volume reconstruction."""

from __future__ import annotations

from pathlib import Path

from ...geometry import InputError
from ...geometry.io import write_volume
from ...svr.handover import Handover, Stack, write_handover
from ..contexts import ContextSlice
from ..nodes import file_stem, volume_of
from ..results import ResultNodes


def write_template(result: ResultNodes, contexts: list[ContextSlice], folder: Path) -> Handover:
    """Write template, mask and the volumes that the contexts were taken from (NIfTI, patient space) with the tools' command lines.

    Raises InputError where a volume cannot be used or the folder cannot be written.
    """
    stacks = {context.volume.GetID(): context for context in contexts if context.volume is not None}
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, context in enumerate(stacks.values(), 1):
            volume = volume_of(context.volume)
            path = folder / f"stack-{number}-{file_stem(context.volume.GetName())}.nii.gz"
            write_volume(volume, path)
            written.append(Stack(path, context.thickness_mm))
    except OSError as error:
        raise InputError(f"{folder}: the stacks could not be written ({error.strerror or error}).") from error
    return write_handover(volume_of(result.template), volume_of(result.template_mask), written, folder)
