"""*I've entered it in QuickBooks: done*: found there by its number and linked."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from models.accounts import AuditEvent
from tests.support.situation import RIVERA, Situation
from tests.test_matching_books import ask

DONE = "I've entered it in QuickBooks: done"


@pytest.fixture
def firm(at: Situation) -> Situation:
    at.connect()
    return at


def refuse(firm: Situation, kind: str) -> None:
    """QuickBooks refuses the next of this kind, for a reason of the person's."""
    firm.simulator.fault(match={"path": f"/{kind}", "times": 1}, do={"fault": {"code": "6200"}})


def stuck_invoice(firm: Situation, price: str = "100") -> tuple[int, int]:
    lead = firm.save_lead()
    firm.drain()
    refuse(firm, "invoice")
    invoice = firm.save_invoice(lead, price)
    firm.drain()
    assert firm.fault() == "6200"
    return lead, invoice


def by_hand(
    firm: Situation, lead: int | None, amount: str = "100", **fields: object
) -> dict[str, Any]:
    """The bookkeeper enters an invoice in QuickBooks."""
    if lead is None:
        other = firm.bookkeeper().post("customer", {"DisplayName": "Red Lawn Co"})
        customer = str(other.object("Customer")["Id"])
    else:
        link = firm.link("lead", lead)
        assert link
        customer = str(link.remote_id)
    line = {
        "Amount": Decimal(amount),
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"ItemRef": {"value": item(firm)}},
    }
    told = {"CustomerRef": {"value": customer}, "Line": [line], **fields}
    answer = firm.bookkeeper().post("invoice", told, include="allowduplicatedocnum")
    return answer.object("Invoice")


def item(firm: Situation) -> str:
    return next(str(one["Id"]) for one in firm.books("Item") if one["Type"] == "Service")


def say_done(firm: Situation, kind: str, key: int) -> str:
    page = firm.ana.open(f"/{kind}s/{key}").submit(press=DONE)
    assert "We're looking for it in QuickBooks now. Nothing is sent." in page.text
    firm.drain()
    return firm.ana.open(f"/{kind}s/{key}").panel()


# --- Invoices -------------------------------------------------------------------------------------


def test_an_invoice_entered_by_hand_is_found_by_its_number_and_linked(firm: Situation) -> None:
    lead, invoice = stuck_invoice(firm)
    there = by_hand(firm, lead, DocNumber=firm.invoice(invoice).number)
    firm.calls()
    panel = say_done(firm, "invoice", invoice)
    assert firm.calls() == ["GET query"]
    assert "In QuickBooks" in panel
    assert "Entered in QuickBooks by a person" in panel
    link = firm.link("invoice", invoice)
    assert link
    assert link.remote_id == there["Id"]
    firm.session.rollback()
    assert "outbox.decided_entered" in firm.session.scalars(select(AuditEvent.action)).all()


def test_payments_and_later_edits_know_what_was_entered_by_hand(firm: Situation) -> None:
    lead, invoice = stuck_invoice(firm)
    there = by_hand(firm, lead, DocNumber=firm.invoice(invoice).number)
    firm.pay(invoice, "40")
    say_done(firm, "invoice", invoice)
    firm.drain()
    [payment] = firm.books("Payment")
    assert payment["Line"][0]["LinkedTxn"][0]["TxnId"] == there["Id"]
    edit = firm.ana.open(f"/invoices/{invoice}/edit")
    edit.submit({"lines-0-unit_price": "120"}, press="Save invoice")
    firm.drain()
    [booked] = firm.books("Invoice")
    assert (booked["TotalAmt"], booked["Balance"]) == (120, 80)
    assert "All agree" in ask(firm).text


def test_a_change_after_a_person_said_so_is_sent(firm: Situation) -> None:
    """QuickBooks could not be asked yet when the invoice was changed here."""
    lead, invoice = stuck_invoice(firm)
    there = by_hand(firm, lead, DocNumber=firm.invoice(invoice).number)
    firm.ana.open(f"/invoices/{invoice}").submit(press=DONE)
    edit = firm.ana.open(f"/invoices/{invoice}/edit")
    edit.submit({"lines-0-unit_price": "120"}, press="Save invoice")
    firm.drain()
    [booked] = firm.books("Invoice")
    assert (booked["Id"], booked["TotalAmt"]) == (there["Id"], 120)
    assert firm.states()[-1] == "invoice synced"


def test_when_none_is_found_a_sentence_says_so_and_it_can_be_said_again(firm: Situation) -> None:
    lead, invoice = stuck_invoice(firm)
    number = firm.invoice(invoice).number
    panel = say_done(firm, "invoice", invoice)
    assert f"We looked for invoice {number} in QuickBooks and found none." in panel
    assert firm.books("Invoice") == []
    by_hand(firm, lead, DocNumber=number)
    assert "In QuickBooks" in say_done(firm, "invoice", invoice)


def test_when_none_is_found_it_can_still_be_sent(firm: Situation) -> None:
    _, invoice = stuck_invoice(firm)
    say_done(firm, "invoice", invoice)
    firm.ana.submit(press="Send again")
    firm.drain()
    assert [one["TotalAmt"] for one in firm.books("Invoice")] == [100]


def test_another_customers_invoice_with_that_number_is_not_taken(firm: Situation) -> None:
    _, invoice = stuck_invoice(firm)
    by_hand(firm, None, DocNumber=firm.invoice(invoice).number)
    panel = say_done(firm, "invoice", invoice)
    assert "in QuickBooks is for Red Lawn Co, $100.00, so it isn't this one" in panel
    link = firm.link("invoice", invoice)
    assert link is None or link.remote_id is None


