"""From nodes to a reconstruction in the worker process and back to nodes."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import slicer

from ..geometry import InputError, Volume
from ..geometry.io import read_volume
from ..progress import ProgressEvent
from ..worker import Job, JobInSteps, Steps, WorkerClient, WorkerError
from .answers import Answer, LikelyPlace, surprising_slices
from .fingerprints import fingerprints
from .i18n import _
from .look import Look
from .making import Making, tie
from .nodes import INFERRED, NOTICE, SCAN, THICKNESS, add_volume
from .planes import PlanScore, SuggestedPlane
from .request import (
    Context,
    ReconstructionInputs,
    build_mask_request,
    build_question,
    build_request,
    slice_grids,
)
from .result_files import RECONSTRUCT, ResultFiles, read_made, read_result, window_of
from .results import SCANS, ResultNodes, add_result
from .segments import add_mask

Read = TypeVar("Read")
_QUICK_S = 0.03  # a live update is read in this time


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
    end there. Without: `reconstruct` blocks. Inputs are never modified.

    Args:
        client: of the process; None for a new one.
        admit: raises InputError where so many more bytes of voxels are too many; called in another thread.
    """

    def __init__(self, client: WorkerClient | None = None, admit: Callable[[int], None] = lambda _size: None):
        self.client = client or WorkerClient(python=_worker_python())
        self.admit = admit
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
        with _new_folder() as folder:
            look = Look.like(inputs.contexts[0].node) if inputs.contexts else Look()
            result = Path(output).absolute() if output else folder / "result"
            request = build_request(inputs, folder, result)
            scans = fingerprints([context.body or context.node for context in inputs.contexts])

        def steps() -> Steps[ResultNodes]:
            with _removed(folder):
                yield from self._ask("reconstruct", request)
                yield ProgressEvent(_("loading the result"), 1.0, None)
                files = yield self._aside(lambda: self._read_result(result, folder))
                files.provenance[SCANS] = scans
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

    def find_masks(self, stacks: list, prior: str) -> Job[list]:
        """Begin to look for one brain in every slice of volume nodes.

        Args:
            stacks: the volume nodes, of one visit.
            prior: id of the model.

        Returns:
            A job that gives a segmentation node for each, to be corrected.

        Raises:
            InputError: at once, for a node that cannot be used.
        """
        with _new_folder() as folder:
            request = build_mask_request(stacks, prior, folder)

        def steps() -> Steps[list]:
            with _removed(folder):
                answer = yield from self._ask("mask", request)
                paths, found = answer["files"].values(), answer["result"]["masks"]
                masks = yield self._aside(lambda: [read_volume(path) for path in paths])
                return [add_mask(*each) for each in zip(masks, stacks, found, strict=True)]

        return self._begin(steps())

    def suggest(self, inputs: ReconstructionInputs) -> Job[Answer]:
        """Begin to look for the planes that would tell the most beside the slices, the best first.

        Raises:
            InputError: at once, for nodes that cannot be used.
        """
        return self._question(
            "next-plane",
            inputs,
            {"sequence": False},
            lambda told: Answer(list(map(SuggestedPlane.of, told["planes"])), told["warnings"]),
        )

    def locate(self, inputs: ReconstructionInputs) -> Job[Answer]:
        """Begin to look for the places where the slices may lie, the most probable first.

        Raises:
            InputError: at once, for nodes that cannot be used.
        """
        slices = slice_grids(inputs)
        return self._question(
            "locate",
            inputs,
            {},
            lambda told: Answer(LikelyPlace.all_of(told, slices), told["warnings"]),
        )

    def surprise(self, inputs: ReconstructionInputs) -> Job[Answer]:
        """Begin to look for what is improbable in the slices: each of them, and the map of all.

        Raises:
            InputError: at once, for nodes that cannot be used.
        """
        slices = slice_grids(inputs)
        with _new_folder() as folder:
            request = build_question(inputs, folder) | {"output": str(folder / "surprise")}

        def steps() -> Steps[Answer]:
            with _removed(folder):
                answer = yield from self._ask("surprise", request)
                volume = yield self._aside(lambda: read_volume(answer["files"]["surprise.nrrd"]))
                told = answer["result"]
                return Answer(surprising_slices(told, slices), told["warnings"], volume)

        return self._begin(steps())

    def judge(self, inputs: ReconstructionInputs, planes: list[np.ndarray]) -> Job[PlanScore]:
        """Begin to judge planes (4x4 SliceToRAS, mm) that are to be scanned beside the slices, in order.

        Raises:
            InputError: at once, for nodes that cannot be used.
        """
        wanted = [{"point": plane[:3, 3].tolist(), "normal": plane[:3, 2].tolist()} for plane in planes]
        return self._question("next-plane", inputs, {"plan": wanted, "count": len(planes)}, PlanScore.of)

    def _question(
        self, operation: str, inputs: ReconstructionInputs, more: dict, read: Callable[[dict], Read]
    ) -> Job[Read]:
        """Begin to ask about the slices of inputs.

        Args:
            operation: its name.
            inputs: see `build_question`.
            more: other fields of the request.
            read: makes the answer of what is told.
        """
        with _new_folder() as folder:
            request = build_question(inputs, folder) | more

        def steps() -> Steps[Read]:
            with _removed(folder):
                return read((yield from self._ask(operation, request))["result"])

        return self._begin(steps())

    def make(self, making: Making) -> Job[ResultNodes]:
        """Begin to make what another operation makes; its job's error is an InputError or a WorkerError.

        Raises:
            InputError: at once, for nodes that cannot be used.
        """
        with _new_folder() as folder:
            first = making.sources[0]
            look = Look.like(first) if making.same_units else Look(sibling=first)
            request = making.build(folder) | {"device": making.device}

        def steps() -> Steps[ResultNodes]:
            with _removed(folder):
                answer = yield from self._ask(making.operation, request)
                yield ProgressEvent(_("loading the result"), 1.0, None)
                files = yield self._aside(lambda: self._read_made(answer["files"], making.operation, folder))
                result = add_result(files, making.name, look)
                tie(result, making)
                return result

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

    def _read_made(self, files: dict[str, str], operation: str, private: Path) -> ResultFiles:
        if operation == RECONSTRUCT:
            return self._read_result(private / "result", private)
        self.admit(sum(Path(path).stat().st_size for path in files.values() if path.endswith(".nrrd")))
        return read_made(files, operation, private)

    def _read_volumes(self, paths: list[str]) -> list[tuple[Volume, tuple[float, float]]]:
        """Volumes, each with its window and level."""
        self.admit(sum(Path(path).stat().st_size for path in paths))
        return [(volume, window_of(volume.array)) for volume in map(read_volume, paths)]


