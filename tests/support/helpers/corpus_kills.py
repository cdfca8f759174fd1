"""Runs of a corpus that are killed at random: `python -m helpers.corpus_kills FOLDER COUNT SEED`.

Kills the process that writes, or one of its workers, until COUNT of them are dead for texts and as many for pictures.
Prints, as JSON, the kills, the runs that ended with an error of their own, and every fault: an input that is lost or
twice in the tables, and a table that differs from an uninterrupted run's.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from calig_fast.corpus import explain_corpus
from helpers import corpora

PART = 4


def begin(given: tuple[Any, Any], inputs: Path, out: Path, workers: int) -> int:
    """A process that explains the corpus; its exit code is 0 where it comes to its end."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        explain_corpus(given[0], inputs, out, given[1], part_size=PART, workers=workers)
        code = 0
    finally:
        os._exit(code)


def children(process: int) -> list[int]:
    """The workers of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == str(process) and b"spawn_main" in command:
                found.append(int(entry.name))
    return found


def ended(process: int) -> int | None:
    """The exit code of a process, None while it runs."""
    found, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def faults(out: Path) -> list[str]:
    """Inputs that are in the tables twice, and parts that are not whole, after a kill."""
    from pyarrow import parquet

    ids: list[Any] = []
    for file in (out / "inputs").glob("*.parquet"):
        table = parquet.ParquetFile(file).read()
        ids += table["id"].to_pylist()
        rows = sum(table["rows"].to_pylist())
        if rows != (parquet.read_metadata(out / "tokens" / file.name).num_rows if rows else 0):
            return [f"{file.name} is not whole"]
    return [f"{id} is there {count} times" for id, count in Counter(ids).items() if count > 1]


def kill(given: tuple[Any, Any], inputs: Path, folder: Path, *, count: int, rng: random.Random, workers: int) -> Any:
    """Kill so many processes at one corpus."""
    whole, out = folder / "whole", folder / "killed"
    begun = time.monotonic()
    child = begin(given, inputs, whole, workers)
    while ended(child) is None:
        time.sleep(0.1)
    longest = time.monotonic() - begun
    found: list[str] = []
    kills: Counter[str] = Counter()
    process = None
    while sum(kills[name] for name in ("driver", "worker")) < count:
        process = process or begin(given, inputs, out, workers)
        stop = time.monotonic() + rng.uniform(0, longest)
        while time.monotonic() < stop and (code := ended(process)) is None:
            time.sleep(0.01)
        if code is not None:
            kills["came to its end" if code == 0 else "ended with an error"] += 1
            if code == 0:
                found += corpora.differences(whole, out)
                shutil.rmtree(out)
            process = None
            continue
        there = children(process)
        if there and rng.random() < 0.5:
            os.kill(rng.choice(there), signal.SIGKILL)
            kills["worker"] += 1
            continue
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        kills["driver"] += 1
        process = None
        found += faults(out)
    process = process or begin(given, inputs, out, workers)
    while (code := ended(process)) is None:
        time.sleep(0.1)
    if code:
        found.append(f"the last run ended with {code}")
    found += corpora.differences(whole, out)
    same = corpora.content(whole) == corpora.content(out)
    return {"kills": dict(kills), "same bytes": same, "seconds of a whole run": round(longest, 1), "faults": found}


def main(folder: Path, count: int, seed: int, workers: int = 2, size: int = 240) -> dict[str, Any]:
    """Texts and pictures."""
    rng = random.Random(seed)
    for name in ("texts", "pictures"):
        (folder / name).mkdir(parents=True)
    texts = corpora.text_file(folder / "texts" / "in.txt", [*corpora.sentences(size), ""])
    pictures = corpora.picture_folder(folder / "pictures" / "in", size // 2)
    (pictures / "broken.png").write_bytes(b"no picture")
    return {
        "texts": kill(corpora.text_model(), texts, folder / "texts", count=count, rng=rng, workers=workers),
        "pictures": kill(corpora.image_model(), pictures, folder / "pictures", count=count, rng=rng, workers=workers),
    }


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *map(int, sys.argv[4:])), indent=1))
