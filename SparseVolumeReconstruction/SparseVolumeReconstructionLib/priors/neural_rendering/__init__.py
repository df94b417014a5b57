"""Networks that render slices on demand: GQN and a conditional VAE.

Both are given the mean of the contexts' representations.
"""

from ..systems import System

SYSTEMS = (
    System(
        "gqn",
        __name__,
        "Generative Query Network",
        "Generative Query Network: slices drawn in steps from the mean representation of the contexts.",
        prior="prior:NeuralRenderingPrior",
        task="training:GqnTask",
        variants=("gqn",),
        place=30,
    ),
    System(
        "cvae",
        __name__,
        "Conditional VAE",
        "Conditional VAE of axial slices given their pose and the mean representation of the contexts.",
        prior="prior:NeuralRenderingPrior",
        task="training:CvaeTask",
        variants=("cvae",),
        place=31,
    ),
)