def _load_parts(said: dict, volumes: list[tuple[Volume, tuple[float, float]]], name: str) -> LoadedScan:
    """The nodes of what the process has read.

    Notices are attributes of the nodes, and so stay with the scene.
    """
    name = said["title"] or name
    nodes = []
    attributes = {NOTICE: "\n".join(said["notices"])} if said["notices"] else {}
    if said["inferred"]:
        attributes[INFERRED] = said["inferred"]
    if len(volumes) > 1:
        attributes[SCAN] = uuid.uuid4().hex
    for n, ((volume, window), thickness) in enumerate(zip(volumes, said["thicknesses_mm"], strict=True)):
        called = name if len(volumes) == 1 else _("{name} part {n}").format(name=name, n=n + 1)
        nodes.append(add_volume(volume, called, attributes=attributes, window=window, shared=True))
        if thickness:
            nodes[-1].SetAttribute(THICKNESS, str(thickness))
    return LoadedScan(tuple(nodes), tuple(said["choices"]))


@contextlib.contextmanager
def _new_folder() -> Iterator[Path]:
    """A temporary folder for a job's files; it is removed where they cannot be prepared.

    A failure to write, which ITK reports as RuntimeError, becomes an InputError.
    """
    place = getattr(slicer.app, "temporaryPath", None) or tempfile.gettempdir()
    try:
        folder = Path(tempfile.mkdtemp(prefix="svr-", dir=place))
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
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


def _worker_python() -> str:
    """The Python that runs the worker.

    In the application it is its own PythonSlicer, elsewhere the one that runs this.
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
