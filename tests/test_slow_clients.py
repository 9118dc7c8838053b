"""Clients that send little or nothing occupy no thread: all others are served at once."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.serving import Served, serving

IDLE, SLOW = 40, 8
AT_ONCE = 0.5  # seconds; quiet machines answer within 0.01, this one may be busy with other tests


def _connection(served: Served) -> socket.socket:
    parts = urlsplit(served.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=30)


@contextmanager
def _idle_connections(served: Served, count: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as life:
        yield [life.enter_context(_connection(served)) for _ in range(count)]


@contextmanager
def _trickling(served: Served, texts: list[bytes]) -> Iterator[None]:
    """Clients that send one byte of their text every fifth of a second, and never finish."""
    stopping = threading.Event()

    def trickle(connection: socket.socket, text: bytes) -> None:
        for number in range(len(text)):
            if stopping.wait(0.2):
                return
            connection.sendall(text[number : number + 1])

    with _idle_connections(served, len(texts)) as connections:
        threads = [
            threading.Thread(target=trickle, args=pair)
            for pair in zip(connections, texts, strict=True)
        ]
        for thread in threads:
            thread.start()
        yield
        stopping.set()
        for thread in threads:
            thread.join()


def _answer_times(served: Served, count: int = 9) -> list[float]:
    times = []
    for _ in range(count):
        began = time.monotonic()
        assert requests.get(f"{served.url}/healthz", timeout=20).status_code == 200
        times.append(time.monotonic() - began)
    return times


@pytest.fixture
def served(environ: dict[str, str], tmp_path: Path) -> Iterator[Served]:
    with serving(environ, tmp_path, "--workers=1") as served:
        yield served


HEAD = b"GET /healthz HTTP/1.1\r\nHost: dunahub.example\r\nX-Filler: " + b"x" * 400
BODY = (
    b"POST /sign-in HTTP/1.1\r\nHost: dunahub.example\r\nContent-Length: 400\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\nemail="
)


def test_case_s08_idle_and_slow_clients_keep_nobody_waiting(served: Served) -> None:
    with _idle_connections(served, IDLE), _trickling(served, [HEAD] * SLOW):
        assert median(_answer_times(served)) < AT_ONCE


def test_case_s08_slow_bodies_keep_nobody_waiting(served: Served) -> None:
    with _idle_connections(served, 2 * SLOW) as connections:
        for connection in connections:
            connection.sendall(BODY)  # and the rest never comes
        assert median(_answer_times(served)) < AT_ONCE


def test_case_s08_clients_that_read_slowly_keep_nobody_waiting(served: Served) -> None:
    with _idle_connections(served, 2 * SLOW) as connections:
        for connection in connections:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(b"GET /sign-up HTTP/1.1\r\nHost: dunahub.example\r\n\r\n" * 20)
        assert median(_answer_times(served)) < AT_ONCE


def test_silent_connections_keep_no_new_one_out(environ: dict[str, str], tmp_path: Path) -> None:
    """Whoever opens more connections than a process holds loses the oldest of their own."""
    with (
        serving(environ, tmp_path, "--workers=1", "--worker-connections=30") as served,
        _idle_connections(served, 60) as connections,
    ):
        assert max(_answer_times(served)) < 20 * AT_ONCE
        connections[0].settimeout(20)
        assert connections[0].recv(1) == b""  # closed by the server


def test_half_a_request_does_not_hold_up_a_stop(served: Served) -> None:
    with _idle_connections(served, 20) as connections:
        for number, connection in enumerate(connections):
            connection.sendall((b"", HEAD, BODY)[number % 3])
        began = time.monotonic()
        assert served.terminate() == 0
        assert time.monotonic() - began < 15  # the engine has eight seconds of it


def test_a_request_too_long_to_be_one_of_ours_is_refused(served: Served) -> None:
    answer = requests.post(f"{served.url}/sign-in", data=b"x" * (5 * 1024 * 1024), timeout=20)
    assert answer.status_code == 413


def test_the_proxys_word_reaches_the_app(environ: dict[str, str], tmp_path: Path) -> None:
    """The server removes no header: PROXIES says which of them the app believes."""
    with serving(environ | {"PROXIES": "1"}, tmp_path, "--workers=1") as served:
        came = {"X-Forwarded-For": "203.0.113.9"}
        assert requests.get(f"{served.url}/metrics", headers=came, timeout=20).status_code == 404
        assert requests.get(f"{served.url}/metrics", timeout=20).status_code == 200
