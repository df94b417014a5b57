"""The section to look at results.

Layer, opacity, samples as a film, quality against a reference, files to take away.
"""

from __future__ import annotations

import asyncio

import slicer

from ...geometry import InputError
from ...workflow.choices import Layer, ShowAs
from ...workflow.explorer import BLINK_S, FRAME_S
from ...workflow.export import as_nifti, file_name, files_of
from ...workflow.quality import Comparison, chart_of
from ...workflow.questions import KINDS
from ..plot import chart_drawing
from .section import Action, Section, option

_REST_S = 0.02  # for the views, where they take longer than a frame


class ExploreSection(Section):
    """What the views show of a result."""

    NAME = "explore"

    def __init__(self, app):
        super().__init__(app)
        self._film: asyncio.Task | None = None
        self._blinking: asyncio.Task | None = None
        self._chart, self._drawn = None, ""
        self._drawing: asyncio.Task | None = None
        self._comparing: asyncio.Task | None = None

    def actions(self) -> dict[str, Action]:
        """Choose a sample, play them, compare, delete the result; ask about the slices."""
        return {
            "sample": lambda index: self.presenter.explorer.choose_sample(int(index)),
            "play": self._play,
            "blink": self._blink,
            "compare": self._compare,
            "delete": self.presenter.explorer.delete,
            "ask": self.presenter.questions.ask,
            "choose": lambda number: self.presenter.questions.choose(int(number)),
            "go": self.presenter.questions.go,
            "adopt": self.presenter.questions.adopt,
            "clear": self.presenter.questions.forget,
        }

    def state(self) -> dict:
        """What there is to look at, and what of it was observed."""
        explorer, p = self.presenter.explorer, self.presenter.parameters
        result, count = explorer.result, explorer.sample_count
        told = explorer.frame()
        return {
            "layers": [option(layer.value, layer.label()) for layer in [*explorer.layers(), Layer.NOTHING]],
            "samples": count,
            "sample": min(p.sample, max(count - 1, 0)),
            "has_brain": explorer.has_brain,
            "playing": self._film is not None,
            "blinking": self._blinking is not None,
            "can_blink": bool(explorer.layers()) and not explorer.alone,
            "summary": explorer.summary(),
            "frame": told.text,
            "doubtful": told.doubtful,
            "contrasts": [option(each.value, each.label()) for each in ShowAs if explorer.offers_contrast],
            "can_compare": self._comparing is None
            and result is not None
            and result.mean is not None
            and p.reference is not None,
            "name": result.main.GetName() if result is not None else "",
            "asked": self._answer(),
            "chart": self._svg(chart_of(result)),
            "files": [
                {"name": name, "file": file_name(result, name), "what": what, "nifti": as_nifti(name)}
                for name, what in files_of(result).items()
            ],
        }

    def _answer(self) -> dict:
        """What was asked and answered, in words, what is outlined, and why something cannot be asked."""
        questions = self.presenter.questions
        return {
            "kind": questions.kind,
            "words": questions.words(),
            "chosen": questions.chosen,
            "offers_frame": questions.offers_frame,
            "note": questions.note(),
            "doubtful": questions.doubtful,
            "why": {kind: questions.reason(kind) or "" for kind in KINDS},
            "busy": self.presenter.runner.running,
        }

    def close(self) -> None:
        """Stop the film and the blinking, and wait for no comparison."""
        self._stop_film()
        self._stop_blinking()
        if self._comparing is not None:
            self._comparing.cancel()
            self._comparing = None

    def _stop_film(self) -> None:
        if self._film is not None:
            self._film.cancel()
            self._film = None

    def _stop_blinking(self) -> None:
        if self._blinking is not None:
            self._blinking.cancel()
            self._blinking = None
            self.presenter.explorer.blink(away=False)

    def _blink(self) -> None:
        if self._blinking is not None:
            self._stop_blinking()
        else:
            self._blinking = asyncio.get_running_loop().create_task(self._run_blinking())
        self.app.schedule()

    async def _run_blinking(self) -> None:
        """The result and what lies below it in turn, as long as there is a result."""
        explorer = self.presenter.explorer
        while explorer.layers() and not explorer.alone:
            explorer.blink()
            await asyncio.sleep(BLINK_S)
        self._blinking = None
        explorer.blink(away=False)
        self.app.schedule()

    def _play(self) -> None:
        if self._film is not None:
            self._stop_film()
        elif self.presenter.explorer.sample_count > 1:
            self._film = asyncio.get_running_loop().create_task(self._run_film())
        self.app.schedule()

    async def _run_film(self) -> None:
        """One sample after the other; what takes longer than a frame makes the film slower, nothing waits."""
        now = asyncio.get_running_loop().time
        while self.presenter.explorer.sample_count:
            begun = now()
            self.presenter.explorer.choose_next_sample()
            await asyncio.sleep(max(_REST_S, begun + FRAME_S - now()))
        self._film = None
        self.app.schedule()

    def _compare(self) -> None:
        comparison = Comparison.of(self.presenter.explorer.result, self.presenter.parameters.reference)
        self._comparing = asyncio.get_running_loop().create_task(self._measure(comparison))

    async def _measure(self, comparison: Comparison) -> None:
        """The numbers in a thread; the chart, if the result is still there."""
        try:
            columns = await asyncio.to_thread(comparison.columns)
        except InputError as error:
            self.presenter.runner.report(error)
        else:
            if slicer.mrmlScene.IsNodePresent(comparison.result.mean):
                comparison.show(columns)
        self._comparing = None
        self.app.schedule()

    def _svg(self, chart) -> str:
        """The chart as a picture, drawn once, in a thread; "" without one, and until it is drawn."""
        if chart is not self._chart:
            self._chart = chart
            self._drawn = ""
            if chart is not None:
                self._drawing = asyncio.get_running_loop().create_task(self._draw(chart))
        return self._drawn

    async def _draw(self, chart) -> None:
        drawn = await asyncio.to_thread(chart_drawing(chart))
        if chart is self._chart:
            self._drawn = drawn
            self.app.schedule_section(self.NAME)
