"""Cases in which QuickBooks once had something else than the page said: each stands for a kind.

What QuickBooks has of a record, what is in doubt and what a person decided belong to the record and
not to one of its entries (rule 14).
"""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, text

from models.outbox import Entry
from models.sales import Invoice, Lead, Payment
from outbox import actions, lanes
from quickbooks import decisions
from tests.support.firm import entries_of
from tests.support.situation import SETTINGS, Situation


def edit_invoice(at: Situation, invoice: int, **fields: str) -> None:
    at.ana.open(f"/invoices/{invoice}/edit").submit(fields, press="Save invoice")
    assert "is saved." in at.ana.text, at.ana.text


def edit_lead(at: Situation, lead: int, **fields: str) -> None:
    at.ana.open(f"/leads/{lead}/edit").submit(fields, press="Save lead")
    assert "is saved." in at.ana.text, at.ana.text


def send_again(at: Situation, place: int = -1) -> actions.Acted:
    at.session.rollback()
    entry = entries_of(at.session)[place]
    acted = actions.requeue(at.session, [entry.id], organization_id=at.firm)
    at.session.commit()
    return acted


def skip(at: Situation, place: int = -1) -> None:
    at.session.rollback()
    entry = entries_of(at.session)[place]
    assert actions.skip(at.session, [entry.id], organization_id=at.firm).done
    at.session.commit()


def booked(at: Situation, entity: str = "Invoice") -> dict[str, Any]:
    [one] = at.books(entity)
    return one


def decide(at: Situation, decision: str) -> None:
    lane = at.connection.lane_id
    at.session.rollback()
    {"send": lanes.send_waiting, "leave": lanes.skip_waiting}[decision](at.session, lane)
    at.session.commit()
    at.drain()


def reconnect(at: Situation) -> None:
    at.connect()
    at.drain()


# --- What was sent is stored ----------------------------------------------------------------------


@pytest.mark.parametrize("resent", [-1, -2])
def test_case_e01_a_resend_compares_with_what_quickbooks_acknowledged(
    at: Situation, resent: int
) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    edit_invoice(at, invoice, **{"lines-0-unit_price": "120"})
    at.drain()
    edit_invoice(at, invoice, **{"lines-0-unit_price": "100"})
    skip(at)
    assert send_again(at, resent).done
    at.drain()
    assert booked(at)["TotalAmt"] == 100


def test_case_e01_a_name_that_goes_back_is_written_back(at: Situation) -> None:
    at.connect()
    lead = at.save_lead("Green Lawn", phone="555-1")
    at.drain()
    edit_lead(at, lead, phone="555-2")
    at.drain()
    edit_lead(at, lead, phone="")
    skip(at)
    send_again(at)
    at.drain()
    assert "PrimaryPhone" not in booked(at, "Customer")


