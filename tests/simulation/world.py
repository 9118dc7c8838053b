"""One firm, its lane and its company, in one thread; time passes only when it is told to."""

import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from urllib.parse import parse_qsl

from sqlalchemy import text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.base import Json
from models.sales import Record, RecordType
from outbox import lanes
from outbox.company import Answer, Composition, Due, Problem, Reading, Remote, Sent
from outbox.pace import Limits, Pace
from outbox.poller import drain_lane
from quickbooks import composing, reading
from simulator.local import AnswerLost, LocalCompany
from tests.support.firm import new_firm_with_lane

EPOCH = 1_795_000_000.0  # of the company's clock when a history begins
WAVE = 3  # entries of a request: small, so that waves meet limits
TURNS = 400  # of a lane in one drain: more means that it never comes to rest


class Crash(BaseException):
    """The process dies: nothing is handed back, and no `except Exception` sees it."""


class NeverAtRest(AssertionError):
    """The lane wants turn after turn, without end."""


@dataclass
class Wanted:
    """What the writers wrote last of a record, by their own log."""

    values: Json
    voided: bool = False
    # Properties that a bookkeeper changed there: what stands there is theirs to say.
    theirs: set[str] = field(default_factory=set)
    # A person asked for another object, so there may be two.
    asked_for_another: bool = False


@dataclass
class SimulatedQuickBooks:
    """The company at the other end: documents and judgement are the real ones, the wire is not."""

    company: LocalCompany
    settings_: Json
    crash: str | None = None  # before | after: the next call kills the process
    calls: int = 0
    reads: int = 0
    limits: Limits = field(
        default_factory=lambda: Limits(Pace(timedelta(0), 1), Pace(timedelta(0), 1), wave=WAVE)
    )

    def settings(self, session: Session, lane_id: int, entries: Sequence[Due]) -> Json:
        return {**self.settings_, "customers": []}

    def compose(
        self,
        entries: Sequence[Due],
        links: Mapping[Record, Remote],
        settings: Json,
        taken: frozenset[str] = frozenset(),
    ) -> Composition:
        return composing.compose(entries, links, settings, taken)

    def send(self, sent: Sent) -> Answer:
        self.calls += 1
        self.reads += sent.method == "GET"
        crash, self.crash = self.crash, None
        if crash == "before":
            raise Crash
        answer = self._ask(sent)
        if crash == "after":
            raise Crash
        return answer

    def _ask(self, sent: Sent) -> Answer:
        try:
            reply = self.company.handle(
                sent.method, sent.path, dict(parse_qsl(sent.query)), sent.body
            )
        except AnswerLost:
            return Answer(problem=Problem.UNANSWERED)
        retry = reply.headers.get("Retry-After")
        return Answer(
            status=reply.status,
            body=reply.body.decode("utf-8", "replace"),
            trace_id=reply.headers.get("intuit_tid"),
            retry_after=timedelta(seconds=int(retry)) if retry else None,
        )

    def read(self, sent: Sent, answer: Answer) -> Reading:
        return reading.read(sent, answer)


class World:
    """A history in the making."""

    def __init__(self, sessions: Sessions, config: Config, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        random.seed(seed)  # the engine's own jitter
        self.sessions = sessions
        self.config = config
        self.now = EPOCH
        local = LocalCompany(lambda: self.now, seed=seed, CustomTxnNumbers=True)
        self.quickbooks = SimulatedQuickBooks(local, _settings(local))
        with sessions() as session:
            self.firm, self.lane = new_firm_with_lane(session, name=f"Firm {seed}")
        self.records: dict[Record, Wanted] = {}
        self.trace: list[str] = []
        self.acts = 0
        self.is_open = True

    @property
    def company(self) -> LocalCompany:
        return self.quickbooks.company

    def of(self, type_: RecordType) -> list[Record]:
        return [record for record in self.records if record.type is type_]

    def pass_time(self, seconds: float) -> None:
        """Everything that is stored becomes so much older; the company's clock goes on."""
        self.now += seconds
        with self.sessions.begin() as session:
            for table, columns, where in _TIMES:
                moved = ", ".join(f"{one} = {one} - :passed" for one in columns)
                session.execute(
                    text(f"UPDATE {table} SET {moved} WHERE {where}"),
                    {"passed": timedelta(seconds=seconds), "firm": self.firm, "lane": self.lane},
                )

    def drain(self) -> None:
        """Until nothing is due, or the process dies."""
        for _ in range(TURNS):
            try:
                again = drain_lane(
                    self.sessions, self.quickbooks, self.lane, self.config, threading.Event()
                )
            except Crash:
                return
            if again is None:
                return
        raise NeverAtRest(f"seed {self.seed}: the lane wants turn after turn")

    def disconnect(self) -> None:
        with self.sessions.begin() as session:
            lanes.close(session, self.lane)
        self.is_open = False

    def reconnect(self) -> None:
        with self.sessions.begin() as session:
            lanes.reopen(session, self.lane)
        self.is_open = True

    def decide(self, sends: bool) -> None:
        with self.sessions.begin() as session:
            (lanes.send_waiting if sends else lanes.skip_waiting)(session, self.lane)


_TIMES = (
    ("outbox", ("available_at", "created_at", "first_attempt_at"), "organization_id = :firm"),
    ("outbox_dispatches", ("created_at", "sent_at", "answered_at"), "lane_id = :lane"),
    (
        "outbox_lanes",
        (
            "pause_until",
            "lease_until",
            "next_call_at",
            "next_batch_at",
            "outage_since",
            "questions_rest_until",
            "questions_rest_since",
        ),
        "id = :lane",
    ),
)


def _settings(company: LocalCompany) -> Json:
    """How records arrive, chosen from what the company has."""
    items = company.find("Item", Type="Service")
    incomes = [one for one in company.all("Account") if one.get("AccountType") == "Income"]
    return {
        "income_account_id": str(incomes[0]["Id"]),
        "fallback_item_id": str(items[0]["Id"]),
        "payment_methods": {},
        "deposit_accounts": {},
        "numbers": "ours",
        "tax": {"mode": "none"},
        "tax_codes": [],
    }


def money(value: object) -> Decimal:
    return Decimal(str(value or 0)).quantize(Decimal("0.01"))
