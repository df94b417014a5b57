"""A user who does anything at any time, as rules of a hypothesis state machine."""

from __future__ import annotations

import os
import signal

import numpy as np
import slicer
import slicer.util
import vtk
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from PySide6 import QtCore, QtWidgets

from SparseVolumeReconstructionLib.mrml.results import remove_result
from SparseVolumeReconstructionLib.workflow.choices import FrameMode

from . import scene_rules
from .desk import OFFSET, REMOVE, THICKNESS
from .tiny_body import add_body, add_stack

VIEWS = ("Red", "Green", "Yellow")
TEXTS = ("12", "-7,5", "31.4 (assumed)", "", "abc", "0", "-3", "1e9", "nan")
NAMES = ("Reconstruction", "", "  ", "ä/{name}%s\\ x", "x" * 80)
COMBOS = ("frameModeBox", "layerBox", "deviceBox")
BOXES = (
    "stdCheckBox",
    "templateCheckBox",
    "keepCheckBox",
    "markCheckBox",
    "linkCheckBox",
    "texturedCheckBox",
    "liveCheckBox",
)
SELECTORS = ("allSelector", "frameTransformSelector", "likeSelector", "resultSelector", "referenceSelector")
BUTTONS = (
    *("moveButton", "undoButton", "removeAllButton", "atlasButton", "editButton", "playButton"),
    *("compareButton", "writeButton", "logButton"),
)
SPIN_BOXES = {"samplesSpinBox": ("0", "1", "3"), "spacingSpinBox": ("4", "5"), "seedSpinBox": ("0", "77")}
# the application's own, harmless, of a saved view that was oblique
OBLIQUE = "invalid orientation preset name: Reformat"
HIDDEN = ("vtkMRMLDisplayNode", "vtkMRMLStorageNode", "vtkMRMLSubjectHierarchyNode")
view_names, numbers = st.sampled_from(VIEWS), st.integers(0, 99)


