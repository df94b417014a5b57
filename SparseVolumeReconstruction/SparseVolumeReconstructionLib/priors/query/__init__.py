"""Networks that are asked for slices: GQN and a conditional VAE, given the mean of the contexts'
representations.
"""
