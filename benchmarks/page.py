"""docs/performance.md, made from the committed results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.contenders import NAMES

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
COLUMNS = (
    "contender",
    "true error",
    "CPU s",
    "wall s",
    "times faster than (a)",
    "gradients",
    "extra MiB",
    "operator calls",
    "rho of scores",
    "of peak",
)
HEAD = """# Performance

What it takes to get the layer relevance of all layers and the attention gradients of an input, by several ways, in one
process that lets them take turns. Written by `make bench` from `benchmarks/results/`; do not edit.

- **True error**: relative error of r_l (norm over tokens) against a converged reference, the worst of the layers.
- **Times faster than (a)**: CPU seconds of (a) over the contender's in the same round; median, and the smallest and
  largest of the rounds. The machine is shared with other work, so CPU time is compared, not wall time.
- **Gradients**: path points at which a gradient was taken, all layers and inputs, end points included.
- **Extra MiB**: growth of a fresh process during its first call. **Operator calls**: `aten::` operators, nested ones
  too.
- **Rho of scores**: Spearman's rank correlation of the fused scores to the converged ones, special tokens left out.
- **Of peak**: floating-point operations of our own call a CPU second, over those of the machine's best square float32
  matrix product measured in the same run.
- (a) and (c) are Captum's LayerIntegratedGradients in a loop over the layers, Gauss-Legendre nodes, with the best of
  four values of internal_batch_size, and one eager pass (on a copy prepared beforehand) for attention gradients.
  Captum cannot integrate at the inputs of these blocks, so it integrates at the output of the module before: the same
  tensor.
- (b), (d) and (e) also fuse the signals and roll them out; Captum has no such part. (c) was given its number of nodes
  for each layer by a search against the converged reference, which is not timed and which nobody has in practice.
- (d) and (e) are an `Explainer` that has seen five other inputs (two at BERT-base geometry), so it knows where to
  begin; the end points alone need no such knowledge.
- Losses are here too: (e) loses wherever the processor has no bfloat16 instructions.

Nothing is written where the native engine differs from the oracle by more than 1e-5 at equal nodes, where the converged
reference differs from Captum at 64 nodes by more than 2e-2, or where (d) misses twice its tolerance.
"""


def write(results: Path, path: Path = PAGE) -> None:
    """Write the page of every result file in a folder."""
    path.write_text(text([json.loads(f.read_text()) for f in sorted(results.glob("*.json"))]))


def text(files: list[dict[str, Any]]) -> str:
    """The page; files without works are other benchmarks' and are left out."""
    works = [(name, work) for file in files for name, work in file.get("works", {}).items()]
    return "\n".join([HEAD, _summary(works), *(_section(name, work) for name, work in works)])


def cells(row: dict[str, Any]) -> list[str]:
    """One contender as the cells of `COLUMNS`."""
    ratio, rho, share = row["ratio"], row["rank_correlation"], row.get("share_of_peak")
    spread = "" if row["rounds"] == 1 else f" ({ratio['min']:.2f}-{ratio['max']:.2f})"
    extra, calls = row.get("extra_bytes"), row.get("operator_calls")
    return [
        NAMES[row["contender"]],
        f"{max(row['errors']):.1e}",
        _seconds(row["cpu_seconds"], row["rounds"]),
        _seconds(row["wall_seconds"], row["rounds"]),
        f"{ratio['median']:.2f}{spread}",
        str(row["gradients"]),
        "-" if extra is None else f"{extra / 2**20:.0f}",
        "-" if calls is None else str(calls),
        "-" if rho is None else f"{rho:.4f}",
        "-" if share is None else f"{share:.0%}",
    ]


def _summary(works: list[tuple[str, dict[str, Any]]]) -> str:
    """One line a work: how much faster than (a) the default settings and the end points alone are."""
    head = ("work", "processor", "threads", "(a) CPU s", "(d) CPU s", "times faster", "true error", "end points alone")
    lines = [_row(head), _row(["---", "---", *["---:"] * (len(head) - 2)])]
    for name, work in works:
        rows, about = {r["contender"]: r for r in work["rows"]}, work["machine"]
        ours, ends = rows["native"], rows.get("ends")
        times = [f"{rows[n]['cpu_seconds']['median']:.2f}" for n in ("captum", "native")]
        ratio, error = f"{ours['ratio']['median']:.1f}", f"{max(ours['errors']):.1e}"
        quick = "-" if ends is None else f"{ends['ratio']['median']:.0f}"
        lines.append(_row([name, about["processor"], str(about["threads"]), *times, ratio, error, quick]))
    return "\n".join([*lines, ""])


def _section(name: str, work: dict[str, Any]) -> str:
    about = work["machine"]
    lines = [
        f"## {name}: {work['title']}",
        "",
        f"{about['processor']} ({about['instruction_set']}), {about['threads']} thread{'s' * (about['threads'] > 1)}, "
        f"{about['date']}, torch {about['torch']}, transformers {about['transformers']}, captum {about['captum']}; "
        f"float32 product peak {work['product_peak_flops'] / 1e9:.0f} GFLOP a CPU second.",
        "",
        _row(COLUMNS),
        _row(["---", *["---:"] * (len(COLUMNS) - 1)]),
        *(_row(cells(row)) for row in work["rows"]),
        "",
        "True error by layer:",
        "",
        _row(["layer", *map(str, work["layers"])]),
        _row(["---", *["---:"] * len(work["layers"])]),
        *(_row([NAMES[r["contender"]], *(f"{e:.1e}" for e in r["errors"])]) for r in work["rows"]),
        "",
        _notes(work),
        "",
    ]
    return "\n".join(lines)


def _notes(work: dict[str, Any]) -> str:
    known, inputs = work["inputs_with_truth"], work["inputs"]
    which = "" if known == inputs else f", for {known} of the {inputs} inputs, to which the errors belong"
    notes = [
        f"Converged reference: our native engine, {work['truth']}{which}; Captum at 64 Gauss nodes is within "
        f"{max(work['captum_at_64_against_truth']):.1e} of it. Native against oracle at 8 equal nodes: "
        f"{work['native_against_oracle']:.1e}. internal_batch_size {work['internal_batch_size']}."
    ]
    if work["fewest_nodes"]:
        notes.append(f"Nodes of (c) by layer: {', '.join(map(str, work['fewest_nodes']))}.")
    if len(set(work["tokens"])) > 1:
        notes.append(f"Tokens: {', '.join(map(str, work['tokens']))}.")
    if work["captum_padded_and_single_seconds"]:
        padded, single = work["captum_padded_and_single_seconds"]
        notes.append(
            f"Two nodes at one layer took Captum {padded:.1f} CPU s as one padded batch, {single:.1f} s one by one."
        )
    once = [NAMES[r["contender"]][:3] for r in work["rows"] if r["rounds"] == 1]
    if once:
        notes.append(f"One round of {', '.join(once)}; {max(r['rounds'] for r in work['rows'])} of the others.")
    missing = [NAMES[n] for n in NAMES if n not in {r["contender"] for r in work["rows"]}]
    if missing:
        notes.append(f"Not measured here: {'; '.join(missing)}.")
    return " ".join(notes)


def _row(parts: Any) -> str:
    return f"| {' | '.join(parts)} |"


def _seconds(spread: dict[str, float], rounds: int) -> str:
    middle = f"{spread['median']:.2f}"
    return middle if rounds == 1 else f"{middle} ({spread['min']:.2f}-{spread['max']:.2f})"
