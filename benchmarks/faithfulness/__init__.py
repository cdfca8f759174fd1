"""Is it faithful? Tasks x models x methods, an ablation on a tuning split, the proof on a held-out one."""
