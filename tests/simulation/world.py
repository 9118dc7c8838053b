"""One firm, its lane and its company, in one thread; time passes only when it is told to."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import db
from config import Config
from db import Sessions
from models.base import Json
from models.quickbooks import Connection, ConnectionStatus
from models.sales import Record, RecordType
from outbox import lanes, poller
from outbox.company import Answer, Composition, Due, Problem, Reading, Remote, Sent
from outbox.in_flight import InFlight, Returned
from outbox.pace import Limits, Pace
from outbox.poller import drain_lane
from quickbooks import composing, directory, drafts, matching, own_books, reading
from quickbooks.faults import plain_words
from quickbooks.judge import Said
from simulator.documents import Document, dump_json, parse_json
from simulator.local import AnswerLost, LocalCompany
from tests.simulation import clock
from tests.simulation.cells import Target
from tests.simulation.odd import Odd, is_refused_by_a_rule, is_refused_sign_in
from tests.simulation.steps import Crash, Steps, steps_of
from tests.support.firm import new_firm_with_lane

__all__ = ["Crash"]

EPOCH = 1_795_000_000.0  # of the company's clock when a history begins
WAVE = 3  # entries of a request: small, so that waves meet limits
REMEMBERED = 1_000_000  # seconds: request ids
TURNS = 400  # of a lane in one drain: more means that it never comes to rest
ANY = object()  # of a property: nobody can tell what should stand there


class Violated(AssertionError):
    """An invariant does not hold."""


@dataclass
class Wanted:
    """What the writers wrote last of a record, by their own log."""

    values: Json
    voided: bool = False  # of a lead: deleted; of a payment: refunded
    # What stands there of properties that are not ours to say: the bookkeeper's own, or declined.
    theirs: dict[str, object] = field(default_factory=dict)
    # What the bookkeeper wrote there last of these: nobody overwrites it before a person says so.
    kept: dict[str, object] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)  # of these a person left what stands there
    # A person asked for another object, so there may be two.
    asked_for_another: bool = False
    chosen: str | None = None  # the customer there that a person chose
    past: list[dict[str, str]] = field(default_factory=list)  # of a lead: all that it ever was
    insisted: bool = False  # ours was refused by a rule of QuickBooks, and may be again
    off: Decimal = Decimal(0)  # of a payment: what the bookkeeper took off its invoice
    unsent: bool = False  # written while nothing was captured for it
    # Of an invoice: what a payment took there follows from the amounts alone.
    is_plain: bool = True


@dataclass
class SimulatedQuickBooks:
    """The company at the other end: documents and judgement are the real ones, the wire is not."""

    world: "World"
    company: LocalCompany
    settings_: Json
    crash: str | None = None  # before | after: the next call kills the process
    odd: list[tuple[str, Odd]] = field(default_factory=list)  # for which method, and what
    remembers: int = REMEMBERED  # seconds for which the company knows a request id
    reads_fail: bool = False  # the last one was not answered
    aimed: list[Target] = field(default_factory=list)  # one after another, for what fits
    # Where a request names it, it fails so, always: (text in the body, status).
    stubborn: tuple[str, int] | None = None
    reads_are_refused: bool = False
    signed_out: bool = False
    meanwhile: list[Callable[[], None]] = field(default_factory=list)
    calls: int = 0
    reads: int = 0
    good_writes: int = 0
    troubled_writes: int = 0
    troubled: set[Record] = field(default_factory=set)  # what they were about
    throttled_writes: int = 0
    sign_outs: Counter[int] = field(default_factory=Counter)  # by sign-in
    limits: Limits = field(
        default_factory=lambda: Limits(Pace(timedelta(0), 1), Pace(timedelta(0), 1), wave=WAVE)
    )

    def settings(self, session: Session, lane_id: int, entries: Sequence[Due]) -> Json:
        customers = directory.candidates(session, lane_id, entries, was_read=True)
        applied = own_books.applied(session, lane_id, entries)
        return {**self.settings_, "customers": customers, "applied": applied}

    def compose(
        self,
        entries: Sequence[Due],
        links: Mapping[Record, Remote],
        settings: Json,
        taken: frozenset[str] = frozenset(),
    ) -> Composition:
        return composing.compose(entries, links, settings, taken)

    def part_of(self, body: str, positions: Sequence[int]) -> str:
        return drafts.part_of(body, positions)

    def send(self, sent: Sent) -> Answer:
        self.calls += 1
        self.reads += sent.method == "GET"
        self.world.may_send(sent)
        crash, self.crash = self.crash, None
        if crash == "before":
            raise Crash
        if not self.world.is_open:  # it was about to be sent when a person disconnected
            return Answer(problem=Problem.SIGNED_OUT)
        happens, self.meanwhile = self.meanwhile, []
        halfway = len(happens) // 2
        for act in happens[:halfway]:
            act()
        answer = self._answer(sent)
        for act in happens[halfway:]:
            act()
        self._count(sent, answer)
        if crash == "after":
            raise Crash
        self.world.answered(sent, answer)
        return answer

    def read(self, sent: Sent, answer: Answer) -> Reading:
        return reading.read(sent, answer)

    # --- Answers ----------------------------------------------------------------------------------

    def _answer(self, sent: Sent) -> Answer:
        if self.signed_out:
            return Answer(problem=Problem.SIGNED_OUT)
        if self.aimed and self.aimed[0].takes(sent) and (answer := self._aimed(sent)):
            return self._with_good_tokens(answer)
        if sent.method == "GET" and self.reads_are_refused:
            return Answer(status=429, body="", retry_after=timedelta(seconds=60))
        if sent.method == "POST" and self.stubborn and self.stubborn[0] in str(sent.body):
            return Answer(status=self.stubborn[1])
        for place, (method, odd) in enumerate(self.odd):
            if method in ("", sent.method):
                del self.odd[place]
                return self._with_good_tokens(self._odd(sent, odd))
        return self._with_good_tokens(self.ask(sent))

    def _aimed(self, sent: Sent) -> Answer | None:
        answer = self.aimed[0].answer(self, sent)
        if answer is not None:
            del self.aimed[0]
        return answer

    def _odd(self, sent: Sent, odd: Odd) -> Answer:
        makes = sent.path == "batch" or any(item.intent == "create" for item in sent.items)
        if odd.said is Said.ANOTHER and makes:
            odd = replace(odd, said=Said.OBJECT)  # of what is new no Id could be another
        return odd.answer(self.ask(sent) if odd.is_done else None)

    def _with_good_tokens(self, answer: Answer) -> Answer:
        """As `delivery` does: a 401 is probed, and then says nothing of good tokens."""
        if answer.status == 401 and '"120"' not in answer.body:
            return replace(answer, body=plain_words(answer.body))
        if answer.status == 403 and '"3100"' in answer.body:
            return replace(answer, body=plain_words(answer.body))
        return answer

    def ask(self, sent: Sent, company: LocalCompany | None = None) -> Answer:
        """The company does the work, or one like it. While reads fail a request is sent again under
        its id, and only the company's memory of that prevents a second object."""
        company = company or self.company
        company.set(requestid_ttl=REMEMBERED if self.reads_fail else self.remembers)
        return self._handled(sent, company)

    def _handled(self, sent: Sent, company: LocalCompany) -> Answer:
        try:
            reply = company.handle(sent.method, sent.path, dict(parse_qsl(sent.query)), sent.body)
        except AnswerLost:
            return Answer(problem=Problem.UNANSWERED)
        retry = reply.headers.get("Retry-After")
        return Answer(
            status=reply.status,
            body=reply.body.decode("utf-8", "replace"),
            trace_id=reply.headers.get("intuit_tid"),
            retry_after=timedelta(seconds=int(retry)) if retry else None,
        )

    def _count(self, sent: Sent, answer: Answer) -> None:
        if is_refused_sign_in(sent, answer):
            self.sign_outs[sent.sign_in] += 1
        if sent.method == "GET":
            self.reads_fail = '"QueryResponse"' not in answer.body or answer.status != 200
            return
        is_good = answer.status == 200 and '"Fault"' not in answer.body and '"Id"' in answer.body
        self.good_writes += answer.status in (200, 400) or is_refused_by_a_rule(answer)
        self.troubled_writes += not is_good
        if not is_good:
            self.troubled.update(due.record for due in sent.due.values())
        self.throttled_writes += answer.status == 200 and '"3001"' in answer.body


