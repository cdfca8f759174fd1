"""The steps of a part, and the lines that they leave in results.jsonl.

A step that raises is a line with the end of its traceback, and the next step runs. After a step that breaks the CUDA
context or takes longer than `HUNG`, the process starts anew at the next step. No step begins more than LIMIT - 10
seconds after BEGAN, which are in the environment. Five seconds after that the process ends and prints its stack.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch

REHEARSAL = os.environ.get("CALIG_GPU_REHEARSAL") == "1"  # everything small, on a CPU
DEVICE, BACKENDS = ("cpu", ("torch", "cpu")) if REHEARSAL else ("cuda", ("cuda", "triton"))
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
TOKENS, WIDTH, HEADS = (9, 24, 3) if REHEARSAL else (128, 768, 12)
HUNG = 40  # seconds of a step, after which it is left

# calls of torch.cuda.CUDAGraph's methods in this process; a failed capture has a beginning alone
GRAPHS: Counter[str] = Counter()

Row = dict[str, Any]
Step = tuple[str, Callable[[], "Row | list[Row]"]]


def begin(options: argparse.Namespace) -> None:
    """At the start of a process: a hanging process ends, and graphs are counted."""
    faulthandler.dump_traceback_later(max(left(options), 0) + 5, exit=True)

    def counted(name: str) -> Callable[..., Any]:
        method = getattr(torch.cuda.CUDAGraph, name)

        def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            returned = method(self, *args, **kwargs)
            GRAPHS[name] += 1
            return returned

        return run

    for name in ("capture_begin", "capture_end", "replay"):
        setattr(torch.cuda.CUDAGraph, name, counted(name))


def left(options: argparse.Namespace) -> float:
    """Seconds in which a step may begin."""
    return float(options.began + options.until - time.time())


def take(steps: list[Step], options: argparse.Namespace) -> None:
    """Run the steps one after another, from `options.start` on."""
    for i, (name, step) in enumerate(steps[options.start :], options.start):
        if left(options) < 0:
            write(options, name, {"left_out": True})
            continue
        start = time.time()
        print(f"{start - options.began:6.1f} s  {options.part}: {name}", flush=True)
        watch = threading.Timer(HUNG, _leave, (options, name, i, threading.get_ident()))
        watch.daemon = True
        watch.start()
        try:
            measured = step()
        except Exception as error:
            write(options, name, failure(error))
            if _is_broken():
                _start_anew(options, i + 1)
        else:
            for row in measured if isinstance(measured, list) else [measured]:
                write(options, name, {**row, "seconds": round(time.time() - start, 2)})
        finally:
            watch.cancel()


def _leave(options: argparse.Namespace, name: str, i: int, thread: int) -> None:
    stack = traceback.format_stack(sys._current_frames()[thread])
    write(options, name, {"fault": f"hung for {HUNG} s", "traceback": [line[:200] for line in stack[-6:]]})
    _start_anew(options, i + 1)


def _start_anew(options: argparse.Namespace, start: int) -> None:
    """Replace the process by a new one that begins at a later step."""
    sys.stdout.flush()
    again = ["--began", str(options.began), "--start", str(start)]
    os.execv(sys.executable, [*sys.orig_argv, *again])


def write(options: argparse.Namespace, name: str, row: Row) -> None:
    """Append one line; lines of simultaneous processes stay whole."""
    line = json.dumps({"part": options.part, "name": name, **row}, default=str) + "\n"
    place = os.open(options.out, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(place, line.encode())
    finally:
        os.close(place)


def failure(error: Exception) -> Row:
    """The end of the traceback."""
    said = "".join(traceback.format_exception(error)).strip().splitlines()
    return {"fault": f"{type(error).__name__}: {error}"[:300], "traceback": [line[:200] for line in said[-9:]]}


def _is_broken() -> bool:
    """Return True if this process can no longer use its GPU."""
    try:
        sync()
    except Exception:
        return True
    return False


def sync() -> None:
    """Wait for the GPU."""
    if not REHEARSAL:
        torch.cuda.synchronize()


def graphs_since(before: Counter[str]) -> Row:
    """Captures, failed captures and replays since `GRAPHS` was copied."""
    now = GRAPHS - before
    return {
        "captures": now["capture_end"],
        "failed_captures": now["capture_begin"] - now["capture_end"],
        "replays": now["replay"],
    }
