"""Refunds of an invoice that was paid too much, or is void."""

from decimal import Decimal

import pytest
from sqlalchemy import select, text

from models.sales import GoodwillRefund, Payment
from processors import refunding
from tests.support.refunds import (
    choose,
    choose_receipts,
    delete_receipt,
    paid,
    pass_and_drain,
    receipts_of,
    refund,
    refund_through_stripe,
    refunds,
)
from tests.support.situation import ANA, Situation
from tests.support.till import Till
from tests.support.visitor import Visitor
from tests.test_matching_books import ask, differences
from tests.test_raised_after_paid import priced


@pytest.fixture
def receipts(at: Situation) -> Situation:
    """A firm whose refunds become refund receipts, paid from its checking account."""
    at.connect()
    choose_receipts(at)
    return at


@pytest.mark.parametrize(("given", "goodwill"), [("30", None), ("50", 20), ("100", 70)])
def test_what_was_paid_too_much_comes_off_before_goodwill(
    receipts: Situation, given: str, goodwill: int | None
) -> None:
    at = receipts
    invoice, payment = paid(at)
    priced(at, invoice, "70")
    page = at.ana.open(f"/payments/{payment}/refund")
    assert "$30.00 more was paid than is due: if that much is refunded" in page.text
    amount = page.page.select_one("[name=amount]")
    assert amount
    assert amount["value"] == "30.00"
    page.submit({"amount": given}, press="Record refund")
    at.drain()
    assert (at.invoice(invoice).balance, at.invoice(invoice).credit) == (Decimal(0), Decimal(0))
    assert at.invoice(invoice).kept == 100 - Decimal(given)
    assert [one["TotalAmt"] for one in receipts_of(at)] == ([goodwill] if goodwill else [])
    panel = at.ana.open(f"/payments/{payment}").panel()  # a person enters these
    assert "$30.00 of this payment of $100.00 was refunded or returned here." in panel


def test_of_a_void_invoice_all_comes_off_the_payment(receipts: Situation) -> None:
    at = receipts
    choose(at, taken_back="void")
    invoice, payment = paid(at)
    old_page = Visitor(at.app).sign_in(ANA).open(f"/payments/{payment}/refund")
    at.ana.open(f"/invoices/{invoice}/void").submit(press="Void the invoice")
    at.drain()
    page = at.ana.open(f"/payments/{payment}/refund").text
    assert "The invoice is voided: nothing is due on it afterward either." in page
    assert "stays paid" not in page
    assert "open again" not in page
    old_page.submit({"amount": "100", "afterwards": "paid"}, press="Record refund")
    pass_and_drain(at)
    assert receipts_of(at) == []
    assert refunds(at) == []
    [booked] = at.books("Payment")
    assert booked["TotalAmt"] == 0
    assert "stays paid" not in at.ana.open(f"/payments/{payment}").text
    ask(at)
    assert differences(at) == []


def test_through_stripe_what_was_paid_too_much_comes_off_and_a_failure_restores_it(
    till: Till,
) -> None:
    till.pay(card="4000000000005126")  # a refund of it fails later
    till.owner.open(f"/invoices/{till.invoice_id}/edit")
    till.owner.submit({"lines-0-unit_price": "80"}, press="Save invoice")
    till.owner.submit({"confirms_below_paid": "y"}, press="Save invoice")
    refund_through_stripe(till, "50")
    [payment] = till.payments
    assert (payment.refunded_amount, payment.goodwill_amount) == (Decimal(20), Decimal(30))
    assert (till.invoice.balance, till.invoice.credit) == (Decimal(0), Decimal(0))
    told = till.owner.open(f"/payments/{payment.id}").text
    assert "$50.00 · refunded through Stripe · $20.00 of it was paid too much" in told
    assert told.count("$20.00") == 1
    till.pass_time(60)
    [payment] = till.payments
    assert (payment.refunded_amount, payment.goodwill_amount) == (Decimal(0), Decimal(0))
    [ours] = till.session.scalars(select(GoodwillRefund))
    assert (ours.amount, bool(ours.voided_at)) == (Decimal(30), True)
    told = till.owner.open(f"/payments/{payment.id}").text
    assert told.count("$50.00") == 1
    assert "paid too much" not in told


def test_an_invoice_voided_before_stripe_answers_is_not_paid_by_goodwill(till: Till) -> None:
    till.pay()
    with till.sessions.begin() as database:
        payment = database.get_one(Payment, till.payments[0].id)
        refunding.ask(database, payment, Decimal(40), user_id=1, keeps_paid=True)
    till.owner.open(f"/invoices/{till.invoice_id}/void").submit(press="Void the invoice")
    till.session.execute(text("UPDATE refunds SET available_at = now()"))
    till.session.commit()
    assert refunding.finish_due(till.sessions, till.processor) == 1
    [payment] = till.payments
    assert (payment.refunded_amount, payment.goodwill_amount) == (Decimal(40), Decimal(0))


