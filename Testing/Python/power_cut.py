"""Kill a reconstruction, and a case of a batch, at every system call that changes a file; then run it again.

.venv/bin/python Testing/Python/power_cut.py            (needs strace)
.venv/bin/python Testing/Python/power_cut.py --points 5
"""

import argparse
import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}  # a fork has no threads
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "SparseVolumeReconstruction"))

import numpy as np
import pydicom
import torch
from tiny_model import write_tiny

from SparseVolumeReconstructionLib.batch.cases import Case
from SparseVolumeReconstructionLib.batch.derivatives import Derivatives
from SparseVolumeReconstructionLib.batch.page import page
from SparseVolumeReconstructionLib.batch.recipe import Recipe
from SparseVolumeReconstructionLib.batch.task import run_case
from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import write_text, write_volume
from SparseVolumeReconstructionLib.reconstruction.result import inferred_by, read_result
from SparseVolumeReconstructionLib.zoo import ModelStore

CHANGING = (
    *("openat", "write", "pwrite64", "writev", "rename", "renameat", "renameat2", "mkdir", "mkdirat"),
    *("rmdir", "unlink", "unlinkat", "ftruncate", "link", "symlink", "fsync", "fdatasync"),
)
OPENED_TO_WRITE = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC)")
Work = Callable[[], object]
Cut = tuple[str, int]  # the n-th call of that name


