"""Measurements of the model lifecycle, run by `make bench-lifecycle`."""
