"""The section to look at results: layer, opacity, samples as a film, and quality against a reference."""

from __future__ import annotations

import qt
import slicer
import slicer.util

from ..mrml.i18n import _
from ..mrml.results import ATTRIBUTE
from ..workflow.explorer import BLINK_S, FRAME_S
from ..workflow.quality import compare
from ..workflow.questions import KINDS
from .mark import InferredMark
from .section import Section, say_it


class ExploreSection(Section):
    """What the views show of a result."""

    FILE, NOTE = "Explore.ui", "exploreNote"

    def wire(self) -> None:
        """Connect the widgets."""
        ui = self.ui
        self._timer = qt.QTimer(self.widget)
        self._timer.setInterval(round(1000 * FRAME_S))
        self._timer.connect("timeout()", self.presenter.explorer.choose_next_sample)
        self._blinker = qt.QTimer(self.widget)
        self._blinker.setInterval(round(1000 * BLINK_S))
        self._blinker.connect("timeout()", self.presenter.explorer.blink)
        self._mark = InferredMark()
        ui.sampleSlider.connect("valueChanged(int)", self.presenter.explorer.choose_sample)
        ui.playButton.connect("toggled(bool)", self._play)
        ui.blinkButton.connect("toggled(bool)", self._blink)
        ui.deleteButton.connect("clicked(bool)", lambda _on: self._delete())
        questions = self.presenter.questions
        self._askers = {kind: getattr(ui, f"{kind}Button") for kind in KINDS}
        self._tips = {kind: button.toolTip for kind, button in self._askers.items()}
        for kind, button in self._askers.items():
            button.connect("clicked(bool)", lambda _on, kind=kind: self.attempt(lambda: questions.ask(kind)))
        ui.goButton.connect("clicked(bool)", lambda _on: self.attempt(questions.go))
        ui.adoptButton.connect("clicked(bool)", lambda _on: self.attempt(questions.adopt))
        ui.clearButton.connect("clicked(bool)", lambda _on: questions.forget())
        ui.planeList.connect("currentRowChanged(int)", lambda n: self.attempt(lambda: questions.choose(n)))
        ui.compareButton.connect("clicked(bool)", lambda _on: self.attempt(self._compare))

    def before_parameters(self) -> None:
        """Only means of reconstructions are offered as results."""
        self.ui.resultSelector.addAttribute("vtkMRMLScalarVolumeNode", f"{ATTRIBUTE}Role", "mean")

    def refresh(self) -> None:
        """What there is to look at."""
        ui = self.ui
        p = self.presenter.parameters
        explorer = self.presenter.explorer
        layers = explorer.layers()
        count = explorer.sample_count
        self.offer_scans(ui.referenceSelector)
        for widget in (ui.layerBox, ui.opacitySlider, ui.markCheckBox):
            widget.enabled = bool(layers) or p.showAtlas
        ui.blinkButton.enabled = bool(layers) and not explorer.alone
        if ui.blinkButton.checked and not ui.blinkButton.enabled:
            ui.blinkButton.checked = False
        ui.brainCheckBox.visible = explorer.has_brain
        if explorer.has_brain and p.showBrain:
            ui.markCheckBox.enabled = False  # views have room for one mask
        ui.sampleSlider.enabled = ui.playButton.enabled = count > 1
        ui.sampleSlider.blockSignals(True)
        ui.sampleSlider.setRange(0, max(count - 1, 0))
        ui.sampleSlider.value = min(p.sample, max(count - 1, 0))
        ui.sampleSlider.blockSignals(False)
        ui.sampleLabel.text = f"{ui.sampleSlider.value + 1} / {count}" if count else "–"
        if count < 2 and ui.playButton.checked:
            ui.playButton.checked = False
        self._mark.update()
        ui.deleteButton.enabled = explorer.result is not None
        ui.resultSelector.toolTip = (
            explorer.result.main.GetName() if explorer.result else _("Reconstruction to look at")
        )  # a narrow selector cuts a long name
        told = explorer.frame()
        say_it(ui.frameLabel, told.text, "warning" if told.doubtful else "said")
        for widget in (ui.showAsLabel, ui.showAsBox):
            widget.visible = explorer.offers_contrast
        ui.noticeLabel.text = explorer.summary()
        ui.compareButton.enabled = (
            explorer.result is not None and explorer.result.mean is not None and p.reference is not None
        )

        self._list_answer()

    def show_note(self):
        """As of every section; an answer that has just come is to be seen, too."""
        return super().show_note() or self._new_list

    def _list_answer(self) -> None:
        """What can be asked, the answer in words, and what can be done with it."""
        ui, questions = self.ui, self.presenter.questions
        for kind, button in self._askers.items():
            why = questions.reason(kind)
            button.enabled = why is None and not self.presenter.runner.running
            button.toolTip = why or self._tips[kind]
        ui.adoptButton.enabled = questions.offers_frame
        ui.goButton.enabled = ui.clearButton.enabled = questions.chosen is not None
        self._new_list = ui.planeList if questions.listed and not ui.planeList.count else None
        ui.planeList.visible = bool(questions.listed)
        ui.planeList.blockSignals(True)
        ui.planeList.clear()
        for words in questions.words():
            ui.planeList.addItem(words)
        ui.planeList.setCurrentRow(-1 if questions.chosen is None else questions.chosen)
        ui.planeList.blockSignals(False)
        say_it(ui.answerLabel, questions.note(), "warning" if questions.doubtful else "said")

    def leave(self) -> None:
        """Blink no more: the views are another module's."""
        self.ui.blinkButton.checked = False

    def close(self) -> None:
        """Stop the film, and write nothing into the views any more."""
        self._timer.stop()
        self._blinker.stop()
        self._mark.close()

    def _blink(self, on: bool) -> None:
        self.presenter.explorer.blink(away=on)
        if on:
            self._blinker.start()
        else:
            self._blinker.stop()

    def _play(self, on: bool) -> None:
        self.ui.playButton.text = _("Pause") if on else _("Play")
        if on:
            self._timer.start()
        else:
            self._timer.stop()

    def _delete(self) -> None:
        explorer = self.presenter.explorer
        words = _(
            "Delete {name} with its uncertainty, samples, template and comparison? This cannot be undone."
        )
        if slicer.util.confirmOkCancelDisplay(words.format(name=explorer.result.main.GetName())):
            self.attempt(explorer.delete)

    def _compare(self) -> None:
        result = self.presenter.explorer.result
        chart = compare(result, self.presenter.parameters.reference)
        plots = slicer.app.applicationLogic().GetModuleLogic("Plots")
        if plots is not None and slicer.app.layoutManager() is not None:
            plots.ShowChartInLayout(chart)
