"""docs/performance.md, made from the committed results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.contenders import NAMES
from benchmarks.page_parts import memory_section, not_done_section, row_of, ruler
from benchmarks.truth import BF16_TOLERANCE, TOLERANCE
from calig_fast._utils import files

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BASES = ("captum", "captum_padded", "captum_one_by_one")
COLUMNS = (
    "contender",
    "true error",
    "error of scores",
    "CPU s",
    "wall s",
    "times faster than (a)",
    "than (a) one at a time",
    "gradients",
    "extra MiB",
    "operator calls",
    "rho of scores",
    "of peak",
)
HEAD = """# Performance

This page compares several ways to compute the layer relevance of all layers and the attention gradients of an input.
All run in one process, in alternating rounds. Written by `make bench` from `benchmarks/results/`; do not edit.

- **True error**: relative error of r_l (norm over tokens) against a converged result, the worst of the layers and
  inputs. **Error of scores**: the same for the final scores.
- **Times faster than (a)**: CPU seconds of (a) over the contender's in the same round; median, and the smallest and
  largest of the rounds. The machine is shared with other work, so CPU time is compared, not wall time. For a batch, (a)
  gets all inputs as one padded batch, as a loop over the layers does. A second column has (a) one input at a time.
- **Gradients**: path points with a gradient evaluation, all layers and inputs, endpoints included.
- **Extra MiB**: growth of a fresh process during its first run, by the kernel's high-water mark. **Operator calls**:
  operators of PyTorch and of ours, nested ones too.
- **Rho of scores**: Spearman's rank correlation of the final scores to the converged ones, special tokens left out,
  the mean over inputs.
- **Of peak**: floating-point operations per CPU second of our own call, relative to the machine's best square float32
  matrix product. That product, PyTorch's or ours, is measured in the same run.
