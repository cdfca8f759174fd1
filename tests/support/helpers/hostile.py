"""Hostile requests at `calig serve`: `python -m helpers.hostile 10000` sends so many and prints what they left."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from calig_fast.cli.answers import Answers
from calig_fast.cli.server import Server

GOOD = {"text": "A fine film.", "method": "gradient_x_input"}
PATHS = (
    "/",
    "/about",
    "/explain",
    "/without",
    "/page",
    "/../../etc/passwd",
    "/%2e%2e/setup.py",
    "/app.js?x=1",
    "//",
    "*",
)
VALUES = (None, True, -1, 2**70, 1.5, float("nan"), "", "\ud800", "a" * 3000, [], [[0, 1]] * 50, {"text": "a"}, "calig")


@contextlib.contextmanager
def running(answers: Answers) -> Iterator[Server]:
    """A server in a thread of its own."""
    with Server(answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def sent(port: int, content: bytes, wait: bool = True) -> bytes:
    """The answer to raw bytes; without waiting the connection is dropped at once."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        parts = []
        with contextlib.suppress(OSError):  # the server may be done already
            connection.sendall(content)
            if not wait:
                return b""
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)


def post(port: int, path: str, question: Any, **headers: str) -> tuple[int, Any]:
    """Status and JSON of a question as the page asks it."""
    answer = sent(port, written("POST", path, json.dumps(question).encode(), port, **headers))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body)


def written(method: str, path: str, body: bytes, port: int, **headers: str) -> bytes:
    """A request; headers replace its own, "_" standing for "-"."""
    own = {"Host": f"127.0.0.1:{port}", "Content_Type": "application/json", "Content_Length": str(len(body))} | headers
    lines = [f"{method} {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in own.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


def request(draw: random.Random, port: int) -> tuple[bytes, bool]:
    """A request that no page sends, and whether its answer is waited for."""
    path = draw.choice(PATHS)
    question = {
        draw.choice(("text", "picture", "target", "method", "removed", "x")): draw.choice(VALUES) for _ in "abc"
    }
    body = json.dumps(question).encode()
    kinds = [
        lambda: bytes(draw.randrange(256) for _ in range(draw.randrange(400))),
        lambda: written("POST", path, body, port),
        lambda: written("POST", path, b'{"text":' * draw.choice((3, 20_000)), port),
        lambda: written("POST", path, body[: draw.randrange(len(body))], port),
        lambda: written("POST", path, body, port, Content_Length=draw.choice(("-1", "x", "9" * 30, "17000000", "²"))),
        lambda: written("POST", path, body, port, Transfer_Encoding="chunked", Content_Length=""),
        lambda: written("POST", path, body, port, Host="evil.example"),
        lambda: written("POST", path, body, port, Origin="http://evil.example"),
        lambda: written("POST", path, body, port, Content_Type=draw.choice(("text/plain", "", "multipart/form-data"))),
        lambda: written(draw.choice(("GET", "HEAD", "PUT", "DELETE", "TRACE", "G\x00T")), path, b"", port),
        lambda: written("GET", "/" + "a" * draw.choice((10, 70_000)), b"", port),
        lambda: written("GET", path, b"", port, **{f"X_{i}": "y" * 500 for i in range(draw.choice((1, 150)))}),
        lambda: written("POST", path, b'{"text": "' + os.urandom(60) + b'"}', port),
    ]
    return draw.choice(kinds)(), draw.random() < 0.8


def files() -> int:
    """Open files of this process."""
    return len(os.listdir("/proc/self/fd"))


def memory() -> int:
    """Bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def quiet(before: tuple[int, int], seconds: float = 60) -> tuple[int, int]:
    """Threads and open files, once they are as few as before, or after some time."""
    end = time.monotonic() + seconds
    while (now := (threading.active_count(), files())) > before and time.monotonic() < end:
        time.sleep(0.05)
    return now


def attack(server: Server, count: int, seed: int = 0) -> dict[str, Any]:
    """Send hostile requests, and tell what they left behind.

    Returns:
        statuses with their numbers, threads, files and bytes more than before, and whether a good question gets the
        answer of before.
    """
    port, draw = server.server_port, random.Random(seed)
    good = post(port, "/explain", GOOD)[1]["parts"]
    for _ in range(min(count, 300)):  # what is made once
        content, wait = request(draw, port)
        sent(port, content, wait)
    before, bytes_before = quiet((2, 0), 1), memory()
    statuses: Counter[str] = Counter()
    for _ in range(count):
        content, wait = request(draw, port)
        answer = sent(port, content, wait)
        statuses[answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/") else "none"] += 1
    threads, opened = quiet(before)
    return {
        "statuses": dict(statuses),
        "threads": threads - before[0],
        "files": opened - before[1],
        "bytes": memory() - bytes_before,
        "same": post(port, "/explain", GOOD)[1]["parts"] == good,
    }


if __name__ == "__main__":
    from calig_fast import from_pretrained

    explainer = from_pretrained(sys.argv[2])
    with running(Answers(explainer.model, explainer.processor, "attacked")) as server:
        print(json.dumps(attack(server, int(sys.argv[1])), indent=1))
