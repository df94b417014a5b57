"""./run demo: a real head, four of its slices, and everything that follows from them.

Through the logic that Slicer uses.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import slicer.util

from ..evaluation.case_report import CaseReport, write_case_report
from ..geometry import Grid, InputError, Volume
from ..geometry.image import from_image, to_image
from ..geometry.io import read_volume
from ..geometry.resample import resample
from ..observation import Slice
from ..observation.slices import slice_of
from ..progress import Progress
from .bundle import save_bundle
from .logic import Context, ReconstructionInputs, ResultNodes, SparseVolumeReconstructionLogic
from .nodes import add_volume
from .results import remove_result
from .scene import headless_scene, show_in_slice_views

SAMPLES = 16
_KEPT = (15 / 120, 45 / 120, 75 / 120, 105 / 120)
_FIELD_MM, _PIXEL_MM, _MARGIN_MM = 120.0, 2.0, 6.0
_TURN_DEGREES, _TURN_AXIS, _SHIFT_MM = 12.0, (2.0, 1.0, -1.0), 15.0
_FILES = {
    "scene.mrb": "everything below as a scene for 3D Slicer",
    "mean.nrrd": "the reconstruction (posterior mean)",
    "std.nrrd": "its uncertainty (posterior standard deviation)",
    "observed.nrrd": "mask: 1 where a voxel was observed, 0 where it was inferred",
    "template.nrrd": "isotropic template for slice-to-volume reconstruction",
    "template_mask.nrrd": "mask of the template: 1 in the anatomy",
    "samples.seq.nrrd": f"{SAMPLES} samples as a sequence",
    "frame.h5": "the frame that was found: transform from patient to canonical space",
    "result.json": "provenance",
}


@dataclass(frozen=True, eq=False)
class Case:
    """A head in an oblique patient frame.

    Attributes:
        slices: the only input.
        truth: the rest, on the grid on which results are wanted.
    """

    name: str
    slices: list[Slice]
    truth: Volume


@dataclass
class Steps:
    """The progress of the whole and the seconds of each step."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, begin: float) -> Iterator[None]:
        """Say that a step begins, `begin` (0..1) of the whole, and time it.

        Args:
            name: as the user reads it, and the key of its seconds.
            begin: share of the whole that is done before.
        """
        self.progress.update(name, begin)
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def main(head: str | None, folder: str, prior: str, progress: Progress) -> None:
    """Run the demonstration on a file of a head (MNI152 if None) and write the folder.

    Args:
        head: a T1-weighted volume of a whole head.
        folder: for the result's files, the scene and the report.
        prior: id of the model.
        progress: of the whole.

    Raises:
        InputError: for a head that cannot be used, or where the folder cannot be written.
    """
    output = Path(folder).absolute()
    steps = Steps(progress)
    started = time.perf_counter()
    scene = headless_scene()
    with closing(SparseVolumeReconstructionLogic()) as logic:
        logic.client.start()  # it loads its libraries while the head is read
        with steps.step("reading the head", 0.02):
            case = make_case(head, progress)
            contexts = [_slice_node(image) for image in case.slices]
            truth = add_volume(case.truth, "Truth (withheld)")
        inputs = ReconstructionInputs(
            prior, tuple(map(Context, contexts)), like=truth, samples=SAMPLES, name=case.name
        )
        with steps.step("reconstruction", 0.2):
            result = logic.reconstruct(
                inputs, lambda event: progress.update(event.step, 0.2 + 0.45 * event.fraction), output
            )
        with steps.step("the model without any slice", 0.65):
            nothing = ReconstructionInputs(
                prior, frame=result.frame, like=truth, outputs=("mean",), name="No slices"
            )
            guess = logic.reconstruct(nothing)
            others = {"the model without slices": _scaled(slicer.util.arrayFromVolume(guess.mean), case)}
            remove_result(guess)
    with steps.step("scene", 0.7):
        show_in_slice_views(scene, result.mean, truth)
        save_bundle(scene, output / "scene.mrb")
    with steps.step("report", 0.85):
        steps.seconds["all of the above"] = time.perf_counter() - started
        write_case_report(_report(case, result, others, steps.seconds), output / "report.html")
    progress.update("done", 1.0)
    print(f"{output / 'report.html'}\n{output / 'scene.mrb'}")


