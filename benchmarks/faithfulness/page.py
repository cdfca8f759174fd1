"""The page and the plots, from the summary alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.faithfulness import choices
from benchmarks.faithfulness.methods import METHODS
from benchmarks.faithfulness.summary import PARTS, RIVALS, START, holm
from calig_fast._utils import files
from calig_fast.bench import markdown

NAMES = {
    "calig": "**calig** (default)",
    "calig_paper": "calig-paper",
    "blend": "half rollout, half IG (text: GIM's rules)",
    "calibrated": "calibrated on 8 tuning inputs",
    "gim": "gradient x input, GIM's rules",
    "layer_ig_mean": "mean of r_l over the layers",
    "captum_ig": "Captum's IG",
    "ig": "IG at the embeddings (ours)",
    "rollout": "attention rollout",
    "chefer": "Chefer",
    "attcat": "AttCAT",
    "attention_gradient": "attention gradients, signed",
    "gradient_x_input": "gradient x input",
    "beyond_intuition": "Beyond Intuition",
    "idgi": "IDGI",
    "occlusion": "occlusion",
    "kernel_shap": "KernelSHAP, in the time of calig",
    "random": "random",
}
LEVEL = 0.05
LOSS, WIN, TIE = "#d55e00", "#0072b2", "#777777"
FIGURE = "![Every method's score less the default's, with intervals](images/faithfulness.png)"
TITLES = {
    "score": "score",
    "comprehensiveness": "comprehensiveness",
    "sufficiency": "sufficiency",
    "log_odds": "log-odds",
    "token_f1": "token-F1",
    "auprc": "AUPRC",
    "naopc": "NAOPC",
    "naopc_sufficiency": "NAOPC, sufficiency",
    "positive": "positive AUC",
    "negative": "negative AUC",
    "black_score": "score, black",
    "black_positive": "positive, black",
    "black_negative": "negative, black",
}


def write(summary: dict[str, Any], words: str, page: Path, images: Path) -> None:
    """docs/faithfulness.md and its plots.

    Args:
        summary: from `summary.summarise`.
        words: what was found, in words, put before the tables.
        page: the file.
        images: folder of the plots.
    """
    tasks = {name: task for name, task in summary["tasks"].items() if "missing" not in task}
    title, rest = words.rstrip().split("\n", 1)
    parts = [title, "", FIGURE, "", *_lost(tasks), rest.lstrip(), "", *_overview(tasks), ""]
    for name, task in tasks.items():
        parts += [*_task(name, task), "", *_token_f1(name, task)]
    parts += _choices(tasks)
    parts += ["## The ablation", "", *_ablation(tasks), "", *_removals(tasks), "", *_randomised(tasks), ""]
    gone = [f"- {name}: {task['missing']}." for name, task in summary["tasks"].items() if "missing" in task]
    parts += ["## Not run here", "", *gone, ""] if gone else []
    size = summary["geometry"]
    parts += [
        "## At AfroLM's size",
        "",
        f"A text of {size['tokens']} tokens through {size['blocks']} blocks of {size['wide']}, with seeded weights and "
        f"default settings. It took {size['cpu_seconds']:.1f} CPU seconds on one thread, and "
        f"{size['extra_mib']:.0f} MiB more than before the first call.",
        "",
    ]
    about = summary["machine"]
    parts.append(
        f"{about['processor']} ({about['instruction_set']}), {about['date']}, torch {about['torch']}, transformers "
        f"{about['transformers']}, captum {about['captum']}."
    )
    files.write(page, "\n".join(parts) + "\n")
    plot(tasks, images / "faithfulness.png")


def _lost(tasks: dict[str, Any]) -> list[str]:
    """The words under the figure, and the default's losses."""
    lines = [
        "Each method's score less that of the default, calig, on held-out inputs, with 95 % intervals of the paired "
        "difference. Red: ahead of the default. The default loses to:",
        "",
    ]
    for name, task in tasks.items():
        for rival, d in task["against"].items():
            if d["high"] < 0:
                loss = f"{-d['difference']:+.3f} [{-d['high']:+.3f}, {-d['low']:+.3f}]"
                lines.append(f"- {NAMES[rival]} on {name}, {loss}.")
    return [*lines, ""]


