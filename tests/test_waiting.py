"""Rules 5, 6, 11 and 13: which entries wait for which, and people's decisions meanwhile."""

import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.outbox import Entry
from models.sales import Payment
from outbox import actions, lanes
from outbox.company import (
    Answer,
    Problem,
    Sent,
)
from outbox.poller import drain_lane
from outbox.watchdog import release_forgotten_waiters
from tests.support.drains import drain, make_due, make_older
from tests.support.firm import (
    entries_of,
    new_firm_with_lane,
    new_invoice,
    new_lead,
    new_line,
    new_payment,
    new_product,
    states,
)
from tests.support.ledger import SILENT, Ledger


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


# --- Waits --------------------------------------------------------------------------------------


def test_a_fix_does_not_wait_for_the_back_off_of_what_it_mends(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    """Rule 13: any fix re-sends by itself; and at once."""
    ledger.relents = True
    ledger.rejects = {"Broken"}
    firm, lane = new_firm_with_lane(session)
    lead = new_lead(firm, "Broken")
    session.add(lead)
    session.commit()

    drain(sessions, ledger, lane, config)
    assert states(session) == ["pending"]
    lead.name = "Mended"
    session.commit()
    drain(sessions, ledger, lane, config)
    assert states(session) == ["superseded", "synced"]


def test_a_fix_that_was_told_to_wait_for_one_that_is_out_goes_when_that_is_free(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    ledger.relents = True
    ledger.rejects = {"Broken"}
    firm, lane = new_firm_with_lane(session)
    lead = new_lead(firm, "Broken")
    session.add(lead)
    session.commit()
    ledger.fail = lambda _sent: SILENT
    drain(sessions, ledger, lane, config)
    lead.name = "Mended"
    session.commit()
    drain(sessions, ledger, lane, config)
    assert entries_of(session)[1].waits_for_id == lead.id
    ledger.fail = lambda _sent: None
    make_due(session)
    drain(sessions, ledger, lane, config)
    assert states(session) == ["superseded", "synced"]


def test_a_hundred_and_twenty_that_must_wait_do_not_delay_one_that_may_go(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    ledger.rejects = {"Stuck"}
    firm, lane = new_firm_with_lane(session)
    stuck = new_lead(firm, "Stuck")
    session.add(stuck)
    session.commit()
    drain(sessions, ledger, lane, config)
    session.add_all([new_invoice(firm, stuck, number=str(number)) for number in range(2000, 2260)])
    session.commit()
    session.add(new_lead(firm, "Free"))
    session.commit()
    assert drain_lane(sessions, ledger, lane, config, threading.Event()) is None
    assert ledger.arrivals[-1].payload["title"] == "Free"


def test_an_invoice_changed_paid_and_changed_again_arrives_in_that_order(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    """Rule 11: a payment is made for the total of its time."""
    firm, lane = new_firm_with_lane(session)
    invoice = new_invoice(firm, new_lead(firm))
    session.add(invoice)
    session.commit()
    drain(sessions, ledger, lane, config)
    for memo in ("one", "two"):
        invoice.memo = memo
        session.commit()
    session.add(new_payment(firm, invoice))
    session.commit()
    for memo in ("three", "four"):
        invoice.memo = memo
        session.commit()
    drain(sessions, ledger, lane, config)
    arrived = [
        a.payload.get("memo", "payment") for a in ledger.arrivals if not a.record.startswith("lead")
    ]
    assert arrived == ["", "two", "payment", "four"]
    assert set(states(session)) == {"synced", "superseded"}


def test_an_invoice_does_not_wait_for_the_payment_that_waits_for_it(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    """Chaos found it: a newer version, looked for first, is found there, and so has a link while
    the payment still waits for it. Each waited for the other, for ever."""
    firm, lane = new_firm_with_lane(session)
    invoice = new_invoice(firm, new_lead(firm))
    session.add(invoice)
    session.commit()
    drain(sessions, ledger, lane, config)
    payment = new_payment(firm, invoice)
    session.add(payment)
    session.commit()
    session.execute(
        text(
            "UPDATE outbox SET waits_for_type = 'invoice', waits_for_id = :invoice"
            " WHERE aggregate_type = 'payment'"
        ),
        {"invoice": invoice.id},
    )
    session.commit()
    invoice.number = "1003"
    session.commit()
    drain(sessions, ledger, lane, config)
    session.rollback()
    assert set(states(session)) == {"synced"}
    assert ledger.arrivals[-1].record == f"payment {payment.id}"


@pytest.mark.parametrize("skips", [False, True])
def test_a_product_that_was_refused_is_mended_on_its_own_page(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config, *, skips: bool
) -> None:
    """Rule 13. It came along with an invoice, and what was sent of it is frozen."""
    ledger.rejects = {"Landscaping"}
    firm, lane = new_firm_with_lane(session)
    product = new_product(firm, "Landscaping")
    line = new_line(firm, product=product)
    session.add(new_invoice(firm, new_lead(firm), lines=[line]))
    session.commit()
    drain(sessions, ledger, lane, config)
    [refused] = session.query(Entry).filter_by(record_type="product")
    assert refused.state == "failed"
    if skips:
        assert actions.skip(session, [refused.id], organization_id=firm).done
    product.active = False  # nothing that QuickBooks gets to see
    session.commit()
    assert session.query(Entry).filter_by(record_type="product").count() == 1
    product.name = "Landscaping service"
    session.commit()
    drain(sessions, ledger, lane, config)
    session.rollback()
    assert session.query(Entry).filter_by(record_type="invoice").one().state == "synced"
    product.name = "Garden service"  # QuickBooks has it: its name there is the firm's own matter
    session.commit()
    assert session.query(Entry).filter_by(record_type="product").count() == 2


def _invoice_behind_a_payment_that_is_retried(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> tuple[int, Payment]:
    """The invoice changed after the payment, and the payment is refunded before it arrived."""
    firm, lane = new_firm_with_lane(session)
    invoice = new_invoice(firm, new_lead(firm))
    session.add(invoice)
    session.commit()
    drain(sessions, ledger, lane, config)
    payment = new_payment(firm, invoice)
    session.add(payment)
    session.commit()
    ledger.rejects = {f"{payment.amount:.2f}"}
    drain(sessions, ledger, lane, config)
    invoice.memo = "changed after the payment"
    session.commit()
    drain(sessions, ledger, lane, config)
    return lane, payment


def test_an_invoice_does_not_wait_for_a_version_of_a_payment_that_was_superseded(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    """The newer version waits for the invoice: each would wait for the other, for ever."""
    ledger.relents = True
    lane, payment = _invoice_behind_a_payment_that_is_retried(session, sessions, ledger, config)
    ledger.rejects = set()
    payment.refunded_amount = payment.amount
    session.commit()
    drain(sessions, ledger, lane, config)
    session.rollback()
    assert set(states(session)) == {"synced", "superseded"}
    assert ledger.arrivals[-1].record == f"payment {payment.id}"


def test_two_that_wait_for_each_other_are_found(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    ledger.relents = True
    lane, payment = _invoice_behind_a_payment_that_is_retried(session, sessions, ledger, config)
    assert release_forgotten_waiters(sessions) == 0
    session.execute(
        text(
            "UPDATE outbox SET waits_for_type = 'invoice', waits_for_id = :invoice"
            " WHERE aggregate_type = 'payment'"
        ),
        {"invoice": payment.invoice_id},
    )
    session.commit()
    assert release_forgotten_waiters(sessions) == 2
    ledger.rejects = set()
    make_due(session)
    drain(sessions, ledger, lane, config)
    session.rollback()
    assert set(states(session)) == {"synced"}


def test_what_a_person_withdrew_just_before_its_repeat_does_not_go_out(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config, engine: Engine
) -> None:
    """Else QuickBooks would take it, nobody would note it, and it would be created once more."""
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    ledger.fail = lambda _sent: Answer(problem=Problem.NOT_SENT)
    drain(sessions, ledger, lane, config)
    ledger.fail = lambda _sent: None
    make_due(session)
    entry_id = entries_of(session)[0].id
    session.rollback()
    begun: list[object] = []
    acted: list[actions.Acted] = []

    def act(connection: object) -> None:
        begun.append(connection)
        if len(begun) == 3:  # the lane was leased, the repeat chosen and counted
            acted.append(actions.requeue(session, [entry_id], organization_id=firm))
            session.commit()

    event.listen(engine, "begin", act)
    try:
        drain(sessions, ledger, lane, config)
    finally:
        event.remove(engine, "begin", act)
    session.rollback()
    assert acted  # and what was never taken is no longer kept to go byte for byte
    assert states(session) == ["synced"]
    assert len(ledger.creates()) == 1


def test_payments_of_an_invoice_voided_before_it_was_sent_have_nothing_to_send(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    firm, lane = new_firm_with_lane(session)
    invoice = new_invoice(firm, new_lead(firm))
    session.add(invoice)
    session.commit()
    ledger.rejects = {invoice.number}
    drain(sessions, ledger, lane, config)
    session.add(new_payment(firm, invoice))
    session.commit()
    drain(sessions, ledger, lane, config)
    assert states(session) == ["synced", "failed", "pending"]
    invoice.voided_at = datetime.now(UTC)
    session.commit()
    drain(sessions, ledger, lane, config)
    assert states(session) == ["synced", "superseded", "superseded", "superseded"]


def test_a_look_up_that_was_not_taken_does_not_count_as_a_send_less(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    """Else what arrived without an answer would pass for never sent, and be created once more."""
    firm, lane = new_firm_with_lane(session)
    lead = new_lead(firm)
    session.add(lead)
    session.commit()
    ledger.after = lambda _sent: SILENT
    drain(sessions, ledger, lane, config)
    ledger.fail = lambda _sent: Answer(429)
    make_older(session)
    for _ in range(3):
        make_due(session)
        drain(sessions, ledger, lane, config)
    assert [call.method for call in ledger.calls].count("GET") == 3, "once each time it is due"
    lead.phone = "555-0100"
    session.commit()
    [entry, _newer] = entries_of(session)
    assert not actions.skip(session, [entry.id], organization_id=firm).done
    session.commit()
    ledger.fail = ledger.after = lambda _sent: None
    make_due(session)
    drain(sessions, ledger, lane, config)
    assert set(states(session)) == {"synced"}
    assert len(ledger.creates()) == 1


def test_what_was_declined_keeps_nothing_else_of_its_request_waiting(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    """Rule 7: while nothing can be looked up, the rest of the request is sent again."""
    firm, lane = new_firm_with_lane(session)
    leads = [new_lead(firm, "Declined"), new_lead(firm, "Wanted"), new_lead(firm, "Wanted too")]
    session.add_all(leads)
    session.commit()
    ledger.fail = lambda _sent: SILENT
    drain(sessions, ledger, lane, config)
    ledger.fail = lambda sent: Answer(429) if sent.method == "GET" else None
    decided = """
        INSERT INTO outbox_links (organization_id, lane_id, aggregate_type, aggregate_id, decision)
        VALUES (:firm, :lane, 'lead', :lead, '{"skip": "declines"}')
    """
    session.execute(text(decided), {"firm": firm, "lane": lane, "lead": leads[0].id})
    session.commit()
    make_due(session)
    drain(sessions, ledger, lane, config)
    assert states(session) == ["pending", "synced", "synced"]
    assert sorted(ledger.creates()) == ["lead 2", "lead 3"]
    assert len({call.request_id for call in ledger.calls if call.method == "POST"}) == 1


def test_skipping_one_lets_a_newer_version_of_the_record_go(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    firm, lane = new_firm_with_lane(session)
    lead = new_lead(firm, "Waiting")
    session.add(lead)
    session.commit()
    lanes.close(session, lane)
    lanes.reopen(session, lane)
    session.commit()
    lead.phone = "1"
    session.commit()
    drain(sessions, ledger, lane, config)
    first, second = entries_of(session)
    assert second.waits_for_id == lead.id
    assert actions.skip(session, [first.id], organization_id=firm).done
    session.commit()
    drain(sessions, ledger, lane, config)
    assert states(session) == ["skipped", "synced"]


# --- What a person decides ----------------------------------------------------------------------


def test_what_was_never_taken_is_the_persons_to_skip(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    ledger.fail = lambda _sent: Answer(429)
    firm, lane = new_firm_with_lane(session)
    session.add_all([new_lead(firm, "One"), new_lead(firm, "Two")])
    session.commit()
    drain(sessions, ledger, lane, config)
    first = entries_of(session)[0]
    assert actions.skip(session, [first.id], organization_id=firm).done == (first.id,)
    session.commit()
    ledger.fail = lambda _sent: None
    make_due(session)
    drain(sessions, ledger, lane, config)
    assert [arrival.payload["title"] for arrival in ledger.arrivals] == ["Two"]
    assert states(session) == ["skipped", "synced"]


def test_what_was_never_taken_is_not_sent_against_the_owners_word(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    ledger.fail = lambda _sent: Answer(problem=Problem.SIGNED_OUT)
    firm, lane = new_firm_with_lane(session)
    session.add_all([new_lead(firm, "One"), new_lead(firm, "Two")])
    session.commit()
    drain(sessions, ledger, lane, config)
    lanes.close(session, lane)
    lanes.reopen(session, lane)
    assert lanes.skip_waiting(session, lane) == 2
    session.commit()
    ledger.fail = lambda _sent: None
    make_due(session)
    drain(sessions, ledger, lane, config)
    assert not ledger.arrivals
    assert states(session) == ["skipped", "skipped"]


def test_an_older_version_is_not_sent_in_place_of_a_newer_that_failed(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    ledger.rejects = {"A", "B"}
    firm, lane = new_firm_with_lane(session)
    lead = new_lead(firm, "A")
    session.add(lead)
    session.commit()
    drain(sessions, ledger, lane, config)
    lanes.hold(session, lane, "signed_out")
    lead.name = "B"
    session.commit()
    session.execute(text("UPDATE outbox SET state = 'failed', settled_at = now()"))
    session.commit()
    first, second = entries_of(session)
    acted = actions.requeue(session, [first.id, second.id], organization_id=firm)
    assert (acted.done, acted.refused) == ((second.id,), {first.id: actions.NEWER})


def test_disconnecting_while_a_call_is_out_records_its_answer(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()

    def disconnect(_sent: Sent) -> None:
        with sessions.begin() as other:
            lanes.close(other, lane)

    ledger.after = disconnect
    drain(sessions, ledger, lane, config)
    assert states(session) == ["synced"]


@pytest.mark.parametrize("answer", [Answer(problem=Problem.SIGNED_OUT), SILENT, Answer(429)])
def test_disconnecting_while_a_call_is_out_fails_nothing(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config, answer: Answer
) -> None:
    """Whatever comes back then, the entry is on hold, and goes once when the owner says so."""
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()

    def disconnect(_sent: Sent) -> Answer:
        with sessions.begin() as other:
            lanes.close(other, lane)
        return answer

    ledger.after = disconnect
    drain(sessions, ledger, lane, config)
    ledger.after = lambda _sent: None
    make_due(session)
    drain(sessions, ledger, lane, config)
    assert [(e.state, e.attempts) for e in entries_of(session)] == [("pending", 0)]
    lanes.reopen(session, lane)
    session.commit()
    drain(sessions, ledger, lane, config)
    assert states(session) == ["pending"]
    assert lanes.send_waiting(session, lane) == 1
    session.commit()
    drain(sessions, ledger, lane, config)
    assert states(session) == ["synced"]
    assert ledger.creates() == ["lead 1"]
