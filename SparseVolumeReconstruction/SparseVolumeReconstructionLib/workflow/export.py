"""The files of a result to take away.

Volumes, samples, transform, the whole scene, a report, the SVR template.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import slicer
import slicer.util

from ..evaluation.case_report import CaseReport, write_case_report
from ..geometry import InputError, Volume, file_errors
from ..geometry.io import write_affine, write_text, write_volume
from ..geometry.nifti import write_four_dimensions
from ..geometry.sequence import write_sequence
from ..mrml.bundle import prepare_bundle
from ..mrml.contexts import ContextSlice
from ..mrml.nodes import affine_of, file_stem, volume_of
from ..mrml.reslice import reslice_plane
from ..mrml.results import ResultNodes
from ..observation import Slice
from ..observation.slices import slice_of
from .handover import Template, take_template

_VOLUMES = {
    "mean": "the reconstruction (posterior mean)",
    "std": "its uncertainty (posterior standard deviation)",
    "observed": "mask: 1 where a voxel was observed, 0 where it was inferred",
    "brain_mask": "mask: 1 in the brain, as found in the slices of whole heads and inferred between them",
    "seen": "mask: 1 where a slice of the merge reaches",
    "lost": "mask: 1 where FLAIR is brighter than what was made of it tells",
    "csf": "share of fluid in every voxel",
    "csf_std": "its standard deviation",
    "gm": "share of grey matter in every voxel",
    "gm_std": "its standard deviation",
    "wm": "share of white matter in every voxel",
    "wm_std": "its standard deviation",
    "template": "isotropic template for slice-to-volume reconstruction",
    "template_mask": "mask of the template: 1 in the anatomy",
    "atlas": "the prior without slices, on its own grid",
}


def files_of(result: ResultNodes | None) -> dict[str, str]:
    """{name: what it is} of the files that `write_file` can write of a result; none without one.

    Volumes and samples can be had as NIfTI, too, by the names that `as_nifti` makes of theirs.
    """
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
        files["svr-template.zip"] = (
            "template, mask, stacks and command lines for slice-to-volume reconstruction"
        )
    files["scene.mrb"] = "everything as a scene for 3D Slicer"
    return files


def as_nifti(name: str) -> str:
    """What one of the files is called as NIfTI; empty for what holds no voxels."""
    if not name.endswith(".nrrd"):
        return ""
    return f"{name.removesuffix('.nrrd').removesuffix('.seq')}.nii.gz"


def known_files(result: ResultNodes | None) -> set[str]:
    """Names of all that `write_file` can write of a result: `files_of`, and volumes as NIfTI."""
    names = files_of(result)
    return {*names, *filter(None, map(as_nifti, names))}


def file_name(result: ResultNodes, name: str) -> str:
    """What one of the files is called where files of several results come together.

    Such as "Head_4_slices_mean.nrrd".

    Args:
        result: whose title begins it.
        name: one of `known_files`.
    """
    return f"{file_stem(result.title)}_{name}"


def write_file(result: ResultNodes, contexts: list[ContextSlice], name: str, folder: Path) -> Path:
    """Write one of the files of a result into a folder and return its path.

    Args:
        contexts: those that are used now are in the report; their volumes, used or not, are the stacks of the
            hand-over.
        name: one of `known_files`.
        folder: exists.

    Raises:
        InputError: for another name, or on failure.
    """
    return prepare_file(result, contexts, name, folder)()


def prepare_file(
    result: ResultNodes, contexts: list[ContextSlice], name: str, folder: Path
) -> Callable[[], Path]:
    """Take from the scene what one of the files needs.

    Args:
        contexts: as in `write_file`, as are the others.

    Returns:
        What writes it, as `write_file`, and may be called in any thread.

    Raises:
        InputError: for another name, or where the scene lacks what it needs; the writer's, on failure.
    """
    if name not in known_files(result):
        raise InputError(f"the result has no file {name[:40]}.")
    path = folder / name
    with file_errors(f"{name}: could not be written"):
        write = _writer(result, contexts, path)

    def finish() -> Path:
        with file_errors(f"{name}: could not be written"):
            write()
        return path

    return finish


def _writer(result: ResultNodes, contexts: list[ContextSlice], path: Path) -> Callable[[], object]:
    if path.name == "scene.mrb":
        return prepare_bundle(slicer.mrmlScene, path)
    if path.name == "result.json":
        return partial(write_text, json.dumps(result.provenance, indent=2, sort_keys=True) + "\n", path)
    if path.name == "frame.h5":
        return partial(write_affine, np.linalg.inv(affine_of(result.frame)), path)
    if path.name in ("samples.seq.nrrd", "samples.nii.gz"):
        samples = _samples(result)
        grid = volume_of(result.samples.GetNthDataNode(0)).grid
        write = write_sequence if path.suffix == ".nrrd" else write_four_dimensions
        return lambda: write(np.stack(samples), grid, path)
    if path.name == "report.html":
        parts = _report_parts(result, contexts)
        return lambda: write_case_report(_report(*parts), path)
    if path.name == "svr-template.zip":
        return partial(_write_template, take_template(result, contexts), path)
    return partial(write_volume, volume_of(getattr(result, path.name.split(".")[0])), path)


def _write_template(template: Template, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        template.write(Path(folder))
        commands = Path(folder) / "commands.txt"
        write_text(commands.read_text(encoding="utf-8").replace(f"{Path(folder).absolute()}/", ""), commands)
        shutil.make_archive(str(path.with_suffix("")), "zip", folder)


def _samples(result: ResultNodes) -> list[np.ndarray]:
    """All samples, each (K, J, I)."""
    nodes = (
        [result.samples.GetNthDataNode(n) for n in range(result.samples.GetNumberOfDataNodes())]
        if result.samples
        else []
    )
    return [slicer.util.arrayFromVolume(node) for node in nodes]


def _report_parts(
    result: ResultNodes, contexts: list[ContextSlice]
) -> tuple[dict, list[np.ndarray], list[tuple]]:
    """What of the report comes from the scene.

    Its fields without the images, the samples, and the slices that are used now.
    """
    mean = volume_of(result.mean)
    used = [context for context in contexts if context.enabled and context.problem() is None]
    count = len(result.provenance.get("contexts", []))
    fields = {
        "title": f"{result.title}: a volume from {count} slice{'s' if count != 1 else ''}",
        "lead": f"Prior: {result.provenance.get('request', {}).get('prior', 'unknown')}.",
        "grid": mean.grid,
        "mean": mean.array,
        "std": volume_of(result.std).array if result.std is not None else np.zeros_like(mean.array),
        "observed": volume_of(result.observed).array,
        "times": result.provenance.get("seconds", {}),
        "provenance": result.provenance,
        "files": {
            file_name(result, name): what for name, what in files_of(result).items() if name != "report.html"
        },
    }
    slices = [
        (volume_of(each.volume), each.plane, each.stated_thickness_mm, each.volume.GetName(), each.name)
        for each in used
    ]
    return fields, _samples(result), slices


def _report(fields: dict, samples: list[np.ndarray], slices: list[tuple]) -> CaseReport:
    """The page about a result."""
    drawn = np.stack(samples) if samples else np.zeros((0, *fields["mean"].shape), np.float32)
    return CaseReport(**fields, samples=drawn, slices=[_slice(*each) for each in slices])


def _slice(volume: Volume, plane: np.ndarray, thickness_mm: float | None, name: str, source: str) -> Slice:
    """The image of a slice on a plane (4x4 SliceToRAS, mm)."""
    return slice_of(reslice_plane(volume, plane, thickness_mm, name), 0, source=source)
