"""A network that refines the posterior of another prior."""

from ..systems import System

SYSTEMS = (
    System(
        "refiner",
        __name__,
        "Refiner",
        "U-Net that refines the posterior mean of a structured Gaussian, slice by slice.",
        prior="prior:RefinedPrior",
        task="training.task:RefinerTask",
        observes=("slice", "radiograph"),
        place=15,
    ),
)
