"""The page and the plots, from the summary alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.faithfulness import choices
from benchmarks.faithfulness.methods import METHODS
from benchmarks.faithfulness.summary import PARTS, RIVALS, START, holm
from calig_fast.bench import markdown, record

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
    "libra_fullgrad": "LibraGrad's FullGrad",
    "libra_fullgrad_plus": "LibraGrad's FullGrad+",
    "decompx": "DecompX (BERT)",
    "token_tm": "TokenTM (ViT)",
    "random": "random",
}
LEVEL = 0.05
LOSS, WIN, TIE = "#d55e00", "#0072b2", "#777777"
TEMPLATE = Path(__file__).with_name("faithfulness.md.j2")
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
    overview, cells, significant = _overview(tasks)
    text = markdown.page(
        TEMPLATE,
        title=title,
        words=rest.lstrip(),
        tasks=tasks,
        missing={name: task["missing"] for name, task in summary["tasks"].items() if "missing" in task},
        losses=_losses(tasks),
        overview=overview,
        cells=cells,
        significant=significant,
        names=NAMES,
        rivals=[NAMES[rival] for rival in RIVALS],
        level=LEVEL,
        start=START,
        measures=lambda task: [TITLES[part] for part in _measures(task)],
        methods=_methods,
        token_f1=_token_f1,
        candidates=list(filter(None, (_candidates(tasks, kind) for kind in choices.FILLERS))),
        ablation=_ablation(tasks),
        removals=_removals(tasks),
        size=summary["geometry"],
        machine=summary["machine"],
    )
    record.write(page, text)
    plot(tasks, images / "faithfulness.png")


def _losses(tasks: dict[str, Any]) -> list[str]:
    """The default's losses."""
    return [
        f"{NAMES[rival]} on {name}, {-d['difference']:+.3f} [{-d['high']:+.3f}, {-d['low']:+.3f}]"
        for name, task in tasks.items()
        for rival, d in task["against"].items()
        if d["high"] < 0
    ]


def _overview(tasks: dict[str, Any]) -> tuple[list[list[str]], int, int]:
    """Calig's difference from each rival, task by task; how many these are, and how many are significant."""
    pairs = [(name, rival) for name, task in tasks.items() for rival in RIVALS if rival in task["against"]]
    corrected = dict(zip(pairs, holm([tasks[name]["against"][rival]["p"] for name, rival in pairs]), strict=True))
    rows = []
    for name, task in tasks.items():
        cells = []
        for rival in RIVALS:
            d = task["against"].get(rival)
            cells.append("-" if d is None else _interval(d) + ("\\*" if corrected[name, rival] < LEVEL else ""))
        rows.append([name, str(task["sizes"]["held"]), *cells])
    return rows, len(pairs), sum(p < LEVEL for p in corrected.values())


def _measures(task: dict[str, Any]) -> list[str]:
    """The measures of a task."""
    return [part for part in PARTS[task["kind"]] if part in task["methods"]["calig"]]


def _methods(task: dict[str, Any]) -> list[list[str]]:
    """A row for each method of a task, the best first."""
    known = [method for method in METHODS if method in task["methods"]]
    rows = []
    for method in sorted(known, key=lambda m: -task["methods"][m]["score"]["mean"]):
        row = task["methods"][method]
        estimates = [row[part] for part in _measures(task) if part in row]
        rows.append([NAMES[method], *(f"{e['mean']:.3f} [{e['low']:.3f}, {e['high']:.3f}]" for e in estimates)])
    return rows


def _token_f1(table: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Numbers of words, and the token-F1 of each method's highest words."""
    sizes = list(dict.fromkeys(k for row in table.values() for k in row))
    rows = [[NAMES[m], *(f"{row[k]:.3f}" if k in row else "-" for k in sizes)] for m, row in table.items()]
    return sizes, rows


def _interval(d: dict[str, float]) -> str:
    return _bold(d, f"{d['difference']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}]")


def _bold(d: dict[str, float], text: str) -> str:
    """Bold where the interval excludes zero."""
    return f"**{text}**" if d["low"] > 0 or d["high"] < 0 else text


def _ablation(tasks: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Tasks with their tuning inputs, and every variant's score minus the score of the starting point."""
    tuned = {name: task["ablation"] for name, task in tasks.items() if task["ablation"]}
    rows = [[f"{START} itself", *(f"{table[START]['mean']:.3f}" for table in tuned.values())]]
    for variant in dict.fromkeys(v for table in tuned.values() for v in table if v != START):
        estimates = [table.get(variant) for table in tuned.values()]
        cells = ["-" if d is None else _bold(d, f"{d['difference']:+.3f}") for d in estimates]
        rows.append([variant.replace("|", "\\|"), *cells])
    return [f"{name} ({tasks[name]['sizes']['tune']})" for name in tuned], rows


def _removals(tasks: dict[str, Any]) -> dict[str, Any] | None:
    """A few variants by three kinds of removal: does a baseline do well only where removal uses it?"""
    texts = {name: task["removals"] for name, task in tasks.items() if task["removals"]}
    if not texts:
        return None
    removals = list(dict.fromkeys(r for table in texts.values() for cells in table.values() for r in cells))
    rows = []
    for variant in dict.fromkeys(v for table in texts.values() for v in table):
        key, form = ("mean", ".3f") if variant == START else ("difference", "+.3f")
        cells = [" / ".join(format(table[variant][r][key], form) for r in removals) for table in texts.values()]
        rows.append([f"{variant} itself" if variant == START else variant, *cells])
    return {"replacements": removals[:-1], "tasks": list(texts), "rows": rows}


def _candidates(tasks: dict[str, Any], kind: str) -> dict[str, Any] | None:
    """The candidates for the default on tuning inputs: difference to the reconstruction by three fillers."""
    tables = {name: t["choices"] for name, t in tasks.items() if t["kind"] == kind and t.get("choices")}
    if not tables:
        return None
    fillers, rows = choices.FILLERS[kind], []
    for candidate in dict.fromkeys(c for table in tables.values() for c in table):
        cells = []
        for table in tables.values():
            estimates = [table[candidate][filler] for filler in fillers]
            if candidate == choices.START:
                cells.append(" / ".join(f"{t['mean']:.3f}" for t in estimates))
            else:
                cells.append(" / ".join(_bold(t["start"], f"{t['start']['difference']:+.3f}") for t in estimates))
        rows.append([candidate, *cells])
    return {"kind": kind, "fillers": fillers, "tasks": list(tables), "rows": rows}


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
