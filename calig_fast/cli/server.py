"""The server of `calig serve`: a few paths, one request a connection, with limits on size, number and time."""

from __future__ import annotations

import json
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import tell
from .writing import plain

if TYPE_CHECKING:
    from .answers import Answers

APP = Path(__file__).with_name("app")
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/app.css": ("app.css", "text/css; charset=utf-8"),
}
MOST_BYTES = 16 << 20  # of a question
MOST_CONNECTIONS = 32
LONGEST = 30.0  # seconds until a question has come
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
LOCAL = ("127.0.0.1", "localhost", "[::1]")


class RefusedError(Exception):
    """A request that is answered with an error.

    Args:
        status: of HTTP.
        why: the message.
    """

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class Server(ThreadingHTTPServer):
    """Serves the page and its answers.

    A request must name this server as its host, so that a page of another site cannot reach it under a name of its own.

    Args:
        answers: of the model.
        host: address that is listened at.
        port: of it, 0 for any that is free.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, answers: Answers, host: str = "127.0.0.1", port: int = 0) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), Handler)
        self.answers = answers
        self.everywhere = host in {"0.0.0.0", "::"}
        own = f"[{host}]" if ":" in host else host
        self.hosts = {f"{name}:{self.server_port}" for name in (own, *LOCAL)}
        self.url = f"http://{own}:{self.server_port}/"
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a thread, or close the connection where too many are open."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that left."""


class Handler(BaseHTTPRequestHandler):
    """One request and its answer; the connection is closed behind it."""

    server: Server
    protocol_version = "HTTP/1.0"
    server_version, sys_version = "calig", ""
    timeout = LONGEST

    def setup(self) -> None:
        """Cut a connection whose question does not come in time, however it trickles."""
        super().setup()
        self._deadline = threading.Timer(LONGEST, self._cut)
        self._deadline.daemon = True
        self._deadline.start()

    def finish(self) -> None:
        """End the deadline with the connection."""
        self._deadline.cancel()
        super().finish()

    def do_GET(self) -> None:
        """The page, its parts, and what is known of the model."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """An answer to a question."""
        self._answer(self._post)

    def _get(self) -> tuple[bytes, str]:
        if self.path == "/about":
            return _json(self.server.answers.about())
        if self.path not in FILES:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is nothing at this address")
        name, kind = FILES[self.path]
        return (APP / name).read_bytes(), kind

    def _post(self) -> tuple[bytes, str]:
        asks = {"/explain", "/without", "/page"}
        if self.path not in asks:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is nothing at this address")
        question = self._asked()
        answers = self.server.answers
        if self.path == "/page":
            return answers.page(question).encode(), "text/html; charset=utf-8"
        return _json(answers.explain(question) if self.path == "/explain" else answers.without(question))

    def _asked(self) -> Any:
        """The question.

        Raises:
            RefusedError: it is too long, of another type, or no JSON.
        """
        if self.headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()) or len(length) > 12:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length")
        if int(length) > MOST_BYTES:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {MOST_BYTES} bytes")
        content = self.rfile.read(int(length))
        self._deadline.cancel()
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "expected JSON") from error

    def _answer(self, make: Any) -> None:
        status = HTTPStatus.OK
        try:
            self._check_origin()
            body, kind = make()
        except RefusedError as error:
            status, (body, kind) = error.status, _json({"error": str(error)})
        except (ValueError, TypeError) as error:
            status, (body, kind) = HTTPStatus.BAD_REQUEST, _json({"error": str(error)})
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:  # of the model
            tell(f"{self.path[:80]}: {type(error).__name__}: {error}")
            status, (body, kind) = (
                HTTPStatus.INTERNAL_SERVER_ERROR,
                _json({"error": f"{type(error).__name__}: {error}"}),
            )
        self._send(status, body, kind)

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _check_origin(self) -> None:
        """Refuse what another site sends.

        Raises:
            RefusedError: the request names another host or another origin.
        """
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if not self.server.everywhere and host not in self.server.hosts:
            raise RefusedError(HTTPStatus.FORBIDDEN, "this address is not served here")
        if origin is not None and origin != f"http://{host}":
            raise RefusedError(HTTPStatus.FORBIDDEN, "pages of other sites are not answered")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that is no HTTP, in one line."""
        self._send(code, *_json({"error": message or HTTPStatus(code).phrase}))

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: a question may be private."""

    def _cut(self) -> None:
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:  # it is closed already
            return


def _json(value: Any) -> tuple[bytes, str]:
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace"), "application/json; charset=utf-8"
