"""The trained network: from the scans of a head to the contrast that is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...data.bids import WRITTEN
from ...data.cohort import normalised
from ...geometry import Grid, InputError, Volume
from ...geometry.resample import resample
from ...priors.card import ModelCard
from ...priors.stored import network_state, settings_text
from ...zoo.weights import opened_network
from ..adaptation.greys import matched
from ..scans import Field, shown_on, stacked
from .network import Generator
from .task import SynthesisConfig
from .tiles import tile_corners, tile_megabytes, tiled

SYSTEM = "synthesis"
_PROGRAM_MB, _VOLUMES = 520, 10  # without any scan, and volumes of its size that are held at once


@dataclass(frozen=True, eq=False)
class Synthesised:
    """mean: the missing contrast in [0, 1]. std: its standard deviation in the same units."""

    mean: Volume
    std: Volume

    def on(self, grid: Grid, scans: Iterable[Volume]) -> Synthesised:
        """Both on another grid.

        Args:
            grid: any.
            scans: that they were made of, background 0; voxels where none shows anything are 0.
        """
        inside = np.any([shown_on(each, grid) for each in scans], 0)
        return Synthesised(*(Volume(resample(v, grid).array * inside, grid) for v in (self.mean, self.std)))


def contrasts_of(path: Path) -> tuple[tuple[str, ...], str]:
    """The contrasts that the network of a file takes, and the one that it makes.

    Raises:
        InputError: for any other file.
    """
    with opened_network(path, SYSTEM) as (_, tensors):
        settings = SynthesisConfig.model_validate_json(settings_text(tensors["settings"]))
    return tuple(settings.inputs), settings.output


class Synthesiser:
    """A network that makes a missing contrast.

    Args:
        generator: is put in evaluation mode.
        settings: of it.
        factor: on the errors that it expects.
        card: what it is.
        device: where it computes.
        greys: quantiles of the contrasts that it learned of, the output last, (C, LEVELS).
        scanner: those of the inputs of the scanner that it is given scans of, (C - 1, LEVELS); those that it
            learned of if None.
    """

    def __init__(
        self,
        generator: Generator,
        settings: SynthesisConfig,
        factor: float,
        card: ModelCard,
        device: torch.device,
        greys: torch.Tensor | None = None,
        scanner: torch.Tensor | None = None,
    ):
        self.greys, self.scanner = greys, scanner
        self.generator = generator.to(device).eval()
        self.settings, self.card, self.device = settings, card, device
        self._factor = factor
        self.field = Field(settings.shape_kji, settings.spacing_mm)

    @classmethod
    def load(cls, path: Path, device: torch.device) -> Synthesiser:
        """From the file of `train_synthesis`. Raises InputError for any other.

        Args:
            path: of the .safetensors file.
            device: where it computes.
        """
        with opened_network(path, SYSTEM) as (card, tensors):
            settings = SynthesisConfig.model_validate_json(settings_text(tensors["settings"]))
            generator = Generator(len(settings.inputs), settings)
            generator.load_state_dict(network_state(tensors))
            factor = float(tensors["error_factor"])
            greys, scanner = tensors.get("greys"), tensors.get("scanner_greys")
        return cls(generator.float(), settings, factor, card, device, greys, scanner)

    def for_scanner(self, scanner: torch.Tensor) -> Synthesiser:
        """The same network for scans of a scanner with other grey values.

        Args:
            scanner: quantiles of the inputs, (C - 1, LEVELS).
        """
        same = (self.generator, self.settings, self._factor, self.card, self.device, self.greys)
        return Synthesiser(*same, scanner)

    def ordered(self, scans: Mapping[str, Volume]) -> list[Volume]:
        """The scans in the network's order. Raises InputError where one is missing or not known.

        Args:
            scans: by contrast, as `data.bids.contrast_of` calls them.
        """
        wanted = self.settings.inputs
        if set(scans) != set(wanted):
            names = " and ".join(WRITTEN[one] for one in wanted)
            given = ", ".join(WRITTEN.get(one, one) for one in scans) or "nothing"
            missing = ", ".join(WRITTEN[one] for one in wanted if one not in scans)
            text = f"{self.card.id} makes {WRITTEN[self.settings.output]} of {names}; got {given}"
            raise InputError(f"{text}: {missing} is missing." if missing else f"{text}: that is too much.")
        return [scans[one] for one in wanted]

    def told(self, scan: Volume) -> str:
        """How a scan is seen and what memory that needs, one line. Raises InputError where it is too large.

        Args:
            scan: the first one; skull-stripped, background 0.
        """
        shape = self.field.grid_of_any(normalised(scan)).shape_kji
        count = len(tile_corners(shape, self.settings.tile))
        need = tile_megabytes(self.settings.tile, sum(self.settings.widths[:2]))
        need += _PROGRAM_MB + _VOLUMES * scan.array.size * 4 / 1e6
        return f"{count} {'tile' if count == 1 else 'tiles'}, about {need / 1000:.1f} GB of memory"

    def __call__(
        self,
        scans: Mapping[str, Volume],
        grid: Grid | None = None,
        step: Callable[[float], None] = lambda done: None,
    ) -> Synthesised:
        """Make the missing contrast.

        Args:
            scans: by contrast; skull-stripped, background 0, lying on one another.
            grid: of the result; that of the network around the head if None. Voxels where no scan shows
                anything are 0.
            step: called with the fraction done; may raise to cancel.

        Raises:
            InputError: as `ordered`, or a head that is too large.
        """
        volumes = [normalised(each) for each in self.ordered(scans)]
        own = self.field.grid_of_any(volumes[0])
        given = stacked(volumes, own)
        if self.greys is not None and self.scanner is not None:
            pairs = zip(given, self.scanner, self.greys, strict=False)
            given = torch.stack([matched(*each) for each in pairs])
        given = given[None].to(self.device)
        mean, error = tiled(self.generator, given, self.settings.tile, step)
        made = (mean[0].cpu().numpy(), np.sqrt(2) * self._factor * error[0].cpu().numpy())
        found = Synthesised(*(Volume(array.astype(np.float32), own) for array in made))
        return found if grid is None else found.on(grid, volumes)
