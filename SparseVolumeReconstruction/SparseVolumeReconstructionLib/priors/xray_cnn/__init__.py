"""The network of the single-image tomography paper: from one radiograph to a volume of depth channels."""

from ..systems import System

SYSTEMS = (
    System(
        "xray-cnn",
        __name__,
        "X-ray network",
        "2D network from one radiograph to a volume (single-image tomography).",
        prior="prior:XrayNetworkPrior",
        task="training.task:XrayTask",
        observes=("radiograph",),
        place=60,
    ),
)
