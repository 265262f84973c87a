"""A report of refusals: how often one rule has refused one key lately, counted by one process.

Refused requests leave this trace and no events of their own, so that nobody floods the log by being refused. A run: one event.
Stream: ``{org}/refusal/{refusal_id}``.
"""
