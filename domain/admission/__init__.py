"""The decision that crosses aggregates: may this completion be sent, and what has it cost?

Known: `directory` (keys, budgets' scopes, prices), `ledger` (money), `rates` (requests and tokens in `window`s, open completions).
Decided: `case` looks up whom a request concerns, `terms` says how long its answer may be and what is held, `rules` refuse; `admit` is the
decider, with `hold` for more money and `settle` for the end. All of it is folded from the log; nothing here does I/O.
"""
