"""Affine registration of whole volumes (used for cohorts; slices are aligned in alignment/align.py)."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from ..geometry import Grid, InputError, Volume
from ..geometry.image import LPS, to_image
from ..geometry.resample import resample

_TURN = (0.1, 0.15, 0.2)  # rad
_CLEARLY = 0.03  # of pairs that lie on one another it falls by 0.2 to 2 %
_GREYS, _SHOWN = 32, 0.02
_STARTS_MM = (0.0, 12.0, -12.0)  # along the body
_RIM_MM = 6.0


def register_affine(
    fixed: Volume, moving: Volume, *, initial: np.ndarray | None = None, seed: int = 1
) -> np.ndarray:
    """4x4 RAS-to-RAS matrix (mm) from points of `fixed` to points of `moving`.

    Starts from the intensity moments (or `initial`), then maximises Mattes mutual information (Mattes et al.,
    IEEE Trans. Med. Imaging 22, 2003) over a similarity and then an affine transform, from coarse to fine;
    deterministic for a given seed on one thread.

    Args:
        fixed, moving: any units and grids.
        initial: 4x4 from points of `fixed` to points of `moving` (RAS mm); the affine transform is sought
            from there, without the similarity. From the moments if None.
        seed: of the sampling of voxels.

    Raises:
        InputError: the volumes do not overlap, or one shows nothing to register.
    """
    fixed_image, moving_image = (sitk.Cast(to_image(v), sitk.sitkFloat32) for v in (fixed, moving))
    if initial is None:
        start = sitk.CenteredTransformInitializer(
            fixed_image,
            moving_image,
            sitk.Similarity3DTransform(),
            sitk.CenteredTransformInitializerFilter.MOMENTS,
        )
        start = sitk.Similarity3DTransform(start)
        start = _optimise(fixed_image, moving_image, start, [6], 100, seed)
    else:
        lps = LPS @ initial @ LPS
        start = sitk.AffineTransform(lps[:3, :3].ravel().tolist(), lps[:3, 3].tolist())
    affine = sitk.AffineTransform(3)
    affine.SetCenter(
        fixed_image.TransformContinuousIndexToPhysicalPoint([n / 2 for n in fixed_image.GetSize()])
    )
    matrix = np.array(start.GetMatrix()).reshape(3, 3)
    offset = np.array(start.TransformPoint(affine.GetCenter())) - np.array(affine.GetCenter())
    affine.SetMatrix(matrix.ravel().tolist())
    affine.SetTranslation(offset.tolist())
    affine = _optimise(fixed_image, moving_image, affine, [4, 2], 150, seed)
    origin = np.array(affine.TransformPoint((0.0, 0.0, 0.0)))
    out = np.eye(4)
    out[:3, :3] = np.array(affine.GetMatrix()).reshape(3, 3)
    out[:3, 3] = origin
    return LPS @ out @ LPS


def register_rigid(fixed: Volume, moving: Volume, *, seed: int = 1) -> np.ndarray:
    """4x4 RAS-to-RAS matrix (mm) from points of `fixed` to points of `moving`, two scans of one head.

    From where both lie and from somewhat above and below, by Mattes mutual information, coarse to fine, as
    `register_affine`. The rim of `fixed` is not looked at: where one mask was put on both scans, it would
    hold them where they lie.

    Args:
        fixed, moving: any units, contrasts and grids, background 0, less than about 3 cm from one another.
        seed: of the sampling of voxels.

    Raises:
        InputError: the volumes do not overlap, or one shows nothing to register.
    """
    fixed_image, moving_image = (sitk.Cast(to_image(v), sitk.sitkFloat32) for v in (fixed, moving))
    inside = _without_rim(fixed_image)
    found = []
    for start in _STARTS_MM:
        rigid = sitk.Euler3DTransform()
        rigid.SetCenter(
            fixed_image.TransformContinuousIndexToPhysicalPoint([n / 2 for n in fixed_image.GetSize()])
        )
        rigid.SetTranslation((0.0, 0.0, start))
        found.append(_optimised(fixed_image, moving_image, rigid, [6], 150, seed, inside))
    _, rigid = min(found, key=lambda each: each[0])
    _, rigid = _optimised(fixed_image, moving_image, rigid, [3], 150, seed, inside)
    out = np.eye(4)
    out[:3, :3] = np.array(rigid.GetMatrix()).reshape(3, 3)
    out[:3, 3] = np.array(rigid.TransformPoint((0.0, 0.0, 0.0)))
    return LPS @ out @ LPS


def pose_of(fixed: Volume, moving: Volume) -> np.ndarray:
    """4x4 RAS-to-RAS matrix (mm) from points of `fixed` to points of `moving`, whose headers nearly say it.

    That of `register_rigid` where with it the volumes tell clearly more of each other (mutual information);
    else the identity, as the headers say.
    Both poses are compared on voxels that are those of neither volume: interpolation alone raises it.

    Args:
        fixed, moving: in [0, 1], background 0, two scans of one head in nearly the same place.

    Raises:
        InputError: as `register_rigid`.
    """
    matrix = register_rigid(fixed, moving)
    turned = fixed.grid.ijk_to_ras.copy()
    spacing = float(fixed.grid.spacing_ijk.mean())
    middle = turned @ [*(n / 2 for n in fixed.grid.shape_kji[::-1]), 1]
    grid = Grid.centred(fixed.grid.shape_kji, spacing, middle[:3])
    rotation = np.eye(4)
    rotation[:3, :3] = Rotation.from_rotvec(_TURN).as_matrix()
    rotation[:3, 3] = middle[:3] - rotation[:3, :3] @ middle[:3]
    grid = Grid(grid.shape_kji, rotation @ grid.ijk_to_ras)
    first = resample(fixed, grid).array
    before, after = (told_by(first, resample(moving, grid, each).array) for each in (np.eye(4), matrix))
    return matrix if after > (1 + _CLEARLY) * before else np.eye(4)


def told_by(first: np.ndarray, other: np.ndarray) -> float:
    """Mutual information of grey values, nats, of two volumes (K, J, I) in [0, 1], where both show any."""
    inside = (first > _SHOWN) & (other > _SHOWN)
    if not inside.any():
        return 0.0
    greys = [(each[inside].clip(0, 1) * (_GREYS - 1)).astype(int) for each in (first, other)]
    joint = np.bincount(greys[0] * _GREYS + greys[1], minlength=_GREYS**2).reshape(_GREYS, _GREYS)
    joint = joint / joint.sum()
    alone = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    both = joint > 0
    return float((joint[both] * np.log(joint[both] / alone[both])).sum())


def on_grid(volume: Volume, grid: Grid, matrix: np.ndarray, *, cubic: bool = False) -> np.ndarray:
    """A volume on a grid of the space of `fixed`, (K, J, I) float32 in [0, 1].

    Args:
        volume: [0, 1]; 0 outside of it.
        grid: in the space that the volume was registered to.
        matrix: 4x4 from points of `grid` to points of `volume` (RAS mm), as `register_affine` gives it.
        cubic: as in `resample`; what overshoots is clipped.
    """
    return np.clip(resample(volume, grid, matrix, cubic=cubic).array, 0.0, 1.0)


def _without_rim(image):
    """Voxels of a scan that are deeper than its rim; all that it shows where there are none."""
    shown = image > 0
    deep = sitk.BinaryErode(shown, [round(_RIM_MM / mm) for mm in image.GetSpacing()])
    return deep if sitk.GetArrayViewFromImage(deep).any() else shown


def _optimise(fixed, moving, transform, levels_mm, iterations, seed):
    """The transform of `_optimised`."""
    return _optimised(fixed, moving, transform, levels_mm, iterations, seed)[1]


def _optimised(fixed, moving, transform, levels_mm, iterations, seed, inside=None):
    """Negative mutual information and transform of one multi-resolution run.

    `levels_mm` are the sampling distances; `inside`: voxels of `fixed` that are looked at, all if None.
    """
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(48)
    if inside is not None:
        method.SetMetricFixedMask(inside)
    method.SetMetricSamplingStrategy(method.REGULAR)
    spacing = max(fixed.GetSpacing())
    method.SetMetricSamplingPercentagePerLevel([min(1.0, (spacing / mm) ** 3 * 2) for mm in levels_mm], seed)
    method.SetShrinkFactorsPerLevel([1] * len(levels_mm))
    method.SetSmoothingSigmasPerLevel([mm / 2 for mm in levels_mm])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, iterations, gradientMagnitudeTolerance=1e-7)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError as error:
        raise InputError(
            f"the volumes could not be registered ({str(error).strip().splitlines()[-1]}); do they show the "
            "same?"
        ) from error
    return method.GetMetricValue(), transform
