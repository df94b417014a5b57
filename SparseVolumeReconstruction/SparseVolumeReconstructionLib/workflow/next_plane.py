"""Which plane to scan next: asked for, listed, outlined in the views, gone to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..geometry import InputError
from ..mrml import views
from ..mrml.i18n import _
from ..mrml.planes import SuggestedPlane, show_suggestion
from ..worker import Job
from .choices import FrameMode

if TYPE_CHECKING:
    from .presenter import Presenter

_ASKABLE = "structured-gaussian"  # system of the models that know the covariance of all voxels


class NextPlane:
    """Suggestions for what is observed now; they are dropped as soon as something else is.

    Attributes:
        planes: the best first; empty until some were asked for.
        chosen: index of the one that the views outline; None without any.
    """

    def __init__(self, presenter: Presenter, on_change: Callable[[], None]):
        self._presenter, self._on_change = presenter, on_change
        self.planes: list[SuggestedPlane] = []
        self.chosen: int | None = None
        self._asked: tuple | None = None
        self._job: Job | None = None

    def reason(self) -> str | None:
        """Why planes cannot be suggested now; None when they can."""
        presenter = self._presenter
        if why := presenter.atlas_reason():
            return why
        prior = presenter.parameters.prior
        if presenter.models.entry(prior).card.system != _ASKABLE:
            return _(
                "{prior} does not know how its voxels vary together, so it cannot say what a plane would "
                "tell; choose a structured Gaussian such as brain-t1."
            ).format(prior=prior)
        return None

    def ask(self) -> None:
        """Look for planes, as a job like any other; the best is chosen. Raises InputError."""
        if why := self.reason():
            raise InputError(why)
        presenter = self._presenter
        presenter.contexts.release()
        inputs = presenter.inputs(like=None, **self._known())
        job = presenter.runner.suggest(inputs, self._take)
        self._drop()
        self._asked = self._key()
        self._job = job

    def words(self) -> list[str]:
        """The planes in words, in their order."""
        return [plane.words() for plane in self.planes]

    def choose(self, number: int) -> None:
        """Outline a plane in the views. Raises InputError for a number that no plane has."""
        if not 0 <= number < len(self.planes):
            raise InputError(_("that plane is not suggested any more; ask again."))
        self.chosen = number
        show_suggestion(self.planes[number])
        self._on_change()

    def go(self) -> None:
        """Turn the slice view that stands nearest to the chosen plane onto it; the others pass through it.

        Raises InputError where none is chosen or no slice view is shown.
        """
        if self.chosen is None:
            raise InputError(_("no plane is suggested yet; ask for planes first."))
        plane = self.planes[self.chosen]
        view = views.nearest_view(plane.normal, shown=True)
        if not view:
            raise InputError(_("no slice view is shown in this layout; choose a layout that has one."))
        views.jump(plane.matrix, plane.middle, view)

    def refresh(self) -> None:
        """Drop what was suggested, or is being looked for, where it was asked for something else."""
        if self._asked is not None and self._asked != self._key():
            self.forget()

    def forget(self) -> None:
        """No suggestions any more; what looks for them is cancelled."""
        job, self._job = self._job, None
        self._drop()
        if job is not None and not job.done():
            self._presenter.runner.cancel()
        self._on_change()

    def _drop(self) -> None:
        self.planes = []
        self.chosen = self._asked = None
        show_suggestion(None)

    def _take(self, planes: list[SuggestedPlane]) -> None:
        if planes and self._asked is not None:
            self.planes = planes
            self.choose(0)

    def _key(self) -> tuple:
        """What the suggestions depend on."""
        presenter, p = self._presenter, self._presenter.parameters
        observed = [context.observed() for context in presenter.contexts.enabled()]
        nodes = [node and node.GetID() for node in (p.frameTransform, p.mask)]
        return p.prior, p.frameMode, p.covariateKnown, p.covariate, *nodes, observed

    def _known(self) -> dict:
        """Frame and covariate that were found for the chosen result, so that nothing is searched again.

        Empty where the frame is chosen, or the result shows another body or is another model's.
        """
        presenter, result = self._presenter, self._presenter.explorer.result
        if result is None or result.frame is None or presenter.parameters.frameMode != FrameMode.AUTO:
            return {}
        request = result.provenance["request"]
        seen = {context.get("source") for context in request["contexts"]}
        same = seen & {context.volume.GetName() for context in presenter.contexts.enabled()}
        searched = request["frame"] == "auto" or "search" in result.provenance
        if not (same and searched and request["prior"] == presenter.parameters.prior):
            return {}
        found = result.found
        known = presenter.covariate()
        if known is not None:
            found["covariate"] = known
        return {name: found[name] for name in ("frame", "covariate")}
