"""Functions to fill the input of an interpreter and to read its outputs."""
