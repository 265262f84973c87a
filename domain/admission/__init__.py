"""The decision that crosses aggregates: may this completion be sent, and what has it cost?

`directory` is what admission reads (keys, teams, models, budgets), `ledger` what is spent, held and counted, `admit` the decider.
All of it is folded from the log; nothing here does I/O.
"""
