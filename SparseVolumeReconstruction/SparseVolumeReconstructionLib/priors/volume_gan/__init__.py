"""Generators of whole volumes from one code: the comparison models of the slice VAE, as one system."""

from ..systems import System

SYSTEMS = (
    System(
        "volume-model",
        __name__,
        "Volume model",
        "Generator of whole volumes: 3D VAE, VAE-GAN, WGAN-GP, alpha-GAN or alpha-WGAN.",
        prior="prior:VolumeGanPrior",
        task="training:VolumeGanTask",
        variants=("volume-vae", "alpha-wgan", "wgan-gp", "vae-gan", "alpha-gan"),
        draws="volumes",
        place=40,
    ),
)
