"""Conditional BRUNO: a conditional flow to latents that are processes.

Each dimension of the latents is a process over the slices of one body.
"""

from ..systems import System

SYSTEMS = (
    System(
        "bruno",
        __name__,
        "Conditional BRUNO",
        "Normalizing flow of axial slices with an exchangeable or a pose-aware process.",
        prior="prior:BrunoPrior",
        task="training:BrunoTask",
        variants=("bruno-pose", "bruno"),
        place=20,
    ),
)
