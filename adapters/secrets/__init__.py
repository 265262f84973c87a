"""Where secrets are read from."""
