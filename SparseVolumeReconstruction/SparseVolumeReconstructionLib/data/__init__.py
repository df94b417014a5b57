"""Cohorts of volumes, registered and normalised alike, and what networks are trained on."""
