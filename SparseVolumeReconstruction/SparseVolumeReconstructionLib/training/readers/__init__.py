"""The networks that find brains in single slices, taught by made-up slices of label maps."""

from ...priors.systems import System

SYSTEMS = (
    System(
        "head-reader",
        __name__,
        "Head reader",
        "U-Net that finds the brain, and places in it, in single slices of heads of any MR contrast.",
        task="task:HeadReaderTask",
        place=91,
    ),
    System(
        "fetal-reader",
        __name__,
        "Fetal reader",
        "U-Net that finds the brain in single slices of fetal MRI, whatever is around it.",
        task="task:FetalReaderTask",
        place=92,
    ),
)
