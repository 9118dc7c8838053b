"""Calls at the wire: one deadline for the whole call, and what we may conclude from silence."""

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
import requests
import responses
from urllib3.exceptions import NewConnectionError, ProtocolError

from config import Config
from outbox.company import Answer, Problem
from quickbooks import client
from quickbooks.client import Call

TOKEN = "eyJlbmMi.the-access-token"
WRITE = Call("POST", "invoice", "minorversion=75&requestid=abc", '{"DocNumber":"Ä"}')


def answer_of(config: Config, asked: Call = WRITE, seconds: float = 5.0) -> Answer:
    return client.call(config, "123", TOKEN, asked, time.monotonic() + seconds)


@contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does to each connection as it likes."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()

    def accept() -> None:
        while not stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    def one(connection: socket.socket) -> None:
        with connection:
            try:
                serve(connection)
            except OSError:
                return  # the client has hung up, as it should

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    stopping.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def trickle(connection: socket.socket, text: bytes) -> None:
    connection.recv(65536)
    for sign in text:
        connection.sendall(bytes([sign]))
        threading.Event().wait(0.05)


def trickle_head(connection: socket.socket) -> None:
    trickle(connection, b"HTTP/1.1 200 OK\r\nX-Padding: " + b"x" * 10_000)


def trickle_body(connection: socket.socket) -> None:
    trickle(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"x" * 9000)


def say_nothing(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def cut_off(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n{"Invoice":')


def hang_up(connection: socket.socket) -> None:
    connection.recv(65536)


@pytest.mark.parametrize("serve", [trickle_head, trickle_body, say_nothing])
def test_a_call_ends_at_its_deadline_however_slowly_the_server_trickles(
    config: Config, serve: Callable[[socket.socket], None]
) -> None:
    with serving(serve) as url:
        begun = time.monotonic()
        answer = answer_of(replace(config, simulator_url=url), seconds=0.6)
        assert answer.problem is Problem.UNANSWERED
        assert time.monotonic() - begun < 2


@pytest.mark.parametrize("serve", [cut_off, hang_up])
def test_a_cut_answer_is_no_answer(config: Config, serve: Callable[[socket.socket], None]) -> None:
    with serving(serve) as url:
        assert answer_of(replace(config, simulator_url=url)).problem is Problem.UNANSWERED


def test_only_what_cannot_have_arrived_counts_as_not_sent(config: Config) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    refused = replace(config, simulator_url=nobody)
    assert answer_of(refused).problem is Problem.NOT_SENT
    unknown = replace(config, simulator_url="http://no-such-host.invalid")
    assert answer_of(unknown).problem is Problem.NOT_SENT
    assert answer_of(refused, seconds=-1).problem is Problem.NOT_SENT


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (requests.ConnectTimeout(), Problem.NOT_SENT),
        (requests.ConnectionError(NewConnectionError(None, "refused")), Problem.NOT_SENT),  # type: ignore[arg-type]
        (requests.ReadTimeout(), Problem.UNANSWERED),
        (requests.ConnectionError(ProtocolError("aborted")), Problem.UNANSWERED),
        (requests.exceptions.ChunkedEncodingError(), Problem.UNANSWERED),
        (requests.exceptions.ContentDecodingError(), Problem.UNANSWERED),
        (requests.exceptions.SSLError(), Problem.UNANSWERED),
        (requests.exceptions.ProxyError(), Problem.UNANSWERED),
        (ConnectionResetError(), Problem.UNANSWERED),
    ],
)
@responses.activate
def test_trouble_of_the_network_becomes_a_problem(
    config: Config, problem: Exception, expected: Problem
) -> None:
    responses.post(client.api_url(config, "123") + "invoice", body=problem)
    assert answer_of(config).problem is expected


@responses.activate
def test_a_request_goes_out_byte_for_byte(config: Config) -> None:
    sent = responses.post(
        client.api_url(config, "123") + "invoice",
        json={"Invoice": {"Id": "1"}},
        headers={"intuit_tid": "1-5f732f68-d4d3"},
    )
    answer = answer_of(config)
    request = sent.calls[0].request
    assert str(request.url).endswith("/v3/company/123/invoice?minorversion=75&requestid=abc")
    assert request.body == '{"DocNumber":"Ä"}'.encode()
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.headers["Accept"] == "application/json"
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    assert (answer.status, answer.trace_id) == (200, "1-5f732f68-d4d3")


@responses.activate
def test_a_redirect_is_not_followed(config: Config) -> None:
    responses.post(
        client.api_url(config, "123") + "invoice",
        status=307,
        headers={"Location": "https://evil.example/"},
    )
    evil = responses.post("https://evil.example/")
    assert answer_of(config).status == 307
    assert evil.call_count == 0


@responses.activate
def test_rule_17_the_token_is_not_in_the_answer_though_quickbooks_echoes_it(
    config: Config,
) -> None:
    body = '{"fault":{"error":[{"detail":"Token expired: TOKEN","code":"3200"}]}}'
    responses.post(
        client.api_url(config, "123") + "invoice", status=401, body=body.replace("TOKEN", TOKEN)
    )
    answer = answer_of(config)
    assert TOKEN not in repr(answer)
    assert '"code":"3200"' in answer.body


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("30", 30),
        ("100000", 300),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("Wed, 01 Jan 2020 00:00:00 GMT", 0),
        ("Wed, 01 Jan 2120 00:00:00 GMT", 300),
    ],
)
@responses.activate
def test_retry_after_is_kept_within_reason(
    config: Config, header: str, expected: int | None
) -> None:
    responses.post(
        client.api_url(config, "123") + "invoice", status=429, headers={"Retry-After": header}
    )
    told = answer_of(config).retry_after
    assert told == (None if expected is None else timedelta(seconds=expected))


def test_one_connection_serves_many_calls(config: Config) -> None:
    connections: list[object] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.connection not in connections:
                connections.append(self.connection)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = replace(config, simulator_url=f"http://127.0.0.1:{server.server_port}")
        for _ in range(5):
            assert answer_of(here, Call("GET", "query", "query=x")).status == 200
        client._session().close()
        server.shutdown()
    assert len(connections) == 1


@pytest.mark.parametrize(
    ("environment", "host"),
    [
        ("production", "https://quickbooks.api.intuit.com/v3/company/9/"),
        ("sandbox", "https://sandbox-quickbooks.api.intuit.com/v3/company/9/"),
    ],
)
def test_each_environment_has_its_host(config: Config, environment: str, host: str) -> None:
    assert client.api_url(replace(config, environment=environment), "9") == host  # type: ignore[arg-type]