class World:
    """A history in the making."""

    def __init__(self, sessions: Sessions, config: Config, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        random.seed(seed)  # the engine's own jitter
        self.sessions = sessions
        self.config = config
        self.now = EPOCH
        local = _template().copy(lambda: self.now, seed=seed)
        self.quickbooks = SimulatedQuickBooks(self, local, _settings(local))
        engine = sessions.kw["bind"]
        assert isinstance(engine, Engine)
        self.engine = engine
        clock.install(engine)
        clock.set_clock(engine, EPOCH)
        self.steps: Steps = steps_of(engine)
        with sessions() as session:
            self.firm, self.lane = new_firm_with_lane(session, name=f"Firm {seed}")
        self.connection = self._connect()
        self.records: dict[Record, Wanted] = {}
        self.trace: list[str] = []
        self.visits: Counter[str] = Counter()
        self.acts = 0
        self.crashes = 0
        self.is_open = True
        self.is_abroad = False  # its region is Brazil
        self.numbers_are_ours = True
        self.withheld: dict[Record, Json] = {}  # nothing of these may flow; as they began to wait
        self.unwanted: set[Record] = set()  # and of these nothing may come to be there
        self.changed: set[Record] = set()  # while the lane was closed
        self.relieved = 0  # by people: send again, sign in, skip
        self.seen_lane: LaneSeen | None = None
        self.ending: tuple[BaseException, int] | None = None  # of the next drain, after a step
        self.at_once = self.chance.choice([1, 2, 3])  # requests under way
        self.depth = 0  # drains within a drain
        self.customers_of_theirs: dict[str, Document] = {}
        # … and as they were each time that they were read: what was linked is perhaps ours by now
        self.once_theirs: dict[str, list[Document]] = {}
        self.read_customers()

    @property
    def company(self) -> LocalCompany:
        return self.quickbooks.company

    def of(self, type_: RecordType) -> list[Record]:
        return [record for record in self.records if record.type is type_]

    def has_done(self, name: str, words: str) -> None:
        """One act more, by this name."""
        self.acts += 1
        self.trace.append(words)
        self.visits[name] += 1

    def pass_time(self, seconds: float) -> None:
        """For everybody; only the database's clock goes back, too."""
        self.now += max(seconds, 0)
        clock.pass_time(self.engine, seconds)

    def monotonic(self) -> float:
        """The clock of our process, which never goes back."""
        return self.now

    # --- Sending ----------------------------------------------------------------------------------

    def drain(self) -> None:
        """Until nothing is due, or the process dies."""
        ending, self.ending = self.ending, None
        end, after = ending or (None, 0)
        self.depth += 1
        try:
            with self.steps.ending(end, after):
                self._drain()
        except Crash:
            self.crashes += 1
        except db.DATABASE_ERRORS as trouble:
            if trouble is not end:
                raise
        finally:
            self.depth -= 1

    def _drain(self) -> None:
        for _ in range(TURNS):
            with patch.object(poller, "time", self):
                again = drain_lane(
                    self.sessions,
                    self.quickbooks,
                    self.lane,
                    self.config,
                    threading.Event(),
                    UnderWay(self),
                )
            if again is None:
                return
        raise Violated("the lane wants turn after turn, without end")

    def may_start(self, sent: Sent) -> None:
        """Nothing is stored to be sent that a person withheld."""
        if not self.is_open:
            raise Violated(f"{sent.method} {sent.path} is to be sent though the lane is closed")
        if sent.method != "POST":
            return
        for due in sent.due.values():
            if due.record in self.withheld:
                raise Violated(f"{due.record.type} {due.record.id} is withheld, and was sent")

    def answered(self, sent: Sent, answer: Answer) -> None:
        """What was on its way when a person disconnected is there now, or failed, and withheld no
        more."""
        is_done = answer.status == 200 and not answer.body.startswith('{"Fault"')
        is_over = is_done or is_refused_by_a_rule(answer)
        if is_over and sent.method == "POST" and sent.sign_in != self.sign_in():
            for due in sent.due.values():
                self.withheld.pop(due.record, None)

    def may_send(self, sent: Sent) -> None:
        """Nothing is voided of which a person entered a part."""
        if sent.method != "POST" or sent.sign_in != self.sign_in():
            return  # one of an earlier sign-in was about to be sent when a person disconnected
        for due in sent.due.values():
            if due.record.type is RecordType.PAYMENT and "include=void" in sent.query:
                self._may_void(due.record)

    def _may_void(self, record: Record) -> None:
        from tests.simulation import check, money_back

        for there in check.objects(self, record):
            money_back.may_void(self, record, money(there["TotalAmt"]))

    # --- People -----------------------------------------------------------------------------------

    def disconnect(self) -> None:
        with self.sessions.begin() as session:
            lanes.close(session, self.lane)
        self.is_open = False
        self.changed.clear()

    def reconnect(self) -> None:
        with self.sessions.begin() as session:
            lanes.reopen(session, self.lane)
        self.is_open = True
        self.quickbooks.signed_out = False
        self.relieved += 1
        self.withheld = self._withheld()

    def sign_in_again(self) -> None:
        with self.sessions.begin() as session:
            lanes.reopen(session, self.lane, only_held=True)
        self.quickbooks.signed_out = False
        self.relieved += 1

    def decide(self, sends: bool) -> None:
        with self.sessions.begin() as session:
            (lanes.send_waiting if sends else lanes.skip_waiting)(session, self.lane)
        for record in self.withheld if sends else ():
            self._sends_all(self.records[record])
        self.withheld.clear()
        self.relieved += 1

    def _sends_all(self, wanted: Wanted) -> None:
        """As it is shown: also what was left as it is there before, but not over what is theirs."""
        wanted.theirs = {
            name: value
            for name, value in wanted.theirs.items()
            if value is ANY or name not in wanted.left
        }
        wanted.left.clear()

    def sign_in(self) -> int:
        """The number of the lane's present sign-in."""
        with self.sessions() as session:
            query = text("SELECT sign_in FROM outbox_lanes WHERE id = :lane")
            return int(session.execute(query, {"lane": self.lane}).scalar_one())

    def _withheld(self) -> dict[Record, Json]:
        waits = self.with_entries(withheld=True)
        return {record: dict(self.records[record].values) for record in waits}

    def with_entries(self, *, withheld: bool) -> set[Record]:
        """The records with entries that wait: for a decision, or to be sent."""
        with self.sessions() as session:
            rows = session.execute(_WAITING, {"lane": self.lane, "withheld": withheld})
            return {Record(RecordType(row.aggregate_type), row.aggregate_id) for row in rows}

    def touched(self, record: Record) -> None:
        """A person saved it, or sent it again: what was withheld of it before is over."""
        self.unwanted.discard(record)
        if not self.is_open:
            self.changed.add(record)
        for needed in self.needs_of(record):
            self.unwanted.discard(needed)

    def overwrites(self, record: Record) -> None:
        """A person said that ours is to be sent, whatever stands there. Leads may share one."""
        shared = self.of(RecordType.LEAD) if record.type is RecordType.LEAD else []
        for one in (record, *shared):
            self.records[one].kept.clear()
            self.records[one].off = Decimal(0)

    def needs_of(self, record: Record) -> set[Record]:
        """What must be there before it, all the way down: it may be taken along."""
        values = self.records[record].values
        keys = ("lead", "invoice", "product", "payment")
        direct = {values[key] for key in keys if values.get(key)}
        return direct.union(*(self.needs_of(one) for one in direct))

    # --- The directory ----------------------------------------------------------------------------

    def _connect(self) -> int:
        with self.sessions.begin() as session:
            now = session.execute(text("SELECT clock_timestamp()")).scalar_one()
            connection = Connection(
                organization_id=self.firm,
                lane_id=self.lane,
                environment="simulator",
                realm_id=f"{self.firm}",
                company_name="Theirs",
                country="US",
                status=ConnectionStatus.CONNECTED,
                status_since=now,
                connected_at=now,
            )
            session.add(connection)
            session.flush()
            return connection.id

    def read_customers(self) -> None:
        """The directory as it is now; until it is read again it grows old."""
        listed = {str(one["Id"]): one for one in self.company.all("Customer")}
        self.customers_of_theirs = {
            id_: one
            for id_, one in listed.items()
            if not str(one.get("CompanyName", "")).startswith("token-")
        }
        for id_, one in self.customers_of_theirs.items():
            self.once_theirs.setdefault(id_, []).append(one)
        rows = [parse_json(dump_json(one)) for one in listed.values()]
        with self.sessions.begin() as session:
            connection = session.get_one(Connection, self.connection)
            now = session.execute(text("SELECT clock_timestamp()")).scalar_one()
            found = [dict(row) for row in rows if isinstance(row, dict)]
            directory.store(session, connection, found, now, whole=True)


class UnderWay(InFlight):
    """Requests under way in one thread: whichever chance says comes back next."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._chance = world.chance
        self._calls: list[Callable[[], None]] = []
        super().__init__(self._calls.append, world.at_once)

    def start(self, sent: Sent, send: Callable[[Sent], Answer | None]) -> None:
        """Right after it was stored."""
        self._world.may_start(sent)
        super().start(sent, send)

    def take(self, timeout: float) -> Returned | None:
        """Of those under way one does its work; the others may do theirs much later."""
        if self._calls:
            self._calls.pop(self._chance.randrange(len(self._calls)))()
        return super().take(0)

    def abandon(self, seconds: float) -> None:
        """The others do their work, and nobody hears of it."""
        for call in self._calls:
            if self._chance.random() < 0.5:
                call()
        self._calls.clear()


@dataclass(frozen=True)
class LaneSeen:
    """The lane between two acts, and what had happened by then."""

    is_down: bool
    good_writes: int
    relieved: int
    waits: bool


_WAITING = text(
    "SELECT DISTINCT aggregate_type, aggregate_id FROM outbox"
    " WHERE lane_id = :lane AND state = 'pending' AND withheld = :withheld"
)


@cache
def _template() -> LocalCompany:
    """A company with customers of its own, made once: copies are cheap."""
    company = LocalCompany(lambda: EPOCH, seed=1, CustomTxnNumbers=True)
    for name, email, phone in THEIRS:
        company.bookkeeper.create(
            "Customer",
            DisplayName=name,
            PrimaryEmailAddr={"Address": email},
            PrimaryPhone={"FreeFormNumber": phone},
        )
    return company


THEIRS = (
    ("Harborview HOA", "manager@pm.example", "555-0100"),
    ("Two Desks", "front@desks.example,billing@desks.example", "555-0200"),
    ("Plain Customer", "plain@customer.example", "555-0300"),
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
        "tax": {"mode": "manual", "code_id": "2"},
        "tax_codes": [
            {"id": "2", "name": "California", "rates": [{"id": "3", "percent": "8"}]},
            {
                "id": "3",
                "name": "Tucson",
                "rates": [{"id": "1", "percent": "7.1"}, {"id": "2", "percent": "2"}],
            },
        ],
    }


def money(value: object) -> Decimal:
    return Decimal(str(value or 0)).quantize(Decimal("0.01"))


def addresses_of(customer: Mapping[str, Any]) -> frozenset[str]:
    return matching.emails_of(customer)


def named(record: Record) -> str:
    return f"{record.type} {record.id}"


def some(world: World, found: Iterable[Record]) -> Record | None:
    choices = list(found)
    return world.chance.choice(choices) if choices else None
