"""Answers that are not about what we wrote, and what a payment may take of its invoice."""

from decimal import Decimal

import pytest
from sqlalchemy import text

from models.sales import Record, RecordType
from outbox import counterparts
from outbox.company import Observed
from quickbooks import matching
from tests.support.refunds import choose, take_back
from tests.support.situation import RIVERA, Situation
from tests.test_cases_counterpart import booked, edit_invoice, send_again, sent_invoice, skip, void
from tests.test_doubts_and_decisions import wait_and_drain


def answer_with(at: Situation, path: str, remote_id: str) -> None:
    """The next write is done, but answered with another object."""
    at.simulator.fault(match={"path": path, "times": 1}, do={"answer_of": remote_id})


def totals(at: Situation, entity: str) -> list[Decimal]:
    return sorted(Decimal(str(one["TotalAmt"])) for one in at.books(entity))


# --- The answer shows another object --------------------------------------------------------------


@pytest.mark.parametrize("whose", ["another invoice of ours", "the bookkeeper's"])
def test_case_e16_an_invoice_answered_with_another_is_looked_up(at: Situation, whose: str) -> None:
    first = sent_invoice(at)
    standing = booked(at)
    other = str(standing["Id"])
    if whose == "the bookkeeper's":
        theirs = {key: standing[key] for key in ("CustomerRef", "Line")}
        other = str(at.bookkeeper().post("invoice", theirs).object("Invoice")["Id"])
    answer_with(at, "/invoice", other)
    second = at.save_invoice(at.invoice(first).lead_id, "70")
    at.drain()
    edit_invoice(at, second, **{"lines-0-unit_price": "90"})
    wait_and_drain(at)
    expected = [90, 100, 100] if whose == "the bookkeeper's" else [90, 100]
    assert totals(at, "Invoice") == expected
    link = at.link("invoice", second)
    assert link
    assert link.remote_id not in (None, other)
    assert set(at.states()) <= {"lead synced", "invoice synced", "invoice superseded"}


def test_case_e16_a_payment_answered_with_another_is_not_sent_twice(at: Situation) -> None:
    invoice = sent_invoice(at)
    at.pay(invoice, "10")
    at.drain()
    answer_with(at, "/payment", str(booked(at, "Payment")["Id"]))
    at.pay(invoice, "40")
    at.drain()
    wait_and_drain(at)
    send_again(at)
    wait_and_drain(at)
    assert totals(at, "Payment") == [10, 40]
    assert booked(at)["Balance"] == 50
    assert at.states()[-1] == "payment synced"


def test_case_e16_a_customer_answered_with_another_is_looked_up(at: Situation) -> None:
    at.connect()
    at.save_lead("Green Lawn")
    at.drain()
    answer_with(at, "/customer", str(booked(at, "Customer")["Id"]))
    second = at.save_lead("Maple Court")
    at.drain()
    wait_and_drain(at)
    assert [one["DisplayName"] for one in at.books("Customer")] == ["Green Lawn", "Maple Court"]
    link = at.link("lead", second)
    assert link
    assert link.remote_id == at.books("Customer")[1]["Id"]


@pytest.mark.parametrize("kind", ["invoice", "payment"])
def test_case_e16_a_void_is_believed_once_the_amounts_are_gone(at: Situation, kind: str) -> None:
    invoice = sent_invoice(at)
    choose(at, taken_back="void")
    payment = at.pay(invoice, "40") if kind == "payment" else 0
    at.drain()
    # A gateway drops what makes it a void, so that the answer shows the object as it stands.
    standing = booked(at, kind.capitalize())
    unchanged = {kind.capitalize(): {key: standing[key] for key in ("Id", "SyncToken")}}
    unchanged[kind.capitalize()]["TotalAmt"] = 40 if kind == "payment" else 100
    at.simulator.fault(
        match={"path": f"/{kind}", "times": 1}, do={"status": 200, "body": unchanged}
    )
    if kind == "invoice":
        void(at, invoice)
    else:
        take_back(at, payment, "40")
    at.drain()
    link = at.link(kind, invoice if kind == "invoice" else payment)
    assert link
    assert not link.voided_at
    wait_and_drain(at)
    assert booked(at, kind.capitalize())["TotalAmt"] == 0
    assert at.states()[-1].endswith("synced")


# --- Not found, but there -------------------------------------------------------------------------

