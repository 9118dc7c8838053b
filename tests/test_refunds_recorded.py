"""Recorded by hand while we had no access to Stripe, and told by Stripe later: the same money."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from models.processors import ProcessorAccount
from processors import tending
from processors.processor import RefundSeen
from tests.support.situation import ANA
from tests.support.till import Till
from tests.support.visitor import Visitor
from tests.test_old_pages import end_access, regain_access
from tests.test_refunds_online import dispute, tell, there

CORRECT = "It wasn't refunded"
DUE_AGAIN = text("UPDATE charges SET refunds_due_at = now()")


@pytest.fixture
def without_access(till: Till) -> Till:
    till.pay()
    till.stripe.act("webhooks", mode="lost")
    end_access(till)
    return till


def record(till: Till, amount: str, afterwards: str = "open") -> None:
    till.owner.open(f"/payments/{till.payments[0].id}/refund")
    till.owner.submit({"amount": amount, "afterwards": afterwards}, press="Record refund")
    assert "The refund is recorded." in till.owner.text


def refund_there(till: Till, amount: int) -> None:
    """In Stripe's dashboard."""
    till.stripe.act("refund", account=till.account, charge=till.charge_id(), amount=amount * 100)
    till.stripe.await_quiet()


def page(till: Till) -> Visitor:
    return till.owner.open(f"/payments/{till.payments[0].id}")


def went_back(till: Till) -> int:
    [payment] = till.payments
    return int(payment.refunded_amount + payment.goodwill_amount)


def compare(till: Till) -> None:
    tending.compare(till.sessions, till.processor)


def read_fees(till: Till) -> None:
    tending.read_fees(till.sessions, till.processor)


def read_refunds(till: Till) -> None:
    tending.read_refunds(till.sessions, till.processor)


Read = Callable[[Till], None]


@pytest.mark.parametrize("read", [compare, read_refunds])
@pytest.mark.parametrize("afterwards", ["open", "paid"])
@pytest.mark.parametrize("amount", [30, 100])
def test_what_was_recorded_by_hand_and_refunded_there_counts_once(
    without_access: Till, amount: int, afterwards: str, read: Read
) -> None:
    till = without_access
    refund_there(till, amount)
    record(till, str(amount), afterwards)
    regain_access(till)
    for _ in range(2):
        read(till)
        read_fees(till)
        read_refunds(till)
    assert went_back(till) == amount
    assert till.invoice.balance == (amount if afterwards == "open" else 0)
    told = page(till).text
    assert told.count(f"${amount}.00 · refunded through Stripe") == 1
    assert "by hand" not in told
    assert CORRECT not in told


def test_two_of_one_amount_are_two(without_access: Till) -> None:
    till = without_access
    for _ in range(2):
        refund_there(till, 30)
        record(till, "30")
    regain_access(till)
    read_refunds(till)
    assert went_back(till) == 60
    assert page(till).text.count("$30.00 · refunded through Stripe") == 2


def test_a_dispute_recorded_by_hand_counts_once_and_is_added_back_when_won(
    without_access: Till,
) -> None:
    till = without_access
    made = dispute(till)
    till.stripe.act("decide", account=till.account, dispute=made, status="lost")
    record(till, "100")
    regain_access(till)
    read_refunds(till)
    assert went_back(till) == 100
    told = page(till).text
    assert told.count("$100.00 ·") == 1
    assert "taken back by the client's bank" in told
    till.stripe.act("decide", account=till.account, dispute=made, status="won")
    till.session.rollback()
    till.session.execute(DUE_AGAIN)
    till.session.commit()
    read_refunds(till)
    assert went_back(till) == 0


def test_what_went_back_in_another_way_stays_and_a_later_refund_is_another(
    without_access: Till,
) -> None:
    """A check, say: Stripe has no such refund when it answers again."""
    till = without_access
    record(till, "30")
    regain_access(till)
    read_refunds(till)
    assert went_back(till) == 30
    refund_there(till, 30)
    compare(till)
    assert went_back(till) == 60
    told = page(till).text
    assert told.count("$30.00 · recorded by hand") == told.count("$30.00 · refunded through") == 1


def test_a_refund_that_failed_there_is_not_what_was_recorded(without_access: Till) -> None:
    till = without_access
    record(till, "30")
    intent = till.charges[0].payment_intent_id
    tell(till, RefundSeen("re_1", intent, Decimal(30), True, "declined", ""))
    assert went_back(till) == 30
    assert "$30.00 · recorded by hand" in page(till).text


