"""Questions to the model about the slices in use: asked, listed, outlined in the views, gone to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import slicer
import slicer.util

from ..geometry import InputError
from ..mrml import views
from ..mrml.answers import Answer, LikelyPlace, Listed, show_surprise
from ..mrml.fingerprints import are_of_one_body, fingerprints
from ..mrml.i18n import _
from ..mrml.nodes import add_transform
from ..mrml.planes import show_outlines
from ..mrml.results import SCANS
from ..worker import Job
from .choices import FrameMode

if TYPE_CHECKING:
    from .presenter import Presenter

Kind = Literal["suggest", "locate", "surprise"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_EXACT = "structured-gaussian"  # system of the models that know the covariance of all voxels
_CALIBRATED = "brain-t1"  # whose p-values were compared with healthy people


class Questions:
    """What was asked about what is observed now; the answer is dropped as soon as something else is.

    Attributes:
        kind: of the answer that is listed, or that is looked for; None without any.
        listed: the answer, the best first: planes to scan next, places where the slices may lie, or slices
            with their least probable places.
        chosen: index of the one that the views outline; None without any.
    """

    def __init__(self, presenter: Presenter, on_change: Callable[[], None]):
        self._presenter, self._on_change = presenter, on_change
        self.kind: Kind | None = None
        self.listed: Sequence[Listed] = []
        self._warnings: Sequence[str] = []
        self.chosen: int | None = None
        self._asked: tuple | None = None
        self._job: Job | None = None
        self._map: Any = None
        self._frame: Any = None

    def reason(self, kind: Kind) -> str | None:
        """Why this cannot be asked now; None when it can."""
        presenter = self._presenter
        if why := presenter.atlas_reason():
            return why
        if kind != "suggest" and not presenter.contexts.enabled():
            return _("No slice is in use: take one from a view first.")
        prior = presenter.parameters.prior
        if kind != "locate" and presenter.models.entry(prior).card.system != _EXACT:
            return _(
                "{prior} does not know how its voxels vary together, so it cannot be asked this; choose a "
                "structured Gaussian such as brain-t1."
            ).format(prior=prior)
        return None

    def ask(self, kind: Kind) -> None:
        """Look for the answer, as a job like any other; its first entry is chosen. Raises InputError."""
        if kind not in KINDS:
            raise InputError(_("that cannot be asked."))
        if why := self.reason(kind):
            raise InputError(why)
        presenter = self._presenter
        presenter.contexts.release()
        known = {"frame": "auto"} if kind == "locate" else self._known()
        job = getattr(presenter.runner, kind)(presenter.inputs(like=None, **known), self._take)
        self._drop()
        self.kind = kind
        self._asked = self._key()
        self._job = job

    def words(self) -> list[str]:
        """The answer in words, in its order."""
        return [each.words() for each in self.listed]

    def note(self) -> str:
        """What has to be known of the answer that is listed; "" without one."""
        return " ".join(filter(None, (self._limits(), *self._warnings))) if self.listed else ""

    def _limits(self) -> str:
        """What such an answer does not say."""
        if self.kind == "locate":
            return _(
                "Outlined is where the slices would lie in the anatomy as the likeliest place has it. 90 % "
                "of the poses of a place lie within the millimetres and degrees. One slice leaves more open "
                "than several."
            )
        if self.kind == "surprise":
            return " ".join(filter(None, (self._healthy(), self._uncalibrated())))
        return ""

    @property
    def doubtful(self) -> bool:
        """Whether what has to be known is a warning."""
        return bool(self.listed) and (self.kind == "surprise" or bool(self._warnings))

    def choose(self, number: int) -> None:
        """Outline an entry in the views. Raises InputError for a number that none has."""
        if not 0 <= number < len(self.listed):
            raise InputError(_("that is not listed any more; ask again."))
        self.chosen = number
        others = [each.faces() for n, each in enumerate(self.listed) if n != number]
        ghosts = np.concatenate(others) if others and self.kind == "locate" else None
        show_outlines(self.listed[number].faces(), ghosts)
        self._on_change()

    def go(self) -> None:
        """Turn the slice view that stands nearest to the chosen plane onto it; the others pass through it.

        Raises InputError where none is chosen or no slice view is shown.
        """
        if self.chosen is None:
            raise InputError(_("nothing is listed yet; ask first."))
        matrix = self.listed[self.chosen].matrix
        view = views.nearest_view(matrix[:3, 2], shown=True)
        if not view:
            raise InputError(_("no slice view is shown in this layout; choose a layout that has one."))
        views.jump(matrix, matrix[:3, 3], view)

    @property
    def offers_frame(self) -> bool:
        """Whether what is chosen says where the anatomy lies."""
        return self.kind == "locate" and self.chosen is not None

    def adopt(self) -> None:
        """Let the anatomy lie as the chosen place has it: a transform that the user may edit is the frame.

        The places stay listed, so that another one can be tried.

        Raises InputError where no place is chosen.
        """
        place = self.listed[self.chosen] if self.chosen is not None else None
        if not isinstance(place, LikelyPlace):
            raise InputError(_("ask where the slice is first, and choose one of its places."))
        node = self._frame
        if node is None or not slicer.mrmlScene.IsNodePresent(node):
            node = self._frame = add_transform(place.frame, _("Atlas to patient, as located"))
        else:
            node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(place.frame))
        self._presenter.parameters.frameTransform = node
        self._presenter.edit_frame()

    def frame_moved(self) -> None:
        """The transform that is the frame was edited: what was asked in it is of no use any more."""
        if self.kind != "locate":
            self.forget()

    def refresh(self) -> None:
        """Drop what was answered, or is being looked for, where it was asked of something else."""
        if self._asked is not None and self._asked != self._key():
            self.forget()

    def forget(self) -> None:
        """No answer any more; what looks for it is cancelled."""
        job, self._job = self._job, None
        self._drop()
        if job is not None and not job.done():
            self._presenter.runner.cancel()
        self._on_change()

    def _drop(self) -> None:
        self.listed = self._warnings = []
        self.kind = self.chosen = self._asked = None
        show_outlines(None)
        node, self._map = self._map, None
        if node is not None:
            self._presenter.explorer.over = None
            if slicer.mrmlScene.IsNodePresent(node):
                slicer.mrmlScene.RemoveNode(node)
            self._presenter.explorer.show()

    def _take(self, answer: Answer) -> None:
        if not answer.listed or self._asked is None:
            return
        self.listed, self._warnings = answer.listed, answer.warnings
        if answer.surprise is not None:
            self._map = self._presenter.explorer.over = show_surprise(answer.surprise)
            self._presenter.explorer.show()
        self.choose(0)

    def _healthy(self) -> str:
        return _(
            "Colours: p below 0.1, in the slices alone. This does not find lesions: in a glioma, a "
            "metastasis and three cases of multiple sclerosis nothing stood out. Do not read an empty map as "
            "a healthy brain."
        )

    def _uncalibrated(self) -> str:
        prior = self._presenter.parameters.prior
        if prior == _CALIBRATED:
            return ""
        return _("The p-values of {prior} were never compared with healthy people.").format(prior=prior)

    def _key(self) -> tuple:
        """What the answer depends on.

        Places depend on no frame; a map is put away by the choice of another layer or result, too.
        """
        presenter, p = self._presenter, self._presenter.parameters
        observed = [context.observed() for context in presenter.contexts.enabled()]
        frame = (p.frameMode, p.frameTransform and p.frameTransform.GetID()) if self.kind != "locate" else ()
        shown = (p.layer, p.result and p.result.GetID(), p.showAtlas) if self.kind == "surprise" else ()
        mask = p.mask and p.mask.GetID()
        return p.prior, p.covariateKnown, p.covariate, frame, mask, observed, shown

    def _known(self) -> dict:
        """Frame and covariate that were found for the chosen result, so that nothing is searched again.

        Empty where the frame is chosen, the result shows another body or is another model's, and where a
        scan was moved or changed since.
        """
        presenter, result = self._presenter, self._presenter.explorer.result
        if result is None or result.frame is None or presenter.parameters.frameMode != FrameMode.AUTO:
            return {}
        request = result.provenance["request"]
        now = fingerprints([context.volume for context in presenter.contexts.enabled()])
        same = are_of_one_body(result.provenance.get(SCANS, {}), now)
        searched = request["frame"] == "auto" or "search" in result.provenance
        if not (same and searched and request["prior"] == presenter.parameters.prior):
            return {}
        found = result.found
        known = presenter.covariate()
        if known is not None:
            found["covariate"] = known
        return {name: found[name] for name in ("frame", "covariate")}
