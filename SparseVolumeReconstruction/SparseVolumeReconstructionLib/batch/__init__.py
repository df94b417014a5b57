"""Cohorts of thousands of cases on Dask: what to do with each, where results go, what is done already."""
