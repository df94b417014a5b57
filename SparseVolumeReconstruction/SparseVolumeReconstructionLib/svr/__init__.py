"""Slice-to-volume reconstruction (SVR): from the template of a result to the tools that reconstruct from
whole stacks.
"""
