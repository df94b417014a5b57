"""Generators of whole volumes from one code: the comparison models of the slice VAE, as one system."""