EMPTY = {"QueryResponse": {}, "time": "2026-11-28T10:00:00-08:00"}


@pytest.mark.parametrize("kind", ["customer", "invoice", "payment"])
def test_case_e08_what_a_stale_list_does_not_show_is_not_created_twice(
    at: Situation, kind: str
) -> None:
    at.connect()
    at.simulator.fault(match={"path": f"/{kind}", "times": 1}, do={"reset": "after"})
    at.simulator.fault(match={"path": "/query", "times": 1}, do={"status": 200, "body": EMPTY})
    invoice = at.save_invoice(at.save_lead())
    at.pay(invoice, "40")
    for _ in range(12):
        at.drain()
        at.pass_time()
    assert [len(at.books(one)) for one in ("Customer", "Invoice", "Payment")] == [1, 1, 1]
    assert at.states() == ["lead synced", "invoice synced", "payment synced"]


def test_a_request_that_goes_again_after_crashes_is_not_given_up(at: Situation) -> None:
    at.connect()
    at.simulator.fault(match={"path": "/customer", "times": 1}, do={"reset": "before"})
    at.save_lead()
    at.drain()
    with at.sessions.begin() as session:  # a process was killed while it looked for the lead
        session.execute(text("UPDATE outbox_dispatch_items SET repeats_unsettled = 2"))
    for _ in range(12):
        at.pass_time()
        at.drain()
    assert (at.states(), at.fault()) == (["lead synced"], None)
    assert len(at.books("Customer")) == 1


def test_a_request_that_is_looked_for_twice_is_sent_as_a_new_one(at: Situation) -> None:
    at.connect()
    at.simulator.fault(match={"path": "/customer", "times": 2}, do={"reset": "before"})
    at.save_lead()
    at.drain()
    for _ in range(12):
        at.pass_time()
        at.drain()
    sent = [call for call in at.simulator.journal() if call["path"].endswith("/customer")]
    assert len({call["requestid"] for call in sent[:2]}) == 1
    assert len({call["requestid"] for call in sent}) == 2
    assert at.states() == ["lead synced"]


# --- What a payment takes of its invoice ----------------------------------------------------------


def test_case_e08_a_payment_after_one_that_was_found_takes_what_is_open(at: Situation) -> None:
    invoice = sent_invoice(at)
    at.pay(invoice, "50")
    skip(at)
    at.pay(invoice, "20")
    at.simulator.fault(match={"path": "/payment", "times": 1}, do={"reset": "after"})
    at.drain()
    wait_and_drain(at)
    at.pay(invoice, "50")
    at.drain()
    assert [one["UnappliedAmt"] for one in at.books("Payment")] == [0, 0]
    assert booked(at)["Balance"] == 30
    at.pay(invoice, "45")
    at.drain()
    assert [one["UnappliedAmt"] for one in at.books("Payment")] == [0, 0, 15]
    assert booked(at)["Balance"] == 0


@pytest.mark.parametrize("known", ["0.00", "30.00"])
def test_case_e08_no_money_is_left_as_credit_by_an_old_balance(at: Situation, known: str) -> None:
    invoice = sent_invoice(at)
    with at.sessions.begin() as session:
        session.execute(text("UPDATE outbox_links SET remote_balance = :known"), {"known": known})
    at.pay(invoice, "40")
    at.drain()
    assert booked(at, "Payment")["UnappliedAmt"] == 0
    assert (booked(at)["Balance"], at.states()[-1]) == (60, "payment synced")


def test_case_e08_two_payments_at_once_take_no_more_than_is_open(at: Situation) -> None:
    invoice = sent_invoice(at)
    with at.sessions.begin() as session:
        session.execute(text("UPDATE outbox_links SET remote_balance = NULL"))
    at.pay(invoice, "60")
    at.pay(invoice, "60")
    at.drain()
    wait_and_drain(at)
    assert [one["UnappliedAmt"] for one in at.books("Payment")] == [0, 20]
    assert booked(at)["Balance"] == 0


