"""What the gateway is about: facts, rules and money, with no I/O, no clock and no randomness."""
