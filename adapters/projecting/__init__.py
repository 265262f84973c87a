"""Feeds read models from the log, exactly once: their rows and how far they have come commit in one transaction."""
