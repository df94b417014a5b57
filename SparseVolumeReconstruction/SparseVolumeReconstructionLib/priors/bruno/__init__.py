"""Conditional BRUNO: a conditional flow to latents whose dimensions are processes over the slices of one
body.
"""
