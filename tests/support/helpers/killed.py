"""Processes that save again and again until they are killed: `python -m helpers.killed FOLDER COUNT SEED`.

Prints, as JSON, how many kills left a temporary file behind, and every fault: a file that is neither the old nor the
new one. The process saves an attribution, a page and a log in turn; the next one goes on with the same files.
"""

import json
import os
import random
import signal
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import torch

from calig_fast import Attribution
from calig_fast._utils.files import PREFIX
from calig_fast.monitor.logs import writers
from helpers.looks import attribution


def two() -> tuple[Attribution, Attribution]:
    """Attributions of the same shapes, with other texts and other scores, too large to be written at once."""
    made = []
    for word, sign in (("good", 1.0), ("dull", -1.0)):
        a = attribution(" ".join([word] * 200), [sign] * 200)
        made.append(replace(a, maps=torch.full((1, 2, 202, 202), sign)))
    return made[0], made[1]


def save(folder: Path, a: Attribution) -> None:
    """An attribution, a page and a line of a log."""
    a.save(folder / "kept")
    replace(a, maps=None).to_html(folder / "page.html")
    writers(folder / "log.jsonl")[0]({"step": 1, "scores": a.scores.tolist()})


def save_for_ever(folder: Path, shown: tuple[Attribution, Attribution], started: int) -> None:
    """Write both in turn under one name; never returns."""
    warnings.simplefilter("ignore")
    os.write(started, b"x")
    while True:
        for a in shown:
            save(folder, a)


def faults(folder: Path, shown: tuple[Attribution, Attribution], pages: tuple[str, str]) -> list[str]:
    """The files that are neither old nor new."""
    found = []
    kept = Attribution.load(folder / "kept")
    if not any(torch.equal(kept.scores, a.scores) and kept.texts == a.texts for a in shown):
        found.append("an attribution is mixed")
    if (folder / "page.html").read_text(encoding="utf-8") not in pages:
        found.append("a page is cut")
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").split("\n")
    try:
        [json.loads(line) for line in lines[:-1]]
    except ValueError:
        found.append("a line of the log before the last is cut")
    return found


def kill(folder: Path, shown: tuple[Attribution, Attribution], wait: float) -> None:
    """Let a process save, and kill it so many seconds after its first save began."""
    reading, started = os.pipe()
    child = os.fork()
    if child == 0:
        save_for_ever(folder, shown, started)
    os.close(started)
    os.read(reading, 1)
    time.sleep(wait)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)


def main(folder: Path, count: int, seed: int) -> dict[str, object]:
    """Kill so many processes."""
    rng, shown = random.Random(seed), two()
    pages = (replace(shown[0], maps=None).to_html(), replace(shown[1], maps=None).to_html())
    begun = time.monotonic()
    for _ in range(3):
        save(folder, shown[0])
    longest = (time.monotonic() - begun) * 2 / 3  # of two saves, however slow the disk
    found: list[str] = []
    left = torn = 0
    for _ in range(count):
        kill(folder, shown, rng.uniform(0, longest))
        parts = [name for name in os.listdir(folder) if name.startswith(PREFIX)]
        left, torn = left + bool(parts), torn + (not (folder / "log.jsonl").read_bytes().endswith(b"\n"))
        found += faults(folder, shown, pages) + (["temporary files gather"] if len(parts) > 1 else [])
    shown[0].save(folder / "kept")
    found += [f"{name} is left" for name in os.listdir(folder) if name.startswith(PREFIX)]
    return {"kills": count, "left a temporary file": left, "left a line torn": torn, "faults": found}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
