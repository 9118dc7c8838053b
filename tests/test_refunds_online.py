"""Refunds through Stripe: one refund, whatever happens in between."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import stripe
from sqlalchemy import select, text

from db import Sessions
from models.processors import Charge, CheckoutState, ProcessorAccount, Refund
from models.sales import GoodwillRefund, Payment, RecordType
from processors import recording, refunding, tending
from processors.processor import DisputeSeen, Event, Processor, RefundSeen, Session, Told
from tests.support.firm import entries_of
from tests.support.till import Till
from tests.support.visitor import Visitor

KILLED = -9


@pytest.fixture
def paid(till: Till) -> Till:
    till.pay()
    return till


def pay_back(
    till: Till, amount: str, visitor: Visitor | None = None, payment_id: int | None = None
) -> str:
    visitor = visitor or till.owner
    visitor.open(f"/payments/{payment_id or till.payments[0].id}/refund")
    visitor.submit({"amount": amount}, press="Refund it")
    return visitor.text


def there(till: Till) -> list[int]:
    """The refunds at Stripe, in cents."""
    return [refund["amount"] for refund in till.stripe.all(till.account, "refund")]


def make_due(till: Till) -> None:
    till.session.execute(text("UPDATE refunds SET available_at = now()"))
    till.session.commit()


def test_a_part_then_the_rest_goes_back(paid: Till) -> None:
    assert "on its way back" in pay_back(paid, "30")
    assert paid.sums() == ([Decimal(70)], Decimal(30))
    assert "Only $70.00 of this payment is left" in pay_back(paid, "70.01")
    pay_back(paid, "70")
    paid.stripe.await_quiet()  # the events of our own refunds change nothing
    assert paid.sums() == ([Decimal(0)], Decimal(100))
    assert there(paid) == [3000, 7000]
    assert [refund.state for refund in paid.refunds] == ["done", "done"]
    told = paid.owner.open(f"/payments/{paid.payments[0].id}").text
    assert told.count("$30.00") == told.count("$70.00") == 1
    told = paid.owner.open(f"/invoices/{paid.invoice_id}").text
    assert "$100.00 refunded" in told
    [*_, last] = entries_of(paid.session, RecordType.PAYMENT, paid.payments[0].id)
    assert last.payload["refunded_amount"] == "100.00"


def test_two_presses_pay_back_once(paid: Till) -> None:
    second = Visitor(paid.app).sign_in("ana@rivera.example")
    payment_id = paid.payments[0].id  # the till's session is of one thread
    threads = [
        threading.Thread(target=pay_back, args=(paid, "60", visitor, payment_id))
        for visitor in (paid.owner, second)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert there(paid) == [6000]
    assert paid.sums() == ([Decimal(40)], Decimal(60))


@pytest.mark.parametrize("kind", ["500_after", "cut_after", "500_before", "cut_before"])
def test_an_answer_that_is_lost_is_looked_for(paid: Till, kind: str) -> None:
    paid.stripe.act("webhooks", mode="lost")
    paid.stripe.act("faults", path="/v1/refunds", method="POST", kind=kind, times=3)
    assert "Stripe hasn't answered yet." in pay_back(paid, "30")
    assert paid.sums() == ([Decimal(100)], Decimal(0))
    assert "waiting for Stripe's answer" in paid.owner.open(f"/payments/{paid.payments[0].id}").text
    assert "Only $70.00" in pay_back(paid, "80")  # what was asked for is not left
    make_due(paid)
    for _ in range(2):
        refunding.finish_due(paid.sessions, paid.processor)
        make_due(paid)
    if kind == "500_before":  # nothing was begun there
        refunding.finish_due(paid.sessions, paid.processor)
    assert there(paid) == [3000]
    assert paid.sums() == ([Decimal(70)], Decimal(30))


def test_a_refund_that_stripe_refuses_says_why(paid: Till) -> None:
    paid.stripe.act("webhooks", mode="lost")
    paid.stripe.act("refund", account=paid.account, charge=paid.charge_id(), amount=10_000)
    assert "Stripe refused" in pay_back(paid, "30")
    page = paid.owner.open(f"/payments/{paid.payments[0].id}").text
    assert "could not be refunded through Stripe: Charge ch_" in page
    assert paid.sums() == ([Decimal(100)], Decimal(0))


@pytest.mark.parametrize("kind", ["cut_after", "500_after", "cut_before"])
def test_a_refund_without_an_answer_is_never_said_to_have_failed(paid: Till, kind: str) -> None:
    """The account left between the first attempt and the next."""
    paid.stripe.act("webhooks", mode="lost")
    paid.stripe.act("faults", path="/v1/refunds", method="POST", kind=kind, times=3)
    pay_back(paid, "30")
    assert there(paid) == ([] if kind == "cut_before" else [3000])
    paid.stripe.act("let_go", account=paid.account)
    for _ in range(2):
        make_due(paid)
        assert refunding.finish_due(paid.sessions, paid.processor) == 0
        assert [refund.state for refund in paid.refunds] == ["asked"]
    page = paid.owner.open(f"/payments/{paid.payments[0].id}").text
    assert "Stripe hasn't said whether it was refunded" in page
    assert "could not be refunded" not in page
    assert "Only $70.00" in pay_back(paid, "80")  # what may have gone back is not left


@pytest.mark.parametrize(
    ("button", "state", "left", "said"),
    [
        ("It was refunded", "done", 70, "refunded through Stripe"),
        (
            "It wasn't refunded",
            "failed",
            100,
            "a person looked in your Stripe dashboard and did not find it",
        ),
    ],
)
def test_a_person_who_looked_at_stripe_says_whether_it_went_back(
    paid: Till, button: str, state: str, left: int, said: str
) -> None:
    paid.stripe.act("webhooks", mode="lost")
    paid.stripe.act("faults", path="/v1/refunds", method="POST", kind="cut_after", times=3)
    pay_back(paid, "30")
    page = paid.owner.open(f"/payments/{paid.payments[0].id}")
    assert button not in page.text  # we go on trying
    paid.session.execute(text("UPDATE refunds SET failure = 'access_ended'"))
    paid.session.commit()
    page.open(f"/payments/{paid.payments[0].id}").submit(press=button)
    assert said in paid.owner.text
    assert button not in paid.owner.text
    assert [one.state for one in paid.refunds] == [state]
    assert paid.sums() == ([Decimal(left)], Decimal(100 - left))
    token = {"csrf_token": paid.owner.token(), "went": "no"}
    path = f"/payments/{paid.payments[0].id}/refunds/{paid.refunds[0].id}"
    answer = paid.owner.client.post(path, data=token)  # an old page, pressed once more
    assert answer.status_code == 303
    assert [one.state for one in paid.refunds] == [state]


@pytest.mark.parametrize("status", ["succeeded", "failed"])
def test_a_refund_that_nobody_was_sure_of_is_settled_by_what_stripe_says(
    paid: Till, status: str
) -> None:
    paid.stripe.act("webhooks", mode="lost")
    paid.stripe.act("faults", path="/v1/refunds", method="POST", kind="cut_after", times=3)
    pay_back(paid, "30")
    paid.session.execute(text("UPDATE refunds SET failure = 'access_ended'"))
    paid.session.commit()
    refund = paid.refunds[0]
    intent, is_failed = paid.charges[0].payment_intent_id, status == "failed"
    tell(paid, RefundSeen("re_1", intent, refund.amount, is_failed, None, refund.mark))
    state, left = ("failed", Decimal(100)) if is_failed else ("done", Decimal(70))
    assert [one.state for one in paid.refunds] == [state]
    assert paid.sums() == ([left], Decimal(100) - left)
    page = paid.owner.open(f"/payments/{paid.payments[0].id}").text
    assert "Stripe hasn't said" not in page
    assert "no longer connected" not in page


def unsure(till: Till, *, is_made: bool, amount: str = "30") -> Visitor:
    """Opens the page that asks about a refund: its answer was lost, and our access ended."""
    till.stripe.act("webhooks", mode="lost")
    kind = "cut_after" if is_made else "cut_before"
    till.stripe.act("faults", path="/v1/refunds", method="POST", kind=kind, times=3)
    pay_back(till, amount)
    assert bool(there(till)) == is_made
    till.session.execute(text("UPDATE refunds SET failure = 'access_ended'"))
    till.session.commit()
    return till.owner.open(f"/payments/{till.payments[0].id}")


@pytest.mark.parametrize(
    ("button", "is_made", "read"),
    [
        ("It wasn't refunded", True, tending.compare),
        ("It wasn't refunded", True, tending.read_refunds),
        ("It was refunded", False, tending.read_refunds),  # what isn't there, no list shows
    ],
)
def test_stripes_word_corrects_a_persons(
    paid: Till, button: str, is_made: bool, read: Callable[[Sessions, Processor], int]
) -> None:
    """They looked too early, or in the wrong place; then the account is ours again."""
    unsure(paid, is_made=is_made).submit(press=button)
    assert paid.sums() == ([Decimal(100 if is_made else 70)], Decimal(0 if is_made else 30))
    for _ in range(2):
        read(paid.sessions, paid.processor)
        assert [one.state for one in paid.refunds] == ["done" if is_made else "failed"]
        assert paid.sums() == ([Decimal(70 if is_made else 100)], Decimal(30 if is_made else 0))
    page = paid.owner.open(f"/payments/{paid.payments[0].id}").text
    assert ("did not find it" in page) is False
    assert ("Stripe has no such refund" in page) is not is_made
    assert len(there(paid)) == is_made


@pytest.mark.parametrize("read", [tending.compare, tending.read_refunds])
@pytest.mark.parametrize("amount", [30, 60, 100])
def test_what_a_person_paid_back_at_stripe_themselves_counts_once(
    paid: Till, amount: int, read: Callable[[Sessions, Processor], int]
) -> None:
    """Ours was not made, so they made one there, and said of ours that it was refunded."""
    page = unsure(paid, is_made=False, amount=str(amount))
    charge = paid.charge_id()
    paid.stripe.act("refund", account=paid.account, charge=charge, amount=amount * 100)
    page.submit(press="It was refunded")
    read(paid.sessions, paid.processor)
    tending.read_refunds(paid.sessions, paid.processor)
    assert paid.sums() == ([Decimal(100 - amount)], Decimal(amount))
    assert [(one.state, one.booked) for one in paid.refunds] == [
        ("failed", Decimal(0)),
        ("done", Decimal(amount)),
    ]


@pytest.mark.parametrize("amount", [30, 60, 100])
def test_what_is_counted_late_leaves_an_invoice_paid_that_was_to_stay_so(
    paid: Till, amount: int
) -> None:
    page = unsure(paid, is_made=False, amount=str(amount))
    charge = paid.charge_id()
    paid.stripe.act("refund", account=paid.account, charge=charge, amount=amount * 100)
    paid.session.execute(text("UPDATE refunds SET keeps_paid = true"))
    paid.session.commit()
    page.submit(press="It was refunded")
    intent, made = paid.charges[0].payment_intent_id, paid.stripe.all(paid.account, "refund")
    refund = Refund(
        organization_id=paid.firm,
        payment_id=paid.payments[0].id,
        amount=Decimal(amount),
        keeps_paid=True,  # as where refunds become receipts
        remote_id=str(made[0]["id"]),
    )
    paid.session.add(refund)
    paid.session.commit()
    tell(paid, RefundSeen(str(made[0]["id"]), intent, Decimal(amount), False, None, ""))
    tending.read_refunds(paid.sessions, paid.processor)
    assert [(one.state, one.booked) for one in paid.refunds] == [
        ("failed", Decimal(0)),
        ("done", Decimal(amount)),
    ]
    assert paid.invoice.balance == 0
    [payment] = paid.payments
    assert (payment.refunded_amount, payment.goodwill_amount) == (Decimal(0), Decimal(amount))
    given = paid.session.scalars(select(GoodwillRefund).where(GoodwillRefund.voided_at.is_(None)))
    assert [one.amount for one in given] == [Decimal(amount)]
    assert "too much" not in paid.owner.open(f"/payments/{payment.id}").text


def test_a_refund_that_was_made_after_all_is_shown_once(paid: Till) -> None:
    page = unsure(paid, is_made=False)
    paid.session.execute(text("UPDATE refunds SET keeps_paid = true"))
    paid.session.commit()
    page.submit(press="It was refunded")
    tending.read_refunds(paid.sessions, paid.processor)
    refund, intent = paid.refunds[0], paid.charges[0].payment_intent_id
    tell(paid, RefundSeen("re_1", intent, refund.amount, False, None, refund.mark))
    told = paid.owner.open(f"/payments/{paid.payments[0].id}").text
    assert told.count("$30.00") == 1
    assert "by hand" not in told


def test_a_refund_that_stripe_said_failed_stays_failed(paid: Till) -> None:
    unsure(paid, is_made=True).submit(press="It wasn't refunded")
    refund, intent = paid.refunds[0], paid.charges[0].payment_intent_id
    tell(paid, RefundSeen("re_1", intent, refund.amount, True, "declined", refund.mark))
    tell(paid, RefundSeen("re_1", intent, refund.amount, False, None, refund.mark))
    assert [one.state for one in paid.refunds] == ["failed"]
    assert paid.sums() == ([Decimal(100)], Decimal(0))


@pytest.mark.parametrize("has_another", [False, True])
def test_what_came_through_an_account_that_left_is_paid_back_by_hand(
    paid: Till, has_another: bool
) -> None:
    recording.end_account(paid.session, paid.account)
    paid.session.commit()
    if has_another:
        paid.owner.post("/settings/payments/connect")
        accounts = paid.session.scalars(select(ProcessorAccount.account_id)).all()
        assert accounts != [paid.account]
    page = paid.owner.open(f"/payments/{paid.payments[0].id}")
    assert "Refund through Stripe" not in page.text
    assert "Record a refund or return" in page.text
    page.open(f"/payments/{paid.payments[0].id}/refund")
    page.submit({"amount": "30"}, press="Record refund")
    assert "The refund is recorded." in page.text
    assert paid.sums() == ([Decimal(70)], Decimal(30))
    assert there(paid) == []


def test_a_lookup_that_is_refused_says_nothing_about_the_refund(paid: Till) -> None:
    paid.stripe.act("webhooks", mode="lost")
    paid.stripe.act("faults", path="/v1/refunds", method="POST", kind="cut_after", times=3)
    pay_back(paid, "30")
    processor = paid.app.extensions["dunahub"].processor
    client = processor._client
    processor._client = stripe.StripeClient(  # our key was replaced in Stripe's dashboard
        "sk_live_replaced", base_addresses={"api": paid.stripe.url}
    )
    make_due(paid)
    assert refunding.finish_due(paid.sessions, processor) == 0
    assert [refund.state for refund in paid.refunds] == ["asked"]
    processor._client = client
    make_due(paid)
    assert refunding.finish_due(paid.sessions, processor) == 1
    assert there(paid) == [3000]
    assert paid.sums() == ([Decimal(70)], Decimal(30))


def test_a_first_attempt_at_an_account_that_left_has_failed(paid: Till) -> None:
    paid.stripe.act("webhooks", mode="lost")
    paid.stripe.act("let_go", account=paid.account)
    pay_back(paid, "30")
    assert [refund.state for refund in paid.refunds] == ["failed"]
    page = paid.owner.open(f"/payments/{paid.payments[0].id}").text
    assert "could not be refunded through Stripe: your Stripe account is no longer" in page


@pytest.mark.parametrize("mode", ["normal", "doubled", "lost"])
def test_a_refund_made_at_stripe_is_recorded_here(paid: Till, mode: str) -> None:
    paid.stripe.act("webhooks", mode=mode)
    paid.stripe.act("refund", account=paid.account, charge=paid.charge_id(), amount=2_500)
    paid.stripe.await_quiet()
    tending.read_refunds(paid.sessions, paid.processor)
    if mode == "lost":
        tending.compare(paid.sessions, paid.processor)
    assert paid.sums() == ([Decimal(75)], Decimal(25))
    assert len(paid.refunds) == 1


def test_a_refund_heard_of_late_has_the_day_on_which_it_was_made(paid: Till) -> None:
    """One after which the invoice stays paid: it is booked with its day."""
    with paid.sessions.begin() as database:
        payment = database.get_one(Payment, paid.payments[0].id)
        refund_id = refunding.ask(database, payment, Decimal(30), user_id=1, keeps_paid=True).id
    refund = paid.session.get_one(Refund, refund_id)
    intent, at = paid.charges[0].payment_intent_id, datetime(2024, 11, 1, 2, 30, tzinfo=UTC)
    tell(paid, RefundSeen("re_1", intent, Decimal(30), False, None, refund.mark, at))
    booked = paid.session.scalars(select(GoodwillRefund)).one()
    assert (booked.amount, booked.refunded_on) == (Decimal(30), date(2024, 10, 31))


def test_a_refund_that_fails_later_is_taken_back(till: Till) -> None:
    till.pay(card="4000000000005126")
    pay_back(till, "100")
    assert till.invoice.balance == Decimal(100)
    till.pass_time(60)
    assert till.sums() == ([Decimal(100)], Decimal(0))
    assert till.refunds[0].state == "failed"
    page = till.owner.open(f"/payments/{till.payments[0].id}").text
    assert "could not be refunded through Stripe: the card has expired or was canceled" in page


def test_a_refund_and_a_dispute_take_off_no_more_than_came(paid: Till) -> None:
    pay_back(paid, "40")
    paid.stripe.act("return", account=paid.account, charge=paid.charge_id())
    paid.stripe.await_quiet()
    assert paid.sums() == ([Decimal(0)], Decimal(100))


OFFER, DECIDES = "Refund through Stripe", "The client's bank is deciding about this payment."


def test_a_disputed_payment_cannot_be_paid_back(paid: Till) -> None:
    page = f"/payments/{paid.payments[0].id}"
    assert OFFER in paid.owner.open(page).text
    form = Visitor(paid.app).sign_in("ana@rivera.example").open(f"{page}/refund")
    paid.stripe.act("dispute", account=paid.account, charge=paid.charge_id())
    paid.stripe.await_quiet()
    assert OFFER not in paid.owner.open(page).text
    assert DECIDES in paid.owner.open(f"{page}/refund").text
    assert DECIDES in form.submit({"amount": "30"}, press="Refund it").text
    assert there(paid) == []


def tell(till: Till, told: Told) -> None:
    with till.sessions.begin() as database:
        recording.carry_out(database, Event(f"evt_{told!r}"[:200], "x", till.account, told))


def test_while_the_bank_only_inquires_the_money_can_be_paid_back(paid: Till) -> None:
    intent = paid.charges[0].payment_intent_id
    tell(paid, DisputeSeen("dp_1", intent, Decimal(100), "warning_needs_response", "general"))
    assert "on its way back" in pay_back(paid, "100")
    assert there(paid) == [10_000]
    tell(paid, DisputeSeen("dp_1", intent, Decimal(100), "warning_closed", "general"))
    assert paid.sums() == ([Decimal(0)], Decimal(100))


@pytest.mark.parametrize("order", ["lost won", "won lost", "won needs_response lost", "lost lost"])
def test_a_dispute_that_was_won_stays_won_in_any_order(paid: Till, order: str) -> None:
    intent = paid.charges[0].payment_intent_id
    for number, state in enumerate(order.split()):
        seen = DisputeSeen("dp_1", intent, Decimal(100), state, f"general{number}")
        tell(paid, seen)
    left = Decimal(100) if "won" in order else Decimal(0)
    assert paid.sums() == ([left], Decimal(100) - left)


@pytest.mark.parametrize("decision", ["won", "lost"])
@pytest.mark.parametrize("way", ["events", "backwards", "doubled_ids", "lost"])
def test_while_a_bank_decides_on_one_of_two_disputes_nothing_is_paid_back(
    paid: Till, way: str, decision: str
) -> None:
    """The second one is about the $60 of the payment that were not paid back."""
    modes = {"events": "normal", "backwards": "held"}
    paid.stripe.act("refund", account=paid.account, charge=paid.charge_id(), amount=4_000)
    paid.stripe.await_quiet()
    tending.read_refunds(paid.sessions, paid.processor)
    paid.stripe.act("webhooks", mode=modes.get(way, way))
    first = dispute(paid)
    paid.stripe.act("decide", account=paid.account, dispute=first, status="won")
    paid.stripe.await_quiet()
    second = dispute(paid)
    if way == "backwards":
        paid.stripe.act("let_go_held", reversed=True)
        paid.stripe.await_quiet()
    page = f"/payments/{paid.payments[0].id}"
    for read in (tending.compare, tending.read_refunds, tending.compare):
        read(paid.sessions, paid.processor)
        paid.session.execute(text("UPDATE processor_accounts SET compared_at = NULL"))
        paid.session.commit()
        assert (paid.charges[0].dispute_id, paid.charges[0].is_refundable) == (second, False)
        assert OFFER not in paid.owner.open(page).text
        assert DECIDES in paid.owner.open(f"{page}/refund").text
    paid.stripe.act("decide", account=paid.account, dispute=second, status=decision)
    paid.stripe.await_quiet()
    if way == "backwards":
        paid.stripe.act("let_go_held")
        paid.stripe.await_quiet()
    tending.compare(paid.sessions, paid.processor)
    assert not paid.charges[0].is_disputed
    left = Decimal(60) if decision == "won" else Decimal(0)
    assert paid.sums()[0] == [left]
    assert (OFFER in paid.owner.open(page).text) == bool(left)


def dispute(till: Till) -> str:
    """Opens one at Stripe. Its id."""
    till.stripe.act("dispute", account=till.account, charge=till.charge_id())
    till.stripe.await_quiet()
    return str(till.stripe.all(till.account, "dispute")[-1]["id"])


def test_a_lost_dispute_is_taken_off_while_another_is_open(paid: Till) -> None:
    intent = paid.charges[0].payment_intent_id
    tell(paid, DisputeSeen("dp_1", intent, Decimal(40), "needs_response", "general"))
    tell(paid, DisputeSeen("dp_2", intent, Decimal(60), "needs_response", "general"))
    tell(paid, DisputeSeen("dp_1", intent, Decimal(40), "lost", "general"))
    assert paid.sums() == ([Decimal(60)], Decimal(40))
    assert (paid.charges[0].dispute_id, paid.charges[0].is_disputed) == ("dp_2", True)
    tell(paid, DisputeSeen("dp_2", intent, Decimal(60), "won", "general"))
    assert paid.sums() == ([Decimal(60)], Decimal(40))
    assert not paid.charges[0].is_disputed


def test_a_refund_counts_once_the_dispute_that_left_it_no_room_was_won(paid: Till) -> None:
    intent = paid.charges[0].payment_intent_id
    tell(paid, DisputeSeen("dp_1", intent, Decimal(100), "lost", "general"))
    tell(paid, RefundSeen("re_1", intent, Decimal(40), False, None, ""))
    assert paid.sums() == ([Decimal(0)], Decimal(100))
    tell(paid, DisputeSeen("dp_1", intent, Decimal(100), "won", "general"))
    assert paid.sums() == ([Decimal(60)], Decimal(40))
    assert [one.booked for one in paid.refunds] == [Decimal(0), Decimal(40)]


def test_a_refund_counts_once_more_as_goodwill_that_stands(paid: Till) -> None:
    """A person said that it was made, Stripe did not have it, and a dispute took all meanwhile."""
    payment, intent = paid.payments[0].id, paid.charges[0].payment_intent_id
    mark = "DH-MARKMARKMA"
    seen = RefundSeen("re_1", intent, Decimal(40), False, None, mark)
    with paid.sessions.begin() as database:
        asked = Refund(
            organization_id=paid.firm,
            payment_id=payment,
            amount=Decimal(40),
            keeps_paid=True,
            mark=mark,
        )
        database.add(asked)
        database.flush()
        locked = recording.lock_payment(database, payment, paid.invoice_id)
        refunding.settle_by_hand(database, locked, asked, went=True)
    with paid.sessions.begin() as database:
        refunding.correct_by(database, database.scalars(select(Charge)).one(), [])
    tell(paid, DisputeSeen("dp_1", intent, Decimal(100), "lost", "general"))
    tell(paid, seen)
    tell(paid, DisputeSeen("dp_1", intent, Decimal(100), "won", "general"))
    given = paid.session.scalars(select(GoodwillRefund).order_by(GoodwillRefund.id)).all()
    amounts = [(one.amount, one.voided_at is None) for one in given]
    assert amounts == [(Decimal(40), False), (Decimal(40), True)]
    tell(paid, replace(seen, is_failed=True, failure="declined"))
    sums = (paid.payments[0].refunded_amount, paid.payments[0].goodwill_amount)
    assert sums == (Decimal(0), Decimal(0))


def test_an_old_event_of_a_decided_dispute_is_mended_by_reading_all(paid: Till) -> None:
    first = dispute(paid)
    paid.stripe.act("decide", account=paid.account, dispute=first, status="won")
    paid.stripe.await_quiet()
    second = dispute(paid)
    paid.stripe.act("decide", account=paid.account, dispute=second, status="won")
    paid.stripe.await_quiet()
    intent = paid.charges[0].payment_intent_id
    tell(paid, DisputeSeen(first, intent, Decimal(100), "needs_response", "late"))
    tending.read_refunds(paid.sessions, paid.processor)
    assert (paid.charges[0].dispute_id, paid.charges[0].is_disputed) == (second, False)
    assert paid.charges[0].refunds_due_at is None
    assert paid.sums() == ([Decimal(100)], Decimal(0))


def test_the_events_of_another_firms_account_change_nothing(paid: Till) -> None:
    intent = paid.charges[0].payment_intent_id
    mark = paid.checkouts[0].mark
    theirs = "acct_of_another_firm"
    told: list[Told] = [
        RefundSeen("re_x", intent, Decimal(10), is_failed=False, failure=None, mark=""),
        DisputeSeen("dp_x", intent, Decimal(10), "lost", "fraudulent"),
        Session("cs_x", theirs, CheckoutState.PAID, Decimal(10), None, "pi_x", mark),
    ]
    for number, happened in enumerate(told):
        with paid.sessions.begin() as session:
            recording.carry_out(session, Event(f"evt_{number}", "x", theirs, happened))
    assert paid.sums() == ([Decimal(100)], Decimal(0))
    assert paid.refunds == []


# --- Killed in between ----------------------------------------------------------------------------

KILLER = """
import os, signal, sys
from app import create_app
from config import Config
from sqlalchemy import event
from sqlalchemy.orm import Session
import processors.recording, processors.refunding

