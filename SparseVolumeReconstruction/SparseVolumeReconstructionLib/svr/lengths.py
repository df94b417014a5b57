"""Correlation lengths of bodies in mm. Nothing heavy is imported, so that requests know them."""

SMOOTH_MM, SHARP_MM = 20.0, 5.0  # while poses are unsure, and of the volume itself
