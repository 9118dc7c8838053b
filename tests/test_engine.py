"""Rules 5 to 12, as far as they concern the engine, tested against a small ledger."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import Organization, Region
from models.outbox import Counterpart, Dispatch, DispatchItem, Entry, State
from models.sales import Lead, RecordType
from outbox import actions, lanes
from outbox.company import Answer, Problem, Sent
from outbox.dispatches import next_dispatch
from outbox.looks import due_lanes
from outbox.poller import drain_lane
from outbox.settle import SILENCES, settle
from tests.support.firm import (
    entries_of,
    lane_of,
    new_firm_with_lane,
    new_invoice,
    new_lead,
    new_line,
    new_payment,
    new_product,
    states,
)
from tests.support.ledger import SILENT, Ledger, TalkingLedger

Drain = Callable[[int], None]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def drain(sessions: Sessions, ledger: Ledger, config: Config) -> Drain:
    """Drains a lane until it says that nothing more is due."""

    def run(lane_id: int) -> None:
        while drain_lane(sessions, ledger, lane_id, config, threading.Event()) is not None:
            pass

    return run


def make_due(session: Session) -> None:
    """Moves the time in the data: back-offs, answer deadlines and pauses are over."""
    session.rollback()
    session.execute(text("UPDATE outbox SET available_at = clock_timestamp()"))
    session.execute(text("UPDATE outbox_lanes SET pause_until = NULL, pause_reason = NULL"))
    session.execute(text("UPDATE outbox_lanes SET lease_until = NULL"))
    session.commit()


def make_old(session: Session) -> None:
    """Eleven minutes pass."""
    session.rollback()
    for table in ("outbox", "outbox_dispatches"):
        session.execute(text(f"UPDATE {table} SET created_at = created_at - interval '11 min'"))
    session.commit()


# --- The way through ----------------------------------------------------------------------------


def test_a_chain_written_together_arrives_in_order_in_four_calls(
    session: Session, ledger: Ledger, drain: Drain
) -> None:
    """Rule 11: customer, items, invoice, payment; products go along with what needs them."""
    firm, lane = new_firm_with_lane(session)
    products = [new_product(firm, "Repair"), new_product(firm, "Parts")]
    lines = [new_line(firm, product=product) for product in products]
    invoice = new_invoice(firm, new_lead(firm), lines)
    session.add_all([invoice, new_payment(firm, invoice, "50"), new_payment(firm, invoice, "20")])
    session.commit()
    drain(lane)
    kinds = [arrival.record.split()[0] for arrival in ledger.arrivals]
    assert kinds == ["lead", "product", "product", "invoice", "payment", "payment"]
    assert len(ledger.calls) == 4
    entries = entries_of(session)
    assert {entry.state for entry in entries} == {"synced"}
    along = [entry.taken_along_for for entry in entries if entry.record_type == "product"]
    assert along == ["invoice 1001"] * 2
    assert session.query(Counterpart).count() == 6
    assert lane_of(session, lane).last_synced_at is not None


def test_thirty_records_go_in_one_call(session: Session, ledger: Ledger, drain: Drain) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add_all([new_lead(firm, f"Customer {number}") for number in range(61)])
    session.commit()
    drain(lane)
    make_due(session)  # the lane may rest between batches
    drain(lane)
    assert [len(call.items) for call in ledger.calls] == [30, 30, 1]
    assert ledger.calls[0].path == "batch"


# --- Rule 5: stored before it is sent -----------------------------------------------------------


def test_rule_5_a_request_is_committed_before_it_goes_out(
    session: Session, sessions: Sessions, ledger: Ledger, drain: Drain
) -> None:
    seen: list[tuple[str, str | None, int]] = []

    def look(sent: Sent) -> None:
        with sessions() as other:
            [stored] = other.query(Dispatch).all()
            seen.append((stored.request_id, stored.body, len(stored.items)))

    ledger.fail = look
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    drain(lane)
    [call] = ledger.calls
    assert seen == [(call.request_id, call.body, 1)]
    assert call.request_id in call.query


@pytest.mark.parametrize("booked", [True, False])
def test_rule_5_an_unanswered_request_goes_again_byte_for_byte(
    session: Session, ledger: Ledger, drain: Drain, booked: bool
) -> None:
    firm, lane = new_firm_with_lane(session)
    lead = new_lead(firm)
    session.add(lead)
    session.commit()
    drain(lane)
    ledger.calls.clear()
    lost = lambda _sent: SILENT if len(ledger.calls) == 1 else None  # noqa: E731
    ledger.after, ledger.fail = (lost, ledger.fail) if booked else (ledger.after, lost)
    lead.phone = "555-0141"
    session.commit()
    drain(lane)
    drain(lane)  # not yet: QuickBooks may still be at work
    assert len(ledger.calls) == 1
    lead.phone = "555-0142"  # a newer entry must not change what is out, nor overtake it
    session.commit()
    drain(lane)
    assert len(ledger.calls) == 1
    assert states(session) == ["synced", "pending", "pending"]
    make_due(session)
    drain(lane)
    first, again, newer = ledger.calls
    assert (first.body, first.query) == (again.body, again.query)
    assert newer.request_id != first.request_id
    assert ledger.creates() == ["lead 1"]
    assert ledger.arrivals[-1].payload["phone"] == "555-0142"
    assert states(session) == ["synced", "synced", "synced"]


@pytest.mark.parametrize("booked", [True, False])
def test_case_r04_what_makes_a_second_object_is_looked_for_before_its_second_send(
    session: Session, ledger: Ledger, drain: Drain, booked: bool
) -> None:
    """That a request id is known again is a promise nobody gave."""
    lost = lambda _sent: SILENT if len(ledger.calls) == 1 else None  # noqa: E731
    ledger.after, ledger.fail = (lost, ledger.fail) if booked else (ledger.after, lost)
    firm, lane = new_firm_with_lane(session)
    session.add_all([new_lead(firm, "One"), new_lead(firm, "Two")])
    session.commit()
    drain(lane)
    ledger.answers.clear()  # no request id is remembered
    drain(lane)
    assert len(ledger.calls) == 1, "not yet: QuickBooks may still be at work"
    make_due(session)
    drain(lane)
    make_due(session)
    drain(lane)
    methods = [call.method for call in ledger.calls]
    assert methods[:2] == ["POST", "GET"]
    assert len(methods) == (2 if booked else 4)
    assert sorted(ledger.creates()) == ["lead 1", "lead 2"]
    assert states(session) == ["synced", "synced"]


def test_rule_5_after_a_definite_no_the_next_send_has_a_new_id(
    session: Session, ledger: Ledger, drain: Drain
) -> None:
    ledger.rejects = {"Green Lawn Co"}
    firm, lane = new_firm_with_lane(session)
    lead = new_lead(firm)
    session.add(lead)
    session.commit()
    drain(lane)
    assert states(session) == ["failed"]
    lead.name = "Green Lawn"  # fixed on the form: it goes by itself, and the old one is history
    session.commit()
    drain(lane)
    assert states(session) == ["superseded", "synced"]
    assert ledger.calls[0].request_id != ledger.calls[1].request_id


def test_a_change_never_answered_is_looked_up_after_three_sends(
    session: Session, ledger: Ledger, drain: Drain
) -> None:
    firm, lane = new_firm_with_lane(session)
    leads = [new_lead(firm, "One"), new_lead(firm, "Two")]
    session.add_all(leads)
    session.commit()
    drain(lane)
    ledger.calls.clear()
    ledger.after = lambda sent: SILENT if sent.method == "POST" else None
    for lead in leads:
        lead.phone = "555-0142"
    session.commit()
    for _ in range(4):
        drain(lane)
        make_due(session)
    assert [call.method for call in ledger.calls] == ["POST"] * 3 + ["GET"]
    assert len({call.request_id for call in ledger.calls[:3]}) == 1
    assert states(session) == ["synced"] * 4
    assert len(ledger.creates()) == 2


def test_a_request_that_never_arrived_is_freed_by_the_look_up_and_sent_anew(
    session: Session, ledger: Ledger, drain: Drain
) -> None:
    ledger.fail = lambda sent: Answer(problem=Problem.UNANSWERED) if sent.sends else None
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    drain(lane)
    ledger.fail = lambda _sent: None
    make_old(session)  # past ten minutes the id may be forgotten: look before sending again
    make_due(session)
    drain(lane)
    assert [call.method for call in ledger.calls] == ["POST", "GET", "POST"]
    assert ledger.calls[0].request_id != ledger.calls[2].request_id
    assert ledger.creates() == ["lead 1"]
    assert states(session) == ["synced"]


def test_one_that_arrived_at_last_is_no_persons_matter_however_often_it_was_cut(
    session: Session, sessions: Sessions, config: Config
) -> None:
    """Rule 5: the fifth silence in a row counts against what is not found, and nothing else."""
    ledger = TalkingLedger()
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm, "Slow"))
    session.commit()

    def cut(sent: Sent) -> Answer | None:
        return SILENT if sent.method == "POST" else None

    def silences() -> int:
        with sessions() as own:
            return int(own.scalar(text("SELECT sum(silences) FROM outbox_dispatches")) or 0)

    ledger.fail = lambda sent: cut(sent) if silences() < SILENCES - 1 else None
    ledger.after = cut
    for _ in range(9):
        make_due(session)  # … and other calls of the lane were answered meanwhile
        session.execute(
            text("UPDATE outbox_lanes SET consecutive_outages = 0, outage_since = NULL")
        )
        session.commit()
        drain_lane(sessions, ledger, lane, config, threading.Event())
    entry = entries_of(session)[0]
    assert (entry.state, entry.fault_code) == ("synced", None)
    assert silences() >= SILENCES
    assert ledger.creates() == ["lead 1"]


def test_an_entry_that_is_old_at_its_first_send_is_looked_for_first(
    session: Session, ledger: Ledger, drain: Drain
) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    make_old(session)
    ledger.held = {"lead 1": "77"}  # as after a restored backup
    drain(lane)
    assert [call.method for call in ledger.calls] == ["GET"]
    assert states(session) == ["synced"]
    assert session.query(Counterpart).one().remote_id == "77"


# --- Rule 6: superseded, not merged -------------------------------------------------------------


def test_rule_6_only_the_newest_of_a_record_goes_out_and_history_keeps_each(
    session: Session, ledger: Ledger, drain: Drain
) -> None:
    firm, lane = new_firm_with_lane(session)
    lead = new_lead(firm, phone="0")
    session.add(lead)
    session.commit()
    for number in range(1, 4):
        lead.phone = str(number)
        session.commit()
    drain(lane)
    assert [arrival.payload["phone"] for arrival in ledger.arrivals] == ["3"]
    assert states(session) == ["superseded"] * 3 + ["synced"]
    assert [entry.payload["phone"] for entry in entries_of(session)] == ["0", "1", "2", "3"]


def test_a_void_that_meets_an_unsent_create_settles_both(
    session: Session, ledger: Ledger, drain: Drain
) -> None:
    firm, lane = new_firm_with_lane(session)
    lead = new_lead(firm)
    invoice = new_invoice(firm, lead)
    session.add(lead)
    session.commit()
    drain(lane)
    session.add(invoice)
    session.commit()
    session.execute(text("SELECT 1"))
    invoice.voided_at = session.execute(text("SELECT now()")).scalar_one()
    session.commit()
    drain(lane)
    assert states(session) == ["synced", "superseded", "superseded"]
    assert [arrival.record for arrival in ledger.arrivals] == ["lead 1"]


# --- Rules 7 and 9: one drainer, fenced ---------------------------------------------------------


def test_rule_7_eight_drainers_and_four_writers_send_each_change_once_and_in_order(
    sessions: Sessions, session: Session, ledger: Ledger, config: Config
) -> None:
    firm, lane = new_firm_with_lane(session)
    leads = [new_lead(firm, f"Customer {number}") for number in range(8)]
    session.add_all(leads)
    session.commit()
    keys = [lead.id for lead in leads]
    out: list[int] = []
    most: list[int] = []
    writing = threading.Event()
    lock = threading.Lock()

    def enter(sent: Sent) -> None:
        with lock:
            out.append(sent.id)
            most.append(len(out))

    def leave(sent: Sent) -> None:
        with lock:
            out.remove(sent.id)

    ledger.fail, ledger.after = enter, leave

    def write(number: int) -> None:
        for round_ in range(12):
            with sessions() as mine:
                for key in keys[number::4]:
                    mine.get_one(Lead, key).phone = str(round_)
                mine.commit()

    def keep_draining() -> None:
        while not writing.is_set():
            drain_lane(sessions, ledger, lane, config, threading.Event())

    drainers = [threading.Thread(target=keep_draining) for _ in range(8)]
    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in [*drainers, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    writing.set()
    for thread in drainers:
        thread.join()
    while session.query(Entry).filter_by(state="pending").count():
        make_due(session)
        drain_lane(sessions, ledger, lane, config, threading.Event())
        session.rollback()
    assert max(most) == 1
    assert sorted(ledger.creates()) == sorted(f"lead {key}" for key in keys)
    for key in keys:
        mine = [a.payload["phone"] for a in ledger.arrivals if a.record == f"lead {key}"]
        assert mine[-1] == "11"
        numbers = [int(phone or -1) for phone in mine]
        assert numbers == sorted(numbers)


def test_rule_9_a_lost_lease_changes_nothing(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config, drain: Drain
) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    slow = lanes.lease_lane(sessions, lane, config.lease)
    assert slow is not None
    sent = next_dispatch(sessions, slow, ledger, config)
    assert isinstance(sent, Sent)
    answer = ledger.send(sent)
    make_due(session)  # the slow one is paused beyond its lease …
    drain(lane)  # … and another takes over and sends the same dispatch again
    before = [(e.id, e.state, e.settled_at) for e in entries_of(session)]
    assert states(session) == ["synced"]
    assert settle(sessions, slow, sent, answer, ledger.read(sent, answer)) is None
    assert next_dispatch(sessions, slow, ledger, config) is None
    assert [(e.id, e.state, e.settled_at) for e in entries_of(session)] == before
    assert ledger.creates() == ["lead 1"]


def test_rule_9_settling_a_dispatch_twice_does_nothing(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    claim = lanes.lease_lane(sessions, lane, config.lease)
    assert claim is not None
    sent = next_dispatch(sessions, claim, ledger, config)
    assert isinstance(sent, Sent)
    answer = ledger.send(sent)
    assert settle(sessions, claim, sent, answer, ledger.read(sent, answer)) == 1
    assert settle(sessions, claim, sent, answer, ledger.read(sent, answer)) == 0


def test_a_lane_has_one_holder_and_its_token_only_rises(
    session: Session, sessions: Sessions, config: Config
) -> None:
    _, lane = new_firm_with_lane(session)
    first = lanes.lease_lane(sessions, lane, config.lease)
    assert first is not None
    assert lanes.lease_lane(sessions, lane, config.lease) is None
    make_due(session)
    second = lanes.lease_lane(sessions, lane, config.lease)
    assert second is not None
    assert second.token > first.token


# --- Rule 8: no network inside a transaction ----------------------------------------------------


def test_rule_8_no_transaction_is_open_while_a_call_is_out(
    session: Session, sessions: Sessions, ledger: Ledger, drain: Drain
) -> None:
    open_ones: list[int] = []

    def look(_sent: Sent) -> None:
        with sessions() as other:
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
            )
            open_ones.append(other.execute(text(query)).scalar_one())

    ledger.fail = look
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    drain(lane)
    assert open_ones == [0]


# --- Rule 10: a crash costs nothing -------------------------------------------------------------


def test_rule_10_an_entry_that_breaks_composing_is_its_own_trouble(
    session: Session, ledger: Ledger, drain: Drain
) -> None:
    firm, lane = new_firm_with_lane(session)
    names = ["One", "breaks compose", "Three"]
    session.add_all([new_lead(firm, name) for name in names])
    session.commit()
    drain(lane)
    assert states(session) == ["synced", "failed", "synced"]
    assert entries_of(session)[1].fault_code == "internal"


def test_rule_10_claims_that_end_in_a_crash_isolate_the_poison(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config, drain: Drain
) -> None:
    """A crash between claim and settle, again and again: one entry at a time, then given up."""
    firm, lane = new_firm_with_lane(session)
    session.add_all([new_lead(firm, "Poison"), new_lead(firm, "Healthy")])
    session.commit()
    for crash in range(1, lanes.FAIL_AFTER):
        claim = lanes.lease_lane(sessions, lane, config.lease)
        assert claim is not None
        assert claim.claims_unsettled == crash
        if claim.takes_one:
            sent = next_dispatch(sessions, claim, ledger, config)
            assert isinstance(sent, Sent)
            assert len(sent.items) == 1
            session.execute(text("DELETE FROM outbox_dispatch_items"))  # as if never stored
            session.commit()
        make_due(session)
    drain(lane)
    entries = entries_of(session)
    assert [(entry.state, entry.fault_code) for entry in entries] == [
        ("failed", "poison"),
        ("synced", None),
    ]


# --- Rule 11: order and waiting -----------------------------------------------------------------


def test_rule_11_what_depends_on_a_failure_waits_by_name_and_the_rest_flows(
    session: Session, ledger: Ledger, drain: Drain
) -> None:
    ledger.rejects = {"Green Lawn Co"}
    firm, lane = new_firm_with_lane(session)
    stuck, other = new_lead(firm), new_lead(firm, "Maple Dental")
    invoice = new_invoice(firm, stuck)
    session.add_all([invoice, new_payment(firm, invoice)])
    session.add(new_invoice(firm, other, number="1002"))
    session.commit()
    drain(lane)
    by_record = {(e.record_type, e.record_id): e for e in entries_of(session)}
    assert by_record[RecordType.LEAD, stuck.id].state == "failed"
    waiting = by_record[RecordType.INVOICE, invoice.id]
    assert (waiting.state, waiting.waits_for_type, waiting.waits_for_id) == (
        "pending", "lead", stuck.id,
    )  # fmt: skip
    payment = next(e for e in by_record.values() if e.record_type == "payment")
    assert (payment.state, payment.waits_for_type) == ("pending", "invoice")
    assert [a.record for a in ledger.arrivals] == [f"lead {other.id}", f"invoice {invoice.id + 1}"]
    stuck.name = "Green Lawn LLC"
    session.commit()
    drain(lane)
    assert [a.record.split()[0] for a in ledger.arrivals[2:]] == ["lead", "invoice", "payment"]
    assert waiting.attempts == 0


def test_rule_11_an_invoices_change_goes_after_the_payments_captured_before_it(
    session: Session, ledger: Ledger, drain: Drain
) -> None:
    firm, lane = new_firm_with_lane(session)
    invoice = new_invoice(firm, new_lead(firm))
    session.add(invoice)
    session.commit()
    drain(lane)
    session.add(new_payment(firm, invoice, "40"))
    session.commit()
    invoice.memo = "changed after the payment"
    session.commit()
    session.add(new_payment(firm, invoice, "10"))
    session.commit()
    drain(lane)
    later = [(a.record.split()[0], a.intent) for a in ledger.arrivals[2:]]
    assert later == [("payment", "create"), ("invoice", "update"), ("payment", "create")]
    assert set(states(session)) == {"synced"}


def test_rule_11_a_skipped_lead_keeps_its_invoices_waiting_until_undone(
    session: Session, ledger: Ledger, drain: Drain
) -> None:
    firm, lane = new_firm_with_lane(session)
    lead = new_lead(firm)
    session.add(lead)
    session.commit()
    [entry] = entries_of(session)
    assert actions.skip(session, [entry.id], organization_id=firm).done == (entry.id,)
    session.add(new_invoice(firm, lead))
    session.commit()
    drain(lane)
    assert states(session) == ["skipped", "pending"]
    assert actions.dependents(session, [entry.id]) == 1
    actions.undo_skip(session, [entry.id], organization_id=firm)
    session.commit()
    drain(lane)
    assert states(session) == ["synced", "synced"]


def test_a_taken_along_snapshot_never_replaces_a_captured_one(
    session: Session, sessions: Sessions, ledger: Ledger, drain: Drain
) -> None:
    """The lead is being edited while the lease holder takes it along: the edit wins."""
    firm, lane = new_firm_with_lane(session)
    with sessions() as setup:
        setup.get_one(Organization, firm).region = Region.BR  # a lead of before: no entry
        setup.commit()
        setup.add(new_lead(firm, phone="old"))
        setup.commit()
        setup.get_one(Organization, firm).region = Region.US
        setup.commit()
    lead = session.query(Lead).one()
    session.add(new_invoice(firm, lead))
    session.commit()
    with sessions() as editor:
        editor.get_one(Lead, lead.id).phone = "new"
        editor.flush()  # its entry's number is drawn, not yet seen by others
        ledger.fail = lambda sent: Answer(problem=Problem.NOT_SENT)
        drain(lane)  # takes the lead along, but cannot send
        editor.commit()
    ledger.fail = lambda _sent: None
    make_due(session)
    drain(lane)
    phones = [a.payload["phone"] for a in ledger.arrivals if a.record.startswith("lead")]
    assert phones[-1] == "new"


# --- Rule 12: the company's trouble is not the entry's ------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(429), "throttled"),
        (Answer(429, retry_after=timedelta(seconds=7)), "throttled"),
        (Answer(problem=Problem.NOT_SENT), "outage"),
    ],
)
def test_rule_12_the_companys_trouble_pauses_the_lane_and_spends_no_attempt(
    session: Session, ledger: Ledger, drain: Drain, answer: Answer, reason: str
) -> None:
    ledger.fail = lambda _sent: answer
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    for _ in range(5):
        drain(lane)
        [entry] = entries_of(session)
        assert (entry.state, entry.attempts) == ("pending", 0)
        assert lane_of(session, lane).pause_reason == reason
        make_due(session)
    assert session.query(Dispatch).one().sends == 0  # QuickBooks never took it
    ledger.fail = lambda _sent: None
    drain(lane)
    assert states(session) == ["synced"]
    assert len({call.request_id for call in ledger.calls}) == 1


def test_a_lane_in_trouble_is_not_due_and_others_are(
    session: Session, ledger: Ledger, drain: Drain
) -> None:
    lanes_ = []
    for number in range(4):
        firm, lane = new_firm_with_lane(session, name=f"Firm {number}")
        session.add(new_lead(firm))
        lanes_.append(lane)
    session.commit()
    lanes.close(session, lanes_[0])
    lanes.hold(session, lanes_[1], "signed_out")
    session.execute(
        text(
            "UPDATE outbox_lanes SET pause_until = clock_timestamp() + interval '1 minute',"
            " pause_reason = 'outage' WHERE id = :id"
        ),
        {"id": lanes_[2]},
    )
    session.commit()
    assert due_lanes(session) == [lanes_[3]]


# --- The line -----------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", ["send", "skip"])
def test_nothing_behind_the_line_flows_before_the_owner_decides(
    session: Session, ledger: Ledger, drain: Drain, decision: str
) -> None:
    firm, lane = new_firm_with_lane(session)
    old = new_lead(firm, "Waiting")
    session.add(old)
    session.commit()
    assert lanes.close(session, lane) == 1
    session.commit()
    lanes.reopen(session, lane)
    session.commit()
    old.phone = "1"  # an edit of such a record stays behind the line too
    session.add(new_lead(firm, "New"))
    session.commit()
    drain(lane)
    assert [a.payload["title"] for a in ledger.arrivals] == ["New"]
    if decision == "send":
        assert lanes.send_waiting(session, lane) == 1
    else:
        assert lanes.skip_waiting(session, lane) == 1
    session.commit()
    drain(lane)
    first = "superseded" if decision == "send" else "skipped"
    by_title = {(e.payload["title"], e.payload["phone"]): e.state for e in entries_of(session)}
    assert by_title == {
        ("Waiting", ""): first,
        ("Waiting", "1"): "synced",
        ("New", ""): "synced",
    }


@pytest.mark.parametrize("state", [State.SYNCED, State.FAILED])
def test_what_was_on_its_way_at_a_disconnect_is_not_withheld_once_it_is_settled(
    session: Session,
    sessions: Sessions,
    ledger: Ledger,
    drain: Drain,
    state: State,
) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()

    def reconnect(_sent: Sent) -> None:
        ledger.fail = lambda _sent: None
        for act in (lanes.close, lanes.reopen):
            with sessions.begin() as own:
                act(own, lane)
        assert [entry.withheld for entry in entries_of(session)] == [True]

    ledger.fail = reconnect
    if state is State.FAILED:
        ledger.rejects = {"Green Lawn Co"}
    drain(lane)
    [entry] = entries_of(session)
    assert entry.state is state
    ledger.rejects = set()
    assert actions.requeue(session, [entry.id], organization_id=firm).done == (entry.id,)
    session.commit()
    drain(lane)
    assert states(session) == ["synced"]


# --- What a person may do -----------------------------------------------------------------------


def test_requeue_is_refused_where_it_could_do_harm(
    session: Session, ledger: Ledger, drain: Drain
) -> None:
    firm, lane = new_firm_with_lane(session)
    lead = new_lead(firm)
    session.add(lead)
    session.commit()
    drain(lane)
    lead.phone = "2"
    session.commit()
    drain(lane)
    first, second = (entry.id for entry in entries_of(session))
    acted = actions.requeue(session, [first, second, 999], organization_id=firm)
    assert acted.done == (second,)
    assert set(acted.refused) == {first, 999}
    assert session.get_one(Entry, second).checks
    session.rollback()
    assert not actions.requeue(session, [second], organization_id=firm + 1).done
    lanes.close(session, lane)
    assert (
        actions.requeue(session, [second], organization_id=firm).refused[second] == actions.CLOSED
    )


def test_an_entry_that_is_out_can_be_neither_requeued_nor_skipped(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    claim = lanes.lease_lane(sessions, lane, config.lease)
    assert claim is not None
    assert next_dispatch(sessions, claim, ledger, config)
    [entry] = entries_of(session)
    for act in (actions.requeue, actions.skip):
        assert act(session, [entry.id], organization_id=firm).refused == {
            entry.id: actions.UNANSWERED
        }


def test_two_admins_requeue_one_entry_once(session: Session, sessions: Sessions) -> None:
    firm, _ = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    [entry] = entries_of(session)
    session.execute(text("UPDATE outbox SET state = 'failed', settled_at = now(), attempts = 1"))
    session.commit()
    start = threading.Barrier(2)
    done: list[tuple[int, ...]] = []

    def press() -> None:
        start.wait()
        with sessions() as mine:
            done.append(actions.requeue(mine, [entry.id], organization_id=None).done)
            mine.commit()

    threads = [threading.Thread(target=press) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [(), (entry.id,)]
    assert states(session) == [State.PENDING]


def test_the_database_refuses_an_entry_in_two_open_dispatches(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    claim = lanes.lease_lane(sessions, lane, config.lease)
    assert claim is not None
    sent = next_dispatch(sessions, claim, ledger, config)
    assert isinstance(sent, Sent)
    session.add(
        DispatchItem(
            dispatch_id=sent.id, position=1, organization_id=firm, lane_id=lane,
            entry_id=sent.items[0].entry_id, intent="create",
        )
    )  # fmt: skip
    with pytest.raises(IntegrityError, match="uq_outbox_dispatch_items_open"):
        session.flush()
