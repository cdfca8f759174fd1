"""Progress and warnings."""
