"""A payment that QuickBooks refuses for one reason, and then for another."""

import pytest

from tests.support.refunds import pass_and_drain, there
from tests.support.situation import RIVERA, Situation
from tests.test_cases_counterpart import booked
from tests.test_entered_by_hand import pay_there


def moved_to_another(at: Situation, invoice: int) -> str:
    """The bookkeeper moves the invoice to another customer. Its Id."""
    other = at.bookkeeper().post("customer", {"DisplayName": "Other"}).object("Customer")
    billed = there(at, "invoice", invoice)
    moved = {"Id": billed["Id"], "SyncToken": billed["SyncToken"], "sparse": True}
    at.bookkeeper().post("invoice", {**moved, "CustomerRef": {"value": other["Id"]}})
    return str(other["Id"])


def test_an_inactive_customer_is_named_though_the_invoice_was_moved_to_it(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead())
    at.drain()
    other = moved_to_another(at, invoice)
    at.simulator.act(RIVERA, "deactivate", entity="Customer", object_id=other)
    payment = at.pay(invoice, "100")
    at.drain()
    assert at.fault() == "its_customer_there_inactive"
    page = at.ana.open(f"/payments/{payment}")
    assert "belongs to another customer than here: “Other" in page.text
    assert "Reactivate" not in page.text
    at.simulator.act(RIVERA, "reactivate", entity="Customer", object_id=other)
    page.submit(press="Send again")
    at.drain()
    assert at.fault() is None
    assert booked(at)["Balance"] == 0


@pytest.mark.parametrize("is_moved", [False, True])
def test_what_stays_refused_is_asked_about_once(at: Situation, *, is_moved: bool) -> None:
    """QuickBooks goes on saying that something is inactive, and nothing is."""
    at.connect()
    invoice = at.save_invoice(at.save_lead())
    at.drain()
    if is_moved:
        moved_to_another(at, invoice)
    refused = {"fault": {"code": "2500", "detail": "Something has been made inactive"}}
    at.simulator.fault(match={"path": "/payment"}, do=refused)
    at.pay(invoice, "100")
    at.calls()
    at.drain()
    assert at.fault() == "2500"
    assert len(at.calls()) <= 12


def test_a_payment_sent_again_takes_what_its_invoice_has_left(at: Situation) -> None:
    """The bookkeeper made it smaller, and recorded another one. QuickBooks refuses what the invoice
    could be paid when it was last read."""
    at.connect()
    invoice = at.save_invoice(at.save_lead())
    at.drain()
    payment = at.pay(invoice, "60")
    at.drain()
    mine = there(at, "payment", payment)
    [line] = mine["Line"]
    smaller = {"TotalAmt": 20, "Line": [{**line, "Amount": 20}]}
    at.simulator.act(RIVERA, "edit", entity="Payment", object_id=mine["Id"], **smaller)
    pay_there(at, booked(at), "80")
    assert booked(at)["Balance"] == 0
    at.ana.open(f"/payments/{payment}").submit(press="Send again")
    pass_and_drain(at)
    assert (at.states()[-1], at.fault()) == ("payment synced", None)
    mine = there(at, "payment", payment)
    assert (mine["TotalAmt"], mine["UnappliedAmt"], booked(at)["Balance"]) == (60, 40, 0)


def test_a_new_payment_takes_what_its_invoice_has_left_when_it_goes_out(at: Situation) -> None:
    """What the invoice could be paid was read before QuickBooks was busy for a while."""
    at.connect()
    invoice = at.save_invoice(at.save_lead())
    at.drain()
    at.simulator.fault(match={"path": "/payment", "times": 1}, do={"status": 429})
    at.pay(invoice, "150")
    at.drain()
    assert at.states()[-1] == "payment pending"
    pay_there(at, booked(at), "30")
    pass_and_drain(at)
    assert (at.states()[-1], at.fault()) == ("payment synced", None)
    assert booked(at)["Balance"] == 0
    assert sum(one["UnappliedAmt"] for one in at.books("Payment")) == 80
