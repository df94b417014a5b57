"""The brain mask of a stack: found, corrected, used; and which slices of the stack belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..geometry import InputError
from ..mrml.contexts import ContextSlice, check_is_observed, plane_of_slice
from ..mrml.i18n import _
from ..mrml.segments import add_mask, found_in, mask_of, number_in, stack_of

if TYPE_CHECKING:
    from .presenter import Presenter


class StackMasks:
    """What a user does with brain masks. The chosen one is used in whatever is reconstructed after."""

    def __init__(self, presenter: Presenter):
        self._presenter = presenter

    @property
    def chosen(self):
        """The node that is chosen as mask; None without one."""
        return self._presenter.parameters.mask

    def find(self) -> None:
        """Look for the brain in the slices of the chosen volume; what is found becomes the chosen mask.

        Raises InputError.
        """
        p = self._presenter.parameters
        check_is_observed(p.allVolume)
        self._presenter.runner.find_masks([p.allVolume], p.prior, lambda found: self._take_mask(found[0]))

    def use(self, volume) -> None:
        """Make a mask volume, such as one that was corrected elsewhere, the mask. Raises InputError."""
        self._take_mask(add_mask(mask_of(volume), volume, {}))

    def _take_mask(self, mask) -> None:
        self._presenter.parameters.mask = mask

    @property
    def proposed(self) -> list[int]:
        """Numbers (from 0) of the slices that belong together best; empty where nobody knows."""
        return found_in(self.chosen)["proposed"] if stack_of(self.chosen) is not None else []

    def proposal(self) -> str:
        """The proposal in words; "" without one."""
        if not self.proposed:
            return ""
        return _("Slices {numbers} of {name} belong together: least motion between them.").format(
            numbers=", ".join(map(str, self.proposed)), name=stack_of(self.chosen).GetName()
        )

    @property
    def taken(self) -> bool:
        """Whether the slices of the proposal are those of their stack that are used."""
        stack = stack_of(self.chosen)
        used = [each for each in self._presenter.contexts.enabled() if each.volume is stack]
        return {number_in(stack, each.plane) for each in used} == set(self.proposed)

    def take(self) -> None:
        """Use the proposed slices of the stack, and no others of it; one step to take back.

        Raises InputError without a proposal.
        """
        if not self.proposed:
            raise InputError(_("no slices are proposed; find the brain in a stack of six slices or more."))
        stack = stack_of(self.chosen)
        planes = [plane_of_slice(stack, number) for number in self.proposed]
        self._presenter.contexts.use_only(stack, planes)

    def off_mm(self, context: ContextSlice) -> tuple[float, bool] | None:
        """How far the head lay off its path (mm) in a slice, and whether it belongs to the others.

        None where nobody knows.
        """
        stack = stack_of(self.chosen)
        if stack is None or context.volume is not stack:
            return None
        try:
            number = number_in(stack, context.plane)
        except InputError:
            return None
        known = found_in(self.chosen)["slices"].get(str(number))
        return (known["off_mm"], known["together"]) if known else None
