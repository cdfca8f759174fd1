"""From what the user passed to what the model takes: text, images, baselines, targets."""
