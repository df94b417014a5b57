"""The template of a result and the stacks of its slices as files for slice-to-volume reconstruction."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..geometry import Volume, file_errors
from ..geometry.io import write_volume
from ..mrml.contexts import ContextSlice
from ..mrml.nodes import file_stem, volume_of
from ..mrml.results import ResultNodes
from ..svr.handover import Handover, Stack, write_handover


@dataclass(frozen=True)
class Template:
    """What a hand-over holds.

    Attributes:
        stacks: the volumes that the contexts were taken from, each with its name and thickness in mm.
    """

    template: Volume
    mask: Volume
    stacks: list[tuple[Volume, str, float]]

    def write(self, folder: Path) -> Handover:
        """Write template, mask and stacks with the tools' command lines, in any thread.

        All are NIfTI, in patient space.

        Raises InputError where the folder cannot be written.
        """
        written = []
        with file_errors(f"{folder}: the stacks could not be written"):
            folder.mkdir(parents=True, exist_ok=True)
            for number, (volume, name, thickness_mm) in enumerate(self.stacks, 1):
                path = folder / f"stack-{number}-{file_stem(name)}.nii.gz"
                write_volume(volume, path)
                written.append(Stack(path, thickness_mm))
        return write_handover(self.template, self.mask, written, folder)


def take_template(result: ResultNodes, contexts: list[ContextSlice]) -> Template:
    """Template, mask and stacks from the scene.

    Args:
        result: which has a template.
        contexts: whose volumes are the stacks, each once.

    Raises:
        InputError: where a volume cannot be used.
    """
    used = {context.volume.GetID(): context for context in contexts if context.volume is not None}
    stacks = [
        (volume_of(context.volume), context.volume.GetName(), context.thickness_mm)
        for context in used.values()
    ]
    return Template(volume_of(result.template), volume_of(result.template_mask), stacks)
