"""From where on a frame is doubted or refused; without torch, for those who only show it."""

RIGHT_MM = 8.0
"""A frame is right that puts the brain, as a mean, no further from where it belongs."""
MIN_PROBABILITY, MIN_THINKABLE = 0.7, 0.01
"""Frames that are less probable are told; found ones that are hardly thinkable are refused."""
