"""Pictures of an attribution: in the terminal, as an HTML page, as figures. They know the result type alone."""
