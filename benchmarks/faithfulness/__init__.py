"""Faithfulness of the methods: tasks x models x methods, an ablation on a tuning split, the test on a held-out one."""
