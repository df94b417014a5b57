"""What can be chosen in a front end; the names of the members are stored in scenes and never change."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..mrml.i18n import _


class FrameMode(Enum):
    """Where the patient lies with respect to the prior's space."""

    AUTO = "auto"
    TRANSFORM = "transform"
    REGISTERED = "registered"

    def label(self) -> str:
        """The text in a menu."""
        return {
            "auto": _("Found from the slices"),
            "transform": _("Transform node"),
            "registered": _("Already registered"),
        }[self.value]


class Device(Enum):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "cuda:0"

    def label(self) -> str:
        """The text in a menu."""
        return {"auto": _("Automatic"), "cpu": _("CPU"), "cuda:0": _("GPU")}[self.value]


class Layer(Enum):
    """Which volume of a result is shown."""

    MEAN = "mean"
    STD = "std"
    SAMPLE = "sample"
    FLUID = "csf"
    GREY_MATTER = "gm"
    WHITE_MATTER = "wm"
    FLUID_STD = "csf_std"
    GREY_MATTER_STD = "gm_std"
    WHITE_MATTER_STD = "wm_std"
    NOTHING = "nothing"

    def label(self) -> str:
        """The text in a menu."""
        return {
            "mean": _("Mean"),
            "std": _("Uncertainty (sd)"),
            "sample": _("Sample"),
            "csf": _("Fluid"),
            "gm": _("Grey matter"),
            "wm": _("White matter"),
            "csf_std": _("Fluid (sd)"),
            "gm_std": _("Grey matter (sd)"),
            "wm_std": _("White matter (sd)"),
            "nothing": _("Nothing"),
        }[self.value]


class ShowAs(Enum):
    """In which contrast what is inferred is shown."""

    OWN = "own"
    T1W = "t1w"
    T2W = "t2w"
    FLAIR = "flair"

    def label(self) -> str:
        """The text in a menu."""
        return {
            "own": _("As the slices"),
            "t1w": _("T1w, as the model"),
            "t2w": _("T2w, usual grey values"),
            "flair": _("FLAIR, usual grey values"),
        }[self.value]


class Draws(Enum):
    """What samples start from, where the model leaves a choice."""

    DONORS = "donors"
    GAUSSIAN = "gaussian"

    def label(self) -> str:
        """The text in a menu."""
        return {"donors": _("Real anatomy"), "gaussian": _("Noise")}[self.value]


# Lowest and highest value of every choice that is a number; sample: no more than there are.
RANGES = {
    "covariate": (0.0, 100.0),
    "samples": (0, 64),
    "spacing": (0.5, 5.0),
    "seed": (0, 999999),
    "opacity": (0.0, 1.0),
    "sample": (0, 999),
}
_VOLUME = "vtkMRMLScalarVolumeNode"
# The choices that are nodes, with the class of each.
NODES = {name: _VOLUME for name in ("allVolume", "atlas", "likeVolume", "result", "reference")} | {
    "frameTransform": "vtkMRMLLinearTransformNode",
    "mask": "vtkMRMLSegmentationNode",
}


@dataclass
class Choices:
    """All that a user chooses, with its defaults; lengths in mm, nodes are None until chosen.

    The names are stored in scenes.

    Attributes:
        allVolume: sparse acquisition to take whole.
        mask: segmentation of the brain, found in a stack or made by hand; None to find it in the slices.
        likeVolume: volume whose grid the results take.
        atlas: what is laid over the slices.
        result: mean of the reconstruction that is looked at.
        sample: index from 0.
        showBrain: whether the brain that was found in whole heads is outlined, instead of what was observed.
        showFrames: whether the context slices are drawn.
    """

    allVolume: object = None
    mask: object = None
    live: bool = False
    textured: bool = False
    prior: str = "brain-t1"
    covariateKnown: bool = False
    covariate: float = 30.0
    frameMode: FrameMode = FrameMode.AUTO
    frameTransform: object = None
    atlas: object = None
    showAtlas: bool = False
    makeStd: bool = True
    makeTemplate: bool = True
    makeTissues: bool = False
    samples: int = 8
    draws: Draws = Draws.DONORS
    name: str = "Reconstruction"
    spacing: float = 1.0
    likeVolume: object = None
    keepObserved: bool = True
    device: Device = Device.AUTO
    showAs: ShowAs = ShowAs.OWN
    seed: int = 0
    result: object = None
    layer: Layer = Layer.MEAN
    opacity: float = 1.0
    sample: int = 0
    markObserved: bool = False
    showBrain: bool = False
    showFrames: bool = True
    linkViews: bool = True
    reference: object = None
    svrFolder: str = ""


def forget(choices, node) -> None:
    """Let no choice (`choices` has the attributes of Choices) name a node that leaves the scene.

    Nothing is chosen in its place.
    """
    for name in NODES:
        if getattr(choices, name) is node:
            setattr(choices, name, None)
