"""Fitting priors to cohorts of volumes."""
