"""A network that segments brains, taught by synthetic images of label maps.

It serves the realistic atlas score.
"""

from ...priors.systems import System

SYSTEMS = (
    System(
        "segmentation",
        __name__,
        "Segmentation",
        "U-Net that segments brains for the realistic atlas score; taught by synthetic images of label maps.",
        task="task:SegmentationTask",
        variants=("segmentation",),
        place=90,
    ),
)
