"""Looking at a result.

Which of its volumes the views show, which sample, and how good it is against a reference.
"""

from __future__ import annotations

from typing import Any

import slicer

from ..geometry import InputError
from ..mrml import views
from ..mrml.i18n import _
from ..mrml.result_files import RECONSTRUCT
from ..mrml.results import ResultNodes, remove_result
from . import quality
from .choices import Layer, ShowAs
from .told import Told, frame_told, made_told, offers_contrasts, scan_told

FRAME_S = 0.08
"""For how long a sample is shown where they are played; longer where the views take longer to draw it."""
BLINK_S = 0.6
"""For how long the result, and then what lies below it, is shown where they blink."""
_ATLAS_OPACITY = 0.5  # the slices that it is to be compared with lie below


class Explorer:
    """Shows a result in the slice views as the parameters say.

    Attributes:
        over: a volume node that is shown over everything instead, as long as it is there.
    """

    def __init__(self, parameters):
        self._parameters = parameters
        self.over = None
        self._alone = None
        self._behind = {}
        self._away = False

    @property
    def result(self) -> ResultNodes | None:
        """The chosen result; None where none is chosen or its nodes are gone."""
        node = self._parameters.result
        return ResultNodes.of(node) if node is not None else None

    def layers(self) -> dict[Layer, Any]:
        """The volumes of the chosen result that can be shown."""
        result = self.result
        if result is None:
            return {}
        named = {
            layer: getattr(result, "current" if layer is Layer.SAMPLE else layer.value)
            for layer in Layer
            if layer is not Layer.NOTHING
        }
        return {layer: node for layer, node in named.items() if node is not None}

    @property
    def sample_count(self) -> int:
        """Number of samples of the chosen result."""
        result = self.result
        return result.samples.GetNumberOfDataNodes() if result and result.samples else 0

    def blink(self, away: bool | None = None) -> None:
        """Let the views show what lies below the result, and the next time the result again.

        away: whether it is away now; None: the other way round than before.
        """
        self._away = not self._away if away is None else away
        self.show()

    def choose_sample(self, index: int) -> None:
        """Let the views show a sample: that of a number from 0, or the nearest that there is."""
        self._parameters.sample = max(0, min(index, self.sample_count - 1))
        self._parameters.layer = Layer.SAMPLE

    def choose_next_sample(self) -> None:
        """Let the views show the next sample, after the last one the first; nothing without samples."""
        if count := self.sample_count:
            self.choose_sample((self._parameters.sample + 1) % count)

    def warnings(self) -> list[str]:
        """What is doubtful about the chosen result, one sentence each: bad match, assumed thickness, ....

        None without a result.
        """
        result = self.result
        if result is None:
            return []
        search = result.provenance.get("search", {"warnings": []})
        as_of = _("As of the search at {time}: {warning}")
        kept = [as_of.format(time=search["time"], warning=each) for each in search["warnings"]]
        return [*result.provenance.get("warnings", []), *kept]

    def frame(self) -> Told:
        """How the frame of the chosen result is known and how sure it is; nothing where it has none."""
        result = self.result
        known = result is not None and result.frame is not None and result.placed
        return frame_told(result.provenance) if known else Told()

    @property
    def offers_contrast(self) -> bool:
        """Whether the contrast in which results are shown is to be chosen."""
        result = self.result
        offered = result is not None and offers_contrasts(result.provenance)
        return offered or self._parameters.showAs != ShowAs.OWN

    def summary(self) -> str:
        """What is observed and what is inferred in the chosen result, in lines.

        `warnings` stand elsewhere.
        """
        result = self.result
        if result is None:
            return _("No result yet.")
        if result.operation != RECONSTRUCT:
            return "\n".join(made_told(result.provenance))
        voxels, known = result.provenance.get("voxels", {}), result.provenance.get("covariate")
        total = max(sum(voxels.values()), 1)
        if not result.placed:
            return _(
                "The prior's own anatomy. It was made without slices and without a frame: it is no "
                "patient's, nobody knows where the "
                "patient would lie in it, and so it is shown alone and not over the scan."
            )
        lines = [text] if (text := scan_told(result.provenance)) else []
        chosen = self._parameters.showAs
        if offers_contrasts(result.provenance) and chosen.value != result.provenance["request"].get(
            "show_as", "own"
        ):
            lines.append(_("Reconstruct again to see it so: {contrast}.").format(contrast=chosen.label()))
        observed = _("{share:.1%} of the voxels were observed, all others are inferred.")
        none = _("No voxel of it was observed, all are inferred.")
        share = voxels.get("observed", 0) / total
        lines.append(observed.format(share=share) if share else none)
        if self.sample_count and result.provenance.get("draws") == "donors":
            lines.append(_("Samples start from real anatomy and are corrected by what was observed."))
        if result.live:
            lines.append(_("A rough mean; a reconstruction gives the exact one."))
        if known and known.get("value") is not None:
            how = _("given") if known["given"] else _("inferred from the slices")
            lines.append(
                f"{known['name'].replace('_', ' ').capitalize()}: {known['value']:.1f} {known['unit']} "
                f"({how})"
            )
        return "\n".join(lines)

    def show(self) -> None:
        """Bring the slice views up to date.

        With the chosen layer (or the atlas over it), opacity, sample and mask.
        """
        p, result, alone = self._parameters, self.result, self.alone
        if p.layer == Layer.SAMPLE and self.sample_count:
            index = min(p.sample, self.sample_count - 1)
            if result.browser.GetSelectedItemNumber() != index:
                result.browser.SetSelectedItemNumber(index)  # the logic of sequences follows, once
        wanted = self.shown()
        self._stand_alone(wanted if alone else None)
        over = p.atlas if p.showAtlas else None
        opacity = 0.0 if self._away else p.opacity * (_ATLAS_OPACITY if over is not None else 1.0)
        views.set_foreground(None if alone else wanted, opacity)
        outline = ResultNodes.of(over).outline if over is not None else self._brain()
        views.set_label(
            outline or (result.observed if result and p.markObserved else None), outline=outline is not None
        )
        views.link(p.linkViews)
        quality.show_chart_of(result)

    def shown(self):
        """The volume that the views are to show: of the result, or the atlas; None for nothing."""
        p = self._parameters
        if self.over is not None and slicer.mrmlScene.IsNodePresent(self.over):
            return self.over
        if p.showAtlas and p.atlas:
            return p.atlas
        layers = {} if p.layer == Layer.NOTHING else self.layers()
        return layers.get(p.layer) or next(iter(layers.values()), None)

    def _brain(self):
        """The brain mask of the chosen result where it is to be outlined; None for nothing."""
        result = self.result if self._parameters.showBrain else None
        return result.brain_mask if result is not None else None

    @property
    def has_brain(self) -> bool:
        """Whether the chosen result was made of whole heads, in which the brain was found."""
        result = self.result
        return result is not None and result.brain_mask is not None

    @property
    def alone(self) -> bool:
        """Whether what is shown lies on no patient, so that it is shown instead of the scan, not over it."""
        owner = ResultNodes.of(self.shown()) if self.shown() is not None else None
        return owner is not None and not owner.placed

    def delete(self) -> None:
        """Take the chosen result with all that belongs to it out of the scene; then none is chosen.

        Raises InputError without one.
        """
        result = self.result
        if result is None:
            raise InputError(_("choose the result that is to be deleted."))
        self._parameters.result = None
        remove_result(result)

    def _stand_alone(self, volume) -> None:
        """Let the views show a volume instead of the scan; None: the scan again.

        A background that the user has chosen since stays.
        """
        before, self._alone = self._alone, volume
        if volume is before:
            return
        if before is None:
            self._behind = views.backgrounds()
        if volume is not None:
            views.set_background(volume)
            views.fit(volume)
        else:
            views.restore_backgrounds(self._behind, before.GetID() or "")
