"""What a request says was observed, read from its files and checked together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..alignment.plausible import check_values, has_noise_outside
from ..geometry import InputError
from ..observation import Observation, Slice, split_slices
from ..observation.spec import ObservationSpec
from .result import inferred_by


def read_contexts(specs: Sequence[ObservationSpec]) -> tuple[list[Observation], list[str]]:
    """All observations of a request and warnings about what was assumed or left out. Raises InputError."""
    observations: list[Observation] = []
    warnings: list[str] = []
    assumed: dict[tuple[str, str], set[str]] = {}
    for spec in specs:
        _check_is_observed(spec)
        reading = spec.read()
        observations += reading.observations
        warnings += reading.warnings
        for what, words in reading.assumed.items():
            assumed.setdefault((spec.name, what), set()).update(words)
    for (name, what), words in assumed.items():
        warnings.append(f"{name}: {what} is not known; {' and '.join(sorted(words))} was assumed.")
    slices, _ = split_slices(observations)
    for source in dict.fromkeys(image.source for image in slices):
        check_values([image for image in slices if image.source == source])
    return observations, list(dict.fromkeys(warnings))


def _check_is_observed(spec: ObservationSpec) -> None:
    """Raise InputError for a file that this program has made: what was inferred was not observed."""
    if how := inferred_by(Path(spec.path), getattr(spec, "series", None)):
        raise InputError(
            f"{spec.name}: was reconstructed, not observed ({how} says how); give slices of the scan itself."
        )


def noisy_backgrounds(slices: list[Slice]) -> list[str]:
    """Warnings about sources whose slices show noise where 0 is expected."""
    own = {
        source: [s for s in slices if s.source == source]
        for source in dict.fromkeys(s.source for s in slices)
    }
    return [
        f"{source}: the background is not 0 but noise, so skull and scalp seem not to be removed; expected 0 "
        "outside the anatomy."
        for source, images in own.items()
        if has_noise_outside(images)
    ]