def _overview(tasks: dict[str, Any]) -> list[str]:
    """Calig's difference from each rival, task by task."""
    lines = ["## Calig against the others, held-out inputs", ""]
    lines += [
        markdown.row(["task", "inputs", *(NAMES[r] for r in RIVALS)]),
        markdown.ruler(2 + len(RIVALS), 2 + len(RIVALS)),
    ]
    pairs = [(name, rival) for name, task in tasks.items() for rival in RIVALS if rival in task["against"]]
    corrected = dict(zip(pairs, holm([tasks[name]["against"][rival]["p"] for name, rival in pairs]), strict=True))
    for name, task in tasks.items():
        cells = []
        for rival in RIVALS:
            d = task["against"].get(rival)
            cells.append("-" if d is None else _difference(d) + ("\\*" if corrected[name, rival] < LEVEL else ""))
        lines.append(markdown.row([name, str(task["sizes"]["held"]), *cells]))
    significant = sum(p < LEVEL for p in corrected.values())
    return [
        *lines,
        "",
        f"Bold: the 95 % interval of the paired difference excludes zero. \\*: so does a sign-flip test at {LEVEL:g}, "
        f"corrected for all {len(pairs)} cells of this table (Holm 1979); {significant} cells.",
    ]


def _token_f1(name: str, task: dict[str, Any]) -> list[str]:
    """Token-F1 of the k highest words against the marked ones, where it was measured."""
    table = task.get("token_f1", {})
    if not table:
        return []
    sizes = list(dict.fromkeys(k for row in table.values() for k in row))
    lines = [f"Token-F1 of the k highest words of {name}, inputs with marked words:", ""]
    lines += [markdown.row(["method", *sizes]), markdown.ruler(1 + len(sizes))]
    for method, row in table.items():
        lines.append(markdown.row([NAMES[method], *(f"{row[k]:.3f}" if k in row else "-" for k in sizes)]))
    return [*lines, ""]


def _difference(d: dict[str, float]) -> str:
    text = f"{d['difference']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}]"
    return f"**{text}**" if d["low"] > 0 or d["high"] < 0 else text


def _task(name: str, task: dict[str, Any]) -> list[str]:
    parts = [p for p in PARTS[task["kind"]] if p in task["methods"]["calig"]]
    facts = f"Accuracy {task['accuracy']:.2f} on {task['accuracy_on']} inputs"
    if "commonest_class" in task:
        facts += f" (the commonest class alone: {task['commonest_class']:.2f})"
    if "chance_f1" in task:
        facts += f"; token-F1 expected of a random order {task['chance_f1']:.2f}"
    lines = [f"## {name}", "", f"{task['title']}. {facts}. {task['sizes']['held']} held-out inputs.", ""]
    lines += [markdown.row(["method", *(TITLES[p] for p in parts)]), markdown.ruler(1 + len(parts))]
    for method in sorted(
        (m for m in METHODS if m in task["methods"]), key=lambda m: -task["methods"][m]["score"]["mean"]
    ):
        row = task["methods"][method]
        cells = [f"{row[p]['mean']:.3f} [{row[p]['low']:.3f}, {row[p]['high']:.3f}]" for p in parts if p in row]
        lines.append(markdown.row([NAMES[method], *cells]))
    return lines


def _ablation(tasks: dict[str, Any]) -> list[str]:
    """Every variant's score on the tuning inputs of every task, minus the score of the starting point."""
    tuned = {name: task["ablation"] for name, task in tasks.items() if task["ablation"]}
    variants = list(dict.fromkeys(v for table in tuned.values() for v in table))
    lines = [
        f"Score on the tuning inputs minus the score of the starting point ({START}, one signed rollout); bold where "
        "the paired interval excludes zero. First row: the starting point's own score.",
        "",
        markdown.row(["variant", *(f"{name} ({tasks[name]['sizes']['tune']})" for name in tuned)]),
        markdown.ruler(1 + len(tuned)),
        markdown.row([f"{START} itself", *(f"{table[START]['mean']:.3f}" for table in tuned.values())]),
    ]
    for variant in variants:
        if variant == START:
            continue
        cells = []
        for table in tuned.values():
            d = table.get(variant)
            cell = "-" if d is None else f"{d['difference']:+.3f}"
            cells.append(f"**{cell}**" if d and (d["low"] > 0 or d["high"] < 0) else cell)
        lines.append(markdown.row([variant.replace("|", "\\|"), *cells]))
    return lines


