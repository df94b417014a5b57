"""What reads slices: networks taught by made-up slices of label maps, and judges of what is found."""

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
    System(
        "frame-judge",
        __name__,
        "Frame judge",
        "Logistic regression that tells how probably a frame that was found is right.",
        place=93,
    ),
    System(
        "contrast-judge",
        __name__,
        "Contrast judge",
        "Logistic regression that tells the contrast of slices of a brain in words.",
        place=94,
    ),
    System(
        "mirror-judge",
        __name__,
        "Mirror judge",
        "Linear discriminant that tells axial T1w slices of a brain from their mirror images.",
        place=95,
    ),
)
