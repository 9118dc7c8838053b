"""Runs a simulator for a test: a real process on a free port, with typed controls."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlencode

from simulator.documents import Document, Json, dump_json

START_WITHIN = 20.0  # seconds
STOP_WITHIN = 10.0


class GrantedTokens(TypedDict):
    access_token: str
    refresh_token: str
    realm_id: str
    client_id: str
    client_secret: str
    expires_in: int
    x_refresh_token_expires_in: int
    x_refresh_token_hard_expires_in: int
    token_type: str


class JournalEntry(TypedDict):
    method: str
    path: str
    query: str
    body: str
    status: int | None
    requestid: str | None
    tid: str
    arrived_at: float
    answered_at: float | None
    metered: bool
    metered_reads: int
    replayed: bool
    realm: str | None
    fault: str | None
    answer: str | None


Books = dict[str, list[Document]]


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    status: int
    text: str
    headers: dict[str, str]

    @property
    def body(self) -> Document:
        parsed: Json = json.loads(self.text, parse_float=Decimal)
        assert isinstance(parsed, dict)
        return parsed

    def object(self, name: str) -> Document:
        """`answer.object("Invoice")`: the object in a successful answer; raises on a fault."""
        found = self.body.get(name)
        assert isinstance(found, dict), self.text
        return found

    @property
    def error(self) -> Document:
        """The first error, with keys in lower case."""
        fault = self.body.get("Fault") or self.body.get("fault")
        assert isinstance(fault, dict), self.text
        errors = fault.get("Error") or fault.get("error")
        assert isinstance(errors, list)
        first = errors[0]
        assert isinstance(first, dict)
        return {key.lower(): value for key, value in first.items()}

    @property
    def code(self) -> str:
        return str(self.error["code"])


class ApiClient:
    """The accounting API of one company, with its own grant and one persistent connection."""

    def __init__(self, port: int, realm: str, token: str) -> None:
        self.realm = realm
        self.headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def close(self) -> None:
        self._connection.close()

    def raw(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body as received."""
        told = urlencode({"minorversion": 75, **(query or {})})
        data = body if isinstance(body, bytes) or body is None else dump_json(body)
        url = f"/v3/company/{self.realm}/{path}?{told}"
        try:
            self._connection.request(method, url, data, {**self.headers, **(headers or {})})
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        return response.status, dict(response.getheaders()), content

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ApiAnswer:
        status, told, content = self.raw(method, path, body, query, headers)
        return ApiAnswer(status, content.decode("utf-8", "replace"), told)

    def post(self, path: str, body: object, /, **query: object) -> ApiAnswer:
        return self.call("POST", path, body, query)

    def get(self, path: str, /, **query: object) -> ApiAnswer:
        return self.call("GET", path, None, query)

    def query(self, statement: str) -> Document:
        """The content of a QueryResponse."""
        return self.get("query", query=statement).object("QueryResponse")

    def batch(self, *items: Document, **query: object) -> list[Document]:
        answer = self.post("batch", {"BatchItemRequest": list(items)}, **query)
        found = answer.body.get("BatchItemResponse")
        assert isinstance(found, list), answer.text
        return [each for each in found if isinstance(each, dict)]


