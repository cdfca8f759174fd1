"""The native engine: packed rows through hand-derived blocks."""