- (a), (c) and (c') are Captum's LayerIntegratedGradients in a loop over the layers, with Gauss-Legendre nodes and the
  best of four values of internal_batch_size. One eager pass, on a copy prepared beforehand, gives attention gradients.
  Captum cannot integrate at the inputs of these blocks, so it integrates at the output of the module before: the same
  tensor.
- A search against the converged result, which is not timed, found the numbers of nodes of (c) and (c'). Users do not
  have such a result. (c) has one number for all layers, (c') one for each.
- (b), (d) and (e) also fuse the signals and roll them out; Captum has no such part.
- (d) and (e) are an `Explainer` that has explained other inputs of the kind, so it has learned its initial nodes.
  Before every timed call this state is restored: it never learns from a timed input. The endpoints alone need no such
  state.
- certify="scores" applies the tolerance to the final scores, not to each layer: its true error of r_l is larger.
- Slower cases are included: (e) is slower on processors without bfloat16 instructions.

No page is written in three cases. The native engine differs from the autograd engine by more than 1e-5 at equal nodes.
(Where the model magnifies the rounding of float32, the limit is twice the float32 error of the autograd engine.)
The converged result differs from Captum at 64 nodes by more than 2e-2. Or (d) exceeds twice its tolerance. Where (e)
exceeds twice 4e-2, the page reports it.
"""


def write(results: Path, path: Path = PAGE) -> None:
    """Write the page of every result file in a folder."""
    files.write(path, text([json.loads(f.read_text()) for f in sorted(results.glob("*.json"))]))


def text(files: list[dict[str, Any]]) -> str:
    """The page; files without works are other benchmarks' and are left out."""
    works = [(name, work) for file in files for name, work in file.get("works", {}).items()]
    parts = [HEAD, _summary(works) if works else "Nothing has been measured yet.\n"]
    parts += [_section(name, work) for name, work in works]
    parts += [memory_section(file["memory"]) for file in files if "memory" in file]
    parts += [not_done_section(name, figures) for file in files for name, figures in file.get("not_done", {}).items()]
    return "\n".join(parts)


def cells(row: dict[str, Any]) -> list[str]:
    """One contender as the cells of `COLUMNS`; "-" where there is no such figure."""
    rounds = row["rounds"]
    rho, share, scores = row["rank_correlation"], row.get("share_of_peak"), row.get("score_error")
    extra, calls = row.get("extra_bytes"), row.get("operator_calls")
    return [
        NAMES[row["contender"]],
        f"{max(row['errors']):.1e}",
        "-" if scores is None else f"{scores:.1e}",
        _spread(row["cpu_seconds"], rounds),
        _spread(row["wall_seconds"], rounds),
        _spread(row["ratio"], rounds),
        _spread(row["ratio_one_by_one"], rounds) if "ratio_one_by_one" in row else "-",
        str(row["gradients"]),
        "-" if extra is None else f"{extra / 2**20:.0f}",
        "-" if calls is None else str(calls),
        "-" if rho is None else f"{rho:.4f}",
        "-" if share is None else f"{share:.0%}",
    ]


def table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Head and rows of a work, without the columns in which no contender has a figure."""
    body = [cells(row) for row in rows]
    columns = [i for i in range(len(COLUMNS)) if any(line[i] != "-" for line in body)]
    return [[line[i] for i in columns] for line in ([*COLUMNS], *body)]


def _summary(works: list[tuple[str, dict[str, Any]]]) -> str:
    """One line a work: how much faster than (a) and than (c) the default settings are."""
    head = (
        "work",
        "processor",
        "threads",
        "(a) CPU s",
        "(d) CPU s",
        "(d) faster than (a)",
        "than (c)",
        "true error",
        'certify="scores"',
        "endpoints alone",
        "(e)",
    )
    lines = ["Times faster than (a) in CPU seconds:", "", row_of(head), ruler(len(head), 2)]
    for name, work in works:
        rows, about = {r["contender"]: r for r in work["rows"]}, work["machine"]
        base = next(rows[n] for n in BASES if n in rows)
        fair, own = rows.get("captum_single_n"), rows["native"]
        cpu = [r["cpu_seconds"]["median"] for r in (base, own)]
        quick = [f"{rows[n]['ratio']['median']:.1f}" if n in rows else "-" for n in ("scores", "ends", "bf16")]
        line = [
            name,
            about["processor"],
            str(about["threads"]),
            *(f"{s:.2f}" for s in cpu),
            f"{own['ratio']['median']:.1f}",
            "-" if fair is None else f"{fair['cpu_seconds']['median'] / cpu[1]:.1f}",
            f"{max(own['errors']):.1e}",
            *quick,
        ]
        lines.append(row_of(line))
    return "\n".join([*lines, ""])


def _section(name: str, work: dict[str, Any]) -> str:
    about = work["machine"]
    head, *rows = table(work["rows"])
    lines = [
        f"## {name}: {work['title']}",
        "",
        f"{about['processor']} ({about['instruction_set']}), {about['threads']} thread{'s' * (about['threads'] > 1)}, "
        f"{about['date']}, torch {about['torch']}, transformers {about['transformers']}, captum {about['captum']}; "
        f"best float32 product, GFLOP a CPU second: {_peaks(work)}.",
        "",
        row_of(head),
        ruler(len(head)),
        *map(row_of, rows),
        "",
        "True error by layer:",
        "",
        row_of(["layer", *map(str, work["layers"])]),
        ruler(1 + len(work["layers"])),
        *(row_of([NAMES[r["contender"]], *(f"{e:.1e}" for e in r["errors"])]) for r in work["rows"]),
        "",
        _notes(work),
        "",
    ]
    return "\n".join(lines)


def _peaks(work: dict[str, Any]) -> str:
    return ", ".join(f"{name} {flops / 1e9:.0f}" for name, flops in work["product_peak_flops"].items())


def _rounded(work: dict[str, Any]) -> str:
    """The difference of each engine's float32 from float64, where it exceeds the usual rounding."""
    if not (off := work.get("rounded")):
        return ""
    return f" (each against float64: native {off['native']:.1e}, autograd {off['oracle']:.1e})"


def _notes(work: dict[str, Any]) -> str:
    known, inputs = work["inputs_with_truth"], work["inputs"]
    which = "" if known == inputs else f", for {known} of the {inputs} inputs, to which the errors belong"
    notes = [
        f"Converged result: our native engine, {work['truth']}{which}; Captum at 64 Gauss nodes is within "
        f"{max(work['captum_at_64_against_truth']):.1e} of it. Native against autograd engine at 8 equal nodes: "
        f"{work['native_against_oracle']:.1e}{_rounded(work)}. internal_batch_size {work['internal_batch_size']}. "
        f"Warmed on {work['warm']} other inputs."
    ]
    if work["fewest_nodes"]:
        each = ", ".join(map(str, work["fewest_nodes"]))
        notes.append(f"Nodes of (c): {work['single_nodes']}; of (c') by layer: {each}.")
    if len(set(work["tokens"])) > 1:
        notes.append(f"Tokens: {', '.join(map(str, work['tokens']))}.")
    rounds = max(r["rounds"] for r in work["rows"])
    once = [NAMES[r["contender"]] for r in work["rows"] if r["rounds"] == 1]
    if once and rounds > 1:
        notes.append(f"One round of {'; '.join(once)}; {rounds} of the others.")
    notes += _misses(work["rows"])
    measured = {r["contender"] for r in work["rows"]}
    if measured & {"captum_padded", "captum_one_by_one"}:
        measured.add("captum")
    else:
        measured |= {"captum_padded", "captum_one_by_one"}  # of batches alone
    missing = [NAMES[n] for n in NAMES if n not in measured]
    if missing:
        notes.append(f"Not measured here: {'; '.join(missing)}.")
    return " ".join(notes)


def _misses(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the rows that did not reach their stated accuracy."""
    out = []
    for row in rows:
        name, worst, scores = NAMES[row["contender"]], max(row["errors"]), row.get("score_error")
        if row["contender"] == "bf16" and not worst <= 2 * BF16_TOLERANCE:
            out.append(f"**{name} misses twice {BF16_TOLERANCE:g}: {worst:.1e}.**")
        if row["contender"] == "scores" and not scores <= TOLERANCE:
            out.append(f"**{name} misses {TOLERANCE:g} in the scores: {scores:.1e}.**")
        if row["contender"] == "bf16_scores" and not scores <= 2 * BF16_TOLERANCE:
            out.append(f"**{name} misses twice {BF16_TOLERANCE:g} in the scores: {scores:.1e}.**")
        if row["contender"] == "native" and worst > TOLERANCE:
            out.append(f"**{name} miss {TOLERANCE:g}: {worst:.1e}.**")
    return out


def _spread(spread: dict[str, float], rounds: int) -> str:
    middle = f"{spread['median']:.2f}"
    return middle if rounds == 1 else f"{middle} ({spread['min']:.2f}-{spread['max']:.2f})"