@pytest.mark.parametrize("taken_back", ["void", "person"])
@pytest.mark.parametrize("given", ["100", "30"])
def test_what_was_goodwill_comes_off_once_the_invoice_is_void(
    receipts: Situation, given: str, taken_back: str
) -> None:
    """Otherwise a refund receipt is booked against income that is not there, beside a credit."""
    at = receipts
    choose(at, taken_back=taken_back)
    invoice, payment = paid(at)
    refund(at, payment, given)
    at.drain()
    page = at.ana.open(f"/invoices/{invoice}/void")
    assert "A refund receipt in QuickBooks must be voided there by hand" in page.text
    page.submit(press="Void the invoice")
    pass_and_drain(at, 3)
    [ours] = refunds(at)
    assert ours.came_off
    assert (ours.payment.refunded_amount, ours.payment.goodwill_amount) == (ours.amount, Decimal(0))
    assert at.invoice(invoice).kept == 100 - ours.amount
    page = at.ana.open(f"/payments/{payment}")
    assert page.text.count(f"${ours.amount} · recorded by hand · the invoice is voided") == 1
    assert "stays paid" not in page.text
    page = at.ana.open(f"/refunds/{ours.id}")
    assert "this comes off the payment instead" in page.text
    assert "Void or delete the receipt there." in page.panel()
    assert "still yours" not in page.text
    [receipt] = receipts_of(at)
    delete_receipt(at, receipt)
    page.submit(press="Send again")
    pass_and_drain(at, 3)
    [booked] = at.books("Payment")
    is_voided = (given, taken_back) == ("100", "void")
    assert booked["TotalAmt"] == (0 if is_voided else 100)  # a person enters what went back
    assert at.states().count("payment failed") == (not is_voided)


def test_a_refund_not_sent_yet_never_goes_once_the_invoice_is_void(receipts: Situation) -> None:
    at = receipts
    choose(at, taken_back="void")
    invoice, payment = paid(at)
    refund(at, payment, "100")
    at.ana.open(f"/invoices/{invoice}/void").submit(press="Void the invoice")
    pass_and_drain(at, 3)
    assert receipts_of(at) == []
    assert at.books("Payment")[0]["TotalAmt"] == 0
    assert not [state for state in at.states() if "pending" in state or "failed" in state]


def test_what_came_off_a_void_invoice_and_fails_at_stripe_is_restored_once(till: Till) -> None:
    till.pay(card="4000000000005126")  # a refund of it fails later
    refund_through_stripe(till, "30")
    till.owner.open(f"/invoices/{till.invoice_id}/void").submit(press="Void the invoice")
    [payment] = till.payments
    assert (payment.refunded_amount, payment.goodwill_amount) == (Decimal(30), Decimal(0))
    told = till.owner.open(f"/payments/{payment.id}").text
    assert told.count("$30.00") == 1
    assert "refunded through Stripe · the invoice is voided" in told
    till.pass_time(60)
    [payment] = till.payments
    assert (payment.refunded_amount, payment.goodwill_amount) == (Decimal(0), Decimal(0))
    assert till.owner.open(f"/payments/{payment.id}").text.count("$30.00") == 1


def test_lowering_an_invoice_after_a_refund_says_that_it_may_be_the_same_money(
    receipts: Situation,
) -> None:
    """Who lowers it because of the refund would give the money back twice."""
    at = receipts
    invoice, payment = paid(at)
    refund(at, payment, "30")
    at.ana.open(f"/invoices/{invoice}/edit")
    at.ana.submit({"lines-0-unit_price": "70"}, press="Save invoice")
    assert "$30.00 of it was refunded already" in at.ana.text
    at.ana.submit({"confirms_below_paid": "y"}, press="Save invoice")
    caution = "$30.00 was refunded already, while the invoice stayed paid"
    assert caution in at.ana.open(f"/invoices/{invoice}").text
    assert caution in at.ana.open(f"/payments/{payment}/refund").text


def test_a_refund_that_grows_changes_its_receipt(receipts: Situation) -> None:
    """More of it counts once a dispute that left it no room was won."""
    at = receipts
    _invoice, payment = paid(at)
    refund(at, payment, "40")
    at.drain()
    [ours] = refunds(at)
    ours.amount = Decimal(60)
    ours.payment.goodwill_amount = Decimal(60)
    at.session.commit()
    pass_and_drain(at, 3)
    assert [one["TotalAmt"] for one in receipts_of(at)] == [60]
    ask(at)
    assert differences(at) == []
