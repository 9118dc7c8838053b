"""Calls to QuickBooks: one deadline for the whole call, no redirects, and the kind of answer.

requests' own timeouts apply to each socket operation, so a server that sends a byte now and then
can block a caller forever. Here every wait on the socket ends at the deadline.
"""

import http.client
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from config import Config
from logs import redact
from outbox.company import Answer, Problem

API_HOSTS = {
    "production": "https://quickbooks.api.intuit.com",
    "sandbox": "https://sandbox-quickbooks.api.intuit.com",
}
MINOR_VERSION = "75"  # all lower versions ended in August 2025
CONNECT_DEADLINE = 5.0  # seconds per address; a host may have several
# seconds; an older connection may be half closed, and a lost request costs minutes
KEEP_ALIVE = 30.0
MAX_RETRY_AFTER = timedelta(seconds=300)
STATEMENT = "application/text"  # QuickBooks' content type for a posted query


def api_url(config: Config, realm_id: str) -> str:
    """The base address of a company's records, ending with a slash."""
    host = API_HOSTS.get(config.environment, config.simulator_url.rstrip("/"))
    return f"{host}/v3/company/{realm_id}/"


@dataclass(frozen=True)
class Call:
    """One request, relative to a company's base address. `query` is already encoded."""

    method: str
    path: str
    query: str = ""
    body: str | None = None


def call(config: Config, realm_id: str, token: str, asked: Call, deadline: float) -> Answer:
    """Makes the call and waits, at most until `deadline` (of `time.monotonic`).

    Never raises for network errors. The token is removed from the answer, because QuickBooks
    repeats it in its faults.
    """
    if time.monotonic() >= deadline:
        return Answer(problem=Problem.NOT_SENT)
    headers = {"Accept": "application/json"}
    if asked.body is not None:
        content = STATEMENT if asked.path == "query" else "application/json"
        headers["Content-Type"] = f"{content}; charset=utf-8"
    address = api_url(config, realm_id) + asked.path + ("?" + asked.query if asked.query else "")
    left = max(deadline - time.monotonic(), 0.001)
    try:
        with until(deadline):
            response = _session().request(
                asked.method,
                address,
                data=None if asked.body is None else asked.body.encode(),
                headers=headers,
                auth=_Bearer(token),
                timeout=(min(CONNECT_DEADLINE, left), left),
                allow_redirects=False,
            )
    except (requests.RequestException, OSError) as problem:
        return Answer(problem=_problem(problem))
    finally:
        _local.used_at = time.monotonic()
    return _answer(response, token)


def _answer(response: requests.Response, token: str) -> Answer:
    body = response.content.decode("utf-8", errors="replace")
    went_well = response.status_code == 200 and '"Fault"' not in body and '"fault"' not in body
    return Answer(
        status=response.status_code,
        # A successful answer holds the firm's own texts, which must stay unchanged.
        body=body.replace(token, "") if went_well else redact(body, token),
        trace_id=response.headers.get("intuit_tid"),
        retry_after=_retry_after(response.headers.get("Retry-After")),
    )


def _problem(problem: Exception) -> Problem:
    """Whether QuickBooks can have received the request. Only certainty counts as not sent."""
    if isinstance(problem, requests.exceptions.ConnectTimeout):
        return Problem.NOT_SENT
    reasons = [problem, *problem.args]
    reasons += [getattr(reason, "reason", None) for reason in reasons]
    if any(isinstance(reason, NewConnectionError) for reason in reasons):
        return Problem.NOT_SENT
    return Problem.UNANSWERED


def _retry_after(header: str | None) -> timedelta | None:
    """The requested delay, in seconds or as a date, within reason."""
    if not header:
        return None
    if header.strip().isdigit():
        told = timedelta(seconds=min(int(header), 86_400))
    else:
        try:
            told = parsedate_to_datetime(header) - datetime.now(UTC)
        except (ValueError, TypeError):
            return None
    return min(max(told, timedelta(0)), MAX_RETRY_AFTER)


class _Bearer(AuthBase):
    """Explicit, because otherwise requests would use a password from ~/.netrc."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


# --- One session a thread, and its deadline -----------------------------------------------------

_local = threading.local()


def _session() -> requests.Session:
    session: requests.Session | None = getattr(_local, "session", None)
    if session is None:
        session = _local.session = requests.Session()
        mount(session)
    elif time.monotonic() - _local.used_at > KEEP_ALIVE:
        session.close()
    _local.used_at = time.monotonic()
    return session


def mount(session: requests.Session) -> None:
    """Makes all answers read by this session obey `until`."""
    session.mount("https://", DeadlineAdapter())
    session.mount("http://", DeadlineAdapter())


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """No wait on a socket in this thread goes beyond `deadline` (of `time.monotonic`)."""
    before = getattr(_local, "deadline", None)
    _local.deadline = deadline
    try:
        yield
    finally:
        _local.deadline = before


class _UntilDeadline(io.RawIOBase):
    """A socket stream whose reads wait no longer than the rest of the call's time."""

    def __init__(self, sock: socket.socket, stream: io.RawIOBase) -> None:
        self.sock = sock
        self.stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        deadline: float | None = getattr(_local, "deadline", None)
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the call's deadline has passed")
            self.sock.settimeout(left)
        return self.stream.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self.stream.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        stream = self.fp.detach()  # from the BufferedReader on the socket
        self.fp = io.BufferedReader(_UntilDeadline(sock, stream))


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class DeadlineAdapter(HTTPAdapter):
    """An adapter that reads answers under the deadline of `until`, and never retries."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):  # SOCKS creates its own connections
            manager.pool_classes_by_scheme = _POOLS
        return manager
