"""A process of the gateway, from its start: the owner of the completions that it admits.

It is alive while it holds the PostgreSQL advisory lock that its start names. Stream: ``{org}/process/{process_id}``.
"""