def test_case_e08_a_payment_takes_what_a_bookkeeper_left_open(at: Situation) -> None:
    invoice = sent_invoice(at)
    standing = booked(at)
    line = [{"Amount": 30, "LinkedTxn": [{"TxnId": standing["Id"], "TxnType": "Invoice"}]}]
    theirs = {"CustomerRef": standing["CustomerRef"], "TotalAmt": 30, "Line": line}
    at.bookkeeper().post("payment", theirs)
    at.pay(invoice, "100")
    at.drain()
    assert [one["UnappliedAmt"] for one in at.books("Payment")] == [0, 30]
    assert (booked(at)["Balance"], at.states()[-1]) == (0, "payment synced")


def test_a_comparison_during_a_payment_does_not_count_it_twice(at: Situation) -> None:
    invoice = sent_invoice(at)
    at.pay(invoice, "60")
    at.simulator.fault(match={"path": "/payment", "times": 1}, do={"reset": "after"})
    at.drain()
    there = booked(at)
    record, remote = Record(RecordType.INVOICE, invoice), matching.remote_of(there)
    assert remote.balance == "40.00"
    lane = at.connection.lane_id
    with at.sessions.begin() as session:
        counterparts.observe(session, lane, [Observed(record, remote.id, remote, differs=False)])
    wait_and_drain(at)
    at.pay(invoice, "40")
    at.drain()
    assert [one["UnappliedAmt"] for one in at.books("Payment")] == [0, 0]
    assert booked(at)["Balance"] == 0


def test_an_invoice_with_the_mark_of_another_is_not_ours() -> None:
    document = {"CustomerRef": {"value": "1"}, "TxnDate": "2026-11-28"}
    found = {**document, "TotalAmt": 100}
    mark, other = "DH-ABCDEFGHIJKL", "DH-ABCDEFGHIJKM"
    assert matching.is_our_invoice(document, "100.00", found, mark)
    bears = {**found, "PrivateNote": f"DunaHub invoice 1001, {other}"}
    assert not matching.is_our_invoice(document, "100.00", bears, mark)
    assert matching.is_our_invoice(document, "100.00", bears, other)


@pytest.mark.parametrize("act", ["void", "delete", "pay"])
def test_case_e08_a_payment_of_an_invoice_that_takes_nothing_asks(at: Situation, act: str) -> None:
    invoice = sent_invoice(at)
    with at.sessions.begin() as session:
        session.execute(text("UPDATE outbox_links SET remote_balance = NULL"))
    standing = booked(at)
    if act == "pay":
        line = [{"Amount": 100, "LinkedTxn": [{"TxnId": standing["Id"], "TxnType": "Invoice"}]}]
        theirs = {"CustomerRef": standing["CustomerRef"], "TotalAmt": 100, "Line": line}
        at.bookkeeper().post("payment", theirs)
    else:
        at.simulator.act(RIVERA, act, entity="Invoice", object_id=standing["Id"])
    at.pay(invoice, "40")
    at.drain()
    wait_and_drain(at)
    asked = {"void": "invoice_voided", "delete": "its_invoice_gone", "pay": "its_invoice_paid"}
    assert at.fault() == asked[act]
    assert len(at.books("Payment")) == (1 if act == "pay" else 0)


# --- What is in doubt -----------------------------------------------------------------------------


def test_case_e08_a_payment_waits_for_one_of_its_invoice_in_doubt(at: Situation) -> None:
    invoice = sent_invoice(at)
    at.pay(invoice, "60")
    at.simulator.fault(match={"path": "/payment", "times": 1}, do={"reset": "after"})
    at.drain()
    at.pay(invoice, "60")
    at.drain()
    assert len(at.books("Payment")) == 1
    for _ in range(6):
        at.pass_time()
        at.drain()
    assert [one["UnappliedAmt"] for one in at.books("Payment")] == [0, 20]
    assert at.states()[-2:] == ["payment synced", "payment synced"]


def test_a_lead_waits_for_one_with_its_address_in_doubt(at: Situation) -> None:
    at.connect()
    at.simulator.fault(match={"path": "/customer", "times": 1}, do={"reset": "after"})
    at.save_lead("Green Lawn", email="kim@lawn.example")
    at.drain()
    at.save_lead("Maple Court", email="kim@lawn.example")
    at.save_lead("Oak HOA", email="oak@oak.example")
    at.drain()
    assert [one["DisplayName"] for one in at.books("Customer")] == ["Green Lawn", "Oak HOA"]
    wait_and_drain(at)
    wait_and_drain(at)
    assert len(at.books("Customer")) == 3
    assert set(at.states()) == {"lead synced"}
