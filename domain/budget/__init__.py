"""A budget limits what its scope may spend in each calendar period.

What is spent and held is not here: the ledger folds it from completions (`domain.admission.ledger`). Here are the rules: limits, scope,
period, and what happens at the limit. A reset begins a new generation. Stream: ``{org}/budget/{budget_id}``.
"""
