"""Other libraries' signatures, over the native engine where it can be."""
