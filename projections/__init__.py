"""Read models: one file per question, each with its tables, what fills them from events, and what may be asked of them."""

from projections import api_keys, budgets, completions, credentials, holds, models, teams, usage

READ_MODELS = (teams, api_keys, credentials, models, budgets, holds, usage, completions)
