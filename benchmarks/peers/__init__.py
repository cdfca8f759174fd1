"""Our metrics' numbers beside those of Captum, ferret and Quantus, on the same models and inputs."""
