"""docs/roofline.md: lower bounds of the time on an H100, from counted calls, bytes and operations. Nothing is timed.

python -m tools.kernel_checks.roofline [--fast]     --fast: operations alone, and prints
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from captum.attr import LayerIntegratedGradients

from calig_fast import explain
from calig_fast.bench import captum_loop, markdown, record
from calig_fast.bench import operations as sized
from calig_fast.ops.model_sizes import Batch
from tools.kernel_checks.tally import BANDWIDTH, PEAKS, Tally, as_on_a_gpu

ROOT = Path(__file__).resolve().parents[2]
PAGE, DATA = ROOT / "docs" / "roofline.md", ROOT / "tools" / "kernel_checks" / "roofline.json"
TEMPLATE = Path(__file__).with_name("roofline.md.j2")
NODES = 10  # of ours, each layer: about what it takes where it calibrates itself
CAPTUM_NODES = 50  # of Captum, its default


def operations() -> dict[str, Any]:
    """Each operation at BERT base's sizes: one call of ours, and its definition in plain PyTorch."""
    counts = {}
    batch = Batch(sized.LAYOUTS["8x128"][0], torch.float32)
    for op in sized.OPERATIONS:
        run, args = sized.operation(op), sized.problem(op, batch)
        counts[op] = {}
        with Tally() as tally:
            out = run(*args, backend="torch")
        counts[op]["plain"] = tally.summary()
        tensors = [t for t in torch.utils._pytree.tree_leaves((args, out)) if isinstance(t, torch.Tensor)]
        moved = sum(t.numel() * t.element_size() for t in tensors)
        products = counts[op]["plain"]["products"]
        counts[op]["ours"] = {
            "bytes": moved,
            "seconds": {name: max(moved * size / 4 / BANDWIDTH, products / peak) for name, peak, size in PEAKS},
        }
    return counts


