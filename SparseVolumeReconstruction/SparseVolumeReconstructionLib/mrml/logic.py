"""From nodes to a reconstruction in the worker process and back to nodes."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import slicer

from ..geometry import Grid, InputError, Volume, first_problem
from ..geometry.image import to_image
from ..geometry.io import read_volume, write_affine
from ..progress import ProgressEvent
from ..worker import Job, JobInSteps, Steps, WorkerClient, WorkerError
from .i18n import _
from .loaded import check_against_files
from .look import Look
from .nodes import NOTICE, SCAN, THICKNESS, add_volume, affine_of, file_stem, volume_of, world_grid
from .reslice import reslice_plane
from .result_files import ResultFiles, read_result, window_of
from .results import ResultNodes, add_result

_QUICK_S = 0.03  # a live update is read in this time


@dataclass(frozen=True)
class Context:
    """Slices of one volume node: some, all, or a plane of it.

    `indices` along its third index axis (None: all of them), or the plane of a 4x4 SliceToRAS.
    thickness_mm None: the spacing between slices, or the voxel size along the plane's normal, at most 5 mm,
    is assumed.
    """

    node: object
    indices: tuple[int, ...] | None = None
    plane: np.ndarray | None = None
    thickness_mm: float | None = None


@dataclass(frozen=True)
class ReconstructionInputs:
    """What to reconstruct, in nodes; see ReconstructionRequest for the fields of the same name.

    contexts: none for the prior itself. frame: "auto", "registered", a 4x4 array from patient to canonical
    RAS (mm) as in a request and its result, or a linear transform node of the scene, which places the atlas
    on the patient. like: a volume node on whose grid the results come.
    """

    prior: str
    contexts: tuple[Context, ...] = ()
    frame: object = "auto"
    like: object | None = None
    spacing_mm: float | None = None
    outputs: tuple[str, ...] = ("mean", "std", "template")
    samples: int = 0
    seed: int = 0
    covariate: float | None = None
    device: str = "auto"
    keep_observed: bool = True
    fast: bool = False
    intensity: dict | None = None
    show_as: str = "own"
    name: str = "Reconstruction"


@dataclass(frozen=True)
class LoadedScan:
    """What was read from files.

    A volume node for every part of a scan, or the DICOM series ("key", "description", "slices") to choose
    from.
    """

    nodes: tuple = ()
    choices: tuple[dict, ...] = ()


class SparseVolumeReconstructionLogic:
    """Reconstructs volumes from slices in a process of its own, kept between requests.

    Torch is never imported here.

    With a timer: `start` returns a job at once, then call `poll` at least ten times a second; jobs go on and
    end there. Without: `reconstruct` blocks. Inputs are never modified. admit: raises InputError where so
    many more bytes of voxels are too many; called in another thread.
    """

    def __init__(self, client: WorkerClient | None = None, admit: Callable[[int], None] = lambda _size: None):
        self.client, self.admit = client or WorkerClient(python=_worker_python()), admit
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="svr-reading")
        self._jobs: list[JobInSteps] = []

    def start(
        self,
        inputs: ReconstructionInputs,
        output: str | Path | None = None,
        into: ResultNodes | None = None,
    ) -> Job[ResultNodes]:
        """Begin a reconstruction; its job's error is an InputError or a WorkerError.

        Args:
            inputs: what to reconstruct.
            output: also keep the result's files in this folder.
            into: a result whose nodes take the new content where they can (see load_result), so that live
                updates add nothing to the scene.

        Raises:
            InputError: at once, for nodes that cannot be used.
        """
        place = getattr(slicer.app, "temporaryPath", None) or tempfile.gettempdir()
        with _writing(place):
            folder = Path(tempfile.mkdtemp(prefix="svr-", dir=place))
        result = Path(output).absolute() if output else folder / "result"
        try:
            look = Look.like(inputs.contexts[0].node) if inputs.contexts else Look()
            with _writing(place):
                request = build_request(inputs, folder, result)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

        def steps() -> Steps[ResultNodes]:
            with _removed(folder):
                yield from self._ask("reconstruct", request)
                yield ProgressEvent(_("loading the result"), 1.0, None)
                files = yield self._aside(lambda: self._read_result(result, folder))
                return add_result(files, inputs.name, look, into)

        return self._begin(steps())

    def read(self, files: dict[Path, str], name: str, series: str | None = None) -> Job[LoadedScan]:
        """Begin to read the files of one volume that nobody trusts in the process.

        Args:
            files: with what each was called.
            name: what to call the scan.
            series: which DICOM series, by the key of a choice that was asked for.
        """
        folder = Path(tempfile.mkdtemp(prefix="svr-", dir=getattr(slicer.app, "temporaryPath", None)))
        paths = [str(path) for path in files]
        request = {"paths": paths, "names": list(files.values()), "name": name, "series": series}

        def steps() -> Steps[LoadedScan]:
            with _removed(folder):
                answer = yield from self._ask("read", {**request, "output": str(folder)})
                yield ProgressEvent(_("loading {name}").format(name=name), 1.0, None)
                volumes = yield self._aside(lambda: self._read_volumes(list(answer["files"].values())))
                return _load_parts(answer["result"], volumes, name)

        return self._begin(steps())

    def reconstruct(
        self,
        inputs: ReconstructionInputs,
        report: Callable[[ProgressEvent], None] = lambda event: None,
        output: str | Path | None = None,
    ) -> ResultNodes:
        """Reconstruct and wait for the nodes; an interrupt cancels first.

        Args:
            inputs: what to reconstruct.
            report: called with every ProgressEvent.
            output: also keep the result's files in this folder.

        Raises:
            InputError: wrong input.
            WorkerError: what else went wrong in the process.
        """
        job = self.start(inputs, output)
        job.report = report
        return job.result()

    def poll(self, timeout_s: float = 0.0) -> None:
        """Go on with all jobs, waiting up to `timeout_s` for what they wait for; call it from a timer."""
        reading = [job.awaited for job in self._jobs if isinstance(job.awaited, Future)]
        self.client.poll(0.0 if reading else timeout_s)
        if reading and timeout_s:
            wait(reading, timeout_s)
        for job in list(self._jobs):
            job.advance()
            if job.done() and job in self._jobs:
                self._jobs.remove(job)

    def close(self) -> None:
        """End the process; what is being read is not handed over any more."""
        self.client.close()
        for job in self._jobs:
            job.cancel()
        while self._jobs:
            self.poll(_QUICK_S)

    def _begin(self, steps: Steps) -> JobInSteps:
        self._jobs.append(JobInSteps(steps, self.poll))
        return self._jobs[-1]

    def _ask(self, operation: str, request: dict) -> Steps[dict]:
        """Wait for the process; what it refuses is wrong input, with its log as the cause."""
        try:
            return (yield self.client.submit(request, operation=operation))
        except WorkerError as error:
            if error.kind == "input":
                raise InputError(str(error)) from error
            raise

    def _aside(self, work: Callable[[], object]) -> Future:
        """Do in a thread what does not touch the scene; what is quick is done when this returns."""
        future = self._thread.submit(work)
        wait([future], _QUICK_S)
        return future

    def _read_result(self, result: Path, private: Path) -> ResultFiles:
        self.admit(sum(path.stat().st_size for path in result.glob("*.nrrd")))
        return read_result(result, private)

    def _read_volumes(self, paths: list[str]) -> list[tuple[Volume, tuple[float, float]]]:
        """Volumes, each with its window and level."""
        self.admit(sum(Path(path).stat().st_size for path in paths))
        return [(volume, window_of(volume.array)) for volume in map(read_volume, paths)]


def _load_parts(said: dict, volumes: list[tuple[Volume, tuple[float, float]]], name: str) -> LoadedScan:
    """The nodes of what the process has read.

    Notices are attributes of the nodes, and so stay with the scene.
    """
    name, nodes = said["title"] or name, []
    attributes = {NOTICE: "\n".join(said["notices"])} if said["notices"] else {}
    if len(volumes) > 1:
        attributes[SCAN] = uuid.uuid4().hex
    for n, ((volume, window), thickness) in enumerate(zip(volumes, said["thicknesses_mm"], strict=True)):
        called = name if len(volumes) == 1 else _("{name} part {n}").format(name=name, n=n + 1)
        nodes.append(add_volume(volume, called, attributes=attributes, window=window, shared=True))
        if thickness:
            nodes[-1].SetAttribute(THICKNESS, str(thickness))
    return LoadedScan(tuple(nodes), tuple(said["choices"]))


@contextlib.contextmanager
def _writing(place: str | Path):
    """A failure to write, which ITK reports as RuntimeError, becomes an InputError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise InputError(
            f"{place}: the slices could not be written ({why}); make space there, or choose another "
            "temporary folder in the settings."
        ) from error


