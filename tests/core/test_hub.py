from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from autokd.core import hub


class _Server(HTTPServer):
    status = 200
    asked = 0


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_HEAD(self) -> None:
        self.server.asked += 1
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keeps the test output quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    server = _Server(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_server_that_replies_answers_and_is_asked_once(server: _Server) -> None:
    assert hub.hub_answers()
    assert hub.hub_answers()
    assert server.asked == 1


@pytest.mark.parametrize(("status", "answers"), [(401, True), (404, True), (403, False), (407, False), (502, False)])
def test_refusals_of_a_proxy_are_no_answer(server: _Server, status: int, answers: bool) -> None:
    server.status = status
    assert hub.hub_answers() is answers


@pytest.mark.parametrize("value", ["1", "true", "YES"])
def test_offline_asks_nobody(server: _Server, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert not hub.hub_answers()
    assert server.asked == 0


def test_a_closed_port_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    assert not hub.hub_answers()


def test_a_name_look_up_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    released, returned = threading.Event(), threading.Event()

    def slow_look_up(*_: object, **__: object) -> list[object]:
        released.wait(30)
        returned.set()
        return []

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://slow-name.invalid")
    monkeypatch.setattr(socket, "getaddrinfo", slow_look_up)
    assert not hub.hub_answers(timeout_s=0.1)
    assert not returned.is_set()
    released.set()
    assert returned.wait(30)


def test_a_malformed_endpoint_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "not an address")
    assert not hub.hub_answers()
