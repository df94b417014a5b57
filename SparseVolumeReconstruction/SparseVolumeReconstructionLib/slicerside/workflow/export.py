"""The files of a result to take away: volumes, samples, transform, the whole scene, a report, the SVR template."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import slicer
import slicer.util

from ...evaluation.case_report import CaseReport, write_case_report
from ...geometry import InputError, SliceImage
from ...geometry.io import write_affine, write_text, write_volume
from ...geometry.plane import slice_of
from ...reconstruction.result import write_sequence
from ..contexts import ContextSlice
from ..cut import cut_plane
from ..nodes import affine_of, file_stem, volume_of
from ..results import ResultNodes
from ..scene import save_bundle
from .handover import write_template

_VOLUMES = {
    "mean": "the reconstruction (posterior mean)",
    "std": "its uncertainty (posterior standard deviation)",
    "observed": "mask: 1 where a voxel was observed, 0 where it was inferred",
    "template": "isotropic template for slice-to-volume reconstruction",
    "template_mask": "mask of the template: 1 in the anatomy",
    "atlas": "the prior without slices, on its own grid",
}


def files_of(result: ResultNodes | None) -> dict[str, str]:
    """{name: what it is} of the files that `write_file` can write of a result; none without one."""
    if result is None:
        return {}
    files = {f"{role}.nrrd": what for role, what in _VOLUMES.items() if getattr(result, role) is not None}
    if result.samples is not None:
        files["samples.seq.nrrd"] = "samples of the posterior, a sequence"
    if result.frame is not None:
        files["frame.h5"] = "the frame: transform from patient to canonical space"
    files["result.json"] = "provenance"
    if result.mean is not None and result.observed is not None:
        files["report.html"] = "pictures and numbers on one page"
    if result.template is not None:
        files["svr-template.zip"] = "template, mask, stacks and command lines for slice-to-volume reconstruction"
    files["scene.mrb"] = "everything as a scene for 3D Slicer"
    return files


def file_name(result: ResultNodes, name: str) -> str:
    """What one of the files is called where files of several results come together, such as "Head_4_slices_mean.nrrd"."""
    return f"{file_stem(result.title)}_{name}"


def write_file(result: ResultNodes, contexts: list[ContextSlice], name: str, folder: Path) -> Path:
    """Write one of the files of a result into a folder and return its path. Raises InputError for another name, or on failure."""
    if name not in files_of(result):
        raise InputError(f"the result has no file {name[:40]}.")
    path = folder / name
    try:
        _write(result, contexts, path)
    except OSError as error:
        raise InputError(f"{name}: could not be written ({error.strerror or error}).") from error
    return path


def _write(result: ResultNodes, contexts: list[ContextSlice], path: Path) -> None:
    if path.name == "scene.mrb":
        save_bundle(slicer.mrmlScene, path)
    elif path.name == "result.json":
        write_text(json.dumps(result.provenance, indent=2, sort_keys=True) + "\n", path)
    elif path.name == "frame.h5":
        write_affine(np.linalg.inv(affine_of(result.frame)), path)
    elif path.name == "samples.seq.nrrd":
        write_sequence(_samples(result), volume_of(result.samples.GetNthDataNode(0)).grid, path)
    elif path.name == "report.html":
        write_case_report(_report(result, contexts), path)
    elif path.name == "svr-template.zip":
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            write_template(result, contexts, Path(folder))
            commands = Path(folder) / "commands.txt"
            write_text(commands.read_text(encoding="utf-8").replace(f"{Path(folder).absolute()}/", ""), commands)
            shutil.make_archive(str(path.with_suffix("")), "zip", folder)
    else:
        write_volume(volume_of(getattr(result, path.name.removesuffix(".nrrd"))), path)


def _samples(result: ResultNodes) -> np.ndarray:
    """All samples, (n, K, J, I)."""
    nodes = [result.samples.GetNthDataNode(n) for n in range(result.samples.GetNumberOfDataNodes())]
    return np.stack([slicer.util.arrayFromVolume(node) for node in nodes])


def _report(result: ResultNodes, contexts: list[ContextSlice]) -> CaseReport:
    """The page about a result and the slices that are used now."""
    mean = volume_of(result.mean)
    used = [context for context in contexts if context.enabled and context.problem() is None]
    count = len(result.provenance.get("contexts", []))
    return CaseReport(
        title=f"{result.title}: a volume from {count} slice{'s' if count != 1 else ''}",
        lead=f"Prior: {result.provenance.get('request', {}).get('prior', 'unknown')}.",
        grid=mean.grid,
        mean=mean.array,
        std=volume_of(result.std).array if result.std is not None else np.zeros_like(mean.array),
        observed=volume_of(result.observed).array,
        samples=_samples(result) if result.samples is not None else np.zeros((0, *mean.array.shape), np.float32),
        slices=[_slice(context) for context in used],
        times=result.provenance.get("seconds", {}),
        provenance=result.provenance,
        files={file_name(result, name): what for name, what in files_of(result).items() if name != "report.html"},
    )


def _slice(context: ContextSlice) -> SliceImage:
    """The image of a context slice."""
    cut = cut_plane(volume_of(context.volume), context.plane, context.stated_thickness_mm, context.volume.GetName())
    return slice_of(cut, 0, source=context.name)