@contextlib.contextmanager
def _removed(folder: Path):
    """Remove a folder in the end, however it ends."""
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def build_request(inputs: ReconstructionInputs, folder: Path, output: Path) -> dict:
    """Write the contexts of `inputs` into `folder` and return the request as plain data.

    Raises InputError.
    """
    from pydantic import ValidationError

    from ..reconstruction.request import ReconstructionRequest

    names = _names([context.node for context in inputs.contexts])
    pixel_mm = (inputs.spacing_mm or 0.0) if inputs.fast else 0.0
    fields = {
        "prior": inputs.prior,
        "contexts": [
            _write_context(context, name, folder / f"context-{n}", pixel_mm)
            for n, (context, name) in enumerate(zip(inputs.contexts, names, strict=True))
        ],
        "frame": inputs.frame if isinstance(inputs.frame, str) else _write_frame(inputs.frame, folder),
        "like": _write_grid(world_grid(inputs.like), folder) if inputs.like is not None else None,
        "outputs": list(inputs.outputs),
        "output": str(output),
        "compress": folder
        not in output.parents,  # what is read back at once and then deleted need not be small
    }
    same = (
        "spacing_mm",
        "samples",
        "seed",
        "covariate",
        "device",
        "keep_observed",
        "fast",
        "intensity",
        "show_as",
    )
    try:
        request = ReconstructionRequest(**fields, **{name: getattr(inputs, name) for name in same})
    except ValidationError as error:
        raise InputError(f"{first_problem(error)}.") from error
    return request.model_dump()


