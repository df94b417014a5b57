"""A network carried to a scanner of which a user has scans without truth, and without what it learned of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...data.bids import WRITTEN, contrast_of, without_contrast
from ...data.cohort import list_cohort, normalised, told_by_cohort
from ...geometry import InputError, Volume
from ...geometry.io import read_volume
from ...priors.card import BaseModelReference
from ...progress import Progress
from ...zoo.weights import read_tensors, save_weights, sha256
from ..checks import check_observed, doubt_of
from ..pix2pix.synthesiser import Synthesiser
from ..scans import stacked
from .greys import apart, grey_quantiles

MIN_SCANS = 3
_CLEARLY = 0.9  # of two simulated scanners 0.72, where SSIM rose, and 0.93, where it fell
_TRIED = 4  # heads of the folder that are made before and after
_UNSURE = (
    "{}: the adaptation is used because of grey values alone, which were wrong about one real scanner; "
    "compare with a real {} where there is one."
)

Scans = dict[str, dict[str, Volume]]
"""Volumes in [0, 1] by contrast, of every visit."""


def adapted_to(
    network: Synthesiser, folder: Path, progress: Progress, warn: Callable[[str], None]
) -> tuple[Synthesiser, dict[str, Any]]:
    """The network for scans of the scanner of a folder: their grey values become those it learned of.

    What it makes of some heads of the folder is compared with the grey values of the real contrast that the
    network brings; where it is not clearly nearer to them than before, the network stays as it is, and
    that is told. Where no head has all contrasts, it is adapted without that, which is told, too.

    Args:
        network: with the grey values that it learned of.
        folder: skull-stripped scans, background 0, SUBJECT_FLAIR ...; contrasts may be of other people each.
        progress: told of steps, asked whether to stop.
        warn: called with each warning, one line.

    Returns:
        The network, and what result.json says of it.

    Raises:
        InputError: the network brings no grey values, or the folder has too few scans of a contrast.
    """
    if network.greys is None:
        raise InputError(
            f"{network.card.id}: has no grey values of the scanner that it learned of, so that it cannot be "
            "adapted; train it anew with this version."
        )
    scans = _read(network, folder, progress.part(0.0, 0.6), warn)
    quantiles = [
        torch.stack([_quantiles(network, one[name]) for one in scans.values() if name in one]).mean(0)
        for name in network.settings.inputs
    ]
    adapted = network.for_scanner(torch.stack(quantiles))
    whole = [one for one in scans.values() if len(one) == len(quantiles)][:_TRIED]
    far = [
        _off(each, whole, progress.part(0.6 + 0.2 * n, 0.8 + 0.2 * n))
        for n, each in enumerate((network, adapted))
    ]
    contrasts = network.settings.inputs
    said: dict[str, Any] = {
        "folder": str(folder),
        "scans": {WRITTEN[name]: sum(name in one for one in scans.values()) for name in contrasts},
        "visits": list(scans),
        "grey values off before and after": far if whole else None,
        "used": not whole or far[1] < _CLEARLY * far[0],
    }
    if not whole:
        warn(
            f"{folder}: nobody in it was scanned in all of the contrasts; the adaptation is used, but "
            "whether it helps could not be looked at."
        )
    elif not said["used"]:
        warn(
            f"{folder}: the adaptation does not bring what is made clearly nearer to real "
            f"{WRITTEN[network.settings.output]} (grey values off by {far[0]:.3f} before, {far[1]:.3f} "
            "after); the network is used as it is."
        )
    else:
        warn(_UNSURE.format(folder, WRITTEN[network.settings.output]))
    return (adapted if said["used"] else network), said


def save_adapted(network: Synthesiser, weights: Path, said: dict[str, Any], path: Path) -> None:
    """Write an adapted network as a model of its own, whose card names the base and the scans.

    Args:
        network: of `adapted_to`.
        weights: file of the network that was adapted.
        said: of `adapted_to`.
        path: of the .safetensors file.
    """
    base = network.card
    card = base.model_copy(
        update={
            "id": f"{base.id}-adapted",
            "base": BaseModelReference(id=base.id, sha256=sha256(weights)),
            "split": base.split | {"adapted to": said["visits"]},
            "limits": f"Adapted to the grey values of {len(said['visits'])} visits of another scanner, "
            f"without truth; the quality is that of {base.id} at its own. {base.limits}".strip(),
        }
    )
    assert network.scanner is not None
    save_weights(read_tensors(weights) | {"scanner_greys": network.scanner.cpu()}, card, path)


def _read(network: Synthesiser, folder: Path, progress: Progress, warn: Callable[[str], None]) -> Scans:
    """Usable scans of a folder in the network's contrasts; what is left out is told. Raises InputError."""
    wanted = network.settings.inputs
    found: Scans = {}
    why: dict[str, list[str]] = {name: [] for name in wanted}
    files = list_cohort(folder).files
    for number, (name, file) in enumerate(files.items()):
        progress.update(f"reading {name}", number / len(files))
        contrast = contrast_of(name) or (wanted[0] if len(wanted) == 1 else None)
        if contrast not in wanted:
            continue
        try:
            scan = _checked(network, contrast, file)
        except InputError as error:
            why[contrast].append(f"{name} is left out: {error}")
            warn(why[contrast][-1])
            continue
        found.setdefault(without_contrast(name), {})[contrast] = scan
    for contrast in wanted:
        count = sum(contrast in one for one in found.values())
        if count < MIN_SCANS:
            reason = f" {why[contrast][0]}" if why[contrast] else ""
            raise InputError(
                f"{folder}: {count} usable scans in {WRITTEN[contrast]}; expected at least {MIN_SCANS} "
                f"skull-stripped ones, named such as sub-01_{WRITTEN[contrast]}.nii.gz.{reason}"
            )
    return found


def _checked(network: Synthesiser, contrast: str, file: Path) -> Volume:
    """A scan in [0, 1]. Raises InputError where it is not one that the network could be given."""
    check_observed(contrast, file)
    scan = read_volume(file, warn=told_by_cohort)
    if network.card.anatomy == "brain" and (doubt := doubt_of(contrast, scan)):
        raise InputError(doubt)
    network.told(scan)
    return normalised(scan)


def _quantiles(network: Synthesiser, scan: Volume) -> torch.Tensor:
    return grey_quantiles(stacked([scan], network.field.grid_of_any(scan)))


def _off(network: Synthesiser, heads: list[dict[str, Volume]], progress: Progress) -> float:
    """How far the grey values of what is made of heads are from those of the real contrast; nan for none."""
    assert network.greys is not None
    made = []
    for number, scans in enumerate(heads):
        progress.update("looking at what is made", number / len(heads))
        made.append(grey_quantiles(torch.as_tensor(network(scans).mean.array)[None]))
    return round(apart(torch.stack(made).mean(0), network.greys[-1]), 4) if made else float(np.nan)
