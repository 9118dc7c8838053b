"""An invoice that was written off in QuickBooks has no total there, and is not void."""

import pytest

from quickbooks.matching import is_voided
from tests.support.situation import Situation
from tests.test_edited_there import booked, edit_invoice, lines_of, there


def written_off(at: Situation) -> int:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    [line] = lines_of(booked(at))
    detail = {"ItemRef": line["SalesItemLineDetail"]["ItemRef"], "Qty": 1, "UnitPrice": -100}
    off = {"DetailType": "SalesItemLineDetail", "Description": "Write-off", "Amount": -100}
    there(at, "Invoice", Line=[line, {**off, "SalesItemLineDetail": detail}])
    assert booked(at)["TotalAmt"] == 0
    return invoice


def test_a_message_is_written_to_an_invoice_that_was_written_off(at: Situation) -> None:
    invoice = written_off(at)
    edit_invoice(at, invoice, memo="Thanks")
    assert (at.entry().state, at.fault()) == ("synced", None)
    assert booked(at)["CustomerMemo"]["value"] == "Thanks"
    panel = at.ana.open(f"/invoices/{invoice}").panel()
    assert "void" not in panel.lower()
    assert "Send it again as new" not in panel


def test_other_lines_of_an_invoice_that_was_written_off_are_asked_about(at: Situation) -> None:
    invoice = written_off(at)
    edit_invoice(at, invoice, **{"lines-0-unit_price": "110"})
    assert (at.fault(), booked(at)["TotalAmt"]) == ("edited_there", 0)


def test_a_payment_of_an_invoice_that_was_written_off_finds_it_paid(at: Situation) -> None:
    invoice = written_off(at)
    at.pay(invoice, "100")
    at.drain()
    assert (at.fault(), at.books("Payment")) == ("its_invoice_paid", [])


@pytest.mark.parametrize(
    ("note", "amounts", "is_void"),
    [
        ("Voided", [100, -100], True),
        ("Anulado", [0], True),
        ("Anulado", [], True),
        ("Paid", [100, -100], False),
        ("Paid", [None, 100, 100], False),
    ],
)
def test_amounts_on_the_lines_say_that_it_is_not_void(
    note: str, amounts: list[int | None], *, is_void: bool
) -> None:
    found = {"TotalAmt": 0, "PrivateNote": note, "Line": [{"Amount": one} for one in amounts]}
    assert is_voided({"total": "100"}, found) == is_void
