"""Rules 4 to 12 together: whatever order things happen in, the books come right.

Hypothesis plays writers, drainers (each step by itself, so that leases are lost and answers come
late), a company that answers or not, before or after it booked, people and the clock. After every
step: nothing twice, nothing out of order, links right, no attempt spent on the company's trouble.
In the end everything that was to arrive has arrived as it was saved last.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, text

from config import Config
from db import Sessions
from models.outbox import Counterpart, DispatchItem, Entry, Lane, LaneState, State
from models.sales import Invoice, Lead, Payment
from outbox import actions, lanes
from outbox.company import Answer, Problem, Reading, Sent
from outbox.dispatches import next_dispatch
from outbox.lanes import Claim
from outbox.settle import settle
from outbox.watchdog import release_forgotten_waiters
from tests.support.drains import drain
from tests.support.firm import (
    new_firm_with_lane,
    new_invoice,
    new_lead,
    new_line,
    new_payment,
    new_product,
)
from tests.support.ledger import Arrival, Ledger

LOST = Answer(problem=Problem.UNANSWERED)
BEFORE_BOOKING = {
    "lost": LOST,
    "refused": Answer(problem=Problem.NOT_SENT),
    "signed out": Answer(problem=Problem.SIGNED_OUT),
    "throttled": Answer(429),
}
AFTER_BOOKING = {"lost": LOST, "broken": Answer(500), "gateway": Answer(504)}

numbers = st.integers(min_value=0, max_value=10)


PAYMENT = "10.00"  # the title of each


def _version(arrival: Arrival) -> int:
    """Writers write it where each kind has room for it."""
    said = (arrival.payload.get(field) for field in ("memo", "phone", "note"))
    return int(next(filter(None, said), 0))


@dataclass
class Drainer:
    claim: Claim | None = None
    sent: Sent | None = None
    answered: tuple[Answer, Reading] | None = None
    since: int = 0  # the hour in which it stored its dispatch


@dataclass
class Book:
    """What was saved of a record, and what of that was to arrive."""

    name: str  # "lead 7"
    id: int
    saved: list[int] = field(default_factory=list)  # versions that made an entry
    is_void: bool = False
    may_be_missing: bool = False  # a person skipped something of it
    needs: "Book | None" = None
    payments: int = 0


class Engine(RuleBasedStateMachine):
    sessions: Sessions
    config: Config

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.session = self.sessions()
        self.firm, self.lane = new_firm_with_lane(self.session)
        self.drainers = [Drainer(), Drainer()]
        self.versions = count(1)
        self.hour = 0
        self.late: list[Sent] = []
        self.leads: list[Book] = []
        self.invoices: list[Book] = []
        self.payments: list[Book] = []
        self.ever_rejected: set[str] = set()

    def teardown(self) -> None:
        try:
            self._come_to_rest()
        finally:
            self.session.close()

    # --- Writers ----------------------------------------------------------------------------

    @rule(is_bad=st.booleans())
    def new_lead(self, is_bad: bool) -> None:
        version = next(self.versions)
        name = f"Customer {version}"
        if is_bad:
            self.ledger.rejects.add(name)
            self.ever_rejected.add(name)
        lead = new_lead(self.firm, name, phone=str(version))
        with self._saving():
            self.session.add(lead)
        self._remember(self.leads, f"lead {lead.id}", lead.id, version)

    @precondition(lambda self: self.leads)
    @rule(which=numbers)
    def edit_lead(self, which: int) -> None:
        book = self.leads[which % len(self.leads)]
        version = next(self.versions)
        with self._saving():
            lead = self.session.get_one(Lead, book.id)
            lead.phone, lead.name = str(version), f"Customer {version}"
        self._remember(self.leads, book.name, book.id, version)

    @precondition(lambda self: self.leads)
    @rule(which=numbers, has_product=st.booleans())
    def new_invoice(self, which: int, has_product: bool) -> None:
        of = self.leads[which % len(self.leads)]
        version = next(self.versions)
        product = new_product(self.firm, f"Service {version}") if has_product else None
        with self._saving():
            lead = self.session.get_one(Lead, of.id)
            lines = [new_line(self.firm, product=product)]
            invoice = new_invoice(self.firm, lead, lines, number=str(version))
            invoice.memo = str(version)
            self.session.add(invoice)
        book = self._remember(self.invoices, f"invoice {invoice.id}", invoice.id, version)
        book.needs = of

    @precondition(lambda self: self.invoices)
    @rule(which=numbers)
    def edit_invoice(self, which: int) -> None:
        book = self.invoices[which % len(self.invoices)]
        version = next(self.versions)
        with self._saving():
            self.session.get_one(Invoice, book.id).memo = str(version)
        if book.saved:  # what was never sent is not sent by an edit
            self._remember(self.invoices, book.name, book.id, version)

    @precondition(lambda self: self.invoices)
    @rule(which=numbers)
    def pay(self, which: int) -> None:
        of = self.invoices[which % len(self.invoices)]
        if of.is_void:
            return
        with self._saving():
            payment = new_payment(self.firm, self.session.get_one(Invoice, of.id), "10")
            self.session.add(payment)
        of.payments += 1
        if of.saved:
            book = self._remember(self.payments, f"payment {payment.id}", payment.id, 0)
            book.needs = of

    @precondition(lambda self: self.payments)
    @rule(which=numbers)
    def edit_payment(self, which: int) -> None:
        book = self.payments[which % len(self.payments)]
        version = next(self.versions)
        with self._saving():
            self.session.get_one(Payment, book.id).note = str(version)
        self._remember(self.payments, book.name, book.id, version)

    @precondition(lambda self: self.invoices)
    @rule(which=numbers)
    def void(self, which: int) -> None:
        book = self.invoices[which % len(self.invoices)]
        if book.payments:
            return
        with self._saving():
            self.session.get_one(Invoice, book.id).voided_at = datetime.now(UTC)
        book.is_void = True

    @contextmanager
    def _saving(self) -> Iterator[None]:
        self.session.rollback()
        yield
        self.session.commit()

    def _remember(self, books: list[Book], name: str, id_: int, version: int) -> Book:
        book = next((one for one in books if one.name == name), None)
        if book is None:
            book = Book(name, id_)
            books.append(book)
        if self._lane().state != LaneState.CLOSED:
            book.saved.append(version)
        return book

    @rule(are_refused=st.booleans(), relents=st.booleans())
    def refuse_payments(self, are_refused: bool, relents: bool) -> None:
        """For a while; and what is refused may pass by itself, or not."""
        self.ledger.relents = relents
        self.ever_rejected.add(PAYMENT)
        (self.ledger.rejects.add if are_refused else self.ledger.rejects.discard)(PAYMENT)

    # --- Drainers, a step at a time -----------------------------------------------------------

    @rule(which=st.integers(0, 1))
    def claim(self, which: int) -> None:
        drainer = self.drainers[which]
        if drainer.claim is None:
            drainer.claim = lanes.lease_lane(self.sessions, self.lane, self.config.lease)

    @precondition(lambda self: any(one.claim and not one.sent for one in self.drainers))
    @rule()
    def store(self) -> None:
        for drainer in self.drainers:
            if drainer.claim and not drainer.sent:
                sent = next_dispatch(self.sessions, drainer.claim, self.ledger, self.config)
                if isinstance(sent, Sent):
                    drainer.sent, drainer.since = sent, self.hour
                else:
                    drainer.claim = None  # the lane was given back
                return

    @precondition(lambda self: any(one.sent and not one.answered for one in self.drainers))
    @rule(fault=st.sampled_from(["", "", *BEFORE_BOOKING, *AFTER_BOOKING, "late"]), when=numbers)
    def send(self, fault: str, when: int) -> None:
        drainer = next(one for one in self.drainers if one.sent and not one.answered)
        assert drainer.sent
        if drainer.since != self.hour:  # the poller sends nothing when so little lease is left
            drainer.sent = drainer.claim = None
            return
        before = BEFORE_BOOKING.get(fault) if when % 2 or fault not in AFTER_BOOKING else None
        if fault == "late":
            self.late.append(drainer.sent)
            before = LOST
        self.ledger.fail = lambda _sent: before
        self.ledger.after = lambda _sent: AFTER_BOOKING.get(fault)
        answer = self.ledger.send(drainer.sent)
        self._behave()
        drainer.answered = answer, self.ledger.read(drainer.sent, answer)

    @precondition(lambda self: any(one.answered for one in self.drainers))
    @rule()
    def settle(self) -> None:
        drainer = next(one for one in self.drainers if one.answered)
        assert drainer.claim
        assert drainer.sent
        assert drainer.answered
        if settle(self.sessions, drainer.claim, drainer.sent, *drainer.answered) is None:
            drainer.claim = None
        drainer.sent = drainer.answered = None

    @rule(which=st.integers(0, 1))
    def crash(self, which: int) -> None:
        self.drainers[which] = Drainer()

    @rule()
    def drain(self) -> None:
        drain(self.sessions, self.ledger, self.lane, self.config)

    def _behave(self) -> None:
        self.ledger.fail = self.ledger.after = lambda _sent: None

    # --- Time ---------------------------------------------------------------------------------

    @rule(arrives=st.booleans())
    def an_hour_passes(self, arrives: bool) -> None:
        """Leases and pauses are over. What QuickBooks was still at work on is done, or never."""
        self.hour += 1
        for sent in self.late:
            if arrives and sent.method == "POST":
                self.ledger.send(sent)
        self.late = []
        self._execute(
            "UPDATE outbox SET available_at = clock_timestamp(),"
            " created_at = created_at - interval '1 hour' WHERE lane_id = :lane",
            "UPDATE outbox_dispatches SET created_at = created_at - interval '1 hour'"
            " WHERE lane_id = :lane",
            "UPDATE outbox_lanes SET lease_until = NULL, pause_until = NULL, pause_reason = NULL"
            " WHERE id = :lane",
        )

    @rule()
    def a_lease_is_lost(self) -> None:
        self._execute("UPDATE outbox_lanes SET lease_until = NULL WHERE id = :lane")

    def _execute(self, *statements: str) -> None:
        self.session.rollback()
        for statement in statements:
            self.session.execute(text(statement), {"lane": self.lane})
        self.session.commit()

    # --- People -------------------------------------------------------------------------------

    @rule()
    def disconnect(self) -> None:
        self.session.rollback()
        lanes.close(self.session, self.lane)
        self.session.commit()

    @rule(sends=st.booleans())
    def reconnect(self, sends: bool) -> None:
        self.session.rollback()
        lanes.reopen(self.session, self.lane)
        if sends:
            lanes.send_waiting(self.session, self.lane)
        else:
            before = self._skipped()
            lanes.skip_waiting(self.session, self.lane)
            self._note_skipped(self._skipped() - before)
        self.session.commit()

    @rule()
    def hold(self) -> None:
        self.session.rollback()
        lanes.hold(self.session, self.lane, "signed_out")
        self.session.commit()

    @rule(act=st.sampled_from(["requeue", "skip", "undo_skip"]), which=numbers)
    def act(self, act: str, which: int) -> None:
        entries = self._entries()
        if not entries:
            return
        entry = entries[-1 - which % len(entries)]
        done = getattr(actions, act)(self.session, [entry.id], organization_id=self.firm).done
        if act == "skip" and done:
            self._note_skipped({(entry.record_type, entry.record_id)})
        self.session.commit()

    def _skipped(self) -> set[tuple[str, int]]:
        return {
            (entry.record_type, entry.record_id)
            for entry in self.session.scalars(
                select(Entry).where(Entry.lane_id == self.lane, Entry.state == State.SKIPPED)
            )
        }

    def _note_skipped(self, records: set[tuple[str, int]]) -> None:
        names = {f"{type_} {id_}" for type_, id_ in records}
        for book in [*self.leads, *self.invoices, *self.payments]:
            if book.name in names or "product" in str(names):
                book.may_be_missing = True

    # --- What holds after every step ----------------------------------------------------------

    @invariant()
    def nothing_twice_and_nothing_out_of_order(self) -> None:
        creates = self.ledger.creates()
        assert len(creates) == len(set(creates))
        newest: dict[str, int] = {}
        arrived: set[str] = set()
        for arrival in self.ledger.arrivals:
            version = _version(arrival)
            assert version >= newest.get(arrival.record, 0), f"{arrival.record} went backwards"
            newest[arrival.record] = version
            for need in arrival.payload["needs"]:
                assert f"{need['type']} {need['id']}" in arrived, f"{arrival.record} came too soon"
            arrived.add(arrival.record)

    @invariant()
    def links_are_right(self) -> None:
        self.session.rollback()
        for link in self.session.scalars(
            select(Counterpart).where(  # others only hold what a person decided
                Counterpart.lane_id == self.lane, Counterpart.remote_id.is_not(None)
            )
        ):
            assert self.ledger.held[f"{link.record_type} {link.record_id}"] == link.remote_id
        synced = {
            f"{entry.record_type} {entry.record_id}"
            for entry in self._entries()
            if entry.state == State.SYNCED
        }
        assert synced <= self.ledger.held.keys()

    @invariant()
    def no_attempt_is_spent_on_the_companys_trouble(self) -> None:
        for entry in self._entries():
            title = entry.payload["title"]
            assert not entry.attempts or title in self.ever_rejected or entry.fault_code == "poison"

    def _entries(self) -> list[Entry]:
        self.session.rollback()
        self.session.expire_all()
        return list(
            self.session.scalars(select(Entry).where(Entry.lane_id == self.lane).order_by(Entry.id))
        )

    def _lane(self) -> Lane:
        self.session.expire_all()
        return self.session.get_one(Lane, self.lane)

    # --- The end ------------------------------------------------------------------------------

    def _come_to_rest(self) -> None:
        self._behave()
        self.ledger.rejects = set()
        self.session.rollback()
        lanes.reopen(self.session, self.lane)
        self.session.commit()
        if any(entry.withheld for entry in self._entries()):
            lanes.send_waiting(self.session, self.lane)  # all that waits is then judged anew
        self.session.commit()
        for _ in range(8):
            failed = [entry.id for entry in self._entries() if entry.state == State.FAILED]
            actions.requeue(self.session, failed, organization_id=self.firm)
            self.session.commit()
            self.an_hour_passes(False)
            drain(self.sessions, self.ledger, self.lane, self.config)
        self.nothing_twice_and_nothing_out_of_order()
        self.links_are_right()
        self._judge()

    def _judge(self) -> None:
        entries = self._entries()
        left = [entry for entry in entries if entry.state in (State.PENDING, State.FAILED)]
        skipped = any(book.may_be_missing for book in [*self.leads, *self.invoices, *self.payments])
        assert skipped or not left, [
            (e.id, e.state, e.record_type, e.record_id, e.waits_for_type, e.waits_for_id)
            for e in left
        ]
        open_items = select(DispatchItem).where(
            DispatchItem.lane_id == self.lane, DispatchItem.outcome.is_(None)
        )
        assert not self.session.scalars(open_items).all()
        assert release_forgotten_waiters(self.sessions) == 0
        last = {arrival.record: arrival for arrival in self.ledger.arrivals}
        for book in [*self.leads, *self.invoices, *self.payments]:
            if not book.saved or self._may_be_missing(book):
                continue
            if book.is_void:
                assert book.name not in last or last[book.name].intent == "void" or not book.saved
                continue
            assert book.name in last, f"{book.name} is lost"
            assert _version(last[book.name]) >= book.saved[-1], f"{book.name} is old"

    def _may_be_missing(self, book: Book | None) -> bool:
        if book is None:
            return False
        return book.may_be_missing or book.is_void or self._may_be_missing(book.needs)


@pytest.mark.timeout(3600)
def test_whatever_happens_the_books_come_right(
    sessions: Sessions, config: Config, request: pytest.FixtureRequest
) -> None:
    Engine.sessions, Engine.config = sessions, config
    is_full = request.config.getoption("--full")
    run_state_machine_as_test(
        Engine,
        settings=settings(
            max_examples=400 if is_full else 20,
            stateful_step_count=60 if is_full else 40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
            print_blob=True,
        ),
    )
