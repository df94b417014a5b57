"""3D pix2pix: a missing contrast from others, taught by paired scans."""

from ...priors.systems import System

SYSTEMS = (
    System(
        "synthesis",
        __name__,
        "Contrast synthesis",
        "3D pix2pix that makes a missing contrast from others; taught by paired scans.",
        task="task:SynthesisTask",
        variants=("pix2pix",),
        draws="volumes",
        place=95,
    ),
)
