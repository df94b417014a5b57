"""MRNGAN: a recurrent network that goes from slice to slice, outwards from those that were seen."""

from ..systems import System

SYSTEMS = (
    System(
        "mrngan",
        __name__,
        "MRNGAN",
        "MRNGAN: the next slice from the last one, pix2pix of it and a general brain, by a recurrent cell.",
        prior="prior:MrnganPrior",
        task="training:MrnganTask",
        variants=("mrngan",),
        place=35,
    ),
)