def traced(work: Work, log: Path, *options: str) -> int:
    """Do a work in a forked process under strace; returns its status as waitpid tells it."""
    ready, go = os.pipe()
    if (child := os.fork()) == 0:
        os.read(ready, 1)
        sys.stdout = sys.stderr = io.StringIO()
        torch.set_num_threads(1)
        code = 1
        with contextlib.suppress(BaseException):
            code = int(work() or 0)
        os._exit(code)
    command = ["strace", "-y", "-s", "0", "-p", str(child), "-o", str(log), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        tracer.stderr.readline()  # "attached"
        os.write(go, b"x")
        status = os.waitpid(child, 0)[1]
    os.close(ready), os.close(go)
    return status


def cuts_of(work: Work, folder: Path, log: Path) -> list[Cut]:
    """Every call of a work that changes something below a folder."""
    assert traced(work, log, "-e", f"trace={','.join(CHANGING)}") == 0, log.read_text()[-500:]
    counts: Counter[str] = Counter()
    found = []
    for line in log.read_text().splitlines():
        name = line.split("(")[0]
        counts[name] += name in CHANGING
        if str(folder) in line and (name != "openat" or OPENED_TO_WRITE.search(line)):
            found.append((name, counts[name]))
    return found


def killed(work: Work, cut: Cut, log: Path) -> None:
    """Do a work, and kill it as a call begins."""
    name, n = cut
    status = traced(work, log, "-e", f"trace={name}", "-e", f"inject={name}:signal=SIGKILL:when={n}")
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (cut, status)


class Reconstruction:
    """./run reconstruct in one format, into a new folder, or over an older result and a file of the user."""

    def __init__(self, folder: Path, image_format: str, older: bool):
        self.folder, self.format, self.older = folder, image_format, older
        self.scan, self.out = folder / "scan.nrrd", folder / "work" / "out"
        self.out.parent.mkdir()
        grid = Grid.centred((12, 14, 13), 12.0)
        values = np.random.default_rng(0).normal(60, 8, grid.shape_kji).clip(20)
        write_volume(Volume(values.astype(np.float32), grid), self.scan)
        if older:
            (self.folder / "older").mkdir()
            assert self.run(self.folder / "older", "3,6") == 0
            (self.folder / "older" / "notes.txt").write_text("mine")

    def run(self, out: Path, slices: str = "2,5,8") -> int:
        how = f"--prior tiny --frame registered --outputs mean,std --samples 1 --format {self.format}"
        files = ["--context", f"{self.scan}:{slices}", "--like", str(self.scan), "--output", str(out)]
        return main(["reconstruct", *files, *how.split()])

    def work(self) -> int:
        return self.run(self.out)

    def prepare(self) -> None:
        shutil.rmtree(self.out.parent)
        self.out.parent.mkdir()
        if self.older:
            shutil.copytree(self.folder / "older", self.out)

    def check_cut(self) -> str:
        """What a killed run has left: nothing, one of two whole results, or what says that it is none."""
        if not self.out.exists():
            return "absent"
        told = json.loads((self.out / "result.json").read_text())
        if "unfinished" in told:
            assert self.older
            images = [path for path in self.out.rglob("*") if path.suffix in (".nrrd", ".gz", ".dcm")]
            assert all(inferred_by(path) for path in images), images
            with contextlib.suppress(InputError):
                raise AssertionError(read_result(self.out))
            return "unfinished, and says so"
        self.check_whole(told)
        return "whole"

    def check_whole(self, told: dict) -> None:
        """All files are there, of one run."""
        slices = told["request"]["contexts"][0]["slices"]
        expected = {"frame.h5", "result.json", *(["notes.txt"] if self.older else [])}
        if self.format == "dicom":
            expected |= {"dicom"}
            files = list((self.out / "dicom").rglob("*.dcm"))
            assert len(files) > 3 and len({pydicom.dcmread(one).StudyInstanceUID for one in files}) == 1
        else:
            kinds = ("mean", "std", "observed", "samples.seq" if self.format == "nrrd" else "samples")
            expected |= {f"{kind}.{self.format}" for kind in kinds}
            observed = read_result(self.out).observed.array.any(axis=(1, 2))
            assert set(slices) <= set(np.flatnonzero(observed)), (slices, observed)
        assert {path.name for path in self.out.iterdir()} == expected, (sorted(self.out.iterdir()), expected)

    def check_again(self) -> None:
        """After a run that was not killed."""
        told = json.loads((self.out / "result.json").read_text())
        assert told["request"]["contexts"][0]["slices"] == [2, 5, 8]
        self.check_whole(told)
        assert [path.name for path in self.out.parent.iterdir()] == ["out"], list(self.out.parent.iterdir())


class BatchCase:
    """One case of a batch with its page, new or of other slices than those that are there."""

    def __init__(self, folder: Path, older: bool):
        self.older, self.folder, self.out = older, folder, folder / "work" / "out"
        self.scan = folder / "sub-1_T1w.nii.gz"
        grid = Grid.centred((12, 14, 13), 12.0)
        values = np.random.default_rng(0).normal(60, 8, grid.shape_kji).clip(20)
        write_volume(Volume(values.astype(np.float32), grid), self.scan)
        options = {"prior": "tiny", "frame": "registered", "outputs": ["mean", "std"]}
        self.recipe = Recipe(operation="evaluate", options=options)
        if older:
            self.run(folder / "older", [3, 6])

    def run(self, out: Path, slices: list[int]) -> None:
        given = {"contexts": [{"path": str(self.scan), "slices": slices}]}
        case, derivatives = Case("sub-1", "T1w", given, str(self.scan)), Derivatives(out)
        derivatives.prepare(str(self.folder))
        said = run_case(case, self.recipe, str(out), resume=True)
        derivatives.clear_attempts()
        write_text(page([case], {"sub-1": said}, derivatives, self.recipe, 1.0), out / "cohort.html")
        assert said["status"] in ("done", "kept"), said

    def work(self) -> None:
        self.run(self.out, [2, 5, 8])

    def prepare(self) -> None:
        shutil.rmtree(self.out.parent, ignore_errors=True)
        self.out.parent.mkdir()
        if self.older:
            shutil.copytree(self.folder / "older", self.out)

    def check_cut(self) -> str:
        """What is known of the case is true of its files; no image is without what says what it is."""
        images = list(self.out.glob("sub-1/anat/*.nii.gz"))
        assert all(inferred_by(image) for image in images), images
        for file in [*self.out.glob("*.json"), *self.out.glob("sub-1/anat/*.json")]:
            json.loads(file.read_text())
        record = self.out / ".batch" / "sub-1.json"
        if not record.exists():
            return "unfinished, and says so" if images else "absent"
        self.check_whole(json.loads(record.read_text()))
        return "whole"

    def check_whole(self, said: dict) -> None:
        """All files of one run."""
        told = [path for path in self.out.glob("sub-1/anat/*.json")]
        assert {json.loads(path.read_text())["InputDigest"] for path in told} == {said["digest"]}
        assert len(told) == 3 and len(said["files"]) == 7
        assert all((self.out / name).stat().st_size == size for name, size in said["files"].items())

    def check_again(self) -> None:
        """After a run that was not killed."""
        self.check_whole(json.loads((self.out / ".batch" / "sub-1.json").read_text()))
        left = sorted(path.name for path in self.out.rglob(".*"))
        assert left == [".batch", ".bidsignore"], left
        assert sorted(path.name for path in (self.out / ".batch").iterdir()) == ["sub-1.json", "sub-1.png"]


CASES = {
    "reconstruct, NRRD": lambda folder: Reconstruction(folder, "nrrd", older=False),
    "reconstruct, NRRD, over an older result": lambda folder: Reconstruction(folder, "nrrd", older=True),
    "reconstruct, NIfTI": lambda folder: Reconstruction(folder, "nii.gz", older=False),
    "reconstruct, NIfTI, over an older result": lambda folder: Reconstruction(folder, "nii.gz", older=True),
    "reconstruct, DICOM": lambda folder: Reconstruction(folder, "dicom", older=False),
    "reconstruct, DICOM, over an older result": lambda folder: Reconstruction(folder, "dicom", older=True),
    "batch": lambda folder: BatchCase(folder, older=False),
    "batch, over older derivatives": lambda folder: BatchCase(folder, older=True),
}


def sweep(name: str, folder: Path, points: int | None) -> None:
    """Cut a case everywhere, or at some points that are spread over it, and say what was left."""
    folder.mkdir()
    case, log = CASES[name](folder), folder / "strace.log"
    case.prepare()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        case.work()  # so that all is imported, and no work below makes other calls than the others
    case.prepare()
    cuts = cuts_of(case.work, case.out.parent, log)
    chosen = cuts if points is None else [cuts[len(cuts) * n // (points + 1)] for n in range(1, points + 1)]
    left: Counter[str] = Counter()
    for cut in chosen:
        case.prepare()
        killed(case.work, cut, log)
        left[case.check_cut()] += 1
        assert traced(case.work, log, "-e", "trace=none") == 0, cut
        case.check_again()
    told = ", ".join(f"{count} {state}" for state, count in left.items())
    print(f"{name}: killed at {len(chosen)} of {len(cuts)} calls: {told}; run again: all whole", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--points", type=int, help="of every case; all if left out")
    parser.add_argument("--cases", default="", help="only those whose name has this in it")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["SVR_MODELS_DIR"] = f"{place}/models"
        ModelStore(Path(place, "models")).import_file(write_tiny(Path(place, "tiny.safetensors")))
        for number, each in enumerate(name for name in CASES if asked.cases in name):
            sweep(each, Path(place, str(number)), asked.points)
