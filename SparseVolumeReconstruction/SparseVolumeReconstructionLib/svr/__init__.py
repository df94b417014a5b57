"""Slice-to-volume reconstruction (SVR).

From the template of a result to the tools that reconstruct from whole stacks.
"""
