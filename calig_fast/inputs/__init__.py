"""Conversion of the user's inputs to the model's arguments: text, images, baselines, targets."""
