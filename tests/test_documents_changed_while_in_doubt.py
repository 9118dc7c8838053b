"""An invoice, payment or refund that a bookkeeper changes while it is unknown whether our create
arrived: never a second one, and a person is asked when it is not clear which one is ours."""

from typing import Any

import pytest
from sqlalchemy import text

from models.sales import Invoice, Payment
from quickbooks.matching import looks_void
from tests.support.situation import Situation
from tests.test_changed_while_in_doubt import forget, wait_and_drain


def billed(at: Situation) -> int:
    at.connect()
    lead = at.save_lead()
    at.drain()
    return lead


def lose(at: Situation, entity: str, does: str = "after") -> None:
    path = f"/{entity.lower()}"
    at.simulator.fault(match={"path": path, "times": 1}, do={"reset": does})


def change_there(at: Situation, entity: str, **values: object) -> None:
    made = at.books(entity)[-1]
    body = {"Id": made["Id"], "SyncToken": made["SyncToken"], "sparse": True, **values}
    if entity == "Payment":
        body = {"CustomerRef": made["CustomerRef"], "TotalAmt": made["TotalAmt"], **body}
        body |= {
            "Line": [{key: one[key] for key in ("Amount", "LinkedTxn")} for one in made["Line"]]
        }
    answer = at.bookkeeper().post(entity.lower(), body)
    assert answer.status == 200, answer.text


def only(at: Situation, entity: str) -> dict[str, Any]:
    [one] = at.books(entity)
    return one


NUMBERED = {"DocNumber": "A-1", "TxnDate": "2026-11-20"}
NOTED = {"PrivateNote": "see the file"}
UNMARKED = {"PaymentRefNum": "2345", "PrivateNote": "check"}


def lost_payment(at: Situation, does: str = "after") -> tuple[int, int]:
    invoice = at.save_invoice(billed(at), "100")
    at.drain()
    lose(at, "Payment", does)
    payment = at.pay(invoice, "40", "check")
    at.drain()
    return invoice, payment


def lost_invoice(at: Situation, does: str = "after") -> int:
    lead = billed(at)
    lose(at, "Invoice", does)
    invoice = at.save_invoice(lead, "100")
    at.drain()
    return invoice


@pytest.mark.parametrize("values", [{"PaymentRefNum": "2345", "TxnDate": "2026-11-20"}, NOTED])
def test_a_payment_is_found_by_either_mark(at: Situation, values: dict[str, object]) -> None:
    _invoice, payment = lost_payment(at)
    change_there(at, "Payment", **values)
    forget(at)
    wait_and_drain(at)
    there = only(at, "Payment")
    assert at.entry().state == "synced", at.entry().fault_code
    link = at.link("payment", payment)
    assert link
    assert link.remote_id == there["Id"]
    assert {key: there[key] for key in values} == values  # theirs stays
    assert only(at, "Invoice")["Balance"] == 60


def test_an_invoice_is_found_whatever_was_changed(at: Situation) -> None:
    invoice = lost_invoice(at)
    change_there(at, "Invoice", **NUMBERED)
    forget(at)
    wait_and_drain(at)
    there = only(at, "Invoice")
    link = at.link("invoice", invoice)
    assert at.entry().state == "synced", at.entry().fault_code
    assert link
    assert link.remote_id == there["Id"]
    assert there["DocNumber"] == "A-1"


def test_a_payment_without_any_mark_is_asked_about_and_linked(at: Situation) -> None:
    _invoice, payment = lost_payment(at)
    change_there(at, "Payment", **UNMARKED)
    forget(at)
    wait_and_drain(at)
    assert at.fault() == "document_perhaps_ours"
    page = at.ana.open(f"/payments/{payment}")
    assert "that may be ours, changed there" in page.text
    page.submit(press="I've entered it in QuickBooks: done")
    wait_and_drain(at)
    there = only(at, "Payment")
    assert at.entry().state == "synced", at.entry().fault_code
    link = at.link("payment", payment)
    assert link
    assert link.remote_id == there["Id"]
    assert there["PaymentRefNum"] == "2345"