@pytest.mark.parametrize(("totals", "found"), [(("70", "100"), True), (("100", "100"), False)])
def test_of_several_with_one_number_the_one_with_our_total_is_taken(
    firm: Situation, totals: tuple[str, str], found: bool
) -> None:
    lead, invoice = stuck_invoice(firm)
    number = firm.invoice(invoice).number
    for total in totals:
        by_hand(firm, lead, total, DocNumber=number)
    panel = say_done(firm, "invoice", invoice)
    assert ("In QuickBooks" in panel.split(".")[0]) is found
    assert ("QuickBooks has 2 that match, for $100.00" in panel) is not found


def test_a_void_invoice_with_that_number_was_not_entered(firm: Situation) -> None:
    lead, invoice = stuck_invoice(firm)
    there = by_hand(firm, lead, DocNumber=firm.invoice(invoice).number)
    told = {"Id": there["Id"], "SyncToken": there["SyncToken"]}
    assert firm.bookkeeper().post("invoice", told, operation="void").status == 200
    assert "and found none" in say_done(firm, "invoice", invoice)


def test_a_change_made_there_by_hand_is_done(firm: Situation) -> None:
    """What was refused is a change: the counterpart is read, and has it now."""
    invoice = firm.save_invoice(firm.save_lead())
    firm.drain()
    refuse(firm, "invoice")
    firm.ana.open(f"/invoices/{invoice}/edit").submit({"due_on": "2031-01-31"})
    firm.drain()
    [there] = firm.books("Invoice")
    told = {"Id": there["Id"], "SyncToken": there["SyncToken"], "sparse": True}
    firm.bookkeeper().post("invoice", {**told, "DueDate": "2031-01-31"}).object("Invoice")
    assert "In QuickBooks" in say_done(firm, "invoice", invoice)
    assert "All agree" in ask(firm).text


def test_one_that_was_deleted_there_and_entered_again_is_the_new_one(firm: Situation) -> None:
    lead = firm.save_lead()
    invoice = firm.save_invoice(lead)
    firm.drain()
    [there] = firm.books("Invoice")
    told = {"Id": there["Id"], "SyncToken": there["SyncToken"]}
    assert firm.bookkeeper().post("invoice", told, operation="delete").status == 200
    again = by_hand(firm, lead, DocNumber=firm.invoice(invoice).number)
    firm.ana.open(f"/invoices/{invoice}").submit(press="Send again")
    firm.drain()
    assert "In QuickBooks" in say_done(firm, "invoice", invoice)
    link = firm.link("invoice", invoice)
    assert link
    assert link.remote_id == again["Id"]


def test_where_quickbooks_numbers_it_is_found_by_customer_and_total(at: Situation) -> None:
    at.simulator.company(RIVERA, CustomTxnNumbers=False)
    at.connect()
    lead, invoice = stuck_invoice(at)
    there = by_hand(at, lead)
    assert "In QuickBooks" in say_done(at, "invoice", invoice)
    link = at.link("invoice", invoice)
    assert link
    assert link.remote_id == there["Id"]


# --- Payments -------------------------------------------------------------------------------------


def stuck_payment(firm: Situation) -> tuple[dict[str, Any], int]:
    invoice = firm.save_invoice(firm.save_lead())
    firm.drain()
    refuse(firm, "payment")
    payment = firm.pay(invoice, "40")
    firm.drain()
    assert firm.fault() == "6200"
    [there] = firm.books("Invoice")
    return there, payment


def pay_there(firm: Situation, invoice: dict[str, Any], amount: str = "40") -> dict[str, Any]:
    pays = [{"TxnId": invoice["Id"], "TxnType": "Invoice"}]
    line = {"Amount": Decimal(amount), "LinkedTxn": pays}
    told = {"CustomerRef": invoice["CustomerRef"], "TotalAmt": Decimal(amount), "Line": [line]}
    return firm.bookkeeper().post("payment", told).object("Payment")


def test_a_payment_entered_by_hand_is_found_on_its_invoice(firm: Situation) -> None:
    invoice, payment = stuck_payment(firm)
    there = pay_there(firm, invoice)
    assert "In QuickBooks" in say_done(firm, "payment", payment)
    link = firm.link("payment", payment)
    assert link
    assert link.remote_id == there["Id"]
    assert len(firm.books("Payment")) == 1
    assert "All agree" in ask(firm).text


def test_a_payment_that_was_not_entered_says_so(firm: Situation) -> None:
    invoice, payment = stuck_payment(firm)
    pay_there(firm, invoice, "39")
    panel = say_done(firm, "payment", payment)
    assert "We looked for a payment of $40.00 on invoice" in panel
    assert "and found none" in panel


def test_of_two_payments_alike_a_person_hears_that_there_are_two(firm: Situation) -> None:
    invoice, payment = stuck_payment(firm)
    pay_there(firm, invoice)
    pay_there(firm, invoice)
    panel = say_done(firm, "payment", payment)
    assert "QuickBooks has 2 that match, for $40.00" in panel


def test_another_payment_of_ours_is_not_taken_for_it(firm: Situation) -> None:
    invoice = firm.save_invoice(firm.save_lead())
    firm.drain()
    firm.pay(invoice, "40")
    firm.drain()
    refuse(firm, "payment")
    second = firm.pay(invoice, "40")
    firm.drain()
    assert "and found none" in say_done(firm, "payment", second)


# --- Who may --------------------------------------------------------------------------------------


def test_a_lead_is_linked_by_other_buttons(firm: Situation) -> None:
    firm.bookkeeper().post("vendor", {"DisplayName": "Green Lawn Co"})
    lead = firm.save_lead()
    firm.drain()
    assert DONE not in firm.ana.open(f"/leads/{lead}").panel()
    entry = firm.entry().id
    assert firm.ana.post(f"/quickbooks/fixes/{entry}/entered").answer.status_code == 404