def _names(nodes: list) -> list[str]:
    """A name for every node, in order; nodes of the same name get a number, because one name is one body."""
    alike: dict[str, dict[str, int]] = {}
    numbers = [
        alike.setdefault(node.GetName(), {}).setdefault(node.GetID(), len(alike[node.GetName()]) + 1)
        for node in nodes
    ]
    return [
        node.GetName() if n == 1 else f"{node.GetName()} ({n})"
        for node, n in zip(nodes, numbers, strict=True)
    ]


def _write_context(context: Context, name: str, folder: Path, pixel_mm: float) -> dict:
    """One NRRD file per context, called like its node, in a folder of its own; returns the fields of a
    SliceSpec.

    pixel_mm: smallest pixel of a plane.
    """
    notices = check_against_files(context.node)
    volume, thickness = volume_of(context.node), context.thickness_mm
    if context.plane is not None:
        if context.indices is not None:
            raise InputError(f"{name}: slice indices and a plane were given; choose one of them.")
        volume = reslice_plane(volume, context.plane, thickness, name, pixel_mm)
    folder.mkdir()
    path = folder / f"{file_stem(name)}.nrrd"
    sitk.WriteImage(to_image(volume), str(path))
    indices = None if context.indices is None else list(context.indices)
    return {
        "path": str(path),
        "slices": indices,
        "thickness_mm": thickness,
        "source": name,
        "notices": list(notices),
    }


def _write_frame(frame, folder: Path) -> str:
    """The file of a 4x4 array, or of a transform node that places the atlas: patient to canonical."""
    given = isinstance(frame, np.ndarray)
    matrix, name = (frame, "frame") if given else (affine_of(frame), frame.GetName())
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-6:
        raise InputError(
            f"{name}: the transform is singular or not finite; expected one that places the whole atlas on "
            "the patient."
        )
    write_affine(matrix if given else np.linalg.inv(matrix), folder / "frame.h5")
    return str(folder / "frame.h5")


def _write_grid(grid: Grid, folder: Path) -> str:
    """A file that carries the geometry of a grid; its voxels are empty."""
    sitk.WriteImage(
        to_image(Volume(np.zeros(grid.shape_kji, np.uint8), grid)),
        str(folder / "like.nrrd"),
        useCompression=True,
    )
    return str(folder / "like.nrrd")


def _worker_python() -> str:
    """The Python that runs the worker: in the application its own PythonSlicer, elsewhere the one that runs
    this.
    """
    home = getattr(getattr(slicer, "app", None), "slicerHome", None)
    places = [str(Path(sys.executable).parent), *([f"{home}/bin"] if home else [])]
    return shutil.which("PythonSlicer", path=os.pathsep.join(places)) or sys.executable


__all__ = [
    "Context",
    "LoadedScan",
    "ReconstructionInputs",
    "SparseVolumeReconstructionLogic",
    "WorkerError",
    "build_request",
]
