"""Pictures of the panel in its states, at the sizes of common screens, to be looked at.

python -m host.pictures build/screenshots
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import slicer.util
from PySide6 import QtCore

from .desk import Desk
from .harness import Host
from .layout import SCREENS, set_screen
from .tiny_body import add_body


class LongWords(QtCore.QTranslator):
    """Texts as long as in languages with long words, such as German.

    A third longer, short ones twice as long.
    """

    def translate(self, context, text, disambiguation=None, n=-1) -> str:
        """The text, made longer; numbers and signs stay."""
        if not any(letter.isalpha() for letter in text) or (
            text.isidentifier() and text[0].islower()
        ):  # no word for people
            return text
        extra = "ßenäüung"[: max(len(text), 3)] + " unterdessen" * (len(text) // 40)
        return text + extra if len(text) < 24 else text + " " + extra

    def isEmpty(self) -> bool:
        """It has texts."""
        return False


def rows(desk: Desk, count: int) -> None:
    """A sparse volume of so many slices, all taken."""
    shape = (count, 32, 32)
    volume = slicer.util.addVolumeFromArray(
        np.random.default_rng(0).normal(100, 20, shape), ijkToRAS=np.diag([6, 6, 8, 1]), name="Stack"
    )
    volume.CreateDefaultDisplayNodes()
    desk.add_all(desk.show(volume))


def two_bodies(desk: Desk, model: str = "tiny") -> None:
    """Slices of two volumes whose thickness nobody knows: each gives the result a warning.

    The model is chosen, registered.
    """
    from SparseVolumeReconstructionLib.workflow.choices import FrameMode

    p = desk.parameters
    p.prior, p.frameMode, p.spacing, p.samples = model, FrameMode.REGISTERED, 5.0, 2
    for name, view in (("Body of the first visit", "Red"), ("Body of the second visit", "Green")):
        desk.show(add_body(name))
        desk.host.click(getattr(desk.ui, f"add{view}Button"))


def states(desk: Desk) -> Iterator[str]:
    """Bring the panel from one state into the next; gives the name of each."""
    yield "empty"
    desk.add_all(desk.sample())
    yield "slices"
    desk.host.click(desk.ui.applyButton)
    desk.host.wait_until(lambda: desk.status.fraction > 0.02, 60)
    yield "running"
    desk.host.click(desk.ui.applyButton)
    desk.wait()
    desk.ui.removeAllButton.click()
    slicer.mrmlScene.Clear(0)
    rows(desk, 16)
    yield "rows"
    desk.host.click(desk.ui.addRedButton)
    desk.parameters.reference = slicer.util.getNode("Stack")
    slicer.util.setSliceViewerLayers(background=None)
    desk.host.click(desk.ui.addYellowButton)
    yield "refused"
    slicer.mrmlScene.Clear(0)
    two_bodies(desk, "brain-t1")
    desk.apply()
    yield "warnings"


def write(folder: Path, prefix: str = "", translator: QtCore.QTranslator | None = None) -> None:
    """All states at all sizes, in a host of its own; with a translator in its language."""
    with Host() as host, translated(translator):
        desk = Desk(host)
        for state in states(desk):
            for screen, (size, _width) in SCREENS.items():
                set_screen(host, screen)
                host.picture(folder / f"{prefix}{state}-{screen}.png", size)


@contextlib.contextmanager
def translated(translator: QtCore.QTranslator | None) -> Iterator[None]:
    """Panels that are made meanwhile speak the translator's language."""
    application = QtCore.QCoreApplication.instance()
    if translator is not None:
        application.installTranslator(translator)
    yield
    if translator is not None:
        application.removeTranslator(translator)


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as models:
        os.environ["SVR_MODELS_DIR"] = models
        write(folder)
        write(folder, "long-", LongWords())


if __name__ == "__main__":
    main()
