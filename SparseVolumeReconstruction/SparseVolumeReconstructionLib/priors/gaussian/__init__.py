"""The Gaussian process that several systems are made of: parameters, fit, fields, posterior of stacks."""
