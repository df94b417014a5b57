"""A network carried to a scanner of which a user has scans without truth, and without what it learned of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from .greys import apart, deep_in, grey_quantiles

MIN_SCANS = 3
_OTHER = 0.05  # groups of three people of one scanner differ by up to 0.045, scanners by 0.11 and more
_CLEARLY = 0.9  # at most 0.61 of it is left where SSIM rises by 0.01 or more, at least 0.93 where it does not
_UNLIKE = 1.05  # at most 1.03 times as unlike where SSIM rises; 1.03 to 1.18 where it does not
_TRIED = 4  # heads of the folder that are made before and after
_ALIKE = (
    "its grey values are those that the network learned of (off by {:.3f}, as those of other people of one "
    "scanner are); there is nothing to adapt, and the network is used as it is."
)
_UNCHECKED = (
    "nobody in it was scanned in all of the contrasts; the adaptation is used, but whether it helps could "
    "not be looked at."
)
_UNSURE = (
    "the adaptation is used because of grey values and mirror images alone; compare with a real {} where "
    "there is one."
)
_NO_NEARER = (
    "the adaptation does not bring what is made clearly nearer to real {} (grey values off by {:.3f} before, "
    "{:.3f} after); the network is used as it is."
)
_UNSTABLE = (
    "with the adaptation, {} of mirrored heads is less like that of the heads (unlike by {:.3f} deviations "
    "before, {:.3f} after); the network is used as it is."
)

Scans = dict[str, dict[str, Volume]]
"""Volumes in [0, 1] by contrast, of every visit."""


def adapted_to(
    network: Synthesiser, folder: Path, progress: Progress, warn: Callable[[str], None]
) -> tuple[Synthesiser, dict[str, Any]]:
    """The network for scans of the scanner of a folder: their grey values become those it learned of.

    The network stays as it is where they are so already but for what differs between people, or where what it
    makes of some heads of the folder does not come clearly nearer to the grey values of the real contrast,
    which the network brings, or is less like what it makes of their mirror images. Where no head has all
    contrasts, it is adapted without these two. All is told.

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
    contrasts = [WRITTEN[name] for name in network.settings.inputs]
    pairs = zip(quantiles, network.greys, strict=False)
    scanner = dict(zip(contrasts, (round(apart(*pair), 4) for pair in pairs), strict=True))
    looked: dict[str, list[float]] = {}
    used = False
    text = _ALIKE.format(max(scanner.values()))
    if max(scanner.values()) >= _OTHER:
        looked, used, text = _judged(network, adapted, list(scans.values()), progress.part(0.6, 1.0))
    warn(f"{folder}: {text}")
    said: dict[str, Any] = {
        "folder": str(folder),
        "scans": {WRITTEN[n]: sum(n in one for one in scans.values()) for n in network.settings.inputs},
        "visits": list(scans),
        "grey values of the scans off": scanner,
        "before and after": looked,
        "used": used,
    }
    return (adapted if used else network), said


def _judged(
    network: Synthesiser, adapted: Synthesiser, scans: list[dict[str, Volume]], progress: Progress
) -> tuple[dict[str, list[float]], bool, str]:
    """What is made before and after (`_looked_at`), whether to adapt, and what is told."""
    made = WRITTEN[network.settings.output]
    whole = [one for one in scans if len(one) == len(network.settings.inputs)][:_TRIED]
    if not whole:
        return {}, True, _UNCHECKED
    parts = progress.part(0.0, 0.5), progress.part(0.5, 1.0)
    each = [_looked_at(one, whole, part) for one, part in zip((network, adapted), parts, strict=True)]
    off, unlike = (list(values) for values in zip(*each, strict=True))
    looked = {"grey values off": off, "unlike mirror images": unlike}
    if off[1] >= _CLEARLY * off[0]:
        return looked, False, _NO_NEARER.format(made, *off)
    if unlike[1] > _UNLIKE * unlike[0]:
        return looked, False, _UNSTABLE.format(made, *unlike)
    return looked, True, _UNSURE.format(made)


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


def _looked_at(
    network: Synthesiser, heads: list[dict[str, Volume]], progress: Progress
) -> tuple[float, float]:
    """How far grey values of what is made of heads are off, and it is unlike that of their mirror images.

    Returns:
        Distance from the grey values of the real contrast, [0, 1]; mean absolute difference deep in heads, in
        standard deviations of what is made there.
    """
    assert network.greys is not None
    greys, unlike = [], []
    for number, scans in enumerate(heads):
        progress.update("looking at what is made", number / len(heads))
        made = network(scans).mean
        turned = {
            name: Volume(stacked([scan], made.grid)[0].flip(-1).numpy(), made.grid)
            for name, scan in scans.items()
        }
        one, other = (torch.as_tensor(v) for v in (made.array, network(turned, made.grid).mean.array))
        deep = deep_in(one)
        greys.append(grey_quantiles(one[None]))
        unlike.append(float((one - other.flip(-1))[deep].abs().mean() / one[deep].std()))
    off = apart(torch.stack(greys).mean(0), network.greys[-1])
    return round(off, 4), round(sum(unlike) / len(unlike), 4)
