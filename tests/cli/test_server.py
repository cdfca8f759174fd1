"""The server of `calig serve` answers its own page alone, within limits; hostile requests leave nothing behind."""

import os
import socket

import pytest
from helpers.hostile import GOOD, attack, post, running, sent, written

from calig_fast import from_pretrained
from calig_fast.cli import server as module
from calig_fast.cli.answers import Answers

REQUESTS = int(os.environ.get("CALIG_FAST_REQUESTS", "400"))  # 10,000 by hand: python -m helpers.hostile 10000 DIR


@pytest.fixture(scope="module")
def answers(texts):
    explainer = from_pretrained(texts)
    return Answers(explainer.model, explainer.processor, texts.name)


@pytest.fixture(scope="module")
def port(answers):
    with running(answers) as server:
        yield server.server_port


def status_of(answer):
    return int(answer.split(b" ")[1])


def test_it_answers_a_question(port):
    status, told = post(port, "/explain", GOOD)
    assert status == 200
    assert " ".join(part["text"] for part in told["parts"]).replace(" .", ".") == GOOD["text"]
    assert post(port, "/explain", GOOD, Origin=f"http://127.0.0.1:{port}")[0] == 200


def test_headers_keep_the_page_to_itself(port):
    head = sent(port, written("GET", "/", b"", port)).partition(b"\r\n\r\n")[0].decode()
    assert "Content-Security-Policy: default-src 'self'" in head
    assert "frame-ancestors 'none'" in head
    assert "Access-Control-Allow-Origin" not in head


@pytest.mark.parametrize(
    ("request_of", "status"),
    [
        (lambda port: written("GET", "/nowhere", b"", port), 404),
        (lambda port: written("GET", "/../pyproject.toml", b"", port), 404),
        (lambda port: written("GET", "/app/index.html", b"", port), 404),
        (lambda port: written("POST", "/about", b"{}", port), 404),
        (lambda port: written("GET", "/", b"", port, Host="evil.example"), 403),
        (lambda port: written("POST", "/explain", b"{}", port, Origin="http://evil.example"), 403),
        (lambda port: written("POST", "/explain", b"{}", port, Origin="null"), 403),
        (lambda port: written("POST", "/explain", b"{}", port, Content_Type="text/plain"), 415),
        (lambda port: written("POST", "/explain", b"{}", port, Content_Length=""), 411),
        (lambda port: written("POST", "/explain", b"{}", port, Content_Length=str(module.MOST_BYTES + 1)), 413),
        (lambda port: written("POST", "/explain", b"[" * 100_000, port), 400),
        (lambda port: written("POST", "/explain", b"\xff", port), 400),
        (lambda port: written("POST", "/explain", b"{}", port), 400),
        (lambda port: written("PUT", "/explain", b"{}", port), 501),
    ],
)
def test_what_it_refuses(request_of, status, port):
    assert status_of(sent(port, request_of(port))) == status


def test_a_question_that_trickles_is_cut(answers, monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 0.5)
    with running(answers) as server, socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as slow:
        slow.sendall(b"POST /explain HTTP/1.1\r\n")
        assert slow.recv(100) == b""


def test_more_connections_than_it_takes(answers, monkeypatch):
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 2)
    with running(answers) as server:
        held = [socket.create_connection(("127.0.0.1", server.server_port), timeout=30) for _ in range(2)]
        for connection in held:
            connection.sendall(b"GET ")
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as third:
            assert third.recv(100) == b""
        for connection in held:
            connection.close()
        for _ in range(100):
            if answer := sent(server.server_port, written("GET", "/about", b"", server.server_port)):
                break
        assert status_of(answer) == 200


def test_an_error_of_the_model_is_told_and_the_server_goes_on(port, answers, monkeypatch, capfd):
    monkeypatch.setattr(answers, "_explainer", None)
    status, told = post(port, "/explain", GOOD)
    assert status in (400, 500)
    assert "NoneType" in told["error"]
    monkeypatch.undo()
    assert post(port, "/explain", GOOD)[0] == 200


def test_hostile_requests_leave_nothing_behind(answers):
    with running(answers) as server:
        told = attack(server, REQUESTS)
    assert told["same"]
    assert told["threads"] <= 0
    assert told["files"] <= 0
    assert told["bytes"] < 32 << 20
    assert set(told["statuses"]) <= {
        "200",
        "400",
        "403",
        "404",
        "411",
        "413",
        "414",
        "415",
        "431",
        "501",
        "505",
        "none",
    }
    assert told["statuses"]["400"] > 0