def test_case_e02_what_was_cleared_after_a_refusal_is_cleared_there(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100", memo="Thank you")
    at.drain()
    at.simulator.fault(match={"path": "/invoice", "times": 1}, do={"fault": {"code": "6200"}})
    edit_invoice(at, invoice, **{"lines-0-unit_price": "110"})
    at.drain()
    edit_invoice(at, invoice, memo="")
    send_again(at)
    at.drain()
    assert booked(at)["TotalAmt"] == 110
    assert not (booked(at).get("CustomerMemo") or {}).get("value")


def test_case_e03_pruning_keeps_what_comparisons_need(at: Situation) -> None:
    at.connect()
    lead = at.save_lead("Green Lawn", phone="555-1")
    at.drain()
    customer = booked(at, "Customer")
    theirs = {"Id": customer["Id"], "SyncToken": customer["SyncToken"], "sparse": True}
    mobile = {"PrimaryPhone": {"FreeFormNumber": "555-9"}}
    at.bookkeeper().post("customer", {**theirs, **mobile, "DisplayName": customer["DisplayName"]})
    edit_lead(at, lead, email="kim@lawn.example")
    with at.sessions.begin() as session:
        session.execute(text("DELETE FROM outbox_dispatch_items"))
        session.execute(text("DELETE FROM outbox WHERE state = 'synced'"))
    at.drain()
    customer = booked(at, "Customer")
    assert customer["PrimaryPhone"]["FreeFormNumber"] == "555-9"
    assert customer["PrimaryEmailAddr"]["Address"] == "kim@lawn.example"


def test_case_e14_tax_is_not_added_to_a_line_of_tax(at: Situation) -> None:
    at.connect()
    lead = at.save_lead()
    invoice = at.save_invoice(lead, "100", tax_rate="8", **{"lines-0-taxable": "y"})
    at.drain()
    assert booked(at)["TotalAmt"] == 108
    with at.sessions.begin() as session:
        session.execute(
            text(
                "UPDATE quickbooks_connections"
                """ SET settings = settings || '{"tax": {"mode": "line"}}'"""
            )
        )
    edit_invoice(at, invoice, **{"lines-0-unit_price": "110"})
    at.drain()
    assert booked(at)["TotalAmt"] == Decimal("118.8")


# --- Doubts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["invoice", "lead"])
def test_case_e11_what_may_have_arrived_is_looked_for_by_the_mark_it_had(
    at: Situation, kind: str
) -> None:
    """The create is never answered until a person is asked; then the number or name is edited."""
    at.connect()
    lead = at.save_lead("Green Lawn")
    if kind == "invoice":
        at.drain()
        record = at.save_invoice(lead, "100")
    path = "/invoice" if kind == "invoice" else "/customer"
    at.simulator.fault(match={"path": path, "times": 1}, do={"reset": "after"})
    at.drain()
    with at.sessions.begin() as session:  # nobody could tell for so long that a person was asked
        dispatch = session.scalar(text("SELECT max(id) FROM outbox_dispatches"))
        session.execute(
            text(
                "INSERT INTO outbox_links (organization_id, lane_id, aggregate_type, aggregate_id,"
                " doubts) SELECT entry.organization_id, entry.lane_id, entry.aggregate_type,"
                " entry.aggregate_id, jsonb_build_array(jsonb_build_object('request',"
                " item.dispatch_id, 'intent', item.intent, 'document', item.document))"
                " FROM outbox_dispatch_items item JOIN outbox entry ON entry.id = item.entry_id"
                " WHERE item.dispatch_id = :dispatch"
            ),
            {"dispatch": dispatch},
        )
        session.execute(
            text("UPDATE outbox_dispatch_items SET outcome = 'unknown' WHERE outcome IS NULL")
        )
        session.execute(
            text(
                "UPDATE outbox SET state = 'failed', settled_at = now(), fault_code = 'unanswered'"
                " WHERE state = 'pending'"
            )
        )
    if kind == "invoice":
        edit_invoice(at, record, number="2001")
    else:
        edit_lead(at, lead, name="Green Lawn and Garden")
    at.drain()
    entity = "Invoice" if kind == "invoice" else "Customer"
    there = booked(at, entity)
    assert there["DocNumber" if kind == "invoice" else "DisplayName"] in (
        "2001",
        "Green Lawn and Garden",
    )
    assert at.entry().state == "synced"


def test_case_e13_skipped_while_in_doubt_is_looked_for_and_said_to_be_there(
    at: Situation,
) -> None:
    at.connect()
    at.save_lead("Green Lawn")
    at.simulator.fault(match={"path": "/customer", "times": 1}, do={"reset": "after"})
    at.drain()
    at.disconnect()
    at.connect()
    decide(at, "leave")
    at.pass_time()
    at.drain()
    assert [one["DisplayName"] for one in at.books("Customer")] == ["Green Lawn"]
    assert at.entry().state == "synced"


def test_case_e13_skipped_while_in_doubt_and_not_there_is_never_sent(at: Situation) -> None:
    at.connect()
    at.save_lead("Green Lawn")
    at.simulator.fault(match={"path": "/customer", "times": 1}, do={"reset": "before"})
    at.drain()
    at.disconnect()
    at.connect()
    decide(at, "leave")
    at.pass_time()
    at.drain()
    assert at.books("Customer") == []
    assert at.entry().state == "skipped"


# --- Decisions ------------------------------------------------------------------------------------


def two_namesakes(at: Situation) -> list[str]:
    bookkeeper = at.bookkeeper()
    for name in ("Green Lawn Co", "Green Lawn LLC"):
        body = {"DisplayName": name, "PrimaryEmailAddr": {"Address": "kim@lawn.example"}}
        bookkeeper.post("customer", body)
    return [one["Id"] for one in at.books("Customer")]


def test_case_e19_a_chosen_customer_survives_an_edit(at: Situation) -> None:
    _, second = two_namesakes(at)
    at.connect()
    lead = at.save_lead("Green Lawn", email="kim@lawn.example")
    at.drain()
    assert at.fault() == "several_customers"
    at.session.rollback()
    decisions.use(at.session, entries_of(at.session)[-1], second)
    at.session.commit()
    edit_lead(at, lead, name="Green Lawn Co")
    at.drain()
    link = at.link("lead", lead)
    assert link
    assert link.remote_id == second


# --- While disconnected ---------------------------------------------------------------------------


def sent_invoice(at: Situation, price: str = "100") -> int:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), price)
    at.drain()
    return invoice


