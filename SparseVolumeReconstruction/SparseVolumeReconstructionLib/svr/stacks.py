"""Stacks as they come: files to slices with masks, thickness, order of acquisition and one unit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..geometry import InputError
from ..observation import Slice, split_slices
from ..reconstruction.contexts import read_contexts
from .acquisition import Acquisition
from .masks import inside_of
from .pixels import MaskedSlice
from .request import SvrRequest

MAX_SLICES = 2000
_MIN_SLICES = 3  # of a stack
_MIN_PIXELS = 30  # of a slice's mask
_APART_MM = 60.0  # middles of masks of two stacks; more is not one body in one place


@dataclass(frozen=True, eq=False)
class Stacks:
    """Slices of all stacks, in the unit of the first one.

    Attributes:
        slices: those in which the mask has a part.
        left_out: names of the others.
        names: of the stacks.
        units: of each stack, by which its values were divided.
        warnings: one sentence each.
        anatomy: id of the model of what was seen in all stacks; None where nothing was recognised.
    """

    slices: list[MaskedSlice]
    left_out: list[str]
    names: list[str]
    units: list[float]
    warnings: list[str]
    anatomy: str | None


def read_stacks(request: SvrRequest) -> Stacks:
    """The stacks of a request, checked.

    Raises:
        InputError: files that are no stacks, masks that do not fit, bodies that are not in one place.
    """
    if len(request.masks) not in (0, 1, len(request.stacks)):
        raise InputError(
            f"{len(request.masks)} masks for {len(request.stacks)} stacks; expected none, one for all, or "
            "one for each stack in their order."
        )
    if len(request.acquisition) not in (0, 1, len(request.stacks)):
        raise InputError(
            f"{len(request.acquisition)} orders of acquisition for {len(request.stacks)} stacks; expected "
            "none, one for all, or one for each stack in their order."
        )
    if len({(spec.path, spec.series) for spec in request.stacks}) < len(request.stacks):
        raise InputError("A stack is given twice; give each file once.")
    warnings: list[str] = []
    images, names = [], []
    for spec in request.stacks:
        observations, told = read_contexts([spec])
        stack = split_slices(observations)[0]
        _check_is_stack(stack, spec.name)
        warnings += [*told, *_odd_thickness(stack, spec.name)]
        images.append(stack)
        names.append(spec.name)
    inside = inside_of(request, images, names, warnings.append)
    stacks = assembled(images, inside.masks, names, warnings, inside.anatomy)
    orders = _shots(request, images)
    timed = [replace(s, shot=int(orders[s.stack][s.place])) for s in stacks.slices]
    return replace(stacks, slices=_decided(timed, names, request.choices()))


def _shots(request: SvrRequest, images: list[list[Slice]]) -> list[np.ndarray]:
    """When each slice of each stack was taken, (slices,) from 0."""
    orders = request.acquisition or [Acquisition()]
    orders = orders * len(images) if len(orders) == 1 else orders
    shots = []
    for stack, order in zip(images, orders, strict=True):
        indices = np.array([image.volume_index or 0 for image in stack])  # of the file: empty slices have one
        shots.append(order.shots(int(indices.max()) + 1)[indices])
    return shots


def _decided(
    slices: list[MaskedSlice], names: list[str], choices: dict[tuple[int, int], bool]
) -> list[MaskedSlice]:
    """The slices, with what the user has decided of some. Raises InputError where there are no such ones."""
    there = {(s.stack + 1, s.image.volume_index or 0): s for s in slices}
    for stack, index in choices:
        if stack > len(names):
            raise InputError(f"There is no stack {stack}; expected 1 to {len(names)}.")
        if (stack, index) not in there:
            known = [str(k) for number, k in there if number == stack]
            raise InputError(
                f"{names[stack - 1]}: has no slice {index} that shows something inside the mask; "
                f"expected one of {', '.join(known)}."
            )
    decided = [replace(each, included=choices.get(key)) for key, each in there.items()]
    if sum(each.included is not False for each in decided) < _MIN_SLICES:
        raise InputError(f"All slices but a few are excluded; leave at least {_MIN_SLICES}.")
    return decided


def assembled(
    images: list[list[Slice]],
    masks: list[list[np.ndarray]],
    names: list[str],
    warnings: list[str],
    anatomy: str | None = None,
) -> Stacks:
    """Slices of stacks in their masks, in one unit.

    Args:
        images: of each stack, in order of place.
        masks: of each slice, bool.
        names: of the stacks.
        warnings: what is known already.
        anatomy: id of the model of what all stacks show.

    Raises:
        InputError: no mask meets a stack, too many slices, or bodies far from each other.
    """
    left_out = []
    slices: list[MaskedSlice] = []
    units: list[float] = []
    for number, (stack, inside) in enumerate(zip(images, masks, strict=True)):
        kept = [n for n, mask in enumerate(inside) if mask.sum() >= _MIN_PIXELS]
        if len(kept) < _MIN_SLICES:
            raise InputError(
                f"{names[number]}: only {len(kept)} of its slices show something inside the mask; expected "
                f"at least {_MIN_SLICES}. Is it the mask of this stack?"
            )
        left_out += [image.name for n, image in enumerate(stack) if n not in kept]
        bright = np.concatenate([stack[n].pixels[inside[n]] for n in kept])
        unit = float(bright[bright > 0].mean()) if (bright > 0).any() else 0.0
        if unit <= 0:
            raise InputError(f"{names[number]}: no value above 0 inside the mask; expected an image.")
        units.append(unit)
        for n in kept:
            scaled = replace(stack[n], pixels=stack[n].pixels * (units[0] / unit))
            slices.append(MaskedSlice(scaled, inside[n], number, n, n))
    if len(slices) > MAX_SLICES:
        raise InputError(f"{len(slices)} slices; at most {MAX_SLICES} can be merged: leave out a stack.")
    _check_one_place(slices, names)
    if len(images) == 1:
        warnings.append(
            f"{names[0]}: one stack alone. Nothing was seen from another side: detail along its normal, and "
            "motion along it, stay unknown; the standard deviation does not say all of it."
        )
    return Stacks(slices, left_out, names, units, warnings, anatomy)


def _check_is_stack(stack: list[Slice], name: str) -> None:
    if len(stack) < _MIN_SLICES:
        raise InputError(f"{name}: {len(stack)} slices; expected a stack of at least {_MIN_SLICES}.")
    normals = np.array([image.plane.normal for image in stack])
    if np.abs(normals @ normals[0]).min() < 0.99:
        raise InputError(f"{name}: its slices are not parallel; give each direction as a stack of its own.")


def _odd_thickness(stack: list[Slice], name: str) -> list[str]:
    """A warning where slices are much thicker, or much thinner, than they lie apart."""
    along = np.sort([image.plane.centre @ stack[0].plane.normal for image in stack])
    apart = float(np.median(np.diff(along)))
    thickness = stack[0].plane.thickness_mm
    if thickness and 0.6 < thickness / max(apart, 1e-6) < 1.6:
        return []
    return [
        f"{name}: slices {thickness:.3g} mm thick lie {apart:.3g} mm apart; give their thickness "
        f"({name}:MM) if this is not so: it decides how sharp the volume is."
    ]


def _check_one_place(slices: list[MaskedSlice], names: list[str]) -> None:
    """Raise InputError where what the masks hold lies far apart."""
    middles = []
    for number in range(len(names)):
        own = [s for s in slices if s.stack == number]
        points = np.concatenate([s.image.plane.points_ras()[s.mask.ravel()] for s in own])
        middles.append(points.mean(0))
    for number, middle in enumerate(middles):
        apart = float(np.linalg.norm(middle - middles[0]))
        if apart > _APART_MM:
            raise InputError(
                f"{names[number]}: what it shows lies {apart:.0f} mm from what {names[0]} shows; expected "
                "one body in one place. Are both of one patient and visit? Give masks where they show more."
            )
