"""Runs of a corpus that are killed at random: `python -m helpers.corpus_kills FOLDER COUNT SEED [WORKERS [SIZE]]`.

Kills the process that writes, or one of its workers, until COUNT of them are dead for texts and as many for pictures.
`python -m helpers.corpus_kills FOLDER COUNT SEED ray` kills actors of Ray, in one run of texts. Prints, as JSON, the
machine, the kills, the runs that ended with an error of their own, and every fault: an input that is lost or twice in
the tables, and a table that differs from an uninterrupted run's.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from calig_fast.bench import machine
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


def actors() -> list[int]:
    """The actors of Ray that make parts, of a cluster that this process began."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                if b"MapWorker" in (entry / "cmdline").read_bytes() and os.getpid() in _ancestors(int(entry.name)):
                    found.append(int(entry.name))
    return found


def _ancestors(process: int) -> list[int]:
    found = []
    while process > 1:
        process = int((Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[1])
        found.append(process)
    return found


def kill_actors(folder: Path, *, count: int, rng: random.Random, size: int) -> Any:
    """Kill so many actors of Ray at one corpus of texts."""
    import ray

    given = corpora.text_model()
    inputs = corpora.text_file(folder / "in.txt", [*corpora.sentences(size), ""])
    explain_corpus(given[0], inputs, folder / "whole", given[1], part_size=PART, workers=0)
    killed: list[int] = []
    ended_too_early = threading.Event()

    def kill_some() -> None:
        while len(killed) < count and not ended_too_early.is_set():
            time.sleep(rng.uniform(0, 2))
            there = [process for process in actors() if process not in killed]
            if there:
                victim = rng.choice(there)
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

    def begin(done: int, total: int) -> None:
        if done == PART:
            thread.start()

    thread = threading.Thread(target=kill_some, daemon=True)
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    try:
        explain_corpus(
            *(given[0], inputs, folder / "killed", given[1]), part_size=PART, workers=2, address="local", progress=begin
        )
    finally:
        ended_too_early.set()
        ray.shutdown()
    found = faults(folder / "killed") + corpora.differences(folder / "whole", folder / "killed")
    same = corpora.content(folder / "whole") == corpora.content(folder / "killed")
    return {"kills": {"actor": len(killed)}, "same bytes": same, "faults": found}


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
    where, most, first, *rest = sys.argv[1:]
    if rest == ["ray"]:
        Path(where).mkdir(parents=True)
        done = kill_actors(Path(where), count=int(most), rng=random.Random(int(first)), size=400)
    else:
        done = main(Path(where), int(most), int(first), *map(int, rest))
    print(json.dumps({"seed": int(first), **machine.describe(), **done}, indent=1))