def void(at: Situation, invoice: int) -> None:
    with at.sessions.begin() as session:
        session.get_one(Invoice, invoice).voided_at = session.scalar(text("SELECT now()"))


@pytest.mark.parametrize("decision", ["send", "leave"])
def test_case_e07_a_void_while_disconnected_is_asked_about(at: Situation, decision: str) -> None:
    invoice = sent_invoice(at)
    at.disconnect()
    void(at, invoice)
    reconnect(at)
    assert booked(at)["TotalAmt"] == 100
    assert at.entry().withheld
    assert "On hold" in at.ana.open(f"/invoices/{invoice}").panel()
    assert "State: in use in QuickBooks, void here" in at.ana.open(SETTINGS).text
    decide(at, decision)
    assert booked(at)["TotalAmt"] == (0 if decision == "send" else 100)
    if decision == "leave":
        assert "Skipped" in at.ana.open(f"/invoices/{invoice}").panel()


@pytest.mark.parametrize("decision", ["send", "leave"])
def test_case_e07_an_edit_while_disconnected_is_asked_about(at: Situation, decision: str) -> None:
    invoice = sent_invoice(at)
    at.disconnect()
    edit_invoice(at, invoice, **{"lines-0-unit_price": "150"})
    reconnect(at)
    assert booked(at)["TotalAmt"] == 100
    assert "Total: $100.00 in QuickBooks, $150.00 here" in at.ana.open(SETTINGS).text
    decide(at, decision)
    assert booked(at)["TotalAmt"] == (150 if decision == "send" else 100)
    edit_invoice(at, invoice, memo="Thank you")  # does not send the amount that was declined
    at.drain()
    assert booked(at)["TotalAmt"] == (150 if decision == "send" else 100)
    assert booked(at)["CustomerMemo"]["value"] == "Thank you"


def test_case_e07_later_edits_wait_for_the_answer_too(at: Situation) -> None:
    invoice = sent_invoice(at)
    at.disconnect()
    edit_invoice(at, invoice, **{"lines-0-unit_price": "150"})
    reconnect(at)
    edit_invoice(at, invoice, memo="Thank you")
    at.drain()
    assert "CustomerMemo" not in booked(at)
    decide(at, "send")
    assert (booked(at)["TotalAmt"], booked(at)["CustomerMemo"]["value"]) == (150, "Thank you")


def test_case_e07_nothing_changed_asks_nothing(at: Situation) -> None:
    invoice = sent_invoice(at)
    at.pay(invoice, "40")
    at.drain()
    at.disconnect()
    reconnect(at)
    assert not any(entry.withheld for entry in entries_of(at.session))
    assert at.books("Payment")[0]["TotalAmt"] == 40


