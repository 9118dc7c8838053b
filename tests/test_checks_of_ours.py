"""Checks of ours of what a payment takes: they hold nobody up, and believe no list of before."""

import threading

import pytest
from sqlalchemy import select

from models.outbox import Lane
from quickbooks import disconnecting
from tests.support.connected import drain
from tests.support.refunds import choose, pass_and_drain, take_back
from tests.support.serving import eventually
from tests.support.situation import RIVERA, SETTINGS, Situation
from tests.test_cases_counterpart import booked
from tests.test_changed_while_in_doubt import forget
from tests.test_raised_after_paid import overpaid, priced, save_price, unapplied

LAG = 86_400  # seconds that QuickBooks' lists are behind


def lists_lag(at: Situation, invoice: int) -> None:
    priced(at, invoice, "100.00")  # its version is known then
    at.simulator.company(RIVERA, list_delay=LAG, list_hides_new=False)


def two_payments(at: Situation) -> tuple[int, int]:
    """An invoice of $100, paid by $60 and $40."""
    at.connect()
    choose(at, taken_back="void")
    invoice = at.save_invoice(at.save_lead(), "100")
    first = at.pay(invoice, "60")
    at.drain()
    at.pay(invoice, "40")
    at.drain()
    return invoice, first


def test_a_payment_that_is_taken_back_waits_for_no_list(at: Situation) -> None:
    invoice, first = two_payments(at)
    lists_lag(at, invoice)
    priced(at, invoice, "60")
    at.drain()
    take_back(at, first, "60")
    for _ in range(4):
        at.drain()
    assert at.books("Payment")[0]["TotalAmt"] == 0
    assert "Voided in QuickBooks" in at.ana.open(f"/payments/{first}").text


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_nothing_is_read_of_what_quickbooks_took_nothing_off(at: Situation, how: str) -> None:
    """The bookkeeper made room for what the invoice was lowered by."""
    at.connect()
    lead = at.save_lead()
    invoice = at.save_invoice(lead, "100")
    for amount in ("60", "40"):
        at.pay(invoice, amount)
        at.drain()
    other = at.save_invoice(lead, "40")
    at.drain()
    there = at.books("Payment")[1]["Id"]
    if how == "deleted":
        at.simulator.act(RIVERA, "delete", entity="Payment", object_id=there)
    else:
        link = at.link("invoice", other)
        assert link
        line = {"Amount": 40, "LinkedTxn": [{"TxnId": link.remote_id, "TxnType": "Invoice"}]}
        changed = {"TotalAmt": 40, "Line": [line]}
        at.simulator.act(RIVERA, "edit", entity="Payment", object_id=there, **changed)
    priced(at, invoice, "60")
    at.drain()
    at.drain()
    assert {state.split()[1] for state in at.states()} == {"synced"}


def test_it_disconnects_once_all_that_people_saved_is_sent(at: Situation) -> None:
    invoice, _second = overpaid(at)
    lists_lag(at, invoice)
    priced(at, invoice, "50")
    at.drain()
    at.save_lead("Blue Roof Inc")
    page = at.ana.open(f"{SETTINGS}/connection/disconnect")
    page.submit(press="Send them first, then disconnect")
    for _ in range(3):
        at.drain()
    assert disconnecting.disconnect_due(at.sessions, at.config) == 1


@pytest.mark.parametrize("does", [{"status": 429}, {"reset": "before"}])
@pytest.mark.parametrize("is_old", [False, True])
def test_a_payment_composed_before_there_was_room_pays_its_invoice(
    at: Situation, does: dict[str, object], *, is_old: bool
) -> None:
    """It was all credit. A payment of the invoice is taken back before the owner decides."""
    at.connect()
    choose(at, taken_back="void")
    invoice = at.save_invoice(at.save_lead(), "100")
    first = at.pay(invoice, "100")
    at.drain()
    at.simulator.fault(match={"path": "/payment", "method": "POST", "times": 1}, do=does)
    at.pay(invoice, "30")
    at.drain()
    at.disconnect()
    at.connect()
    take_back(at, first, "100")
    for _ in range(3):
        at.pass_time()
        at.drain()
    if is_old:
        forget(at)
    at.ana.open(SETTINGS).submit(press="Send the changes")
    pass_and_drain(at)
    assert at.fault() is None
    assert booked(at)["Balance"] == at.invoice(invoice).balance == 70


def test_an_invoice_put_right_while_lists_lag_is_paid(at: Situation) -> None:
    """Lowered by mistake, and raised while the first answer is on its way."""
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "100")
    at.drain()
    lists_lag(at, invoice)
    save_price(at, invoice, "50")
    lane = at.session.scalars(select(Lane.id).where(Lane.state == "open")).one()
    at.session.rollback()
    at.simulator.fault(match={"path": "/invoice", "times": 1}, do={"delay_after": 1.6})
    sending = threading.Thread(target=drain, args=(at.sessions, at.config, lane))
    at.simulator.clear_journal()
    sending.start()
    eventually(at.simulator.journal)  # the first request is there
    save_price(at, invoice, "100")
    sending.join()
    at.drain()
    at.simulator.company(RIVERA, list_delay=0)
    pass_and_drain(at)
    assert (booked(at)["Balance"], sum(unapplied(at))) == (0, 0)


@pytest.mark.parametrize("lag", [0, LAG])
def test_a_payment_found_as_it_should_be_needs_nobody(at: Situation, lag: int) -> None:
    """The list of invoices is of before it was applied."""
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "40")
    at.drain()
    at.simulator.company(RIVERA, list_delay=lag, list_hides_new=False)
    lost = {"reset": "after"}
    at.simulator.fault(match={"path": "/payment", "method": "POST", "times": 1}, do=lost)
    payment = at.pay(invoice, "100")
    at.drain()
    pass_and_drain(at)
    assert at.fault() is None
    assert (booked(at)["Balance"], unapplied(at)) == (0, [0, 40])
    assert "In QuickBooks" in at.ana.open(f"/payments/{payment}").text
