"""What the gateway does, calling the world through ports."""
