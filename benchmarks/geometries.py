"""Base-size models with relative or rotary positions, as transformers initialises them, beside Captum's loop.

    python -m benchmarks.geometries [--model NAME ...] [--part ours captum memory span] [--out FILE]

CPU seconds of the process, one thread, ours after four calls with short texts. Captum integrates at the first and at
the last block, 10 Gauss nodes each, counted as 50. Its time for all blocks is their mean times the number of blocks, as
a node of block l costs a forward pass and a backward pass down to l. Each part goes into the results by itself. Ours at
equal nodes must equal the autograd engine's; else nothing is written and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.memory import Peak
from calig_fast import Explainer
from calig_fast.bench import machine, record
from calig_fast.bench.captum_loop import loop
from calig_fast.bench.gates import errors, gate

RESULT = Path(__file__).parent / "results" / "geometries.json"
TOKENS, LONG, STEPS, BATCH, SAME = 128, 4096, 50, 8, 1e-4
TIMED = 10  # of the nodes
SPAN = 256, 200  # tokens of a text, and of the answer among them
# A trained MiniLM of 6 blocks takes 9.4 gradients a block by default and 7.2 with certify="scores", both ends of the
# path included (docs/performance.md); m intervals take m + 1. Paths of random weights are no measure of that.
RULE = "corrected_trapezoid"
OURS: dict[str, dict[str, Any]] = {
    "ours, 10 gradients a block": {"quadrature": RULE, "n_steps": 9},
    "ours, bfloat16, 10 gradients a block": {"quadrature": RULE, "n_steps": 9, "dtype": torch.bfloat16},
    "ours, bfloat16, 8 gradients a block": {"quadrature": RULE, "n_steps": 7, "dtype": torch.bfloat16},
}
WARM = 4  # calls: the first compares with the model itself, and in 16 bits four measure the rounding
SHORT = 16  # tokens of a text of theirs
NODES: dict[str, Any] = {"method": "layer_ig", "quadrature": "gausslegendre", "n_steps": 1}


def deberta_v3_base() -> Any:
    """12 blocks, 768 wide, log buckets of relative positions."""
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

    config = DebertaV2Config(
        vocab_size=128100,
        relative_attention=True,
        position_biased_input=False,
        pos_att_type=["p2c", "c2p"],
        position_buckets=256,
        share_att_key=True,
        norm_rel_ebd="layer_norm",
        max_relative_positions=-1,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        type_vocab_size=0,
        layer_norm_eps=1e-7,
        num_labels=5,
    )
    return DebertaV2ForSequenceClassification(config).eval()


def modernbert_base() -> Any:
    """22 blocks, 768 wide, rotary positions, every third block attends to all tokens."""
    from transformers import ModernBertConfig, ModernBertForSequenceClassification

    return ModernBertForSequenceClassification(ModernBertConfig(num_labels=5)).eval()


def gpt2_base() -> Any:
    """12 blocks, 768 wide, and 50,257 words."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config()).eval()


MODELS: dict[str, Callable[[], Any]] = {f.__name__: f for f in (deberta_v3_base, modernbert_base, gpt2_base)}
TITLES = {
    "deberta_v3_base": "DeBERTa-v3 base, 12 blocks of 768",
    "gpt2_base": "GPT-2 base, 12 blocks of 768, a language model",
    "modernbert_base": "ModernBERT base, 22 blocks of 768",
}


