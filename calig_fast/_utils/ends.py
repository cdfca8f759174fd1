"""The reasons for which an integral ends without meeting its tolerance, by their codes in a result."""

ENDS = ("", "limit", "rounding", "spike", "memory", "nonfinite")
