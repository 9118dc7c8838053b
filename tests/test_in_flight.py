"""Rule 7: several requests of one lane may be in progress at once, if they are independent."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.base import Json
from models.sales import Lead, Record, RecordType
from outbox.company import (
    Answer,
    Composition,
    Due,
    Hold,
    Pause,
    Problem,
    Reading,
    Remote,
    Sent,
)
from outbox.dispatches import next_dispatch
from outbox.in_flight import InFlight
from outbox.lanes import Claim, lease_lane
from outbox.pace import Limits, Pace
from outbox.poller import MAX_SEND_DELAY, Poller, drain_lane
from outbox.settle import settle
from quickbooks.delivery import QuickBooks
from simulator.testing import SimulatorHandle
from tests.support.connected import RIVERA, connect, firm_of, new_owner
from tests.support.drains import make_due
from tests.support.firm import (
    lane_of,
    new_firm_with_lane,
    new_invoice,
    new_lead,
    new_payment,
    states,
)
from tests.support.ledger import Ledger

AT_ONCE = 4
TWO_EACH = Limits(Pace(timedelta(0), 1), Pace(timedelta(0), 1), wave=2)
FREE = Limits(Pace(timedelta(0), 1), Pace(timedelta(0), 1), wave=30)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        yield threads


@dataclass
class Watching(QuickBooks):
    """The real delivery; remembers what was under way at the same time."""

    sessions: Sessions
    config: Config
    limits: Limits = FREE
    meets: Callable[[Sent], None] = lambda sent: None
    under_way: list[str] = field(default_factory=list)
    together: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, sent: Sent) -> Answer:
        what = f"{sent.path} {sent.body or sent.query}"
        with self.lock:
            self.together += [(what, other) for other in self.under_way]
            self.under_way.append(what)
        try:
            self.meets(sent)
            return super().send(sent)
        finally:
            with self.lock:
                self.under_way.remove(what)


def drain(
    sessions: Sessions,
    company: Ledger | Watching,
    lane: int,
    config: Config,
    pool: ThreadPoolExecutor,
) -> None:
    for _ in range(50):
        under_way = InFlight(pool.submit, AT_ONCE)
        if drain_lane(sessions, company, lane, config, threading.Event(), under_way) is None:
            return
    raise AssertionError("the lane wants turn after turn")


def twelve_leads(session: Session) -> tuple[int, int]:
    firm, lane = new_firm_with_lane(session)
    session.add_all([new_lead(firm, f"Customer {number}") for number in range(12)])
    session.commit()
    return firm, lane


def meeting(count: int, *, after: int = 0) -> Callable[[Sent], None]:
    """`count` requests wait for each other: they must be under way at the same time."""
    barrier, numbers = threading.Barrier(count), itertools.count()

    def wait(_sent: Sent) -> None:
        if after <= next(numbers) < after + count:
            barrier.wait(timeout=20)

    return wait


def of(path: str, act: Callable[[Sent], None]) -> Callable[[Sent], None]:
    return lambda sent: act(sent) if sent.path == path else None


def test_independent_requests_of_a_lane_are_under_way_at_once(
    session: Session, sessions: Sessions, config: Config, pool: ThreadPoolExecutor
) -> None:
    _firm, lane = twelve_leads(session)
    ledger = Ledger(fail=meeting(AT_ONCE), limits=TWO_EACH)
    drain(sessions, ledger, lane, config, pool)
    assert states(session) == ["synced"] * 12
    assert len(ledger.creates()) == 12


def test_no_more_requests_are_under_way_than_allowed(
    session: Session, sessions: Sessions, config: Config, pool: ThreadPoolExecutor
) -> None:
    _firm, lane = twelve_leads(session)
    most, lock = [0, 0], threading.Lock()

    def count(_sent: Sent) -> None:
        with lock:
            most[0] += 1
            most[1] = max(most)
        time.sleep(0.02)  # the call takes a while
        with lock:
            most[0] -= 1

    under_way = InFlight(pool.submit, 3)
    ledger = Ledger(fail=count, limits=TWO_EACH)
    drain_lane(sessions, ledger, lane, config, threading.Event(), under_way)
    assert 1 <= most[1] <= 3


def test_an_outage_seen_by_several_requests_is_one_outage(
    session: Session, sessions: Sessions, config: Config, pool: ThreadPoolExecutor
) -> None:
    _firm, lane = twelve_leads(session)
    meets = meeting(AT_ONCE)

    def refuse(sent: Sent) -> Answer:
        meets(sent)
        return Answer(problem=Problem.NOT_SENT)

    drain(sessions, Ledger(fail=refuse, limits=TWO_EACH), lane, config, pool)
    found = lane_of(session, lane)
    assert (found.consecutive_outages, found.pause_reason) == (1, "outage")
    assert found.lease_until is None


def test_a_company_that_was_down_is_probed_by_one_request(
    session: Session, sessions: Sessions, config: Config, pool: ThreadPoolExecutor
) -> None:
    _firm, lane = twelve_leads(session)
    session.execute(text("UPDATE outbox_lanes SET consecutive_outages = 3"))
    session.commit()
    ledger = Ledger(fail=lambda _sent: Answer(problem=Problem.NOT_SENT), limits=TWO_EACH)
    drain(sessions, ledger, lane, config, pool)
    assert [len(sent.items) for sent in ledger.calls] == [1]


def test_after_a_refusal_for_too_many_calls_fewer_are_under_way(
    session: Session, sessions: Sessions, config: Config
) -> None:
    _firm, lane = twelve_leads(session)
    session.execute(text("UPDATE outbox_lanes SET slowdown = 2, slowed_at = clock_timestamp()"))
    session.commit()
    claim = lease_lane(sessions, lane, config.lease)
    assert claim
    kept: list[Callable[[], None]] = []
    under_way, ledger = InFlight(kept.append, 8), Ledger(limits=TWO_EACH)
    while sent := next_dispatch(sessions, claim, ledger, config, under_way):
        assert isinstance(sent, Sent)
        under_way.start(sent, ledger.send)
    assert under_way.count == 2


def under_way_of(
    sessions: Sessions, claim: Claim, company: Ledger, config: Config, count: int
) -> list[Sent]:
    """Stored requests whose calls never begin."""
    kept: list[Callable[[], None]] = []
    under_way, stored = InFlight(kept.append, 8), []
    for _ in range(count):
        sent = next_dispatch(sessions, claim, company, config, under_way)
        assert isinstance(sent, Sent)
        under_way.start(sent, company.send)
        stored.append(sent)
    return stored


@pytest.mark.parametrize("trouble", [Pause("outage"), Hold("access_lost")])
def test_an_answer_to_what_was_sent_before_an_outage_counts_no_more_when_it_is_late(
    session: Session, sessions: Sessions, config: Config, trouble: Pause | Hold
) -> None:
    _firm, lane = twelve_leads(session)
    claim = lease_lane(sessions, lane, config.lease)
    assert claim
    company = Ledger(limits=TWO_EACH)
    refused = Reading(trouble=trouble, taken=False)
    for sent in under_way_of(sessions, claim, company, config, 3):
        settle(sessions, claim, sent, Answer(problem=Problem.NOT_SENT), refused)
        session.execute(text("UPDATE outbox_lanes SET pause_until = NULL, pause_reason = NULL"))
        session.commit()
    found = lane_of(session, lane)
    assert (found.consecutive_outages, found.state, found.pause_until) == (1, "open", None)


def test_a_read_answered_late_does_not_end_the_pause_of_reads(
    session: Session, sessions: Sessions, config: Config
) -> None:
    _firm, lane = twelve_leads(session)
    claim = lease_lane(sessions, lane, config.lease)
    assert claim
    one, two = (
        replace(sent, method="GET")
        for sent in under_way_of(sessions, claim, Ledger(limits=TWO_EACH), config, 2)
    )
    throttled = Reading(trouble=Pause("throttled", timedelta(seconds=60)), taken=False)
    settle(sessions, claim, one, Answer(status=429), throttled)
    settle(sessions, claim, two, Answer(status=200), Reading())
    assert lane_of(session, lane).questions_rest_until is not None


@dataclass
class OneLeadAtATime(Ledger):
    """Sends no lead while another request is under way."""

    def compose(
        self,
        entries: Sequence[Due],
        links: Mapping[Record, Remote],
        settings: Json,
        taken: frozenset[str] = frozenset(),
    ) -> Composition:
        if taken and entries[0].record.type is RecordType.LEAD:
            return Composition(None)
        composition = super().compose(entries, links, settings)
        assert composition.draft
        items = [replace(item, claims=frozenset("x")) for item in composition.draft.items]
        return replace(composition, draft=replace(composition.draft, items=items))


def test_a_record_that_must_wait_for_a_request_holds_up_no_others(
    session: Session, sessions: Sessions, config: Config, pool: ThreadPoolExecutor
) -> None:
    firm, lane = new_firm_with_lane(session)
    known = new_lead(firm, "Known")
    session.add(known)
    session.commit()
    company = OneLeadAtATime(limits=Limits(FREE.calls, FREE.batches, wave=1))
    drain(sessions, company, lane, config, pool)
    session.add_all([new_lead(firm, "One"), new_lead(firm, "Two")])
    session.add(new_invoice(firm, known))
    session.commit()
    claim = lease_lane(sessions, lane, config.lease)
    assert claim
    one, other = under_way_of(sessions, claim, company, config, 2)
    types = [due.record.type for sent in (one, other) for due in sent.due.values()]
    assert types == [RecordType.LEAD, RecordType.INVOICE]


def test_many_wakes_are_one() -> None:
    under_way = InFlight()
    for _ in range(100):
        under_way.wake()
    assert under_way.take(5) is None
    began = time.monotonic()
    assert under_way.take(0.2) is None
    assert time.monotonic() - began >= 0.2
    under_way.wake()
    assert under_way.take(5) is None
    assert time.monotonic() - began < 4


def test_a_lost_lease_changes_nothing_whatever_is_under_way(
    session: Session, sessions: Sessions, config: Config, pool: ThreadPoolExecutor
) -> None:
    _firm, lane = twelve_leads(session)
    meets = meeting(AT_ONCE)

    def lose(sent: Sent) -> None:
        meets(sent)
        with sessions.begin() as other:
            other.execute(text("UPDATE outbox_lanes SET lease_token = lease_token + 1"))

    ledger = Ledger(fail=lose, limits=TWO_EACH)
    under_way = InFlight(pool.submit, AT_ONCE)
    assert drain_lane(sessions, ledger, lane, config, threading.Event(), under_way) is None
    pool.shutdown(wait=True)
    assert set(states(session)) == {"pending"}
    unsettled = session.scalar(
        text("SELECT count(*) FROM outbox_dispatch_items WHERE outcome IS NULL")
    )
    assert unsettled == 2 * len(ledger.calls)


@pytest.mark.parametrize(
    "stop",
    [
        "pause_until = clock_timestamp() + interval '1 hour', pause_reason = 'outage'",
        "state = 'held', hold_reason = 'signed_out'",
    ],
)
def test_what_is_not_sent_because_its_lane_was_stopped_is_due_again_at_once(
    session: Session, sessions: Sessions, config: Config, stop: str
) -> None:
    _firm, lane = twelve_leads(session)
    ledger = Ledger(limits=TWO_EACH)

    def late(call: Callable[[], None]) -> None:
        with sessions.begin() as other:
            other.execute(text(f"UPDATE outbox_lanes SET {stop}"))
        time.sleep(MAX_SEND_DELAY.total_seconds() + 0.1)
        call()

    assert drain_lane(sessions, ledger, lane, config, threading.Event(), InFlight(late, 1)) is None
    assert ledger.calls == []
    due = text("SELECT count(*) FROM outbox WHERE available_at <= clock_timestamp()")
    assert session.scalar(due) == 12
    session.execute(
        text(
            "UPDATE outbox_lanes SET state = 'open', hold_reason = NULL,"
            " pause_until = NULL, pause_reason = NULL"
        )
    )
    session.commit()
    assert lane_of(session, lane).lease_until is None
    drain_lane(sessions, ledger, lane, config, threading.Event())
    assert {sent.method for sent in ledger.calls} == {"POST"}, "nothing had to be looked up"
    assert set(states(session)) == {"synced"}


def test_a_database_error_brings_no_crashes_back_that_were_settled(
    session: Session, sessions: Sessions, config: Config
) -> None:
    _firm, lane = twelve_leads(session)
    session.execute(text("UPDATE outbox_lanes SET claims_unsettled = 1"))
    session.commit()
    first = iter([True])

    def fail_later(_sent: Sent) -> None:
        if not next(first, False):
            raise OperationalError("the server restarts", {}, Exception())

    with pytest.raises(OperationalError):
        drain_lane(
            sessions, Ledger(fail=fail_later, limits=TWO_EACH), lane, config, threading.Event()
        )
    assert states(session).count("synced") == 2
    assert lane_of(session, lane).claims_unsettled == 0


def test_a_late_call_of_an_earlier_sign_in_is_not_sent(
    session: Session, sessions: Sessions, config: Config
) -> None:
    _firm, lane = twelve_leads(session)
    ledger, first = Ledger(limits=TWO_EACH), iter([True])

    def late(call: Callable[[], None]) -> None:
        if next(first, False):
            with sessions.begin() as other:
                other.execute(text("UPDATE outbox_lanes SET sign_in = sign_in + 1"))
            time.sleep(MAX_SEND_DELAY.total_seconds() + 0.1)
        call()

    sign_in = lane_of(session, lane).sign_in
    session.rollback()
    drain_lane(sessions, ledger, lane, config, threading.Event(), InFlight(late, 1))
    assert {sent.sign_in for sent in ledger.calls} == {sign_in + 1}
    assert set(states(session)) == {"synced"}


def test_a_lane_is_handed_back_only_once_nothing_is_under_way(
    session: Session, sessions: Sessions, config: Config, pool: ThreadPoolExecutor
) -> None:
    _firm, lane = twelve_leads(session)
    let_go, ended = threading.Event(), threading.Event()
    first = iter([True])

    def slow_or_broken(_sent: Sent) -> None:
        if next(first, False):
            let_go.wait(20)
            ended.set()
        else:
            raise RuntimeError("a mistake of ours")

    ledger = Ledger(fail=slow_or_broken, limits=TWO_EACH)
    threading.Timer(0.3, let_go.set).start()
    with pytest.raises(RuntimeError, match="a mistake"):
        drain(sessions, ledger, lane, config, pool)
    assert ended.is_set()


def test_an_exception_in_one_request_loses_no_answer_of_the_others(
    session: Session, sessions: Sessions, config: Config, pool: ThreadPoolExecutor
) -> None:
    _firm, lane = twelve_leads(session)
    let_go, first = threading.Event(), iter([True])

    def slow_or_broken(_sent: Sent) -> None:
        if next(first, False):
            let_go.wait(20)
        else:
            raise RuntimeError("a mistake of ours")

    ledger = Ledger(fail=slow_or_broken, limits=TWO_EACH)
    session.execute(
        text("UPDATE outbox_lanes SET claims_unsettled = 1 WHERE id = :lane"), {"lane": lane}
    )
    session.commit()
    threading.Timer(0.3, let_go.set).start()
    with pytest.raises(RuntimeError, match="a mistake"):
        drain(sessions, ledger, lane, config, pool)
    assert states(session).count("synced") == 2
    claims = text("SELECT claims_unsettled FROM outbox_lanes WHERE id = :lane")
    assert session.scalar(claims, {"lane": lane}) == 2, "still counted, so that the cause is found"


def test_a_record_saved_while_others_are_under_way_goes_out_at_once(
    session: Session, sessions: Sessions, config: Config
) -> None:
    firm, lane = twelve_leads(session)
    let_go, seen = threading.Event(), threading.Event()

    def hold(sent: Sent) -> None:
        if "Late" in (sent.body or ""):
            seen.set()
        elif not let_go.is_set():
            let_go.wait(20)

    poller = Poller(
        sessions, Ledger(fail=hold, limits=Limits(FREE.calls, FREE.batches, 12)), config
    )
    poller.start()
    try:
        poller.wake(lane)
        eventually_sent(sessions, 12)
        session.add(new_lead(firm, "Late"))
        session.commit()
        poller.wake(lane)
        assert seen.wait(10)
    finally:
        let_go.set()
        assert poller.stop()
    assert set(states(session)) == {"synced"}


def eventually_sent(sessions: Sessions, count: int) -> None:
    for _ in range(200):
        with sessions() as session:
            if len(session.execute(text("SELECT FROM outbox_dispatch_items")).all()) >= count:
                return
        time.sleep(0.05)
    raise AssertionError("nothing was sent")


def test_a_stop_waits_for_what_is_under_way_and_settles_it(
    session: Session, sessions: Sessions, config: Config
) -> None:
    _firm, lane = twelve_leads(session)
    let_go = threading.Event()

    def hold(_sent: Sent) -> None:
        let_go.wait(20)

    poller = Poller(sessions, Ledger(fail=hold, limits=TWO_EACH), config)
    poller.start()
    poller.wake(lane)
    eventually_sent(sessions, 4)
    threading.Timer(0.3, let_go.set).start()
    assert poller.stop()
    session.rollback()
    open_items = "SELECT count(*) FROM outbox_dispatch_items WHERE outcome IS NULL"
    assert session.scalar(text(open_items)) == 0
    assert lane_of(session, lane).lease_until is None


# --- What must not go side by side, with the real documents -------------------------------------


@pytest.fixture
def firm(
    session: Session, sessions: Sessions, config: Config, simulator: SimulatorHandle
) -> tuple[int, int]:
    owner = new_owner(session)
    connection = connect(sessions, config, owner)
    return firm_of(owner), connection.lane_id


def sent_lead(
    session: Session, company: Watching, firm: tuple[int, int], config: Config,
    pool: ThreadPoolExecutor, name: str = "Quartz Lawn Care",
) -> Lead:  # fmt: skip
    lead = new_lead(firm[0], name, email=f"{name[:5].casefold()}@example.com")
    session.add(lead)
    session.commit()
    drain(company.sessions, company, firm[1], config, pool)
    return lead


def test_two_payments_of_one_invoice_never_go_side_by_side(
    session: Session, sessions: Sessions, config: Config, simulator: SimulatorHandle,
    firm: tuple[int, int], pool: ThreadPoolExecutor,
) -> None:  # fmt: skip
    company = Watching(sessions, config)
    company.limits = Limits(FREE.calls, FREE.batches, wave=1)
    lead = sent_lead(session, company, firm, config, pool)
    invoices = [new_invoice(firm[0], lead, number=f"70{number}") for number in range(2)]
    session.add_all(invoices)
    session.commit()
    drain(sessions, company, firm[1], config, pool)
    company.meets = of("payment", meeting(2, after=1))
    company.together.clear()
    session.add_all([new_payment(firm[0], one, "60") for one in invoices for _ in range(2)])
    session.commit()
    drain(sessions, company, firm[1], config, pool)
    make_due(session)
    drain(sessions, company, firm[1], config, pool)
    assert set(states(session)) == {"synced"}
    paid = [
        {linked["TxnId"] for line in json.loads(body.partition(" ")[2])["Line"]
         for linked in line["LinkedTxn"]}
        for pair in company.together for body in pair if body.startswith("payment ")
    ]  # fmt: skip
    pairs = list(zip(paid[::2], paid[1::2], strict=True))
    assert pairs, "payments of different invoices go side by side"
    assert all(not one & other for one, other in pairs)


def test_an_invoice_waits_while_its_customer_is_being_changed(
    session: Session, sessions: Sessions, config: Config, simulator: SimulatorHandle,
    firm: tuple[int, int], pool: ThreadPoolExecutor,
) -> None:  # fmt: skip
    company = Watching(sessions, config)
    lead = sent_lead(session, company, firm, config, pool)
    other = sent_lead(session, company, firm, config, pool, "Zebra Street HOA")
    company.meets = meeting(2)
    company.together.clear()
    lead.phone = "555-0101"
    session.flush()
    session.add_all([new_invoice(firm[0], lead, number="801"),
                     new_invoice(firm[0], other, number="802")])  # fmt: skip
    session.commit()
    drain(sessions, company, firm[1], config, pool)
    assert set(states(session)) == {"synced"}
    pairs = [{part.partition(" ")[0] for part in pair} for pair in company.together]
    bodies = [" ".join(pair) for pair in company.together]
    assert {"customer", "invoice"} in pairs  # the invoice of the other customer
    assert not any("555-0101" in body and '"801"' in body for body in bodies)


def test_two_leads_with_one_name_or_address_never_go_side_by_side(
    session: Session, sessions: Sessions, config: Config, simulator: SimulatorHandle,
    firm: tuple[int, int], pool: ThreadPoolExecutor,
) -> None:  # fmt: skip
    company = Watching(sessions, config, Limits(FREE.calls, FREE.batches, wave=1))
    sent_lead(session, company, firm, config, pool)  # the list of customers is read by now
    simulator.company(RIVERA, latency=0.2)
    company.together.clear()
    session.add_all([
        new_lead(firm[0], "Maple Court", email="a@maple.example"),
        new_lead(firm[0], "MAPLE COURT", email="b@maple.example"),
        new_lead(firm[0], "Harbor View", email="B@maple.example"),
    ])  # fmt: skip
    session.commit()
    drain(sessions, company, firm[1], config, pool)
    creates = [pair for pair in company.together
               if all(part.startswith("customer ") for part in pair)]  # fmt: skip
    for pair in creates:
        one, two = (json.loads(part.partition(" ")[2]) for part in pair)
        assert one["DisplayName"].casefold() != two["DisplayName"].casefold()
        assert (one["PrimaryEmailAddr"]["Address"].casefold()
                != two["PrimaryEmailAddr"]["Address"].casefold())  # fmt: skip


def test_records_arrive_once_with_several_requests_under_way(
    session: Session, sessions: Sessions, config: Config, simulator: SimulatorHandle,
    firm: tuple[int, int], pool: ThreadPoolExecutor,
) -> None:  # fmt: skip
    company = Watching(sessions, config, Limits(FREE.calls, FREE.batches, wave=5))
    for number in range(12):
        lead = new_lead(firm[0], f"Customer {number}", email=f"c{number}@example.com")
        invoice = new_invoice(firm[0], lead, number=f"90{number}")
        session.add_all([lead, invoice, new_payment(firm[0], invoice, "40")])
    session.commit()
    company.meets = meeting(2)
    drain(sessions, company, firm[1], config, pool)
    for _ in range(20):  # a busy machine may have been too slow for an answer
        if set(states(session)) == {"synced"}:
            break
        make_due(session)
        drain(sessions, company, firm[1], config, pool)
    assert set(states(session)) == {"synced"}
    assert company.together
    books = simulator.books(RIVERA)
    ours = [one for one in books["Invoice"] if str(one.get("DocNumber", "")).startswith("90")]
    assert len(ours) == 12
    assert {Decimal(str(one["Balance"])) for one in ours} == {Decimal(60)}
