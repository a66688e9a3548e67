"""The interface of Google's pycoral 2.0: replace "pycoral" by "imprintkit.pycoral" in the imports of a program.

The modules utils, adapters and learn are there; pipeline is not.
"""
