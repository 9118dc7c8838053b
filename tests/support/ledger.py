"""A company at the other end of the engine, as small as can be, with faults on demand.

For what the engine alone promises: order, fencing, crash safety. It keeps request ids as
QuickBooks does: a repeated id gets the first answer again. QuickBooks itself is tested through
`quickbooks.delivery` and the simulator.
"""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from models.base import Json
from models.outbox import Operation
from models.sales import Record
from outbox.company import (
    Answer,
    Composition,
    Draft,
    Due,
    Fault,
    Item,
    Learned,
    Outcome,
    Pause,
    Problem,
    Reading,
    Rejected,
    Remote,
    Retry,
    Sent,
    Synced,
    Unneeded,
)
from outbox.pace import UNLIMITED, Limits

SILENT = Answer(problem=Problem.UNANSWERED)


@dataclass
class Arrival:
    """One change that the ledger booked."""

    record: str  # "lead 7"
    intent: str
    payload: Json


@dataclass
class Ledger:
    """Books what it is sent. `fail(sent)` may return an Answer to give instead of booking."""

    fail: Callable[[Sent], Answer | None] = lambda _sent: None
    after: Callable[[Sent], Answer | None] = lambda _sent: None  # booked, but answered thus
    rejects: set[str] = field(default_factory=set)  # titles a person must mend
    relents: bool = False  # what it rejects may pass by itself later
    arrivals: list[Arrival] = field(default_factory=list)
    calls: list[Sent] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)  # record → remote id
    latest: dict[str, Arrival] = field(default_factory=dict)  # record → what was booked last
    lock: threading.Lock = field(default_factory=threading.Lock)
    limits: Limits = UNLIMITED

    def settings(self, session: Session, lane_id: int, entries: Sequence[Due]) -> Json:
        return {}

    def compose(
        self,
        entries: Sequence[Due],
        links: Mapping[Record, Remote],
        settings: Json,
        taken: frozenset[str] = frozenset(),
    ) -> Composition:
        verdicts: dict[int, Outcome] = {}
        looks: list[Due] = []
        writes: list[tuple[Due, str]] = []
        for due in entries:
            link = links.get(due.record)
            if due.payload.get("title") == "breaks compose":
                raise ValueError("this entry cannot be composed")
            if due.operation == Operation.VOID and link is None:
                verdicts[due.entry_id] = Unneeded()
            elif due.checks or due.looks_first:
                looks.append(due)
            elif due.operation == Operation.VOID:
                writes.append((due, "void"))
            else:
                writes.append((due, "update" if link else "create"))
        if looks:
            names = json.dumps([_name(due.record) for due in looks])
            items = [Item(due.entry_id, "look_up") for due in looks]
            return Composition(Draft("GET", "query", {"names": names}, None, items), verdicts)
        if not writes:
            return Composition(None, verdicts)
        body = json.dumps([[_name(due.record), intent, due.payload] for due, intent in writes])
        items = [Item(due.entry_id, intent) for due, intent in writes]
        return Composition(Draft("POST", "batch", {}, body, items, len(items) > 1), verdicts)

    def part_of(self, body: str, positions: Sequence[int]) -> str:
        return json.dumps(
            [one if i in positions else None for i, one in enumerate(json.loads(body))]
        )

    def send(self, sent: Sent) -> Answer:
        with self.lock:
            self.calls.append(sent)
        if failure := self.fail(sent):
            return failure
        with self.lock:
            if sent.method == "GET":
                found = {name: [id_, self._shown(name)] for name, id_ in self.held.items()}
                return Answer(200, json.dumps(found))
            if sent.request_id not in self.answers:
                self.answers[sent.request_id] = json.dumps(self._book(sent))
            body = self.answers[sent.request_id]
        return self.after(sent) or Answer(200, body, trace_id=f"trace-{sent.id}")

    def _book(self, sent: Sent) -> list[str | None]:
        booked: list[str | None] = []
        for item in json.loads(sent.body or "[]"):
            if item is None:  # settled before
                booked.append(None)
                continue
            name, intent, payload = item
            if payload["title"] in self.rejects:
                booked.append(None)
                continue
            self.arrivals.append(Arrival(name, intent, payload))
            self.latest[name] = self.arrivals[-1]
            if intent == "create":
                assert name not in self.held, f"{name} was created twice"
                self.held[name] = f"the {name} over there"
            booked.append(self.held[name])
        return booked

    def read(self, sent: Sent, answer: Answer) -> Reading:
        if answer.problem in (Problem.NOT_SENT, Problem.SIGNED_OUT):
            return Reading(trouble=Pause("outage"), taken=False)
        if answer.status == 429:
            return Reading(trouble=Pause("throttled", answer.retry_after), taken=False)
        if answer.status != 200:
            return Reading(trouble=Pause("outage"), is_silent=True, kept_answer=answer.body)
        if sent.method == "GET":
            return self._read_look_up(sent, json.loads(answer.body))
        outcomes: dict[int, Outcome] = {}
        for item, remote in zip(sent.items, json.loads(answer.body), strict=True):
            if item.entry_id in sent.due:
                refusal = (Retry if self.relents else Rejected)(Fault("refused"))
                outcomes[item.entry_id] = Synced(Remote(remote, "0")) if remote else refusal
        return Reading(outcomes)

    def _shown(self, name: str) -> str | None:
        """What a look-up sees of a record: None when it was there before we booked anything."""
        latest = self.latest.get(name)
        return _digest(latest.intent == "void", latest.payload) if latest else None

    def _read_look_up(self, sent: Sent, found: dict[str, tuple[str, str | None]]) -> Reading:
        """It is there as we want it, or is there and still to be written, or is not there."""
        outcomes: dict[int, Outcome] = {}
        for item in sent.items:
            due = sent.due[item.entry_id]
            id_, shown = found.get(_name(due.record), (None, None))
            wanted = _digest(due.operation == Operation.VOID, due.payload)
            if id_ is None:
                outcomes[item.entry_id] = Learned({"checked": True}, ends_doubts=True)
            elif shown in (None, wanted):
                outcomes[item.entry_id] = Synced(Remote(id_, "0"))
            else:
                outcomes[item.entry_id] = Learned({"checked": True}, Remote(id_, "0"))
        return Reading(outcomes)

    def creates(self) -> list[str]:
        return [arrival.record for arrival in self.arrivals if arrival.intent == "create"]


class TalkingLedger(Ledger):
    """Tells what it holds, and lets `compose` judge that, as the real delivery does."""

    def read(self, sent: Sent, answer: Answer) -> Reading:
        reading = super().read(sent, answer)
        if sent.method != "GET":
            return reading
        outcomes: dict[int, Outcome] = {
            entry_id: Learned({"found": outcome.remote.id})
            if isinstance(outcome, Synced) and outcome.remote
            else outcome
            for entry_id, outcome in reading.outcomes.items()
        }
        return Reading(outcomes)

    def compose(
        self,
        entries: Sequence[Due],
        links: Mapping[Record, Remote],
        settings: Json,
        taken: frozenset[str] = frozenset(),
    ) -> Composition:
        found = {
            due.entry_id: Synced(Remote(due.knowledge["found"], "0"))
            for due in entries
            if "found" in due.knowledge
        }
        rest = [due for due in entries if due.entry_id not in found]
        composition = super().compose(rest, links, settings)
        return Composition(composition.draft, {**composition.verdicts, **found})


def _digest(is_void: bool, payload: Json) -> str:
    return json.dumps([is_void, payload], sort_keys=True)


def _name(record: Record) -> str:
    return f"{record.type} {record.id}"