app = create_app(Config.from_environ())
hub = app.extensions["dunahub"]

def die(*_args):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def run_killed(environ: dict[str, str], script: str) -> int:
    """Runs it in a process that ends by SIGKILL. Returns how it ended."""
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", KILLER + script],
        env={**os.environ, **environ},
        cwd=root,
        timeout=100,
        check=False,
    )
    return done.returncode


def test_killed_between_stripes_answer_and_our_commit_one_refund_is_made(
    paid: Till, environ: dict[str, str]
) -> None:
    paid.stripe.act("webhooks", mode="lost")
    with paid.sessions.begin() as session:
        payment = session.merge(paid.payments[0])
        refund_id = refunding.ask(session, payment, Decimal(30), user_id=1).id
    script = f"""
event.listen(Session, "before_commit", die)
processors.refunding.carry_out(hub.sessions, hub.processor, {refund_id})
"""
    assert run_killed(environ, script) == KILLED
    assert there(paid) == [3000]
    assert paid.sums() == ([Decimal(100)], Decimal(0))
    make_due(paid)
    assert refunding.finish_due(paid.sessions, paid.processor) == 1
    assert there(paid) == [3000]
    assert paid.sums() == ([Decimal(70)], Decimal(30))


def test_killed_before_stripe_is_asked_the_refund_is_still_made(
    paid: Till, environ: dict[str, str]
) -> None:
    with paid.sessions.begin() as session:
        payment = session.merge(paid.payments[0])
        refund_id = refunding.ask(session, payment, Decimal(30), user_id=1).id
    script = f"""
hub.processor._client.v1.refunds.create = die
processors.refunding.carry_out(hub.sessions, hub.processor, {refund_id})
"""
    assert run_killed(environ, script) == KILLED
    assert there(paid) == []
    make_due(paid)
    refunding.finish_due(paid.sessions, paid.processor)
    assert there(paid) == [3000]
    assert paid.sums() == ([Decimal(70)], Decimal(30))


@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
def test_killed_around_the_commit_of_an_event_one_payment_is_recorded(
    till: Till, environ: dict[str, str], moment: str
) -> None:
    till.stripe.act("webhooks", mode="held")
    till.stripe.pay(till.page())
    events = till.stripe.events(till.account)
    done = next(one for one in events if one["type"] == "checkout.session.completed")
    script = f"""
from processors.stripe_objects import event_of
import json
session = hub.sessions()
processors.recording.carry_out(session, event_of(json.loads({json.dumps(done)!r}), is_live=False))
event.listen(Session, "{moment}", die)
session.commit()
"""
    assert run_killed(environ, script) == KILLED
    assert len(till.payments) == (moment == "after_commit")
    till.stripe.act("let_go_held")  # Stripe had no answer, and tells it again
    till.stripe.await_quiet()
    assert till.sums() == ([Decimal(100)], Decimal(0))
    assert len(entries_of(till.session, RecordType.PAYMENT)) == 1
