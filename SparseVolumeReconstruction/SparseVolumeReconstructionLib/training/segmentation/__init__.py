"""A network that segments brains, taught by synthetic images of label maps; it serves the realistic atlas
score.
"""
