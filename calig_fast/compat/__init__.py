"""Old names of modules; each warns once."""
