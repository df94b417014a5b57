"""What one visitor works with: scene, views, presenter and sections, brought up to date together."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from dataclasses import fields
from functools import partial
from pathlib import Path

import slicer
import vtk
from slicer.util import VTKObservationMixin

from ..geometry import InputError
from ..mrml.logic import SparseVolumeReconstructionLogic
from ..mrml.scene import close_headless_scene, headless_scene
from ..workflow.choices import Choices, forget
from ..workflow.presenter import Presenter
from ..workflow.requirements import missing_packages
from .binding import PREFIX, WatchedChoices, from_page, plain, to_page
from .memory import Budget
from .sections.contexts import ContextSection
from .sections.explore import ExploreSection
from .sections.frame import FrameSection
from .sections.guide import GuideSection
from .sections.learn import LearnSection
from .sections.look import LookSection
from .sections.outputs import OutputSection
from .sections.plan import PlanSection
from .sections.prior import PriorSection
from .sections.run import RunSection
from .sections.scan import ScanSection, Upload
from .sections.section import Section
from .sections.teach import TeachSection
from .sections.tools import ToolSection
from .views import Views

_POLL_S, _SETTLED_S = 0.02, 1.0
_NOT_FROM_THE_PAGE = ("svrFolder", "atlas")  # folders of this machine, and what only the presenter sets
_CHANGED_BY = {"sample": ("explore",)}  # sections that a choice changes, where not all: films are quick
log = logging.getLogger(__name__)
_SECTIONS = (
    GuideSection,
    ScanSection,
    ContextSection,
    PriorSection,
    FrameSection,
    OutputSection,
    RunSection,
    ExploreSection,
    ToolSection,
    LearnSection,
    TeachSection,
    PlanSection,
    LookSection,
)


class App(VTKObservationMixin):
    """Everything behind the page.

    To be made, used and closed in the event loop of `server`; MRML is touched nowhere else.

    Args:
        server: trame's.
        memory_gb: voxels that the session may hold.
    """

    def __init__(self, server, memory_gb: float = 1.5):
        super().__init__()
        self.server = server
        self.budget = Budget(memory_gb)
        headless_scene()
        self.folder = Path(tempfile.mkdtemp(prefix="svr-web-"))
        self.views = Views(server)
        self.logic = SparseVolumeReconstructionLogic(admit=self.budget.admit)
        self.parameters = WatchedChoices(self._parameters_changed)
        self.presenter = Presenter(self.parameters, self.logic, self.schedule)
        self._dirty: set[str] = set()
        server.state.ending = ""
        self._closed, self._polling = False, None
        self.sections: dict[str, Section] = {}
        self.sections |= {section.NAME: section(self) for section in _SECTIONS}
        self._connect()
        self._dirty = {*self.sections}
        self.refresh()
        if not missing_packages():
            self.logic.client.start()

    @property
    def scan(self) -> ScanSection:
        """The section that takes what is loaded."""
        return self.sections["scan"]

    def open(self, path: Path) -> None:
        """Read a file or DICOM folder of this machine, as if it had been uploaded."""
        files = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]

        def end(error: Exception | None) -> None:
            if error is not None:
                asyncio.get_running_loop().call_soon(self.presenter.runner.report, error)

        self.attempt(lambda: self.scan.read(Upload({file: file.name for file in files}, path.name), end))

    def schedule(self, *_args) -> None:
        """Refresh soon, once for many changes."""
        self.schedule_section(*self.sections)

    def schedule_section(self, *names: str) -> None:
        """Refresh these sections soon: where only they can have changed."""
        if not self._dirty and not self._closed:
            asyncio.get_running_loop().call_soon(self.refresh)
        self._dirty.update(names)

    def refresh(self) -> None:
        """Bring the page up to date."""
        names, self._dirty = self._dirty, set()
        if self._closed:
            return
        with self.server.state as state:
            state.update(to_page(self.parameters))
            for name in names:
                state[name] = self.sections[name].state()
        if self.presenter.runner.busy and self._polling is None:
            self._polling = asyncio.get_running_loop().create_task(self._poll())

    def say_ending(self, text: str) -> None:
        """Let the page say that the session will end; "" for nothing."""
        with self.server.state as state:
            state.ending = text

    def attempt(self, action, *arguments) -> None:
        """Do what the visitor asked for; wrong input becomes the page's message.

        What else goes wrong is a fault: the log has it all.

        Args:
            action: called at once; raises InputError for wrong input.
            arguments: from a page, not to be trusted.
        """
        try:
            action(*arguments)
        except InputError as error:
            self.presenter.runner.report(error)
        except Exception:
            log.exception("what a page asked for could not be done")
            self.presenter.runner.report(
                InputError("that could not be done: a fault of the program, which is in the server's log.")
            )
        else:
            self.presenter.runner.dismiss()
        self.schedule()

    def start_over(self) -> None:
        """Forget all that was loaded, chosen and computed; the worker is a new one."""
        for section in self.sections.values():
            section.close()
        self.presenter.runner.drop_live()
        self.logic.close()
        for node in slicer.util.getNodesByClass("vtkMRMLStorableNode") + slicer.util.getNodesByClass(
            "vtkMRMLPlotSeriesNode"
        ):
            if (
                not node.GetSingletonTag()
                and not node.IsA("vtkMRMLColorNode")
                and node.GetScene() is not None
            ):
                slicer.mrmlScene.RemoveNode(node)
        for field in fields(Choices):
            setattr(self.parameters, field.name, getattr(Choices(), field.name))
        for use in self.presenter.tools.values():
            use.forget()
        self.presenter.runner.say("")
        self.views.fit()
        self.logic.client.start()
        self.schedule()

    def close(self) -> None:
        """End the worker, let go of the scene, remove the private folder."""
        self._closed = True
        if self._polling is not None:
            self._polling.cancel()
        self.removeObservers()
        for section in self.sections.values():
            section.close()
        self.presenter.close()
        self.logic.close()
        self.views.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        close_headless_scene()

    def _connect(self) -> None:
        """Triggers and variables of the page to the sections and parameters, the scene to the parameters."""
        for name, section in self.sections.items():
            for word, action in section.actions().items():
                self.server.trigger(f"{name}_{word}")(partial(self.attempt, action))
        for field in fields(Choices):
            if field.name not in _NOT_FROM_THE_PAGE:
                self.server.state.change(PREFIX + field.name)(self._chooser(field.name))
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self._node_removed)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeAddedEvent, self.schedule)

    def _chooser(self, name: str):
        def choose(**changed) -> None:
            value = changed[PREFIX + name]
            if value != plain(name, getattr(self.parameters, name)):
                self.attempt(lambda: setattr(self.parameters, name, from_page(name, value)))

        return choose

    def _parameters_changed(self, name: str) -> None:
        self.presenter.parameters_changed()
        self.schedule_section(*_CHANGED_BY.get(name, self.sections))

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _node_removed(self, _scene, _event, node) -> None:
        forget(self.parameters, node)
        self.sections["learn"].map.forget_removed(node)
        self.schedule()

    async def _poll(self) -> None:
        while self.presenter.runner.busy:
            self.presenter.runner.poll()
            await asyncio.sleep(_POLL_S)
        self._polling = None