def bert(tokens: int) -> tuple[Any, str, str, torch.Tensor, torch.Tensor]:
    """A BERT base with random weights; name of its argument, of its blocks, input and reference."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    ids = torch.randint(1000, 30000, (1, tokens))
    low = torch.zeros_like(ids)
    ids[0, 0], ids[0, -1], low[0, 0], low[0, -1] = 101, 102, 101, 102
    return BertForSequenceClassification(BertConfig(num_labels=2)).eval(), "input_ids", "bert.encoder.layer", ids, low


def vit() -> tuple[Any, str, str, torch.Tensor, torch.Tensor]:
    """A ViT-B/16 with random weights."""
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    pixels = torch.randn(1, 3, 224, 224)
    model = ViTForImageClassification(ViTConfig(num_labels=2)).eval()
    return model, "pixel_values", "vit.layers", pixels, torch.zeros_like(pixels)


WORKS: dict[str, Callable[[], Any]] = {
    "BERT base, 128 tokens": lambda: bert(128),
    "ViT-B/16, 224 px, 197 tokens": vit,
    "BERT base, 512 tokens": lambda: bert(512),
}


def ours(model: Any, key: str, value: torch.Tensor) -> dict[str, Any]:
    """A whole explanation by the native engine at `NODES` nodes of every layer."""
    with as_on_a_gpu():
        for _ in range(2):  # the first call on a model looks at it more closely
            with Tally(skip=True) as tally:
                explain(model, {key: value}, target=0, engine="native", quadrature=captum_loop.RULE, n_steps=NODES)
    return {**tally.summary(), "nodes": NODES}


def captum(model: Any, key: str, blocks: str, value: torch.Tensor, low: torch.Tensor) -> dict[str, Any]:
    """Captum's loop over all layers at `CAPTUM_NODES` nodes in one batch, and an eager pass for attention gradients.

    Counted at the first, second and last layer with one and two nodes. Layers are alike, so a layer's counts are a line
    through the first two, on which the last must lie; all but calls are lines in the nodes.
    """
    list_of_blocks = list(model.get_submodule(blocks))
    embeddings = next(m for name, m in model.named_modules() if name.endswith("embeddings"))
    before = [embeddings, *list_of_blocks[:-1]]

    def at(layer: int, nodes: int) -> dict[str, Any]:
        with Tally(skip=True) as tally:
            LayerIntegratedGradients(lambda x: model(**{key: x}).logits, before[layer]).attribute(
                value, baselines=low, target=0, n_steps=nodes, method=captum_loop.RULE
            )
        return flat(tally.summary())

    depth = len(before)
    seen = {(layer, nodes): at(layer, nodes) for layer in (1, 2, depth - 1) for nodes in (1, 2)}
    first = {nodes: at(0, nodes) for nodes in (1, 2)}
    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    with Tally(skip=True) as tally:
        captum_loop.attention_gradients(eager, {key: value}, [0])
    total = flat(tally.summary())
    for name in total:

        def many(pair: dict[int, dict[str, float]], name: str = name) -> float:
            return pair[1][name] + (CAPTUM_NODES - 1) * (pair[2][name] - pair[1][name])

        one, two, last = (many({n: seen[layer, n] for n in (1, 2)}) for layer in (1, 2, depth - 1))
        if not name.startswith("seconds"):
            predicted = one + (depth - 2) * (two - one)
            if abs(predicted - last) > 1e-6 * abs(last):
                raise RuntimeError(f"{name}: {last} at the last layer, {predicted} by the line through the first two")
        total[name] += many(first) + sum(one + i * (two - one) for i in range(depth - 1))
    return {**unflat(total), "nodes": CAPTUM_NODES}


def flat(summary: dict[str, Any]) -> dict[str, float]:
    """One level of names."""
    return {
        **{k: v for k, v in summary.items() if k != "seconds"},
        **{f"seconds {k}": v for k, v in summary["seconds"].items()},
    }


def unflat(figures: dict[str, float]) -> dict[str, Any]:
    """Two levels again."""
    seconds = {k.removeprefix("seconds "): v for k, v in figures.items() if k.startswith("seconds")}
    return {**{k: v for k, v in figures.items() if not k.startswith("seconds")}, "seconds": seconds}


def page(results: dict[str, Any]) -> str:
    """The whole page."""
    return markdown.page(
        TEMPLATE,
        floors=lambda unit: [f"floor, {unit}, {name}" for name, _, _ in PEAKS],
        operations=[_operation(op, counts) for op, counts in results["operations"].items()],
        explanations=[row for work, both in results["explanations"].items() for row in _explanation(work, both)],
        nodes=NODES,
        captum_nodes=CAPTUM_NODES,
    )


def _operation(op: str, counts: dict[str, Any]) -> list[Any]:
    """The row of an operation."""
    ours, plain = counts["ours"], counts["plain"]
    million = [f"{x / 1e6:.1f}" for x in (ours["bytes"], plain["products"], plain["others"])]
    floors = [f"{ours['seconds'][name] * 1e6:.1f}" for name, _, _ in PEAKS]
    return [op, *million, *floors, plain["calls"], f"{plain['bytes'] / 1e6:.1f}"]


def _explanation(work: str, both: dict[str, Any]) -> list[list[Any]]:
    """The rows of a work: Captum's, ours, and how many times Captum's."""
    rows = []
    for who, r in both.items():
        floors = [f"{r['seconds'][name] * 1e3:.2f}" for name, _, _ in PEAKS]
        sizes = [f"{r['bytes'] / 1e9:.1f}", f"{r['products'] / 1e12:.2f}", f"{r['others'] / 1e9:.2f}"]
        rows.append([work, who, r["nodes"], f"{r['calls']:.0f}", *sizes, *floors])
    a, b = both["ours"], both["Captum"]
    ratio = [f"{b[k] / a[k]:.1f}" for k in ("calls", "bytes", "products", "others")]
    times = [f"{b['seconds'][name] / a['seconds'][name]:.1f}" for name, _, _ in PEAKS]
    return [*rows, [work, "Captum / ours", "", *ratio, *times]]


def main() -> None:
    """Count, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true")
    options = parser.parse_args()
    results: dict[str, Any] = {"operations": operations(), "explanations": {}}
    for work, make in {} if options.fast else WORKS.items():
        model, key, blocks, value, low = make()
        counts = {"Captum": captum(model, key, blocks, value, low), "ours": ours(model, key, value)}
        results["explanations"][work] = counts
        print(f"{work}: counted", flush=True)
    if options.fast:
        print(page(results))
        return
    record.write(DATA, results)
    record.write(PAGE, page(results))


if __name__ == "__main__":
    main()