class SimulatorHandle:
    """Starts and stops the process, and calls its control interface."""

    def __init__(self, data: Path | None = None, port: int = 0) -> None:
        self.data = data
        self.port = port
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the simulator is not running")
        return self._process.pid

    # The process ------------------------------------------------------------------------------

    def start(self) -> None:
        """On the same port as before; with a data folder, the books are still there."""
        command = [sys.executable, "-m", "simulator", "--port", str(self.port)]
        if self.data is not None:
            command += ["--data", str(self.data)]
        root = Path(__file__).resolve().parent.parent
        path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found = re.search(r":(\d+)$", line.strip())
        if not found:
            self._process.kill()
            self._process.wait()
            raise RuntimeError(f"the simulator did not start: {line!r}")
        self.port = int(found.group(1))
        self._wait_until_healthy()

    def _wait_until_healthy(self) -> None:
        ends_at = time.monotonic() + START_WITHIN
        while True:
            try:
                self._call("GET", "/_simulator/health")
                return
            except OSError:
                if time.monotonic() > ends_at:
                    raise
                time.sleep(0.02)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kills the process, like a crash."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._process = None

    # The control interface --------------------------------------------------------------------

    def books(self, realm: str) -> Books:
        """All objects of the company by entity; money as Decimal."""
        found = self._call("GET", f"/_simulator/books/{realm}")
        assert isinstance(found, dict)
        return {
            name: [each for each in objects if isinstance(each, dict)]
            for name, objects in found.items()
            if isinstance(objects, list)
        }

    def journal(self) -> list[JournalEntry]:
        entries: list[JournalEntry] = json.loads(self._send("GET", "/_simulator/journal"))
        return entries

    def keep_answers(self) -> None:
        """From now on the journal has the answers, also those that were lost on the way."""
        self._call("PATCH", "/_simulator/journal", {"keeps_answers": True})

    def clear_journal(self) -> None:
        self._call("DELETE", "/_simulator/journal")

    def fault(self, *, match: Mapping[str, object] | None = None, do: Mapping[str, object]) -> None:
        """`fault(match={"entity": "Invoice", "nth": 1}, do={"timeout": "after"})`"""
        self._call("POST", "/_simulator/faults", {"match": dict(match or {}), "do": dict(do)})

    def clear_faults(self) -> None:
        self._call("DELETE", "/_simulator/faults")

    def advance(self, seconds: float) -> None:
        self._call("POST", "/_simulator/clock", {"advance": seconds})

    def company(self, realm: str, **switches: object) -> Document:
        """Sets switches; returns all of them."""
        method = "PATCH" if switches else "GET"
        found = self._call(method, f"/_simulator/company/{realm}", switches or None)
        assert isinstance(found, dict)
        return found

    def act(self, realm: str, act: str, **values: object) -> Document:
        """A person's act inside QuickBooks: `act(realm, "void", entity="Invoice", object_id="7")`.

        `simulator/bookkeeper.py` lists the acts and their arguments.
        """
        found = self._call("POST", f"/_simulator/acts/{realm}", {"act": act, **values})
        assert isinstance(found, dict)
        return found

    def add_company(self, name: str, country: str = "US") -> str:
        found = self._call("POST", "/_simulator/companies", {"name": name, "country": country})
        assert isinstance(found, dict)
        return str(found["realm"])

    def add_client(self, client_id: str, client_secret: str, *redirect_uris: str) -> None:
        body = {"client_id": client_id, "client_secret": client_secret}
        self._call("POST", "/_simulator/clients", {**body, "redirect_uris": list(redirect_uris)})

    def grant(self, realm_id: str | None = None, client_id: str | None = None) -> GrantedTokens:
        body = {"realm_id": realm_id, "client_id": client_id}
        told = {key: value for key, value in body.items() if value}
        granted: GrantedTokens = json.loads(self._send("POST", "/_simulator/grant", told))
        return granted

    def client(self, realm: str) -> ApiClient:
        """The company's API, connected and ready."""
        return ApiClient(self.port, realm, self.grant(realm)["access_token"])

    def revoke(self, realm: str) -> None:
        """The user disconnects the app inside QuickBooks."""
        self._call("POST", f"/_simulator/revoke/{realm}")

    def reset(self) -> None:
        self._call("POST", "/_simulator/reset")

    def _call(self, method: str, path: str, body: object = None) -> Json:
        found: Json = json.loads(self._send(method, path, body), parse_float=Decimal)
        return found

    def _send(self, method: str, path: str, body: object = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status != 200:
            words = answer.decode("utf-8", "replace")
            raise ValueError(f"{method} {path}: {response.status} {words}")
        return answer


@contextmanager
def running_simulator(data: Path | None = None, port: int = 0) -> Iterator[SimulatorHandle]:
    handle = SimulatorHandle(data, port)
    handle.start()
    try:
        yield handle
    finally:
        handle.stop()
