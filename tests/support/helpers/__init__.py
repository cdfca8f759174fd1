"""What several tests share: models, attributions made up, wrong calls, and how commands and pages are run."""
