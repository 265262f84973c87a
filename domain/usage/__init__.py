"""The records of what was used, as far as they are kept: those before a moment may be deleted, for good.

The log still tells what each completion cost, and budgets don't move. Stream: ``{org}/usage/records``.
"""
