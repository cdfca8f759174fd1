"""Methods: each reads the same signals."""
