"""The data of a result: scores, layers, error, and the words or patches they belong to."""
