"""Credit that pays its invoice later, whatever happened to its payment or to others before."""

from decimal import Decimal

import pytest
from sqlalchemy import text

from models.sales import Payment
from tests.support.refunds import choose, pass_and_drain, refund, take_back
from tests.support.situation import RIVERA, Situation
from tests.test_cases_counterpart import booked, decide
from tests.test_changed_while_in_doubt import forget, wait_and_drain
from tests.test_raised_after_paid import overpaid, priced, unapplied

ENTERED = "I've entered it in QuickBooks: done"


def takes_back_by_hand(at: Situation, payment: int, position: int, *, pays: int) -> None:
    """$10 of a payment of $60 go back, and the bookkeeper enters that in QuickBooks."""
    refund(at, payment, "10", "open")
    at.drain()
    invoice_id, there = at.books("Invoice")[0]["Id"], at.books("Payment")[position]
    line = {"Amount": pays, "LinkedTxn": [{"TxnId": invoice_id, "TxnType": "Invoice"}]}
    change = {"TotalAmt": 50, "Line": [line]}
    at.simulator.act(RIVERA, "edit", entity="Payment", object_id=there["Id"], **change)
    at.ana.open(f"/payments/{payment}").submit(press=ENTERED)
    wait_and_drain(at)


def test_credit_pays_what_a_person_took_off_another_payment(at: Situation) -> None:
    _invoice, second = overpaid(at)
    takes_back_by_hand(at, second - 1, 0, pays=50)
    assert (booked(at)["Balance"], unapplied(at)) == (0, [0, 10])


def test_credit_pays_what_is_added_though_a_part_of_another_went_back(at: Situation) -> None:
    invoice, second = overpaid(at)
    takes_back_by_hand(at, second - 1, 0, pays=50)
    priced(at, invoice, "130")
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (20, [0, 0])
    assert at.invoice(invoice).balance == 20
    assert "takes no more" not in at.ana.open(f"/payments/{second}").text


def test_what_is_left_of_a_payment_pays_what_is_added(at: Situation) -> None:
    invoice, second = overpaid(at)
    takes_back_by_hand(at, second, 1, pays=40)
    assert unapplied(at) == [0, 10]
    priced(at, invoice, "105")
    assert (booked(at)["Balance"], unapplied(at)) == (0, [0, 5])
    priced(at, invoice, "120")
    assert (booked(at)["Balance"], unapplied(at)) == (10, [0, 0])
    assert [one["TotalAmt"] for one in at.books("Payment")] == [60, 50]
    priced(at, invoice, "50")
    wait_and_drain(at)
    priced(at, invoice, "120")
    assert (booked(at)["Balance"], sum(unapplied(at))) == (10, 0)


@pytest.mark.parametrize("how", ["skipped", "left"])
def test_an_old_decision_not_to_send_hides_no_credit(at: Situation, how: str) -> None:
    """The refund failed at Stripe, or the dispute was won: all of it is paid again."""
    invoice, second = overpaid(at)
    if how == "left":
        at.disconnect()
    refund(at, second, "10", "open")
    if how == "left":
        at.connect()
        decide(at, "leave")
    at.drain()
    if how == "skipped":
        at.ana.open(f"/payments/{second}").submit(press="Skip")
    with at.sessions.begin() as session:
        session.get_one(Payment, second).refunded_amount = Decimal(0)
    wait_and_drain(at)
    priced(at, invoice, "120")
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (0, [0, 0])


def test_a_part_that_a_person_skipped_stays_as_it_is(at: Situation) -> None:
    invoice, second = overpaid(at)
    refund(at, second, "10", "open")
    at.drain()
    at.ana.open(f"/payments/{second}").submit(press="Skip")
    priced(at, invoice, "120")
    wait_and_drain(at)
    assert unapplied(at) == [0, 20]
    assert "QuickBooks: Skipped" in at.ana.open(f"/payments/{second}").text


def priced_in_doubt(at: Situation, invoice: int, price: str) -> None:
    """The answer is lost: what is saved next has its entry before this one's outcome is known."""
    at.simulator.fault(match={"path": "/invoice", "times": 1}, do={"reset": "after"})
    priced(at, invoice, price)


def test_what_was_taken_off_pays_what_was_added_before_that_was_read(at: Situation) -> None:
    invoice, _second = overpaid(at)
    priced_in_doubt(at, invoice, "50")
    priced(at, invoice, "100")
    pass_and_drain(at)
    assert (booked(at)["Balance"], sum(unapplied(at))) == (0, 20)


