"""Explanations of a corpus as tables, each input exactly once: files, data sets and iterables, in worker processes."""

from __future__ import annotations

from .columns import Columns
from .estimate import Estimate, estimate
from .frames import Frames
from .report import report
from .run import Summary, explain_corpus
from .verify import Checked, verify

__all__ = ["Checked", "Columns", "Estimate", "Frames", "Summary", "estimate", "explain_corpus", "report", "verify"]