@pytest.mark.parametrize(("amount", "counted"), [(100, 100), (50, 80)])
def test_another_amount_is_said_and_a_person_corrects_it(
    without_access: Till, amount: int, counted: int
) -> None:
    till = without_access
    refund_there(till, amount)
    record(till, "30")
    regain_access(till)
    read_refunds(till)
    assert went_back(till) == counted
    assert "check that Stripe's refunds don't include it" in page(till).text
    till.owner.submit(press=CORRECT)
    assert went_back(till) == amount
    told = page(till).text
    assert "$30.00 · recorded by hand, but not refunded" in told
    assert f"${amount}.00 · refunded through Stripe" in told
    assert CORRECT not in told


@pytest.mark.parametrize("afterwards", ["open", "paid"])
def test_what_was_recorded_by_mistake_is_corrected_once(
    without_access: Till, afterwards: str
) -> None:
    till = without_access
    record(till, "30", afterwards)
    old = Visitor(till.app).sign_in(ANA).open(f"/payments/{till.payments[0].id}")
    page(till).submit(press=CORRECT)
    assert (went_back(till), int(till.invoice.balance)) == (0, 0)
    old.submit(press=CORRECT)
    assert "This has been solved in the meantime." in old.text
    assert (went_back(till), int(till.invoice.balance)) == (0, 0)
    refund_there(till, 30)
    regain_access(till)
    read_refunds(till)
    assert went_back(till) == 30


def test_what_stripe_told_since_is_not_corrected_by_an_old_page(without_access: Till) -> None:
    till = without_access
    refund_there(till, 30)
    record(till, "30")
    old = page(till)
    regain_access(till)
    read_refunds(till)
    old.submit(press=CORRECT)
    assert "This has been solved in the meantime." in old.text
    assert went_back(till) == 30
    assert there(till) == [3000]


def test_what_stripe_told_first_is_not_recorded_again_by_an_old_page(without_access: Till) -> None:
    till = without_access
    old = till.owner.open(f"/payments/{till.payments[0].id}/refund")
    tell(till, RefundSeen("re_1", till.charges[0].payment_intent_id, Decimal(30), False, None, ""))
    old.submit({"amount": "30"}, press="Record refund")
    assert "What was refunded of it has changed since you opened this page." in old.text
    assert went_back(till) == 30


@pytest.mark.parametrize("kind", ["refund", "dispute"])
def test_what_went_back_long_ago_is_found_once_stripe_answers_again(
    till: Till, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Longer ago than the comparison looks back: nothing that is made is within its time."""
    monkeypatch.setattr(tending, "LOOK_BACK", timedelta(days=-1))
    till.pay()
    till.session.execute(text("UPDATE charges SET fee = 3.20, fee_asked_at = now()"))
    till.session.commit()
    till.stripe.act("webhooks", mode="lost")
    disputed = dispute(till) if kind == "dispute" else ""
    end_access(till)
    if kind == "refund":
        refund_there(till, 30)
    else:
        till.stripe.act("decide", account=till.account, dispute=disputed, status="lost")
    read_refunds(till)
    assert went_back(till) == 0
    till.owner.open("/settings/payments/return")
    for read in (compare, read_fees, read_refunds):
        read(till)
    assert went_back(till) == (30 if kind == "refund" else 100)
    assert till.charges[0].refunds_due_at is None


def test_what_cannot_be_read_keeps_no_other_from_being_read(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More payments than are read at once are at an account that lost its access unsaid."""
    till.pay()
    _invoice, token = till.new_invoice(number="1044")
    till.stripe.pay(till.page(token=token))
    till.stripe.await_quiet()
    lost, read = till.charges
    gone = ProcessorAccount(organization_id=till.firm, is_live=True, account_id="acct_gone")
    till.session.add(gone)
    till.session.flush()
    till.session.execute(
        text("UPDATE charges SET account_id = 'acct_gone' WHERE payment_id = :id"),
        {"id": lost.payment_id},
    )
    till.session.execute(DUE_AGAIN)
    till.session.execute(
        text(
            "UPDATE charges SET refunds_due_at = now() - interval '1 hour' WHERE payment_id = :id"
        ),
        {"id": lost.payment_id},
    )
    till.session.commit()
    monkeypatch.setattr(tending, "AT_ONCE", 1)
    for _ in range(3):
        tending.read_refunds(till.sessions, till.processor)
    due = {charge.payment_id: charge.refunds_due_at for charge in till.charges}
    assert due[read.payment_id] is None
    assert due[lost.payment_id] is not None