def make_case(path: str | None, progress: Progress | None = None) -> Case:
    """Read a head (MNI152 if None), put it into an oblique patient frame and keep four of its slices.

    The slices lie along the head's axis that is nearest to superior, spread evenly through the middle 120 mm.

    Args:
        path: a T1-weighted volume of a whole head.
        progress: told what is not as usual in the file.

    Raises:
        InputError: for a file that cannot be read, and where hardly any voxel stands out.
    """
    head = _mni152() if path is None else read_volume(path, warn=(progress or Progress()).warn)
    head = from_image(sitk.DICOMOrient(to_image(head), "LPS"))
    head = Volume(head.array, Grid(head.grid.shape_kji, _oblique(head.grid) @ head.grid.ijk_to_ras))
    name = "MNI152" if path is None else Path(path).name.split(".")[0]
    bright = np.argwhere(head.array > 0.15 * np.percentile(head.array, 99.5))
    if len(bright) < 1000:
        raise InputError(
            f"{path}: hardly any voxel stands out of the background; expected a T1-weighted head."
        )
    spacing = head.grid.spacing_ijk[::-1]
    low, high = bright.min(0), bright.max(0) + 1
    step = max(1, round(1.0 / spacing[0]))
    count = int(min(_FIELD_MM / spacing[0], high[0] - low[0])) // step
    first = int(low[0] + high[0] - count * step) // 2
    kept = [first + step * round(share * count) for share in _KEPT]
    slices = [slice_of(head, k, source=name) for k in kept]
    slices = [
        Slice(s.pixels, s.plane, f"slice at {(k - first) * spacing[0]:.0f} mm")
        for s, k in zip(slices, kept, strict=True)
    ]
    margin = np.ceil(_MARGIN_MM / spacing).astype(int)
    start = np.maximum(low - margin, 0)
    stop = np.minimum(high + margin, head.grid.shape_kji)
    start[0], stop[0] = first, first + count * step
    grid = _part(head.grid, start, stop, step)
    return Case(name, slices, resample(head, grid))


def _mni152() -> Volume:
    """The MNI152 T1 template at 1 mm, without skull, in grey values of 0..1000."""
    from nilearn.datasets import load_mni152_template

    image = load_mni152_template(resolution=1)
    array = np.ascontiguousarray(np.asarray(image.dataobj, np.float32).transpose() * 1000)
    return Volume(array, Grid(array.shape, image.affine))


def _oblique(grid: Grid) -> np.ndarray:
    """4x4 that turns a volume by 12 degrees about an oblique axis and shifts it by 15 mm.

    The axis runs through its middle.
    """
    turn = sitk.VersorTransform(_TURN_AXIS, np.radians(_TURN_DEGREES))
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(turn.GetMatrix()).reshape(3, 3)
    centre = grid.corners_ras().mean(0)
    direction = np.array([1.0, -2.0, 2.0]) / 3.0
    matrix[:3, 3] = centre - matrix[:3, :3] @ centre + _SHIFT_MM * direction
    return matrix


def _part(grid: Grid, start: np.ndarray, stop: np.ndarray, step: int) -> Grid:
    """Voxels start..stop (k, j, i) of a grid: every `step`th slice, and about 2 mm pixels."""
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, 3] = grid.ijk_to_ras[:3, :3] @ start[::-1] + grid.ijk_to_ras[:3, 3]
    shape = stop - start
    pixel = np.maximum(grid.spacing_ijk[:2], _PIXEL_MM)
    plane = Grid((1, *shape[1:]), matrix).with_spacing([*pixel, grid.spacing_ijk[2]])
    matrix = plane.ijk_to_ras.copy()
    matrix[:3, 2] *= step
    return Grid((shape[0] // step, *plane.shape_kji[1:]), matrix)


def _slice_node(image: Slice):
    """An observed slice as a volume node of one slice, as thick as it is."""
    matrix = image.plane.ij_to_ras.copy()
    matrix[:3, 2] *= image.plane.thickness_mm
    node = add_volume(
        Volume(image.pixels[None], Grid((1, *image.plane.shape_ji), matrix)), f"Input {image.name}"
    )
    top = float(np.percentile(image.pixels, 99.8))
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevel(top, top / 2)
    return node


def _scaled(array: np.ndarray, case: Case) -> np.ndarray:
    """A volume (K, J, I) made without slices, in the grey values of the slices.

    The gain that fits the truth best.
    """
    gain = float((array * case.truth.array).sum() / max(float((array * array).sum()), 1e-9))
    return array * gain


def _report(
    case: Case, result: ResultNodes, others: dict[str, np.ndarray], seconds: dict[str, float]
) -> CaseReport:
    """The page about the case; arrays (K, J, I) on the truth's grid."""
    inner = {
        f"reconstruction: {name.replace('_', ' ')}": value
        for name, value in result.provenance.get("seconds", {}).items()
    }
    samples = [
        slicer.util.arrayFromVolume(result.samples.GetNthDataNode(n))
        for n in range(result.samples.GetNumberOfDataNodes())
    ]
    size = " × ".join(
        f"{n * s:.0f}"
        for n, s in zip(case.truth.grid.shape_kji[::-1], case.truth.grid.spacing_ijk, strict=True)
    )
    return CaseReport(
        title=f"{case.name}: a whole head from {len(case.slices)} slices",
        lead=(
            f"The head was turned by {_TURN_DEGREES:.0f}° about an oblique axis and shifted by "
            f"{_SHIFT_MM:.0f} mm; its position was not "
            f"given to the program. From {len(case.slices)} of its slices it reconstructed a volume of "
            f"{size} mm."
        ),
        grid=case.truth.grid,
        mean=slicer.util.arrayFromVolume(result.mean),
        std=slicer.util.arrayFromVolume(result.std),
        observed=slicer.util.arrayFromVolume(result.observed),
        samples=np.stack(samples),
        slices=case.slices,
        truth=case.truth.array,
        others=others,
        times=seconds | inner,
        provenance=result.provenance,
        files=_FILES,
    )
