"""Generative systems: each one is a Prior, conditioned on observations it gives a Posterior."""
