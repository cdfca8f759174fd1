"""Each architecture in a process of its own, with a time limit.

The processes are forked from one that has imported the libraries and has computed nothing.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

import torch

from benchmarks.architectures import blocks, verdict
from benchmarks.architectures.cases import CASES

LIMIT = 120.0  # seconds for one explanation
CHECK = 600.0  # for plain hooks
PRELOAD = (
    "benchmarks.architectures.cases",
    "benchmarks.architectures.verdict",
    "transformers.modeling_utils",
    "transformers.modeling_layers",
)
# What is asked of each, in this order: the last where the first was not right, with the name of its blocks.
STEPS: dict[str, dict[str, Any]] = {
    "auto": {"method": "layer_ig"},
    "default": {},
    "bare": {},
    "named": {"method": "layer_ig"},
}


def run(names: Sequence[str], limit: float = LIMIT) -> Iterator[dict[str, Any]]:
    """The record of each, as plain values.

    Args:
        names: what is tried.
        limit: seconds that one explanation with its check may take.
    """
    for case in (CASES[name] for name in names):
        start = time.monotonic()
        record = (
            {"name": case.name, "not_tried": case.not_tried, "verdict": "not_tried"}
            if case.not_tried
            else _apart(case.name, limit)
        )
        yield {**record, "seconds": round(time.monotonic() - start, 1)}


def _apart(name: str, limit: float) -> dict[str, Any]:
    """In a process of its own, which sends each step's finding as soon as it has it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(name, sender), daemon=True)
    process.start()
    sender.close()
    record: dict[str, Any] = {"name": name}
    step = "build"
    try:
        while receiver.poll(limit if step != "check" else CHECK):
            key, value = receiver.recv()
            if key == "next":
                step = value
            else:
                record[key] = value
            if key == "done":
                return _overall(record)
        if step in STEPS:
            record[step] = verdict.Verdict("hang", [f"more than {limit:.0f} s"]).plain()
        else:
            record["not_tried"] = f"its {step} takes too long"
    except EOFError:
        record[step] = verdict.Verdict(verdict.RAW, ["the process died"]).plain()
    finally:
        process.kill()
        process.join()
    return _overall(record)


def _work(name: str, out: Connection) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    case = CASES[name]
    try:
        model = case.model()
        call, low = case.calls(model)
        out.send(("weights", sum(p.numel() for p in model.parameters())))
        right = list(case.blocks or blocks.longest(model, call, low))
        out.send(("blocks", right))
    except Exception:
        out.send(("not_tried", traceback.format_exc(limit=-1)[-400:]))
        out.send(("done", True))
        return
    key = next(k for k, v in call.items() if not torch.equal(v, low[k]))
    memory = verdict.Memory(lambda: out.send(("next", "check")))
    right_already = False
    for step, options in STEPS.items():
        if step == "named" and (right_already or not right):
            continue
        out.send(("next", step))
        start = time.monotonic()
        step_options = {**options, "layers": right[0] if len(right) == 1 else right} if step == "named" else options
        judgement = verdict.judge(model, call, low, None if step == "bare" else key, memory, **step_options)
        right_already |= step == "auto" and judgement.verdict == verdict.RIGHT
        out.send((step, {**judgement.plain(), "seconds": round(time.monotonic() - start, 2)}))
    out.send(("done", True))


def _overall(record: dict[str, Any]) -> dict[str, Any]:
    """With the verdict on all of it: the worst of what is untrue or raw, else the best that was had."""
    record.pop("done", None)
    verdicts = [record[step]["verdict"] for step in (*STEPS, "build", "check") if step in record]
    judged = [record[step]["verdict"] for step in ("auto", "named") if step in record]
    bad = next((v for v in ("hang", verdict.WRONG, verdict.RAW) if v in verdicts), None)
    good = next((v for v in (verdict.RIGHT, verdict.UNSURE, verdict.REFUSED) if v in judged), "not_tried")
    return {**record, "verdict": "not_tried" if record.get("not_tried") else bad or good}
