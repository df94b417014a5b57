"""The slice VAE with a Gaussian over its codes along the stack."""

from ..systems import System

SYSTEMS = (
    System(
        "slice-vae",
        __name__,
        "Slice VAE and Gaussian",
        "VAE of axial slices with a Gaussian over the codes of a stack.",
        prior="prior:SliceVaePrior",
        task="training:SliceVaeTask",
        variants=("slice-vae",),
        place=10,
    ),
)
