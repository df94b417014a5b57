"""The one training loop of all deep priors: configuration, data, augmentation, steps, checkpoints."""
