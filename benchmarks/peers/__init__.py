"""Our metrics compared with Captum, ferret and Quantus, on the same models and inputs."""
