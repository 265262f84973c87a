"""When this happens, ask for that: one file each."""
