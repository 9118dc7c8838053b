"""A QuickBooks company inside this process: no server, no HTTP, no threads, no waiting.

    from simulator.local import AnswerLost, LocalCompany

    now = 1_790_000_000.0
    company = LocalCompany(lambda: now, seed=7, CustomTxnNumbers=True)

    status, headers, body = company.handle(
        "POST", "customer", {"requestid": "a1"}, {"DisplayName": "Ana Rivera"}
    )
    status, headers, body = company.handle(
        "GET", "query", {"query": "select * from Customer where DisplayName = 'Ana Rivera'"}
    )

**The clock** is the function you give: epoch seconds, read when a request comes. Nothing else moves
time, except `advance(seconds)`. With the same seed, clock and calls every byte is the same. Two
companies share nothing.

**`handle(method, path, query, body, headers)`** does the whole request at once: fault rules,
token, throttle, request id, work, answer. `path` is relative to the company ("invoice",
"customer/7", "batch") or begins with "/" (`/oauth2/v1/tokens/bearer`). `query` is a mapping; `body`
is bytes, text or something to be written as JSON. `minorversion` is not needed, JSON is what you
get unless an `Accept` header says otherwise, and without an `Authorization` header the request
counts as signed in, until `revoke()`. It returns `(status, headers, body)`; the names of the
headers are as on the wire.

**A lost answer** raises `AnswerLost`: `how` is "reset", "timeout" or "cut" (then `part` holds what
did arrive). The work was done or not as the fault rule says. A delay (fault rules, latency) calls
`sleep(seconds)` if you gave one, before or behind the work, and nothing otherwise.

**Requests that overlap**: `begin(…)` takes the same arguments and returns a `Pending`. Its `go()`
runs it up to its next delay and says whether it is over; then `answer()` is what `handle` returns.
A second request under the same request id stays not over until the first is.

**The books**: `get("Invoice", "7")`, `all("Invoice")` and `find("Invoice", DocNumber="1001")`
return the documents as they are stored: do not change them. **People**: `bookkeeper` edits, moves,
voids, deletes, deactivates, merges, applies credit, closes the books (`simulator/bookkeeper.py`).
**Trouble**: `fault(match={…}, do={…})`, `clear_faults()`; `set(requestid_ttl=5)` and the other
switches; `revoke()`. `journal` holds every request. `copy()` is a second company that is the same
up to here, and cheap: documents are never changed in place, so they are shared.

A bug of the simulator is raised, not answered. An act of the bookkeeper that a rule forbids raises
`simulator.refusals.Refusal`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple
from urllib.parse import urlencode

from simulator.answers import Answer
from simulator.bookkeeper import Bookkeeper
from simulator.clock import Clock
from simulator.documents import Document, Json, dump_json, parse_json, text_of
from simulator.exchange import Exchange, Lost, Pause, Request, Running, Steps
from simulator.injection import Rule
from simulator.journal import Entry
from simulator.oauth import ACCOUNTING, DEFAULT_CLIENT
from simulator.seed import seed_company
from simulator.service import Service
from simulator.state import Simulator
from simulator.store import Company
from simulator.switches import set_switch, switches_of

REALM = "9341450000000001"
BASE = "http://quickbooks.local"
JSON_HEADERS = {"accept": "application/json", "content-type": "application/json"}


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class AnswerLost(Exception):
    """No answer, or only a part of one, was received."""

    def __init__(self, how: Literal["reset", "timeout", "cut"], part: bytes = b"") -> None:
        super().__init__(how)
        self.how = how
        self.part = part


class LocalCompany:
    def __init__(
        self,
        now: Callable[[], float],
        seed: int | str = 0,
        *,
        country: str = "US",
        name: str = "Rivera Plumbing LLC",
        realm: str = REALM,
        sleep: Callable[[float], object] | None = None,
        **switches: Json | float,
    ) -> None:
        self._simulator = Simulator(clock=Clock(now), seed=seed, is_empty=True, is_loud=True)
        self._service = Service(self._simulator)
        self._sleep = sleep
        world = self._simulator.world
        self.company: Company = world.add_company(realm, name, country)
        seed_company(world, self.company)
        self._grant = self._simulator.oauth.grant(DEFAULT_CLIENT, realm, ACCOUNTING)
        self.set(**switches)

    # Requests ---------------------------------------------------------------------------------

    def handle(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Runs the request to its answer. Raises AnswerLost."""
        pending = self.begin(method, path, query, body, headers)
        while not pending.go():
            if not pending.seconds:  # waits for another request that holds the id, so it cannot end
                raise AnswerLost("timeout")
            if self._sleep:
                self._sleep(pending.seconds)
        return pending.answer()

    def begin(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Pending:
        """Starts the request; nothing has been executed yet."""
        told = {key: str(value) for key, value in (query or {}).items()}
        lowered = {key.lower(): value for key, value in (headers or {}).items()}
        request = Request(
            method=method,
            path=path if path.startswith("/") else f"/v3/company/{self.company.realm}/{path}",
            query=told,
            query_string=urlencode(told),
            headers={**JSON_HEADERS, **lowered},
            body=_as_bytes(body),
            base=BASE,
            grant="" if "authorization" in lowered else self._grant.grant_id,
        )
        exchange = self._service.begin(request)
        return Pending(exchange, self._service.steps(exchange))

    # The books --------------------------------------------------------------------------------

    def get(self, entity: str, object_id: str) -> Document | None:
        return self.company.get(entity, object_id)

    def all(self, entity: str) -> list[Document]:
        return list(self.company.all(entity).values())

    def find(self, entity: str, **values: Json) -> list[Document]:
        """The objects with these values; a text also matches a reference's id."""
        return [
            document
            for document in self.company.all(entity).values()
            if all(_is(document.get(key), value) for key, value in values.items())
        ]

    @property
    def bookkeeper(self) -> Bookkeeper:
        return Bookkeeper(self._simulator.world, self.company)

    # Trouble ----------------------------------------------------------------------------------

    def fault(self, *, match: Document | None = None, do: Document) -> Rule:
        """`fault(match={"entity": "Invoice", "nth": 1}, do={"reset": "after"})`"""
        return self._simulator.injection.add({"match": match or {}, "do": do})

    def clear_faults(self) -> None:
        self._simulator.injection.rules.clear()

    def set(self, **switches: Json | float) -> None:
        """Raises BadSwitch for an unknown one."""
        for name, value in switches.items():
            set_switch(self._simulator.world, self.company, name, value)

    @property
    def switches(self) -> dict[str, object]:
        return switches_of(self.company)

    def advance(self, seconds: float) -> None:
        """Moves this company's time ahead of its clock by so many seconds."""
        self._simulator.advance(seconds)

    def revoke(self) -> None:
        """The user disconnects the app inside QuickBooks; `connect()` connects it again."""
        self._simulator.oauth.disconnect(self.company.realm)

    def connect(self) -> Document:
        """A new sign-in, as after consent: both tokens."""
        oauth = self._simulator.oauth
        self._grant = oauth.grant(DEFAULT_CLIENT, self.company.realm, ACCOUNTING)
        return oauth.token_answer(self._grant, with_hard_expiry=True)

    @property
    def basic_authorization(self) -> str:
        """The header that this company's app uses to request tokens."""
        client = self._simulator.oauth.clients[DEFAULT_CLIENT]
        pair = f"{client.client_id}:{client.secret}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    @property
    def journal(self) -> list[Entry]:
        return list(self._simulator.journal.entries)

    # ------------------------------------------------------------------------------------------

    def copy(self, now: Callable[[], float] | None = None, seed: int | str = 0) -> LocalCompany:
        """Copies books, switches and request ids, but not the journal,
        fault rules or other sign-ins."""
        other = object.__new__(LocalCompany)
        clock = Clock(now or self._simulator.clock.source)
        clock.offset = self._simulator.clock.offset
        other._simulator = Simulator(clock=clock, seed=seed, is_empty=True, is_loud=True)
        other._service = Service(other._simulator)
        other._sleep = self._sleep
        other.company = self.company.copy()
        other._simulator.world.companies[other.company.realm] = other.company
        other.connect()
        return other


class Pending:
    """A request in progress."""

    def __init__(self, exchange: Exchange, steps: Steps) -> None:
        self._exchange = exchange
        self._steps = steps
        self._outcome: Answer | Lost | None = None
        self._behind: Running | None = None
        self.seconds = 0.0  # seconds it waits for now; 0 if it waits for another request

    def go(self) -> bool:
        """Runs it to its next delay; True when it is done."""
        if self._behind or self._outcome:
            return self._outcome is not None
        try:
            step = next(self._steps)
        except StopIteration as end:
            self._outcome = end.value
            return True
        self.seconds = step.seconds if isinstance(step, Pause) else 0.0
        if isinstance(step, Running):
            self._behind = step
            step.when_over.append(self._is_free)
        return False

    def _is_free(self) -> None:
        self._behind = None

    def abandon(self) -> None:
        """The server drops it: work not done yet is never done."""
        self._steps.close()

    def answer(self) -> Reply:
        """Raises AnswerLost, also if the request is not done."""
        outcome = self._outcome
        if outcome is None:
            raise AnswerLost("timeout")
        if isinstance(outcome, Lost):
            raise AnswerLost(outcome.how)
        headers = self._exchange.headers(outcome)
        if outcome.cut is not None:
            raise AnswerLost("cut", outcome.body[: outcome.cut])
        return Reply(outcome.status, headers, outcome.body)


def _as_bytes(body: object) -> bytes:
    if body is None:
        return b""
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else dump_json(body)


def _is(found: Json, wanted: Json) -> bool:
    return found == wanted or (isinstance(found, dict) and text_of(found, "value") == wanted)


def json_of(reply: Reply) -> Document:
    """The body, with exact numbers."""
    parsed = parse_json(reply.body)
    if not isinstance(parsed, dict):
        raise TypeError(f"{reply.body[:80]!r} is no JSON object")
    return parsed
