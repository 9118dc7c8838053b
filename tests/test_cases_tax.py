"""Sales tax to the cent, whichever side computes it; and payments when the totals differ."""

from contextlib import closing
from decimal import Decimal

import pytest

from quickbooks import facts
from tests.support.connected import RIVERA
from tests.support.firm import entries_of
from tests.support.situation import SETTINGS, Situation
from tests.test_cases_counterpart import booked, edit_invoice, send_again


def connect(at: Situation, *, keeps: bool = True) -> None:
    at.simulator.company(
        RIVERA, UsingSalesTax=True, PartnerTaxEnabled=True, tax_override_kept=keeps
    )
    at.connect()


def choose(at: Situation, tax: str) -> None:
    page = at.ana.open(f"{SETTINGS}/arrivals")
    page.submit({"tax": tax}, press="Save")


def bill(at: Situation, rate: str = "9.375") -> int:
    """$100 taxable, with what the firm's own rate adds: $9.38."""
    lead = at.save_lead("Quartz Lawn")
    invoice = at.save_invoice(lead, "100", tax_rate=rate, **{"lines-0-taxable": "yes"})
    at.drain()
    return invoice


def test_case_r15_automated_tax_is_as_billed_unless_the_owner_chose_otherwise(
    at: Situation,
) -> None:
    connect(at)
    invoice = bill(at)
    assert booked(at)["TotalAmt"] == Decimal("109.38")
    at.pay(invoice, "109.38")
    at.drain()
    assert booked(at)["Balance"] == 0
    assert booked(at, "Payment").get("UnappliedAmt", 0) == 0


def test_case_r15_an_edit_keeps_the_tax_as_billed(at: Situation) -> None:
    connect(at)
    invoice = bill(at)
    edit_invoice(at, invoice, **{"lines-0-unit_price": "200"})
    at.drain()
    assert booked(at)["TotalAmt"] == Decimal("218.75")
    edit_invoice(at, invoice, tax_rate="0")
    at.drain()
    assert booked(at)["TotalAmt"] == Decimal("200")


def test_case_r15_the_owner_may_leave_it_to_quickbooks(at: Situation) -> None:
    connect(at)
    choose(at, "quickbooks")
    assert facts.for_documents(at.connection)["tax"]["mode"] == "automated"
    bill(at)
    assert booked(at)["TotalAmt"] != Decimal("109.38")


@pytest.mark.parametrize("choice", ["as_company", "quickbooks"])
def test_case_r15_what_a_payment_leaves_as_credit_is_said(at: Situation, choice: str) -> None:
    connect(at, keeps=False)
    choose(at, choice)
    invoice = bill(at)
    payment = at.pay(invoice, "109.38")
    at.drain()
    left = booked(at, "Payment")["UnappliedAmt"]
    assert left == Decimal("109.38") - booked(at)["TotalAmt"] > 0
    page = at.ana.open(f"/payments/{payment}").text
    assert "the invoice takes no more in QuickBooks" in page


def test_a_company_without_automated_tax_is_not_asked_who_computes_it(at: Situation) -> None:
    at.simulator.company(RIVERA, UsingSalesTax=True)
    at.connect()
    page = at.ana.open(f"{SETTINGS}/arrivals")
    assert "As QuickBooks calculates it" not in page.text
    assert "As on your invoice" in page.text


@pytest.mark.parametrize("theirs", ["0", "7"])
def test_sending_again_restores_the_tax_that_a_bookkeeper_changed(
    at: Situation, theirs: str
) -> None:
    at.simulator.company(RIVERA, UsingSalesTax=True)
    at.connect()
    bill(at, rate="8")
    assert booked(at)["TotalAmt"] == Decimal("108")
    found = booked(at)
    with closing(at.simulator.client(RIVERA)) as client:
        client.post(
            "invoice",
            {
                "Id": found["Id"], "SyncToken": found["SyncToken"], "sparse": True,
                "TxnTaxDetail": {"TotalTax": float(theirs)},
            },
        )  # fmt: skip
    assert booked(at)["TotalAmt"] == Decimal(100) + Decimal(theirs)
    send_again(at)
    at.drain()
    assert booked(at)["TotalAmt"] == Decimal("108")
    assert entries_of(at.session)[-1].state == "synced"


def test_sending_again_takes_off_a_tax_that_we_never_charged(at: Situation) -> None:
    at.simulator.company(RIVERA, UsingSalesTax=True)
    at.connect()
    bill(at, rate="0")
    found = booked(at)
    with closing(at.simulator.client(RIVERA)) as client:
        client.post(
            "invoice",
            {
                "Id": found["Id"], "SyncToken": found["SyncToken"], "sparse": True,
                "TxnTaxDetail": {"TotalTax": 5},
            },
        )  # fmt: skip
    assert booked(at)["TotalAmt"] == Decimal(105)
    send_again(at)
    at.drain()
    assert booked(at)["TotalAmt"] == Decimal(100)


def test_a_read_of_a_voided_invoice_does_not_forget_that_it_is_void(at: Situation) -> None:
    at.connect()
    invoice = bill(at, rate="0")
    found = booked(at)
    at.simulator.act(RIVERA, "void", entity="Invoice", object_id=found["Id"])
    send_again(at)
    at.drain()
    assert entries_of(at.session)[-1].fault_code == "voided_there"
    payment = at.pay(invoice, "100")
    at.drain()
    assert at.books("Payment") == []
    assert "Code invoice_voided" in at.ana.open(f"/payments/{payment}").text
