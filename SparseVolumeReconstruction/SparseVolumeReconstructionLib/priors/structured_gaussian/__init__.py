"""The structured Gaussian: low-rank modes of a cohort and a correlated residual, conditioned exactly."""

from ..systems import System

SYSTEMS = (
    System(
        "structured-gaussian",
        __name__,
        "Structured Gaussian",
        "Low-rank Gaussian with a correlated residual; 20 to 500 volumes.",
        prior="prior:StructuredGaussian",
        observes=("slice", "radiograph"),
        place=0,
    ),
)
