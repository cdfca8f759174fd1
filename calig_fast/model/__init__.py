"""Models: their encoders, a clone under control, attention maps, families."""
