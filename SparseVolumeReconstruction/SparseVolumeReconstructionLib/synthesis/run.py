"""./run synthesize: scans of one head, brought onto one another, to the contrast that is missing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..data.bids import WRITTEN
from ..data.cohort import normalised
from ..data.registration import pose_of
from ..geometry import Grid, Volume
from ..geometry.io import read_volume, written_whole
from ..geometry.resample import resample
from ..priors.device import resolve_device
from ..progress import Progress
from ..reconstruction.formats import FORMATS
from ..reconstruction.images import check_can_be_written, image_names, write_images
from ..zoo.weights import sha256
from .adaptation.own_scanner import adapted_to, save_adapted
from .checks import check_observed, check_scans
from .lost import CONTRAST, Lost, lost_of
from .models import weights_of
from .pix2pix.synthesiser import Synthesised, Synthesiser
from .request import SynthesisRequest
from .scans import shown_on

_MOVED_MM = 1.0
ADAPTED = "adapted.safetensors"
_IMAGES = ("mean", "std", "lost")
FILES = (*(name for each in FORMATS for name in image_names(_IMAGES, each)), "result.json", ADAPTED)


def run_synthesis(request: SynthesisRequest, progress: Progress) -> dict[str, Any]:
    """Make the missing contrast and write it: all files or none.

    Args:
        request: what is wanted.
        progress: told of steps and warnings, asked whether to stop.

    Returns:
        {"files": {name: path}, "result": content of result.json}.

    Raises:
        InputError: wrong input, a head that the model does not know, or a folder that cannot be written.
        Cancelled: when asked to stop.
    """
    start = time.perf_counter()
    warnings: list[str] = []

    def warn(text: str) -> None:
        warnings.append(text)
        progress.warn(text)

    check_can_be_written(request.format, request.output)
    progress.update("loading the model", 0.0)
    weights = weights_of(request.model)
    network = Synthesiser.load(weights, resolve_device(request.device))
    progress.update("reading", 0.1)
    scans = _read(request.inputs, warn)
    network.ordered(scans)  # refused before anything is computed
    first = next(iter(scans.values()))
    made_of = WRITTEN[network.settings.output]
    told = network.told(first)
    progress.update(f"looking at the scans; {told}", 0.15)
    check_scans(scans, network.card, network.settings.spacing_mm, warn)
    progress.update("laying the scans on one another", 0.2)
    scans, moved = laid_on_first(scans, warn)
    adapted = None
    if request.adapt:
        network, adapted = adapted_to(network, Path(request.adapt), progress.part(0.4, 0.7), warn)
    part = progress.part(0.7, 0.9)
    made = network(scans, step=lambda done: part.update(f"making {made_of}: {told}", done))
    lost = _lost(network, scans, made, warn)
    std = lost.widened(made.std) if lost else made.std
    made = Synthesised(made.mean, std).on(first.grid, scans.values())
    progress.update("writing", 0.9)
    said = _provenance(request, network, sha256(weights)) | {
        "moved_mm": moved,
        "adapted to": adapted,
        "lost": lost and lost.facts,
        "warnings": warnings,
        "seconds": round(time.perf_counter() - start, 3),
    }
    with written_whole(request.output, FILES) as folder:
        if adapted and adapted["used"]:
            save_adapted(network, weights, adapted, folder / ADAPTED)
        write_images(folder, vars(made) | _marked(lost, first.grid), None, request.format, True, said)
        (folder / "result.json").write_text(json.dumps(said, indent=2, sort_keys=True) + "\n")
    progress.finish()
    files = {name: str(Path(request.output) / name) for name in FILES}
    return {"files": {n: path for n, path in files.items() if Path(path).exists()}, "result": said}


def _lost(network: Synthesiser, scans: dict[str, Volume], made: Synthesised, warn: Any) -> Lost | None:
    """What may be lost of the contrast in which lesions are looked for; None where it was not given."""
    if CONTRAST not in scans:
        return None
    lost = lost_of(scans[CONTRAST], made.mean, network.field)
    if told := lost.told(WRITTEN[network.settings.output]):
        warn(told)
    return lost


def _marked(lost: Lost | None, grid: Grid) -> dict[str, Volume]:
    """The mask of what may be lost on a grid, where there is anything."""
    return {"lost": resample(lost.mask, grid, labels=True)} if lost and lost.places else {}


def _provenance(request: SynthesisRequest, network: Synthesiser, digest: str) -> dict[str, Any]:
    return {
        "notice": network.card.notice,
        "software": {"version": __version__},
        "model": {"id": network.card.id, "sha256": digest, "licence": network.card.licence},
        "request": request.model_dump(),
        "made": WRITTEN[network.settings.output],
        "inferred": "every voxel; none was observed in this contrast",
        "units": network.card.units,
    }


def _read(inputs: dict[str, str], warn: Callable[[str], None]) -> dict[str, Volume]:
    """The scans of a request. Raises InputError, also for what was inferred."""
    for one, path in inputs.items():
        check_observed(one, Path(path))
    return {one: read_volume(path, warn=warn) for one, path in inputs.items()}


def laid_on_first(scans: dict[str, Volume], warn: Any) -> tuple[dict[str, Volume], dict[str, float]]:
    """Scans of one head, each laid on the first where it lies elsewhere, which is told.

    Args:
        scans: by contrast.
        warn: called with a text.

    Returns:
        The scans, and by how many mm (mean over the head) each of the others lay elsewhere.
    """
    (first, fixed), *others = scans.items()
    laid, moved = {first: fixed}, {}
    inside = np.argwhere(fixed.array > 0)[::997, ::-1]
    points = inside @ fixed.grid.ijk_to_ras[:3, :3].T + fixed.grid.ijk_to_ras[:3, 3]
    for name, scan in others:
        matrix = pose_of(normalised(fixed), normalised(scan))
        shift = points @ matrix[:3, :3].T + matrix[:3, 3] - points
        moved[name] = round(float(np.linalg.norm(shift, axis=1).mean()), 2)
        if moved[name] > _MOVED_MM:
            warn(
                f"{WRITTEN[name]} lies {moved[name]:.1f} mm from {WRITTEN[first]}: it was registered rigidly."
            )
            there = resample(scan, fixed.grid, matrix).array * shown_on(scan, fixed.grid, matrix)
            scan = Volume(there, fixed.grid)
        laid[name] = scan
    return laid, moved