def test_what_was_taken_off_before_credit_was_put_on_pays_again(at: Situation) -> None:
    invoice, _second = overpaid(at)
    priced_in_doubt(at, invoice, "110")
    priced(at, invoice, "50")
    pass_and_drain(at)
    assert (booked(at)["Balance"], sum(unapplied(at))) == (0, 70)
    priced(at, invoice, "120")
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (0, [0, 0])


def test_an_invoice_is_changed_while_a_check_of_ours_cannot_be_read(at: Situation) -> None:
    """What was taken off a lowered invoice is found out later, and pays what was added since."""
    invoice, _second = overpaid(at)
    at.simulator.fault(match={"path": "/query", "nth": 2, "times": 99}, do={"status": 429})
    priced(at, invoice, "50")
    assert (booked(at)["TotalAmt"], at.entry().record_type) == (50, "payment")
    priced(at, invoice, "100")
    wait_and_drain(at)
    assert booked(at)["TotalAmt"] == 100
    assert "payment pending" in " ".join(at.states()), at.states()
    at.simulator.clear_faults()
    with at.sessions.begin() as session:
        session.execute(text("UPDATE outbox_lanes SET questions_rest_until = now()"))
    wait_and_drain(at)
    assert (booked(at)["Balance"], sum(unapplied(at))) == (0, 20)


def test_what_was_taken_off_while_lists_lag_pays_what_was_added_meanwhile(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "100")
    at.drain()
    priced(at, invoice, "100.00")
    at.simulator.company(RIVERA, list_delay=86_400)
    priced(at, invoice, "50")
    priced(at, invoice, "100")
    at.drain()
    assert booked(at)["TotalAmt"] == 100
    pass_and_drain(at, 2)
    at.simulator.company(RIVERA, list_delay=0)
    pass_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (0, [0])


def test_credit_is_put_on_by_what_is_open_there(at: Situation) -> None:
    """The void's answer is lost, and the bookkeeper records another payment meanwhile."""
    _invoice, second = overpaid(at)
    choose(at, taken_back="void")
    at.simulator.fault(match={"path": "/payment", "times": 1}, do={"reset": "after"})
    take_back(at, second - 1, "60")
    at.drain()
    there = at.books("Invoice")[0]
    line = {"Amount": 55, "LinkedTxn": [{"TxnId": there["Id"], "TxnType": "Invoice"}]}
    customer = {"value": there["CustomerRef"]["value"]}
    change = {"CustomerRef": customer, "TotalAmt": 55, "Line": [line]}
    at.simulator.act(RIVERA, "create", entity="Payment", **change)
    forget(at)
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)[:2]) == (0, [0, 15])


def test_a_payment_overtaken_before_its_invoice_was_lowered_is_credit(at: Situation) -> None:
    """What counts is the total that the invoice has there, not the one it had when it was paid."""
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "150")
    at.pay(invoice, "60")
    at.drain()
    at.simulator.fault(match={"path": "/payment", "times": 1}, do={"reset": "before"})
    at.pay(invoice, "80")
    at.drain()
    at.pay(invoice, "100")
    priced(at, invoice, "30")
    pass_and_drain(at)
    assert {state.split()[1] for state in at.states()} <= {"synced", "superseded"}, at.fault()
    assert (booked(at)["Balance"], sum(unapplied(at))) == (0, 210)


def to_be_paid(at: Situation) -> int:
    at.connect()
    choose(at, taken_back="void")
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    return invoice


def lose_a_payment(at: Situation) -> None:
    """It arrives, and the answer is lost."""
    at.simulator.fault(match={"path": "/payment", "times": 1}, do={"reset": "after"})


def test_a_payment_that_is_found_keeps_all_that_it_pays(at: Situation) -> None:
    """The one recorded before it was taken back, and never went there."""
    invoice = to_be_paid(at)
    first = at.pay(invoice, "10")
    at.pay(invoice, "100")
    take_back(at, first, "10")
    lose_a_payment(at)
    pass_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (0, [0])


def test_a_payment_that_is_found_as_credit_pays_what_was_freed_meanwhile(at: Situation) -> None:
    invoice = to_be_paid(at)
    first = at.pay(invoice, "10")
    at.drain()
    at.pay(invoice, "100")
    lose_a_payment(at)
    at.drain()
    assert (booked(at)["Balance"], unapplied(at)) == (0, [0, 10])
    take_back(at, first, "10")
    pass_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (0, [0, 0])
