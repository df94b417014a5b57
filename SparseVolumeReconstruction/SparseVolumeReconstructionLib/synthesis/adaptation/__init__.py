"""Unsupervised domain adaptation: a synthesis network carried to a scanner of which no paired scans exist."""