def _removals(tasks: dict[str, Any]) -> list[str]:
    """A few variants by three kinds of removal: does a baseline do well only where removal uses it?"""
    texts = {name: task["removals"] for name, task in tasks.items() if task["removals"]}
    if not texts:
        return []
    variants = list(dict.fromkeys(v for table in texts.values() for v in table))
    removals = list(dict.fromkeys(r for table in texts.values() for cells in table.values() for r in cells))
    lines = [
        "## Tuning inputs by other removals",
        "",
        f"Score minus the score of {START}. A removed token becomes {', '.join(removals[:-1])}, or is deleted, in that "
        "order. First row: the starting point's own score.",
        "",
        markdown.row(["variant", *texts]),
        markdown.ruler(1 + len(texts)),
    ]
    for variant in variants:
        key, form = ("mean", ".3f") if variant == START else ("difference", "+.3f")
        cells = [" / ".join(format(table[variant][r][key], form) for r in removals) for table in texts.values()]
        lines.append(markdown.row([f"{variant} itself" if variant == START else variant, *cells]))
    return lines


def _choices(tasks: dict[str, Any]) -> list[str]:
    """The candidates for the default on tuning inputs: difference to the reconstruction by three fillers."""
    lines = []
    for kind, fillers in choices.FILLERS.items():
        tables = {name: t["choices"] for name, t in tasks.items() if t["kind"] == kind and t.get("choices")}
        if not tables:
            continue
        names = list(dict.fromkeys(c for table in tables.values() for c in table))
        what = {"text": "texts", "image": "images"}[kind]
        lines += [
            f"Score of candidates less that of `calig-paper`, {what}; fillers {', '.join(fillers)}. First row: the "
            "score itself. Bold: the paired interval excludes zero.",
            "",
            markdown.row(["candidate", *tables]),
            markdown.ruler(1 + len(tables)),
        ]
        for candidate in names:
            cells = []
            for table in tables.values():
                estimates = [table[candidate][filler] for filler in fillers]
                if candidate == choices.START:
                    cells.append(" / ".join(f"{t['mean']:.3f}" for t in estimates))
                else:
                    cells.append(" / ".join(_signed(t["start"]) for t in estimates))
            lines.append(markdown.row([candidate, *cells]))
        lines.append("")
    return ["## The choice of the default, tuning inputs", "", *lines] if lines else []


def _signed(d: dict[str, float]) -> str:
    text = f"{d['difference']:+.3f}"
    return f"**{text}**" if d["low"] > 0 or d["high"] < 0 else text


def _randomised(tasks: dict[str, Any]) -> list[str]:
    """The model-randomisation check, from the head to the embeddings."""
    lines = [
        "## The model-randomisation check",
        "",
        "Rank correlation of calig's scores with its scores on the same model with random weights, from the head to "
        "the embeddings (Adebayo et al. 2018). The explained class stays.",
        "",
        markdown.row(["task", "inputs", "head random", "half of the parts", "everything"]),
        markdown.ruler(5),
    ]
    for name, task in tasks.items():
        if check := task["randomised"]:
            stages = (f"{check[stage]:+.2f}" for stage in ("head", "half", "everything"))
            lines.append(markdown.row([name, str(check["inputs"]), *stages]))
    return lines


def plot(tasks: dict[str, Any], file: Path) -> None:
    """Every method's difference to the default with its interval, a panel a task; the default's losses in red."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = -(-len(tasks) // 4)
    columns = -(-len(tasks) // rows)
    figure, axes = plt.subplots(rows, columns, figsize=(3.6 * columns, 3 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[len(tasks) :]:
        axis.set_visible(False)
    for axis, (name, task) in zip(axes.flat, tasks.items(), strict=False):
        order = sorted(task["against"], key=lambda m: -task["against"][m]["difference"])
        for y, method in enumerate(order):
            d = task["against"][method]
            low, middle, high = -d["high"], -d["difference"], -d["low"]
            colour = LOSS if low > 0 else WIN if high < 0 else TIE
            axis.plot([low, high], [y, y], color=colour, lw=2)
            axis.plot(middle, y, "o", color=colour, ms=4)
        axis.set_yticks(range(len(order)), [_short(m) for m in order], fontsize=7)
        axis.tick_params(axis="x", labelsize=7)
        axis.set_title(f"{name} ({task['sizes']['held']} inputs)", fontsize=9)
        axis.axvline(0, color="black", lw=0.8, zorder=0)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _short(method: str) -> str:
    """A name that fits beside a panel."""
    return NAMES[method].replace("*", "").split(",")[0].split(" (")[0]