@pytest.mark.parametrize("is_void", [False, True])
@pytest.mark.parametrize("kind", ["payment", "invoice"])
def test_it_is_this_one_if_a_person_says_so(at: Situation, kind: str, is_void: bool) -> None:
    entity = kind.capitalize()
    if kind == "payment":
        _invoice, key = lost_payment(at)
        change_there(at, entity, **UNMARKED)
    else:
        key = lost_invoice(at)
        change_there(at, entity, **NUMBERED, **NOTED)
    forget(at)
    if is_void and kind == "invoice":
        with at.sessions.begin() as session:
            session.get_one(Invoice, key).voided_at = session.scalar(text("SELECT now()"))
    elif is_void:
        with at.sessions.begin() as session:
            payment = session.get_one(Payment, key)
            payment.refunded_amount = payment.amount
    wait_and_drain(at)
    assert at.fault() == "document_perhaps_ours"
    at.ana.open(f"/{kind}s/{key}").submit(press="It is this one")
    wait_and_drain(at)
    there = only(at, entity)
    link = at.link(kind, key)
    assert link
    assert link.remote_id == there["Id"]
    if kind == "payment" and is_void:
        assert at.fault() == "reversed"  # this firm wants to be asked how it is booked
        return
    assert (at.fault(), at.entry().state) == (None, "synced")
    assert (there["TotalAmt"] == 0) is is_void
    if kind == "invoice":
        assert there["DocNumber"] == "A-1"


@pytest.mark.parametrize("kind", ["payment", "invoice"])
def test_another_one_is_created_if_a_person_says_so(at: Situation, kind: str) -> None:
    entity = kind.capitalize()
    if kind == "payment":
        _invoice, key = lost_payment(at)
        change_there(at, entity, **UNMARKED)
    else:
        key = lost_invoice(at)
        change_there(at, entity, **NUMBERED, **NOTED)
    forget(at)
    wait_and_drain(at)
    assert at.fault() == "document_perhaps_ours"
    at.ana.open(f"/{kind}s/{key}").submit(press="Send it again as new")
    wait_and_drain(at)
    assert at.entry().state == "synced", at.entry().fault_code
    assert len(at.books(entity)) == 2


def test_a_skipped_one_stays_skipped(at: Situation) -> None:
    _invoice, payment = lost_payment(at)
    change_there(at, "Payment", **UNMARKED)
    forget(at)
    wait_and_drain(at)
    at.ana.open(f"/payments/{payment}").submit(press="Skip")
    wait_and_drain(at)
    assert at.entry().state == "skipped"
    assert len(at.books("Payment")) == 1


@pytest.mark.parametrize("kind", ["payment", "invoice"])
def test_one_that_never_arrived_asks_nobody(at: Situation, kind: str) -> None:
    """Older ones of the same amount, and those of other records, are not taken for it."""
    if kind == "payment":
        lost_payment(at, "before")
    else:
        lost_invoice(at, "before")
    forget(at)
    wait_and_drain(at)
    assert at.entry().state == "synced", at.entry().fault_code
    assert len(at.books(kind.capitalize())) == 1


def test_a_number_that_quickbooks_gave_stays_when_its_answer_was_lost(at: Situation) -> None:
    lead = billed(at)
    [customer], item = at.books("Customer"), at.books("Item")[0]
    detail = {"ItemRef": {"value": item["Id"]}}
    theirs = {
        "DocNumber": "1001",
        "CustomerRef": {"value": customer["Id"]},
        "Line": [{"Amount": 7, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": detail}],
    }
    assert at.bookkeeper().post("invoice", theirs).status == 200
    invoice = at.save_invoice(lead, "100")
    at.drain()
    assert at.fault() == "6140"
    lose(at, "Invoice")
    at.ana.open(f"/invoices/{invoice}").submit(press="Let QuickBooks number it")
    at.drain()
    forget(at)
    wait_and_drain(at)
    assert (at.entry().state, at.fault()) == ("synced", None)
    assert [one["DocNumber"] for one in at.books("Invoice")][1:] != ["1001"]
    assert len(at.books("Invoice")) == 2


def test_an_invoice_for_nothing_that_is_raised_was_not_voided(at: Situation) -> None:
    invoice = at.save_invoice(billed(at), "0")
    at.drain()
    change_there(at, "Invoice", DueDate="2027-02-02")
    at.ana.open(f"/invoices/{invoice}/edit").submit({"lines-0-unit_price": "50"})
    wait_and_drain(at)
    assert (at.entry().state, at.fault()) == ("synced", None)
    there = only(at, "Invoice")
    assert (there["TotalAmt"], there["DueDate"]) == (50, "2027-02-02")


@pytest.mark.parametrize(
    ("total", "note", "line", "void"),
    [
        (0, "Voided", {"Amount": 0}, True),
        (0, "Anulado", {"Amount": 0, "SalesItemLineDetail": {"Qty": 0}}, True),
        (0, "", {"Amount": 0, "SalesItemLineDetail": {"Qty": 1}}, False),
        (0, "", {"Amount": 100}, False),
        (5, "Voided", {"Amount": 5}, False),
    ],
)
def test_a_void_is_known_in_any_language(
    total: int, note: str, line: dict[str, Any], void: bool
) -> None:
    assert looks_void({"TotalAmt": total, "PrivateNote": note, "Line": [line]}) is void
