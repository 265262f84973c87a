"""Figures, each with its baseline measured in the same run. `make bench`; not part of the timed tests."""
