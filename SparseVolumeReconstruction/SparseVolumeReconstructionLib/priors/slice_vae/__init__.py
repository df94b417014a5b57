"""The slice VAE with a Gaussian over its codes along the stack."""
