"""A network that carries the draws of another prior to anatomy."""

from ..systems import System

SYSTEMS = (
    System(
        "flow",
        __name__,
        "Flow",
        "Network that carries samples of a structured Gaussian to samples that look like scans.",
        prior="prior:FlowPrior",
        task="training.task:FlowTask",
        draws="volumes",
        observes=("slice", "radiograph"),
        place=16,
    ),
)
