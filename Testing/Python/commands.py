"""The commands that the documents promise."""

COMMANDS = (
    "reconstruct",
    "mask",
    "evaluate",
    "models",
    "train",
    "experiment",
    "benchmark",
    "worker",
    "demo",
    "web",
)