def test_case_e07b_a_void_of_what_was_never_sent_sends_nothing(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.disconnect()
    void(at, invoice)
    reconnect(at)
    decide(at, "send")
    assert at.books("Invoice") == []


def test_case_e07b_what_waited_goes_as_it_is_now(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.disconnect()
    edit_invoice(at, invoice, **{"lines-0-unit_price": "150"})
    reconnect(at)
    decide(at, "send")
    assert booked(at)["TotalAmt"] == 150


def test_case_e07b_a_refused_record_that_was_mended_meanwhile_goes(at: Situation) -> None:
    at.connect()
    lead = at.save_lead("Green Lawn", email="kim@lawn")
    at.drain()
    assert at.entry().state == "failed"
    at.disconnect()
    edit_lead(at, lead, email="kim@lawn.example")
    reconnect(at)
    decide(at, "send")
    assert booked(at, "Customer")["PrimaryEmailAddr"]["Address"] == "kim@lawn.example"


def test_case_e07b_a_payment_refunded_meanwhile_does_not_arrive_whole(at: Situation) -> None:
    invoice = sent_invoice(at)
    payment = at.pay(invoice, "100")
    at.disconnect()
    with at.sessions.begin() as session:
        session.get_one(Payment, payment).refunded_amount = Decimal("100")
    reconnect(at)
    decide(at, "send")
    assert at.books("Payment") == []


def test_case_e07b_a_payment_saved_while_it_was_disconnected_is_listed(at: Situation) -> None:
    invoice = sent_invoice(at)
    at.disconnect()
    payment = at.pay(invoice, "40")
    # Its transaction began before, and then waited for the lane that was being closed.
    with at.sessions.begin() as session:
        closed_at = session.scalar(text("SELECT max(closed_at) FROM outbox_lanes"))
        session.get_one(Payment, payment).created_at = closed_at - timedelta(seconds=1)
    reconnect(at)
    decide(at, "send")
    assert booked(at, "Payment")["TotalAmt"] == 40


def test_case_e07b_a_payment_skipped_just_before_is_not_listed(at: Situation) -> None:
    invoice = sent_invoice(at)
    at.pay(invoice, "40")
    skip(at)
    at.disconnect()
    reconnect(at)
    decide(at, "send")
    assert at.books("Payment") == []


def test_case_e18_send_again_of_what_is_withheld_says_so(at: Situation) -> None:
    invoice = sent_invoice(at)
    at.disconnect()
    edit_invoice(at, invoice, **{"lines-0-unit_price": "150"})
    reconnect(at)
    acted = send_again(at)
    assert not acted.done
    assert list(acted.refused.values()) == [actions.WITHHELD]


def test_undoing_the_skip_of_what_was_withheld_sends_it(at: Situation) -> None:
    invoice = sent_invoice(at)
    at.disconnect()
    edit_invoice(at, invoice, **{"lines-0-unit_price": "150"})
    reconnect(at)
    skip(at)
    [undone] = actions.undo_skip(
        at.session, [entries_of(at.session)[-1].id], organization_id=at.firm
    ).done
    at.session.commit()
    at.drain()
    assert entries_of(at.session)[-1].id == undone
    assert entries_of(at.session)[-1].state == "synced"
    assert booked(at)["TotalAmt"] == 150


def test_case_e32_a_payment_recorded_while_disconnected_is_asked_about(at: Situation) -> None:
    invoice = sent_invoice(at)
    at.disconnect()
    payment = at.pay(invoice, "40")
    reconnect(at)
    assert at.books("Payment") == []
    assert at.entry().record.id == payment
    decide(at, "send")
    assert (booked(at, "Payment")["TotalAmt"], booked(at)["Balance"]) == (40, 60)


def test_a_record_with_two_versions_that_wait_is_counted_once(at: Situation) -> None:
    at.connect()
    lead = at.save_lead()
    at.drain()
    at.simulator.fault(match={"path": "/invoice", "times": 1}, do={"reset": "after"})
    invoice = at.save_invoice(lead, "100")
    at.drain()
    at.disconnect()
    edit_invoice(at, invoice, **{"lines-0-unit_price": "150"})
    reconnect(at)
    assert at.states()[-2:] == ["invoice pending", "invoice pending"]
    assert "1 record waited or changed here" in at.ana.open(SETTINGS).text


def test_case_e32_of_a_new_invoice_nothing_is_asked(at: Situation) -> None:
    at.connect()
    lead = at.save_lead()
    at.drain()
    at.disconnect()
    invoice = at.save_invoice(lead, "70")
    at.pay(invoice, "70")
    reconnect(at)
    assert not any(entry.withheld for entry in entries_of(at.session))


# --- What a payment applies -----------------------------------------------------------------------


def test_case_e08_a_payment_applies_what_the_invoice_takes_when_it_is_sent(at: Situation) -> None:
    invoice = sent_invoice(at)
    first = at.pay(invoice, "100")
    at.session.rollback()
    at.ana.open(f"/invoices/{invoice}/payments/new")
    with at.sessions.begin() as session:
        paid = session.get_one(Payment, first)
        second = Payment(
            organization_id=paid.organization_id,
            invoice_id=invoice,
            amount=Decimal("100"),
            method=paid.method,
            received_on=paid.received_on,
        )
        session.add(second)
    with at.sessions.begin() as session:
        session.get_one(Payment, first).refunded_amount = Decimal("100")
    at.drain()
    assert booked(at)["Balance"] == 0
    assert booked(at, "Payment")["UnappliedAmt"] == 0


def test_a_lead_without_changes_keeps_its_entry(at: Situation) -> None:
    at.connect()
    lead = at.save_lead("Green Lawn")
    at.disconnect()
    reconnect(at)
    at.session.rollback()
    waiting = at.session.scalars(select(Entry).where(Entry.withheld)).all()
    assert [entry.record.id for entry in waiting] == [lead]
    assert at.session.get_one(Lead, lead).name == "Green Lawn"
    page = at.ana.open(SETTINGS).text
    assert "Green Lawn · not in QuickBooks yet" in page
