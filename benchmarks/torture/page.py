"""The page docs/torture.md: how the claims are judged, the hard cases, and the counter of lies."""

from __future__ import annotations

from typing import Any

from benchmarks.torture import cases, report

HEAD = """---
hide: [toc]
---

# Hard integrals

`make torture` measures two things: hard cases beside Captum, and how often our own marks are wrong.
The numbers are in [benchmarks/results/torture.json](../benchmarks/results/torture.json).

## How a claim is judged

A claim is the relative error that a result states for r_l or for the scores. It is marked if it is within the
tolerance. A marked claim is a lie if the true error exceeds twice the tolerance.

The truth is an adaptive Clenshaw-Curtis rule in float64. It shares no estimate with our rule, and ignores the gap. It
stops at an estimated relative error of 5e-6. A claim is judged only where that error is at most a tenth of the
tolerance.

The same truth judges claims in bfloat16 and float16: [accuracy](accuracy.md) promises that the error includes the
rounding of the dtype. `worst beside rounding` compares with the integral that bfloat16 itself computes.

Captum states no error of the integral. Its convergence delta over |F(x) - F(x')| stands for it. Its 50 steps are
doubled up to 800 until that number is within the tolerance.
"""
CASES = """
## Hard cases

Integrands of eight tokens stand first. In most of them the hard part sums to zero over the tokens, so that completeness
cannot see it. Models follow, one input each: all layers for us, three layers for Captum. Columns: marked integrals;
lies; claimed and true error of the worst marked one; gradients of one integral.
"""
MECHANISMS = """
Mechanisms of our lies:

- **Values between the nodes.** A balanced spike, step or wave that all first nodes miss changes neither the rules'
  difference nor the gap. No rule with fixed first nodes sees it. Captum's delta does not see it either.
- **A jump.** Two rules of the same order agree by chance when jumps of opposite signs lie near the middle of their
  intervals. Where the second differences fall too slowly, the root of their sum of squares bounds the error.
- **A root at an end.** After the path is cut into panels, the two panel rules differ at a jump by a tenth of the error
  or less. A panel whose fourth differences are as large as its second ones is judged by these.
- **Slow start.** Where e1 is still large, e1 squared can be several times too small.
- **Rounding.** Deep models magnify the rounding of 16 bits, and all nodes share it. An explanation measures it at its
  first calls, and a recorded path at its own ends.
- **Scores that cancel.** The rollout normalises its rows. Where a row nearly cancels, a small error of r_l makes a
  large error of the scores.
"""
LIES = """
## The counter of lies

Judged are {judged}. Explanations run the models. Recorded paths are integrated again as one call of `explain` would do,
without the rounding of float32.

{marked} claims are marked, and {known} of them have a truth. {lies} of these are off by more than twice the tolerance,
and {gross} by more than four times.
"""


def written(found: dict[str, Any]) -> str:
    """The page of the results."""
    parts = [HEAD]
    if "cases" in found:
        rows = found["cases"]["rows"]
        parts += [CASES, measured(found["cases"]["machine"]), cases.markdown(rows), MECHANISMS]
    if "lies" in found:
        lies = found["lies"]
        whole = lies["all"]
        parts += [
            LIES.format(
                judged=lies["judged"],
                marked=whole["marked"],
                known=whole["with truth"],
                lies=whole["> 2x"],
                gross=whole["> 4x"],
            ),
            measured(lies["machine"]),
        ]
        for name, keys in (("kinds", ["claims", "tolerance"]), ("groups", ["inputs", "baseline", "claims"])):
            table = {tuple(row[k] for k in keys): row for row in lies[name]}
            parts += [report.markdown(table, keys), ""]
    return "\n".join(parts).rstrip() + "\n"


def measured(machine: dict[str, Any]) -> str:
    """The machine, the versions and the date, in a sentence."""
    packages = ", ".join(f"{name} {machine[name]}" for name in ("torch", "transformers", "captum"))
    return f"Measured on {machine['processor']}, {machine['threads']} thread, {packages}, {machine['date']}.\n"
