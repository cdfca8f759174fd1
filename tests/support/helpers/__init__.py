"""Common parts of several tests: models, synthetic attributions, wrong calls, and runners of commands and pages."""
