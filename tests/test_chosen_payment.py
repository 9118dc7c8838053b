"""*It is this one*: a document whose answer was lost, and that the bookkeeper changed since."""

from functools import partial

import pytest

from tests.support.situation import RIVERA, Situation
from tests.test_cases_counterpart import booked
from tests.test_changed_while_in_doubt import forget, wait_and_drain


def typed_over(at: Situation) -> int:
    """A payment of $60, without its marks in QuickBooks, so that a person is asked about it."""
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    at.simulator.fault(match={"path": "/payment", "times": 1}, do={"reset": "after"})
    payment = at.pay(invoice, "60")
    at.drain()
    changed_there(at, PaymentRefNum="check", PrivateNote="typed over")
    forget(at)
    wait_and_drain(at)
    return payment


def changed_there(at: Situation, **changes: object) -> None:
    there = at.books("Payment")[0]["Id"]
    at.simulator.act(RIVERA, "edit", entity="Payment", object_id=there, **changes)


def test_a_chosen_payment_of_the_same_amount_goes_by_itself(at: Situation) -> None:
    payment = typed_over(at)
    at.ana.open(f"/payments/{payment}").submit(press="It is this one")
    wait_and_drain(at)
    assert at.entry().state == "synced"


@pytest.mark.parametrize(
    ("press", "amount", "is_open"),
    [("Send it as it is here", 60, 40), ("Leave it as it is there", 70, 40)],
)
def test_another_amount_of_a_chosen_payment_is_asked_about(
    at: Situation, press: str, amount: int, is_open: int
) -> None:
    payment = typed_over(at)
    changed_there(at, TotalAmt=70)
    at.ana.open(f"/payments/{payment}").submit(press="It is this one")
    wait_and_drain(at)
    assert (at.entry().state, at.fault()) == ("failed", "edited_there")
    assert at.books("Payment")[0]["TotalAmt"] == 70
    page = at.ana.open(f"/payments/{payment}")
    assert "“60.00” here" in page.text, page.text
    page.submit(press=press)
    wait_and_drain(at)
    assert (at.books("Payment")[0]["TotalAmt"], booked(at)["Balance"]) == (amount, is_open)
    assert len(at.books("Payment")) == 1


def chosen_invoice(at: Situation, **changes: object) -> int:
    """An invoice of $100 that a person is asked about, is changed there, and then chosen."""
    at.connect()
    lead = at.save_lead()
    at.drain()
    at.simulator.fault(match={"path": "/invoice", "times": 1}, do={"reset": "after"})
    invoice = at.save_invoice(lead, "100")
    at.drain()
    there = at.books("Invoice")[0]["Id"]
    edit = partial(at.simulator.act, RIVERA, "edit", entity="Invoice", object_id=there)
    edit(DocNumber="7001", PrivateNote="typed over")
    forget(at)
    wait_and_drain(at)
    assert at.fault() == "document_perhaps_ours"
    changes = dict(changes)
    if amount := changes.pop("amount", None):
        [line, *_] = at.books("Invoice")[0]["Line"]
        detail = {**line["SalesItemLineDetail"], "UnitPrice": amount, "Qty": 1}
        changes["Line"] = [{**line, "Amount": amount, "SalesItemLineDetail": detail}]
    edit(**changes)
    at.ana.open(f"/invoices/{invoice}").submit(press="It is this one")
    wait_and_drain(at)
    return invoice


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"amount": 120}, "edited_there"),
        ({"DueDate": "2027-03-01"}, None),  # changed only there: it stays
        ({"CustomerMemo": {"value": "Ring twice"}}, None),
    ],
)
def test_what_was_changed_of_a_chosen_invoice_stays(
    at: Situation, changes: dict[str, object], fault: str | None
) -> None:
    invoice = chosen_invoice(at, **changes)
    [before] = at.books("Invoice")
    assert at.fault() == fault
    if fault:
        page = at.ana.open(f"/invoices/{invoice}")
        assert "lines, in total $100.00 here, $120.00 there" in page.text, page.text
        page.submit(press="Leave it as it is there")
        wait_and_drain(at)
    [after] = at.books("Invoice")
    assert (after["Line"], after["TotalAmt"]) == (before["Line"], before["TotalAmt"])
    assert {key: after[key] for key in changes if key != "amount"} == {
        key: value for key, value in changes.items() if key != "amount"
    }
