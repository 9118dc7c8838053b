"""A refund after which the invoice stays paid: a refund receipt in QuickBooks, if so chosen."""

from decimal import Decimal

import pytest
from sqlalchemy import select, text

from models.sales import GoodwillRefund, Payment, PaymentMethod
from processors import recording
from tests.support.refunds import (
    CHECKING,
    account,
    by_stripe,
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
from tests.support.situation import RIVERA, SETTINGS, Situation
from tests.support.till import Till
from tests.support.visitor import Visitor
from tests.test_matching_books import ask, differences, reads


@pytest.fixture
def receipts(at: Situation) -> Situation:
    """A firm whose refunds become refund receipts, paid from its checking account."""
    at.connect()
    choose_receipts(at)
    return at


def test_a_refund_becomes_a_receipt_and_the_invoice_stays_paid(receipts: Situation) -> None:
    at = receipts
    invoice, payment = paid(at)
    refund(at, payment)
    at.drain()
    [receipt] = receipts_of(at)
    [ours] = refunds(at)
    assert receipt["TotalAmt"] == ours.amount == 30
    assert receipt["PaymentRefNum"] == ours.mark
    assert receipt["DepositToAccountRef"]["value"] == account(at, CHECKING)
    [booked] = at.books("Payment")
    [billed] = at.books("Invoice")
    assert receipt["CustomerRef"]["value"] == billed["CustomerRef"]["value"]
    assert (booked["TotalAmt"], billed["Balance"]) == (100, 0)
    assert at.invoice(invoice).balance == 0
    assert [state for state in at.states() if "refund" in state] == ["refund synced"]
    page = at.ana.open(f"/payments/{payment}")
    assert page.text.count("$30.00") == 1
    assert "$30.00 · recorded by hand · the invoice stays paid" in page.text
    page = at.ana.open(f"/refunds/{ours.id}")
    assert "In QuickBooks" in page.text
    assert "$30.00 in both" in page.text
    assert "$30.00 refunded" in at.ana.open(f"/invoices/{invoice}").text
    ask(at)
    assert differences(at) == []
    assert "Refunds" in at.ana.text


@pytest.mark.parametrize("fault", [None, {"reset": "after"}, {"reset": "before"}])
def test_a_refund_goes_to_the_customer_who_has_its_payment_there(
    receipts: Situation, fault: dict[str, str] | None
) -> None:
    at = receipts
    invoice = at.save_invoice(at.save_lead())
    at.drain()
    other = at.bookkeeper().post("customer", {"DisplayName": "Other"}).object("Customer")
    [billed] = at.books("Invoice")
    moved = {"Id": billed["Id"], "SyncToken": billed["SyncToken"], "sparse": True}
    at.bookkeeper().post("invoice", {**moved, "CustomerRef": {"value": other["Id"]}})
    payment = at.pay(invoice, "100")
    at.drain()
    assert at.books("Payment")[0]["CustomerRef"]["value"] == other["Id"]
    if fault:
        at.simulator.fault(match={"path": "/refundreceipt", "times": 1}, do=fault)
    refund(at, payment)
    at.drain()
    if fault:
        pass_and_drain(at)
    [receipt] = receipts_of(at)
    assert receipt["CustomerRef"]["value"] == other["Id"]
    at.ana.open(f"/refunds/{refunds(at)[0].id}").submit(press="Send again")
    at.drain()
    assert at.fault() is None
    assert receipts_of(at)[0]["CustomerRef"]["value"] == other["Id"]


def test_several_refunds_each_have_a_receipt_and_never_more_than_came(receipts: Situation) -> None:
    at = receipts
    _invoice, payment = paid(at)
    refund(at, payment, "30")
    refund(at, payment, "20")
    at.ana.open(f"/payments/{payment}/refund").submit({"amount": "50.01"}, press="Record refund")
    assert "Only $50.00 of this payment is left" in at.ana.text
    at.drain()
    assert sorted(one["TotalAmt"] for one in receipts_of(at)) == [20, 30]
    assert len({one["PaymentRefNum"] for one in receipts_of(at)}) == 2


def test_a_void_asks_again_when_another_owner_refunded_meanwhile(receipts: Situation) -> None:
    invoice, payment = paid(receipts)
    other = Visitor(receipts.app).sign_in("ana@rivera.example")
    other.open(f"/invoices/{invoice}/void")
    refund(receipts, payment)
    other.submit(press="Void the invoice")
    assert "has changed since you opened this page" in other.text
    assert receipts.invoice(invoice).voided_at is None


def test_it_goes_after_its_payment(receipts: Situation) -> None:
    at = receipts
    invoice = at.save_invoice(at.save_lead())
    payment = at.pay(invoice, "100")
    refund(at, payment)
    at.drain()
    posts = [call for call in at.calls() if call.startswith("POST")]
    assert posts == ["POST customer", "POST invoice", "POST payment", "POST refundreceipt"]


def test_what_its_payment_waits_for_it_waits_for_too(receipts: Situation) -> None:
    at = receipts
    at.simulator.fault(
        match={"entity": "Payment", "method": "POST"}, do={"fault": {"code": "6430"}}
    )
    invoice = at.save_invoice(at.save_lead())
    payment = at.pay(invoice, "100")
    refund(at, payment)
    at.drain()
    assert at.states()[-2:] == ["payment failed", "refund pending"]
    [ours] = refunds(at)
    assert "Waits for payment $100.00" in at.ana.open(f"/refunds/{ours.id}").text
    at.simulator.clear_faults()
    at.ana.open(f"/payments/{payment}").submit(press="Send again")
    at.drain()
    assert at.states()[-2:] == ["payment synced", "refund synced"]


def test_of_a_payment_that_never_goes_nothing_goes(receipts: Situation) -> None:
    at = receipts
    at.session.rollback()
    invoice = at.save_invoice(at.save_lead())
    payment = at.pay(invoice, "100")
    refund(at, payment)
    at.ana.open(f"/invoices/{invoice}/void").submit(press="Void the invoice")
    at.drain()
    assert receipts_of(at) == []
    assert all("pending" not in state and "failed" not in state for state in at.states())


@pytest.mark.parametrize(
    "do",
    [{"reset": "after"}, {"status": 500, "after_commit": True}, {"reset": "before"}],
)
@pytest.mark.parametrize("forgets", [False, True])
def test_an_answer_that_is_lost_never_makes_a_second_receipt(
    receipts: Situation, do: dict[str, object], forgets: bool
) -> None:
    at = receipts
    _invoice, payment = paid(at)
    if forgets:  # QuickBooks no longer knows the request id: we must find our own work again
        at.simulator.company(RIVERA, requestid_ttl=0.0)
    at.simulator.fault(match={"entity": "RefundReceipt", "method": "POST"}, do=do)
    refund(at, payment)
    at.drain()
    at.simulator.clear_faults()
    pass_and_drain(at)
    assert at.entry().state == "synced", at.entry().fault_code
    [receipt] = receipts_of(at)
    assert receipt["TotalAmt"] == 30


def test_a_restored_backup_finds_its_receipt(receipts: Situation) -> None:
    at = receipts
    _invoice, payment = paid(at)
    refund(at, payment)
    at.drain()
    with at.sessions.begin() as session:
        for statement in (
            "DELETE FROM outbox_dispatch_items",
            "DELETE FROM outbox_dispatches",
            "DELETE FROM outbox_links",
            "UPDATE outbox SET state = 'pending', settled_at = NULL, first_attempt_at = NULL,"
            " knowledge = '{}', created_at = created_at - interval '1 hour'",
        ):
            session.execute(text(statement))
    pass_and_drain(at)
    assert {state.split()[1] for state in at.states()} == {"synced"}
    assert len(receipts_of(at)) == len(at.books("Payment")) == 1


def test_where_nothing_was_chosen_a_person_enters_it(at: Situation) -> None:
    at.connect()
    invoice, payment = paid(at)
    refund(at, payment)
    at.drain()
    assert at.fault() == "refund_by_hand"
    assert receipts_of(at) == []
    [ours] = refunds(at)
    page = at.ana.open(f"/refunds/{ours.id}").text
    assert "Enter a refund receipt of $30.00 in QuickBooks." in page
    assert at.invoice(invoice).balance == 0
    choose_receipts(at)
    at.drain()
    assert receipts_of(at) == []  # it may have been entered: nothing goes by itself
    at.ana.open(f"/refunds/{ours.id}").submit(press="Send again")
    at.drain()
    assert len(receipts_of(at)) == 1


def test_receipts_are_chosen_together_with_all_that_they_need(at: Situation) -> None:
    at.connect()
    page = at.ana.open(f"{SETTINGS}/arrivals")
    page.submit({"refunds": "receipt", "refund_account": "", "fallback_item": ""}, press="Save")
    assert page.status == 422
    assert (
        "Choose another account: QuickBooks can't pay refunds from Undeposited Funds." in page.text
    )
    assert "Choose an item: refund receipts use it." in page.text


@pytest.mark.parametrize(
    ("gone", "fault"),
    [
        (["refund_account_id"], "no_refund_account"),
        (["refund_account_id", "fallback_item_id"], "no_refund_choices"),
    ],
)
def test_choices_that_are_gone_are_asked_for_together(
    receipts: Situation, gone: list[str], fault: str
) -> None:
    at = receipts
    _invoice, payment = paid(at)
    connection = at.connection
    item = connection.settings["fallback_item_id"]
    connection.settings = {**connection.settings, **dict.fromkeys(gone)}
    at.session.commit()
    refund(at, payment)
    at.drain()
    assert at.fault() == fault
    choose(at, refund_account=account(at, CHECKING), fallback_item=str(item))
    at.drain()
    assert at.entry().state == "synced"


def test_what_came_through_stripe_goes_back_from_its_account(receipts: Situation) -> None:
    at = receipts
    checking = account(at, CHECKING)
    everywhere = {f"{method}_deposits": checking for method in PaymentMethod}
    choose(at, **everywhere, refund_account="")
    invoice = at.save_invoice(at.save_lead())
    payment = by_stripe(at, invoice)
    at.session.rollback()
    held = recording.lock_payment(at.session, payment, invoice)
    recording.give_back(at.session, held, Decimal(10), keeps_paid=True)
    at.session.commit()
    at.drain()
    [receipt] = receipts_of(at)
    assert receipt["DepositToAccountRef"]["value"] == account(at, CHECKING)


def test_one_that_came_back_asks_a_person_to_void_the_receipt(receipts: Situation) -> None:
    at = receipts
    invoice, payment = paid(at)
    refund(at, payment)
    at.drain()
    at.session.rollback()
    held = recording.lock_payment(at.session, payment, invoice)
    [ours] = at.session.scalars(select(GoodwillRefund))
    ours.voided_at = ours.created_at
    held.goodwill_amount = Decimal(0)
    at.session.commit()
    at.drain()
    assert at.fault() == "receipt_stands"
    ask(at)
    assert [kind for kind, *_ in differences(at)] == ["void_here"]
    [receipt] = receipts_of(at)
    delete_receipt(at, receipt)
    at.ana.open(f"/refunds/{ours.id}").submit(press="Send again")
    pass_and_drain(at, 3)
    assert at.entry().state == "synced"
    ask(at)
    assert differences(at) == []


def test_a_refund_made_while_disconnected_is_shown_and_sent_on_request(receipts: Situation) -> None:
    at = receipts
    _invoice, payment = paid(at)
    at.disconnect()
    refund(at, payment)
    at.connect()
    at.drain()
    assert receipts_of(at) == []
    at.ana.open(SETTINGS)
    assert "Refund for invoice" in at.ana.text
    at.ana.submit(press="Send the changes")
    pass_and_drain(at, 3)
    assert len(receipts_of(at)) == 1


def test_sent_by_hand_an_invoice_takes_payments_and_refunds_along(at: Situation) -> None:
    invoice = at.save_invoice(at.save_lead())
    payment = at.pay(invoice, "100")
    refund(at, payment)
    at.connect()
    choose_receipts(at)
    at.ana.open(f"/quickbooks/send/invoices/{invoice}?payment={payment}")
    at.ana.submit({"agrees": "y"}, press="Send it")
    at.drain()
    assert len(receipts_of(at)) == len(at.books("Payment")) == 1


def test_does_it_match_finds_receipts_that_are_gone_or_there_twice(receipts: Situation) -> None:
    at = receipts
    _invoice, payment = paid(at)
    refund(at, payment)
    at.drain()
    [receipt] = receipts_of(at)
    keys = ("CustomerRef", "TxnDate", "DepositToAccountRef", "Line", "PrivateNote")
    copy = {key: receipt[key] for key in keys}
    copy["Line"] = [line for line in copy["Line"] if line["DetailType"] == "SalesItemLineDetail"]
    at.bookkeeper().post("refundreceipt", copy).object("RefundReceipt")
    ask(at)
    assert [(kind, type_) for kind, type_, _ in differences(at)] == [("twice_there", "refund")]
    for one in receipts_of(at):
        delete_receipt(at, one)
    ask(at)
    assert [(kind, type_) for kind, type_, _ in differences(at)] == [("deleted_there", "refund")]


def test_a_month_without_refunds_costs_no_question_more(receipts: Situation) -> None:
    at = receipts
    paid(at)
    ask(at)
    without = reads(at)
    payment = at.session.scalars(select(Payment.id)).one()
    refund(at, payment)
    at.drain()
    at.simulator.clear_journal()
    ask(at)
    assert reads(at) > without


@pytest.mark.parametrize("inactive", ["Item", "Account"])
def test_what_it_is_booked_on_and_was_made_inactive_is_named(
    receipts: Situation, inactive: str
) -> None:
    at = receipts
    _invoice, payment = paid(at)
    named = "DunaHub services" if inactive == "Item" else CHECKING
    found = next(one for one in at.books(inactive) if one["Name"] == named)
    told = {"Id": found["Id"], "SyncToken": found["SyncToken"], "sparse": True, "Active": False}
    if inactive == "Item":
        told |= {"Name": found["Name"]}
    at.bookkeeper().post(inactive.lower(), told)
    refund(at, payment)
    pass_and_drain(at, 3)
    assert at.fault() in ("fallback_item_inactive", "account_inactive")
    [ours] = refunds(at)
    assert named in at.ana.open(f"/refunds/{ours.id}").text


# --- Through Stripe -------------------------------------------------------------------------------


def test_through_stripe_the_invoice_stays_paid_and_a_failure_takes_it_back(till: Till) -> None:
    till.pay(card="4000000000005126")  # a refund of it fails later
    payment = till.payments[0]
    refund_through_stripe(till, "30")
    assert "on its way back" in till.owner.text
    assert till.sums() == ([Decimal(100)], Decimal(0))
    assert till.payments[0].goodwill_amount == 30
    till.pass_time(60)
    assert till.payments[0].goodwill_amount == 0
    [ours] = till.session.scalars(select(GoodwillRefund))
    assert ours.voided_at
    told = till.owner.open(f"/payments/{payment.id}").text
    assert told.count("$30.00") == 1
    assert "could not be refunded through Stripe: the card has expired or was canceled" in told


def test_a_refund_from_stripes_own_pages_opens_the_invoice_as_before(till: Till) -> None:
    till.pay()
    till.stripe.act("refund", account=till.account, charge=till.charge_id(), amount=2_500)
    till.stripe.await_quiet()
    assert till.sums() == ([Decimal(75)], Decimal(25))
    assert till.session.scalars(select(GoodwillRefund)).all() == []


def test_a_dispute_takes_no_more_than_a_refund_left(till: Till) -> None:
    till.pay()
    refund_through_stripe(till, "40")
    till.stripe.act("return", account=till.account, charge=till.charge_id())
    till.stripe.await_quiet()
    [payment] = till.payments
    assert (payment.refunded_amount, payment.goodwill_amount) == (Decimal(60), Decimal(40))


@pytest.mark.parametrize(
    ("given", "kept"), [("30", "$70.00"), ("100", None), ("0.01", "$99.99"), (None, "$100.00")]
)
def test_a_void_invoice_says_what_is_left_after_a_refund(
    receipts: Situation, given: str | None, kept: str | None
) -> None:
    at = receipts
    invoice, payment = paid(at)
    if given:
        refund(at, payment, given)
    page = at.ana.open(f"/invoices/{invoice}/void")
    assert ("was already paid on it" in page.text) == bool(kept)
    if kept:
        assert f"{kept} was already paid on it in 1 payment." in page.text
    page.submit(press="Void the invoice")
    page = at.ana.open(f"/invoices/{invoice}")
    assert ("more was paid than is due" in page.text) == bool(kept)
    if kept:
        assert f"{kept} more was paid than is due." in page.text


def test_a_void_invoice_of_two_payments_counts_those_with_money_left(receipts: Situation) -> None:
    at = receipts
    invoice, first = paid(at, "60")
    at.pay(invoice, "40")
    refund(at, first, "60")
    page = at.ana.open(f"/invoices/{invoice}/void")
    assert "$40.00 was already paid on it in 1 payment." in page.text
    page.submit(press="Void the invoice")
    assert "$40.00 more was paid than is due." in at.ana.open(f"/invoices/{invoice}").text
