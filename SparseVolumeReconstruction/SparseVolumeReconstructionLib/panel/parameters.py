"""What is chosen in the panel, kept in the scene's parameter node."""

from __future__ import annotations

from typing import Annotated

from slicer import vtkMRMLLinearTransformNode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import Minimum, WithinRange, parameterNodeWrapper

from ..workflow.choices import RANGES, Device, Draws, FrameMode, Layer, ShowAs


@parameterNodeWrapper
class Parameters:
    """The members of `Choices`, with the ranges that the widgets allow, by section of the panel."""

    allVolume: vtkMRMLScalarVolumeNode
    mask: vtkMRMLSegmentationNode
    live: bool = False
    textured: bool = False

    prior: str = "brain-t1"
    covariateKnown: bool = False
    covariate: Annotated[float, WithinRange(*RANGES["covariate"])] = 30.0

    frameMode: FrameMode = FrameMode.AUTO
    frameTransform: vtkMRMLLinearTransformNode
    atlas: vtkMRMLScalarVolumeNode
    showAtlas: bool = False

    makeStd: bool = True
    makeTemplate: bool = True
    makeTissues: bool = False
    samples: Annotated[int, WithinRange(*RANGES["samples"])] = 8
    draws: Draws = Draws.DONORS
    name: str = "Reconstruction"
    spacing: Annotated[float, WithinRange(*RANGES["spacing"])] = 1.0
    likeVolume: vtkMRMLScalarVolumeNode
    keepObserved: bool = True
    device: Device = Device.AUTO
    showAs: ShowAs = ShowAs.OWN
    seed: Annotated[int, WithinRange(*RANGES["seed"])] = 0

    result: vtkMRMLScalarVolumeNode
    layer: Layer = Layer.MEAN
    opacity: Annotated[float, WithinRange(*RANGES["opacity"])] = 1.0
    sample: Annotated[int, Minimum(0)] = 0
    markObserved: bool = False
    showBrain: bool = False
    showFrames: bool = True
    linkViews: bool = True
    reference: vtkMRMLScalarVolumeNode

    svrFolder: str = ""
