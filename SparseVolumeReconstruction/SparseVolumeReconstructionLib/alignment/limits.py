"""From where on a frame is doubted or refused; without torch, for those who only show it."""

import math

RIGHT_MM = 8.0
"""A frame is right that puts the brain, as a mean, no further from where it belongs."""
MIN_PROBABILITY, MIN_THINKABLE = 0.7, 0.01
"""Frames that are less probable are told; found ones that are hardly thinkable are refused."""


def rounded_down(value: float, digits: int = 2) -> str:
    """A value that is below a limit, so written that it does not look as if it had reached it.

    Args:
        value: below the limit.
        digits: after the point.
    """
    return f"{math.floor(value * 10**digits + 1e-9) / 10**digits:.{digits}f}"
