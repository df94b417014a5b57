"""See a whole body from a few slices: dense volumes, samples and uncertainty from sparse observations."""

__version__ = "0.2.0"
