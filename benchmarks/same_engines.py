"""Small models of many families: the native engine beside the autograd engine, both at a tolerance of 1e-4.

    python -m benchmarks.same_engines [--out FILE] [kind ...]

Writes benchmarks/results/same_engines.json. The exit status is 1 where a model does not run natively, or where its
scores of layers differ by more than 1e-3 of their norm.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import torch

from calig_fast import explain
from calig_fast.bench import machine

RESULT = Path(__file__).parent / "results" / "same_engines.json"
LISTED = (
    *("ernie", "layoutlm", "data2vec-text", "roc_bert", "markuplm", "camembert", "vit_msn", "ijepa", "siglip", "clip"),
    *("roberta-prelayernorm", "megatron-bert", "xlm-roberta-xl", "metaclip_2", "deberta", "deberta-v2", "deberta-v3"),
    *("modernbert", "modernbert-mean", "llama", "qwen3", "gemma", "gemma3_text", "mistral", "phi", "gpt2", "mpnet"),
    *("beit", "data2vec-vision", "timm-eva", "timm-eva02", "timm-dinov3"),
)
TOLERANCE, SAME = 1e-4, 1e-3


def compared(kind: str) -> dict[str, Any]:
    """The family of a small model, its engine, and the difference of its layer scores from the autograd engine's."""
    models = _tiny_models()
    model, call = models.tiny(kind), models.inputs(kind, 1)
    options = {"method": "layer_ig", "tolerance": TOLERANCE, "n_steps": 512, "quadrature": "auto", "target": 1}
    a, b = (explain(model, call, engine=engine, **options) for engine in ("auto", "autograd"))
    off = float((a.layer_scores - b.layer_scores).norm() / b.layer_scores.norm())
    return {"family": a.settings.family, "engine": a.engine, "apart": float(f"{off:.2g}")}


def main() -> None:
    """Compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help="none for all that are listed")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    comparisons = json.loads(args.out.read_text())["models"] if args.kinds and args.out.exists() else {}
    for kind in args.kinds or LISTED:
        comparisons[kind] = compared(kind)
        print(kind, comparisons[kind], flush=True)
        args.out.write_text(json.dumps({"machine": machine.describe(), "models": comparisons}, indent=1) + "\n")
    if any(one["engine"] != "native" or one["apart"] > SAME for one in comparisons.values()):
        sys.exit(1)


def _tiny_models() -> Any:
    folder = str(Path(__file__).parents[1] / "tests" / "support")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module("helpers.tiny_models")


if __name__ == "__main__":
    main()
