"""A completion is one call of a model by a key: admitted with its holds, sent, and settled exactly once.

A run: two wide events in the usual case. Its commands are decided in `domain.admission`, since admission crosses aggregates.
Stream: ``{org}/completion/{completion_id}``.
"""
