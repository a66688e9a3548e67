"""Functions for the Edge TPU and for label files."""