def ids(tokens: int, seed: int) -> dict[str, Tensor]:
    """Random ids [1,T] and their mask."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.randint(1000, 30000, (1, tokens), generator=generator)
    return {"input_ids": table, "attention_mask": torch.ones_like(table)}


def made(name: str) -> Any:
    """A model, of the same weights each time."""
    torch.manual_seed(0)
    return MODELS[name]()


def ours(name: str) -> dict[str, Any]:
    """CPU seconds of ours, after four calls with short texts."""
    model = made(name)
    a, b = (Explainer(model, engine=engine, **NODES)(ids(TOKENS, 0)) for engine in ("native", "autograd"))
    off = max(errors([a.layer_scores[0]], [b.layer_scores[0]]))
    gate("the native engine at equal nodes", off, SAME)
    rows = []
    for contender, options in OURS.items():
        explainer = Explainer(model, **options)
        for seed in range(WARM):
            explainer(ids(SHORT, seed))
        start = time.process_time()
        attribution = explainer(ids(TOKENS, 0))
        seconds = time.process_time() - start
        rows.append({"contender": contender, "cpu_seconds": seconds, "gradients": int(attribution.n_steps.sum())})
        print(rows[-1], file=sys.stderr, flush=True)
    return {"native_against_autograd": off, "rows": rows}


def captum(name: str) -> dict[str, Any]:
    """CPU seconds of Captum at the first and the last block."""
    model = made(name)
    encoder = Explainer(model).encoder
    one = loop(model, encoder, ids(TOKENS, 0), 0)
    seconds = []
    for module in (one.before[0], one.before[-1]):
        start = time.process_time()
        type(one)(one.forward, one.x, one.low, one.target, (module,)).relevance(TIMED, BATCH)
        seconds.append((time.process_time() - start) * STEPS / TIMED)
        print(seconds, file=sys.stderr, flush=True)
    blocks = len(one.before)
    return {"first_and_last": seconds, "blocks": blocks, "cpu_seconds": blocks * sum(seconds) / 2, "batch_size": BATCH}


def memory(name: str) -> dict[str, Any]:
    """Bytes by which a fresh process grows at most, at 4,096 tokens; ours at the endpoints and a node of block 0."""
    command = [sys.executable, "-c", "from benchmarks import geometries; geometries.child()"]
    extra_bytes = {}
    for contender in ("ours", "captum"):
        done = subprocess.run(
            [*command, name, contender],
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        extra_bytes[contender] = int(done.stdout.splitlines()[-1])
        print(contender, extra_bytes[contender] / 2**20, "MiB", file=sys.stderr, flush=True)
    return {"tokens": LONG, "extra_bytes": extra_bytes}


def child() -> None:
    """Print the extra memory of one contender; the arguments are those that `memory` gives."""
    name, contender = sys.argv[1:]
    torch.set_num_threads(1)
    model = made(name)
    explainer = Explainer(model, method="layer_ig", layers=[0], quadrature="gausslegendre", n_steps=1)
    call = ids(LONG, 0)
    if contender == "captum":
        one = loop(model, explainer.encoder, call, 0)
        peak = Peak()
        type(one)(one.forward, one.x, one.low, one.target, one.before[:1]).relevance(1, 1)
    else:
        with torch.no_grad():
            model(**ids(16, 0))
        peak = Peak()
        explainer(call)
    print(peak.extra())


def span(name: str) -> dict[str, Any]:
    """CPU seconds of an answer's 200 tokens and of the next token, in turns, at a node of blocks 0 and 6."""
    model, call = made(name), ids(SPAN[0], 0)
    nodes = {**NODES, "layers": [0, 6], "baselines": "zero_embedding"}
    contenders = {
        "the next token": Explainer(model, output="next_token", target=5, **nodes),
        f"an answer of {SPAN[1]} tokens": Explainer(model, output="answer", target=SPAN[1], **nodes),
    }
    seconds: dict[str, list[float]] = {contender: [] for contender in contenders}
    for _ in range(4):
        for contender, explainer in contenders.items():
            start = time.process_time()
            explainer(call)
            seconds[contender].append(time.process_time() - start)
    one, many = (median(rounds[1:]) for rounds in seconds.values())  # the first compares with the model itself
    return {"tokens": SPAN[0], "cpu_seconds": seconds, "ratio": many / one}


PARTS: dict[str, Callable[[str], dict[str, Any]]] = {"ours": ours, "captum": captum, "memory": memory, "span": span}
PARTS_OF = {
    "deberta_v3_base": {"ours", "captum"},  # it reads 512 tokens
    "modernbert_base": {"ours", "captum", "memory"},
    "gpt2_base": {"span"},
}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=MODELS, default=[*MODELS])
    parser.add_argument("--part", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name in args.model:
        for part in (p for p in args.part if p in PARTS_OF[name]):
            known = record.read(args.out)
            figures = {**PARTS[part](name), "machine": machine.describe()}
            known.setdefault(name, {"title": TITLES[name]})[part] = figures
            record.write(args.out, known)
            print(json.dumps(known[name], indent=1))


if __name__ == "__main__":
    main()
