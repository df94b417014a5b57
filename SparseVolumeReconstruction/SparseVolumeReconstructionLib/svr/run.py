"""A merge of stacks from beginning to end: read, first volume, motion, volume, self-check, and write."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..geometry import InputError
from ..priors.base import Prior
from ..priors.device import resolve_device
from ..progress import Progress
from ..reconstruction.images import check_can_be_written
from ..reconstruction.provenance import software
from ..zoo.store import ModelStore
from .check import Check, Prediction, checked
from .continued import continued
from .first_volume import chosen_by_evidence, template_of
from .outliers import BELONGS, EXCLUDED
from .pixels import pixels_of
from .report import NOTICE, report_page
from .request import AUTO, NONE, SvrRequest
from .result import SvrResult, write_svr
from .search import LEVELS, Found, covering, find_motion, still_poses
from .stacks import Stacks, read_stacks
from .volume import Merged, merged_volume

_FEW = 0.5  # of the slices belong: less is doubtful
_POOR = 0.7  # correlation of slices with what the others let expect: less is doubtful
_ODD = 0.5  # the same of the inside of a whole stack


def run_svr(request: SvrRequest, store: ModelStore, progress: Progress) -> dict[str, Any]:
    """Merge stacks and write the result folder.

    Warnings are told before anything is written.

    Args:
        request: what to merge.
        store: has the model of the first volume.
        progress: told of steps and warnings, asked whether to stop.

    Returns:
        {"files": {name: path}, "result": content of result.json}.

    Raises:
        InputError: wrong input.
        Cancelled: when asked to stop.
    """
    seconds: dict[str, float] = {}
    device = resolve_device(request.device)
    check_can_be_written(request.format, request.output)
    progress.update("reading the stacks", 0.0)
    with _timed(seconds, "read"):
        if Path(request.output).is_file():
            raise InputError(f"{request.output}: is a file; expected the name of a folder to write into.")
        stacks = read_stacks(request)
        covering(pixels_of(stacks.slices, 0.0), still_poses(len(stacks.slices)), request.spacing_mm)
    with _timed(seconds, "motion"):
        found, first = _found(request, stacks, store, device, progress.part(0.03, 0.6))
    with _timed(seconds, "volume"):
        merged = merged_volume(
            stacks.slices,
            found,
            request.spacing_mm,
            length_mm=request.length_mm,
            samples=request.samples if "samples" in request.outputs else 0,
            seed=request.seed,
            device=device,
            progress=progress.part(0.6, 0.87),
        )
    with _timed(seconds, "self-check"):
        check = checked(stacks.slices, found, device, progress.part(0.87, 0.97))
    poses = _poses(stacks, found, merged, check.before, check.after)
    warnings = [*stacks.warnings, *_doubts(merged, check, stacks.names)]
    facts = _provenance(request, stacks, first, poses, check, warnings, seconds) | {"device": str(device)}
    for warning in warnings:
        progress.warn(warning)
    progress.update("writing", 0.98)
    page = report_page(merged.mean, merged.std, poses, facts)
    result = SvrResult(
        merged.mean if "volume" in request.outputs else None,
        merged.std if "std" in request.outputs else None,
        merged.seen,
        merged.samples,
        poses if "poses" in request.outputs else None,
        facts,
        page,
    )
    files = write_svr(result, request.output, request.format)
    progress.finish()
    return {"files": files, "result": facts}


def _prior_of(request: SvrRequest, stacks: Stacks, store: ModelStore, device: torch.device) -> Prior | None:
    """The model that was asked for, or that of the anatomy that was recognised."""
    known = stacks.anatomy if request.prior == AUTO else request.prior
    return None if known in (None, NONE) else store.load(store.find(known), str(device))


def _found(
    request: SvrRequest, stacks: Stacks, store: ModelStore, device: torch.device, progress: Progress
) -> tuple[Found, dict[str, Any]]:
    """The motion, and what is to be told of the first volume."""
    if request.continue_from:
        return continued(request, stacks, device, progress)
    prior = _prior_of(request, stacks, store, device)
    slices = stacks.slices
    search = partial(find_motion, slices, seed=request.seed, device=device)
    as_they_lie = "the stacks as they lie"
    if prior is None:
        return search(progress=progress), {"from": as_they_lie}
    name = prior.card.id
    try:
        template = template_of(slices, prior, progress.quiet())
    except InputError as error:
        stacks.warnings.append(f"{name} gives no first volume: {error} The stacks as they lie were taken.")
        return search(progress=progress), {"from": as_they_lie}
    coarse, by_template, scores = chosen_by_evidence(
        slices, template.volume, request.seed, device, progress.part(0.0, 0.6)
    )
    found = search(known=coarse, levels=LEVELS[1:], progress=progress.part(0.6, 1))
    told = {
        "from": name if by_template else as_they_lie,
        "agreement": {as_they_lie: round(scores[0], 4), name: round(scores[1], 4)},
        "template": {"stack": stacks.names[template.stack], "slices": template.slices},
    }
    return found, told


def _poses(
    stacks: Stacks, found: Found, merged: Merged, before: Prediction, after: Prediction
) -> list[dict[str, Any]]:
    """One entry for every slice."""
    entries = []
    for n, each in enumerate(stacks.slices):
        pose = found.poses[n].numpy()
        middle = each.image.plane.points_ras()[each.mask.ravel()].mean(0)
        moved = np.linalg.norm(pose[:3, :3] @ middle + pose[:3, 3] - middle)
        angle = np.degrees(np.arccos(np.clip((np.trace(pose[:3, :3]) - 1) / 2, -1, 1)))
        entries.append(
            {
                "slice": each.image.name,
                "stack": stacks.names[each.stack],
                "stack_number": each.stack + 1,
                "index": each.image.volume_index,
                "included_by_user": each.included,
                "scanner_to_body_ras": pose.round(6).tolist(),
                "moved_mm": round(float(moved), 3),
                "turned_deg": round(float(angle), 3),
                "sd_deg": np.degrees(found.sd[n, :3].numpy()).round(3).tolist(),
                "sd_mm": found.sd[n, 3:].numpy().round(3).tolist(),
                "weight": round(float(merged.judged.slice_[n]), 4),
                "reason": merged.judged.reasons[n],
                "gain": round(float(merged.gain[n]), 4),
                "pixels_that_belong": round(_share(merged, n), 4),
                "ncc_from_others": _finite(after.ncc[n]),
                "ncc_from_others_as_they_lie": _finite(before.ncc[n]),
            }
        )
    return entries


def _share(merged: Merged, number: int) -> float:
    """Mean probability of the pixels of a slice."""
    own = merged.judged.pixel[merged.owner == number]
    return float(own.mean()) if len(own) else 0.0


def _finite(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _doubts(merged: Merged, check: Check, names: list[str]) -> list[str]:
    before, after = check.before, check.after
    told = []
    reasons = [r for r in merged.judged.reasons if r and r != EXCLUDED]
    if reasons:
        told.append(
            f"{len(reasons)} of {len(merged.judged.reasons)} slices have little weight; the report says "
            "which and why."
        )
    if float((merged.judged.slice_ > BELONGS).float().mean()) < _FEW:
        told.append("Fewer than half of the slices fit the volume: the result is not to be trusted.")
    if after.mean_ncc < _POOR:
        told.append(
            f"The slices do not fit each other (correlation {after.mean_ncc:.2f} with what the others "
            "let expect): two bodies, two contrasts, a wrong thickness, or slices that are all spoiled."
        )
    elif after.mean_ncc < before.mean_ncc:
        told.append(
            "Slices are predicted worse with the motion that was found than without: look at the volume, and "
            "check that all stacks show one body in one contrast."
        )
    odd = [f"{n} ({ncc:.2f})" for n, ncc in zip(names, check.stacks, strict=False) if not ncc >= _ODD]
    if odd:
        told.append(
            f"{' and '.join(odd)}: correlation with what the other stacks let expect; more than {_ODD:g} is "
            "usual. Check that all stacks show one body in one contrast, and that their thickness is right."
        )
    return told


def _provenance(
    request: SvrRequest,
    stacks: Stacks,
    first: dict[str, Any],
    poses: list[dict[str, Any]],
    check: Check,
    warnings: list[str],
    seconds: dict[str, float],
) -> dict[str, Any]:
    before, after = check.before, check.after
    return {
        "notice": NOTICE,
        "software": software(),
        "request": request.model_dump(),
        "seed": request.seed,
        "stacks": [
            {
                "name": name,
                "slices": sum(p["stack"] == name for p in poses),
                "thickness_mm": next(s for s in stacks.slices if s.stack == n).image.plane.thickness_mm,
                "mean_value": round(stacks.units[n], 4),
                "ncc_from_other_stacks": _finite(check.stacks[n]) if check.stacks else None,
            }
            for n, name in enumerate(stacks.names)
        ],
        "left_out": stacks.left_out,
        "first_volume": first,
        "self_check": {
            "ncc": {"before": _finite(before.mean_ncc), "after": _finite(after.mean_ncc)},
            "psnr_db": {"before": _finite(before.mean_psnr), "after": _finite(after.mean_psnr)},
        },
        "warnings": warnings,
        "seconds": seconds,
    }


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 2)
