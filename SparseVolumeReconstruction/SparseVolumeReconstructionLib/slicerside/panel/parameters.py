"""What is chosen in the panel, kept in the scene's parameter node."""

from __future__ import annotations

from typing import Annotated

from slicer import vtkMRMLLinearTransformNode, vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import Minimum, WithinRange, parameterNodeWrapper

from ..workflow.choices import Device, FrameMode, Layer


@parameterNodeWrapper
class Parameters:
    """The members of `Choices`, with the ranges that the widgets allow, by section of the panel."""

    allVolume: vtkMRMLScalarVolumeNode
    live: bool = False
    textured: bool = False

    prior: str = "brain-t1"
    covariateKnown: bool = False
    covariate: Annotated[float, WithinRange(0.0, 100.0)] = 30.0

    frameMode: FrameMode = FrameMode.AUTO
    frameTransform: vtkMRMLLinearTransformNode
    atlas: vtkMRMLScalarVolumeNode
    showAtlas: bool = False

    makeStd: bool = True
    makeTemplate: bool = True
    samples: Annotated[int, WithinRange(0, 64)] = 8
    name: str = "Reconstruction"
    spacing: Annotated[float, WithinRange(0.5, 5.0)] = 1.0
    likeVolume: vtkMRMLScalarVolumeNode
    keepObserved: bool = True
    device: Device = Device.AUTO
    seed: Annotated[int, WithinRange(0, 999999)] = 0

    result: vtkMRMLScalarVolumeNode
    layer: Layer = Layer.MEAN
    opacity: Annotated[float, WithinRange(0.0, 1.0)] = 1.0
    sample: Annotated[int, Minimum(0)] = 0
    markObserved: bool = False
    linkViews: bool = True
    reference: vtkMRMLScalarVolumeNode

    svrFolder: str = ""