class RandomUser(RuleBasedStateMachine):
    """Uses `desk`; `folder` takes what is saved.

    Restarts of the computing process take seconds, so `patience` bounds them.
    """

    desk = folder = None
    steps = 0

    def __init__(self):
        super().__init__()
        self.host, self.inputs, self.saved, self.added, self.patience = self.desk.host, {}, False, False, 1
        self.desk.clear()
        self.load()

    @property
    def ui(self):
        return self.desk.ui

    def load(self) -> None:
        """An empty scene with volumes to work on, and settings that are quick to compute."""
        self.inputs = {node.GetID(): scene_rules.fingerprint(node) for node in (add_stack(), add_body())}
        self.desk.show(slicer.mrmlScene.GetNodeByID(list(self.inputs)[-1]))
        p = self.desk.parameters
        p.prior, p.frameMode, p.spacing, p.samples = "tiny", FrameMode.REGISTERED, 5.0, 1
        p.svrFolder = str(self.folder / "svr")

    def click(self, name: str) -> None:
        """Click a widget, where a person could."""
        widget = getattr(self.ui, name)
        if widget.isVisible() and widget.isEnabled():
            self.host.click(widget)

    # Context slices
    @rule(view=view_names, offset=st.floats(-120, 120))
    def add_slice(self, view, offset):
        self.host.views[view].logic.SetSliceOffset(offset)
        self.click(f"add{view}Button")

    @rule(view=view_names)
    def add_by_key(self, view):
        self.host.point(view)
        self.host.key(self.host.views[view], "Ctrl+Shift+C")

    @rule()
    def use_all(self):
        self.click("useAllButton")

    @precondition(lambda self: self.desk.contexts)
    @rule(row=numbers, column=st.sampled_from((OFFSET, THICKNESS)), text=st.sampled_from(TEXTS))
    def edit(self, row, column, text):
        row %= len(self.desk.contexts)
        if self.ui.contextTable.item(row, column).flags() & QtCore.Qt.ItemIsEditable:
            self.desk.edit_cell(row, column, text)

    @precondition(lambda self: self.desk.contexts)
    @rule(row=numbers)
    def tick(self, row):
        self.desk.tick_cell(row % len(self.desk.contexts))

    @precondition(lambda self: self.desk.contexts)
    @rule(row=numbers, column=st.sampled_from((1, 2, REMOVE)))
    def click_row(self, row, column):
        self.host.click_cell(self.ui.contextTable, row % len(self.desk.contexts), column)

    @rule(key=st.sampled_from(("Delete", "Ctrl+Z")))
    def press_in_the_table(self, key):
        self.host.key(self.ui.contextTable, key)

    @precondition(lambda self: self.desk.contexts)
    @rule(row=numbers, view=view_names, steps=st.integers(-3, 3))
    def drag_a_slice(self, row, view, steps):
        self.host.click_cell(self.ui.contextTable, row % len(self.desk.contexts), 1)
        self.click("moveButton")
        self.host.scroll(view, steps)

    # Views and parameters
    @rule(view=view_names, steps=st.integers(-3, 3))
    def scroll(self, view, steps):
        self.host.scroll(view, steps)

    @rule(view=view_names, degrees=st.floats(-90, 90))
    def turn(self, view, degrees):
        node, turn = self.host.views[view].node, vtk.vtkTransform()
        turn.RotateWXYZ(degrees, 1, 1, 0)
        turn.Concatenate(node.GetSliceToRAS())
        node.GetSliceToRAS().DeepCopy(turn.GetMatrix())
        node.UpdateMatrices()

    @rule(name=st.sampled_from((*BOXES, *BUTTONS)))
    def press(self, name):
        self.click(name)

    @rule(name=st.sampled_from((*COMBOS, *SELECTORS)), place=numbers)
    def choose(self, name, place):
        widget = getattr(self.ui, name)
        combo = widget if name in COMBOS else widget.findChild(QtWidgets.QComboBox)
        if widget.isVisible() and widget.isEnabled() and combo.count:
            self.host.choose(widget, combo.itemText(place % combo.count))

    @rule(choice=st.sampled_from([(name, text) for name, texts in SPIN_BOXES.items() for text in texts]))
    def type_number(self, choice):
        box = getattr(self.ui, choice[0])
        if box.isVisible() and box.isEnabled():
            self.host.type(box, choice[1])

    @rule(name=st.sampled_from(NAMES))
    def type_name(self, name):
        self.ui.nameEdit.text = name  # QTest types ASCII only

    @rule(sample=numbers, opacity=st.floats(0, 1))
    def slide(self, sample, opacity):
        self.ui.opacitySlider.value = opacity
        if self.ui.sampleSlider.isEnabled():
            self.ui.sampleSlider.value = sample

    # Runs
    @rule()
    def run_to_the_end(self):
        if not self.desk.panel.presenter.runner.running:
            self.click("applyButton")
        self.wait()

    @rule()
    def start_or_cancel(self):
        self.click("applyButton")

    @rule()
    def wait(self):
        self.desk.wait()

    @precondition(lambda self: self.patience > 0 and self.desk.panel.logic.client.pid)
    @rule()
    def kill(self):
        self.patience -= 1
        os.kill(self.desk.panel.logic.client.pid, signal.SIGKILL)

    # The scene and the application
    @rule(place=numbers)
    def delete_node(self, place):
        """As the Data module does: what only this node uses goes with it."""
        nodes = [
            node for node in scene_rules.own_nodes(self.host) if not any(node.IsA(kind) for kind in HIDDEN)
        ]
        if nodes:
            scene_rules.delete(nodes[place % len(nodes)])

    @rule()
    def delete_result(self):
        if self.desk.result is not None:
            mark = scene_rules.word(self.desk.result.mean, "Result")
            remove_result(self.desk.result)
            assert self.added or mark not in [
                scene_rules.word(node, "Result") for node in scene_rules.scene_nodes()
            ]

    @rule()
    def compare(self):
        scans = [node for node in map(slicer.mrmlScene.GetNodeByID, self.inputs) if node is not None]
        self.desk.parameters.reference = scans[-1] if scans else None
        self.host.process(0.02)
        self.click("compareButton")

    @precondition(lambda self: self.inputs)
    @rule(place=numbers, shift=st.floats(-30, 30), linear=st.booleans())
    def move_input(self, place, shift, linear):
        node = slicer.mrmlScene.GetNodeByID(list(self.inputs)[place % len(self.inputs)])
        if node is None:
            return
        matrix, kind = np.eye(4), "vtkMRMLLinearTransformNode" if linear else "vtkMRMLGridTransformNode"
        matrix[:3, 3] = shift
        transform = slicer.mrmlScene.AddNewNodeByClass(kind)
        if linear:
            transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        node.SetAndObserveTransformNodeID(transform.GetID())

    @rule()
    def save(self):
        slicer.util.saveScene(str(self.folder / "scene.mrb"))
        self.saved = True

    @precondition(lambda self: self.saved)
    @rule(clear=st.booleans())
    def load_saved(self, clear):
        slicer.util.loadNodeFromFile(str(self.folder / "scene.mrb"), "SceneFile", {"clear": clear})
        self.added |= not clear  # the same result may be there twice now
        self.host.errors[:] = [error for error in self.host.errors if OBLIQUE not in error]
        scans = [
            node
            for node in scene_rules.own_nodes(self.host, "vtkMRMLScalarVolumeNode")
            if not scene_rules.word(node, "Role")
        ]
        self.inputs = {node.GetID(): scene_rules.fingerprint(node) for node in scans}

    @rule()
    def load_more(self):
        node = add_stack()
        self.inputs[node.GetID()] = scene_rules.fingerprint(node)
        self.desk.show(node)

    @rule()
    def new_scene(self):
        slicer.mrmlScene.Clear(0)
        self.load()

    @rule(view=view_names, steps=st.integers(-3, 3))
    def leave_and_return(self, view, steps):
        """Outside the module nothing happens by itself."""
        self.host.select("")
        self.desk.wait()
        before = [context.observed() for context in self.desk.contexts]
        self.host.scroll(view, steps)
        self.host.point(view)
        self.host.key(self.host.views[view], "Ctrl+Shift+C")
        assert [
            context.observed() for context in self.desk.contexts
        ] == before and not self.desk.panel.presenter.runner.busy
        self.host.select("SparseVolumeReconstruction")

    @precondition(lambda self: self.patience > 0)
    @rule()
    def reload(self):
        self.patience -= 1
        self.desk.take(self.host.reload())

    # What must hold
    @invariant()
    def nothing_is_wrong(self):
        type(self).steps += 1
        self.host.process(0.03)
        self.host.wait_until(
            lambda: not self.desk.panel._dirty.active
        )  # an answer may have come in the last moment
        self.host.check()
        scene_rules.check_contexts(self.desk)
        scene_rules.check_results()
        scene_rules.check_temporary_folders(self.desk)
        alone = scene_rules.orphans(self.host)
        assert not alone, alone
        for identity, before in self.inputs.items():
            node = slicer.mrmlScene.GetNodeByID(identity)
            assert node is None or scene_rules.fingerprint(node) == before, node.GetName()

    def teardown(self):
        """In the end a run gives a result, whatever happened."""
        self.desk.wait()
        slicer.mrmlScene.Clear(0)
        self.load()
        self.click("addRedButton")
        self.desk.apply()
        assert self.desk.result is not None and not self.desk.status.error, self.desk.status
        self.nothing_is_wrong()
