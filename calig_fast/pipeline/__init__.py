"""The way of one call: options, inputs, engine, integration, results. `explain` and `Explainer` are in `explain`."""
