"""A team owns API keys and answers for what they spend.

It can be suspended, which stops all its keys at once, and deleted; the team `administrators` can be neither.
Stream: ``{org}/team/{team_id}``.
"""
