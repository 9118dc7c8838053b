"""Clients pay through Stripe: recorded once, when the money is certain, whatever events arrive."""

import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Self

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import select, text

from models.accounts import Organization, Region
from models.processors import ProcessorAccount
from models.sales import RecordType
from processors import recording, tending
from processors.stripe_objects import event_of
from tests.support.firm import entries_of, new_payment
from tests.support.meanwhile import each_moment, just_before_statement
from tests.support.till import ACH_TAKES, CONNECT_SECRET, PLATFORM_SECRET, STRIPE_KEY, Till
from tests.support.visitor import Visitor


def test_a_card_payment_is_recorded_and_captured(till: Till) -> None:
    assert "Amount due $100.00 Invoice 1043 · due Dec 18, 2026" in till.see()
    till.pay()
    [payment] = till.payments
    assert (payment.amount, payment.method) == (Decimal("100.00"), "card")
    assert till.invoice.status == "paid"
    [entry] = entries_of(till.session, RecordType.PAYMENT, payment.id)
    assert entry.payload["amount"] == "100.00"
    assert "Paid. Thank you! $100.00" in till.see()
    assert "Pay by card" not in till.see()


def test_the_fee_and_the_card_are_kept_with_the_payment(till: Till) -> None:
    till.pay()
    assert till.charges[0].fee is None
    tending.read_fees(till.sessions, till.processor)
    assert till.charges[0].label == "Visa •••• 4242"
    till.pass_time(3)
    tending.read_fees(till.sessions, till.processor)
    assert till.charges[0].fee == Decimal("3.20")
    assert "Visa •••• 4242" in till.see()
    page = till.owner.open(f"/payments/{till.payments[0].id}").text
    assert "Stripe's fee $3.20" in page


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ("4000000000000002", "Your card was declined."),
        ("4000000000009995", "Your card has insufficient funds."),
        ("4000000000000127", "security code is incorrect"),
    ],
)
def test_a_declined_card_records_nothing_and_can_be_tried_again(
    till: Till, card: str, says: str
) -> None:
    page = till.page()
    assert says in till.stripe.pay(page, card=card).text
    till.stripe.await_quiet()
    assert till.payments == []
    assert till.stripe.pay(page).status_code == 303
    till.stripe.await_quiet()
    assert till.sums() == ([Decimal(100)], Decimal(0))


@pytest.mark.parametrize(("bank_says", "paid"), [("yes", 1), ("no", 0)])
def test_the_bank_may_ask_first(till: Till, bank_says: str, paid: int) -> None:
    page = till.page()
    assert "Your bank asks" in till.stripe.pay(page, card="4000002500003155").text
    assert till.payments == []
    till.stripe.pay(page, card="4000002500003155", bank_says=bank_says)
    till.stripe.await_quiet()
    assert len(till.payments) == paid


def test_a_bank_transfer_is_recorded_when_it_arrives_and_not_before(till: Till) -> None:
    till.send_transfer()
    assert till.payments == []
    assert "Your payment is on its way $100.00" in till.see()
    assert "Pay by card" not in till.see()
    told = till.owner.open(f"/invoices/{till.invoice_id}").text
    assert "A bank transfer of $100.00 is on its way." in told
    till.pass_time(ACH_TAKES)
    [payment] = till.payments
    assert (payment.method, payment.amount) == ("ach", Decimal(100))
    assert "Paid. Thank you!" in till.see()


def test_a_bank_transfer_that_fails_leaves_the_invoice_open(till: Till) -> None:
    till.send_transfer("000222222227")
    till.pass_time(ACH_TAKES)
    assert till.payments == []
    assert "Your bank transfer did not go through." in till.see()
    assert "Pay by card" in till.see()
    told = till.owner.open(f"/invoices/{till.invoice_id}").text
    assert "A bank transfer of $100.00 did not go through." in told
    till.pay()
    assert till.sums() == ([Decimal(100)], Decimal(0))


def test_a_bank_transfer_taken_back_after_it_arrived_opens_the_invoice_again(till: Till) -> None:
    till.send_transfer("000555555559")
    till.pass_time(ACH_TAKES)
    assert till.invoice.status == "paid"
    till.pass_time(20)
    assert till.sums() == ([Decimal(0)], Decimal(100))
    [refund] = till.refunds
    assert (refund.kind, refund.state) == ("dispute", "done")
    told = till.owner.open(f"/payments/{till.payments[0].id}").text
    assert "taken back by the client's bank" in told
    told = till.owner.open(f"/invoices/{till.invoice_id}").text
    assert "The client's bank took $100.00 back." in told
    assert "Amount due $100.00" in till.see()
    [*_, last] = entries_of(till.session, RecordType.PAYMENT, till.payments[0].id)
    assert last.payload["refunded_amount"] == "100.00"


@pytest.mark.parametrize("decision", ["won", "lost"])
def test_a_disputed_card_payment_is_said_and_taken_off_when_it_is_lost(
    till: Till, decision: str
) -> None:
    till.pay()
    till.stripe.act("dispute", account=till.account, charge=till.charge_id())
    till.stripe.await_quiet()
    assert till.sums() == ([Decimal(100)], Decimal(0))
    told = till.owner.open(f"/payments/{till.payments[0].id}").text
    assert "The client's bank asked for this money back." in told
    told = till.owner.open(f"/invoices/{till.invoice_id}").text
    assert "The client's bank asked for $100.00 back." in told
    dispute = till.stripe.all(till.account, "dispute")[0]["id"]
    till.stripe.act("decide", account=till.account, dispute=dispute, status=decision)
    till.stripe.await_quiet()
    left = Decimal(0) if decision == "won" else Decimal(100)
    assert till.invoice.balance == left


# --- The news: twice, late, out of order, lost ----------------------------------------------------


@pytest.mark.parametrize("mode", ["doubled", "doubled_ids"])
def test_an_event_told_twice_records_one_payment(till: Till, mode: str) -> None:
    till.stripe.act("webhooks", mode=mode)
    till.pay()
    assert till.sums() == ([Decimal(100)], Decimal(0))


@pytest.mark.parametrize("account", ["000123456789", "000222222227", "000555555559"])
def test_events_out_of_order_end_the_same(till: Till, account: str) -> None:
    till.stripe.act("webhooks", mode="held")
    till.send_transfer(account)
    till.pass_time(ACH_TAKES + 20)
    till.stripe.act("let_go_held", reversed=True)
    till.stripe.await_quiet()
    if account == "000555555559":  # the return came before we had the payment: Stripe is asked
        tending.read_fees(till.sessions, till.processor)
        tending.read_refunds(till.sessions, till.processor)
    paid = {"000123456789": [Decimal(100)], "000555555559": [Decimal(0)]}.get(account, [])
    assert till.sums()[0] == paid


@pytest.mark.parametrize("way", ["card", "ach", "ach_failed", "ach_returned"])
def test_a_lost_event_is_found_by_the_daily_comparison(till: Till, way: str) -> None:
    till.stripe.act("webhooks", mode="lost")
    if way == "card":
        till.pay()
    else:
        numbers = {"ach": "000123456789", "ach_failed": "000222222227"}
        till.send_transfer(numbers.get(way, "000555555559"))
        till.pass_time(ACH_TAKES + 20)
    assert till.payments == []
    assert tending.compare(till.sessions, till.processor) == 1
    paid = {"ach_failed": [], "ach_returned": [Decimal(0)]}.get(way, [Decimal(100)])
    assert till.sums()[0] == paid
    assert tending.compare(till.sessions, till.processor) == 0  # once a day
    if way == "ach_failed":
        assert till.checkouts[0].state == "failed"


def test_a_lost_event_of_an_open_page_is_found_within_minutes(till: Till) -> None:
    till.stripe.act("webhooks", mode="lost")
    till.pay()
    till.session.execute(text("UPDATE checkouts SET created_at = now() - interval '11 minutes'"))
    till.session.commit()
    tending.tend_checkouts(till.sessions, till.processor)
    assert till.sums() == ([Decimal(100)], Decimal(0))


class FiveDaysLater(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(days=5)


def day_at_stripe(till: Till) -> date:
    """Of the newest charge, in the firm's zone."""
    created = till.stripe.all(till.account, "charge")[-1]["created"]
    organization = till.session.get_one(Organization, till.firm)
    return organization.day_at(datetime.fromtimestamp(created, UTC))


@pytest.mark.parametrize("found_by", ["comparison", "open page", "another page"])
def test_a_card_payment_heard_of_late_has_the_day_of_its_charge(
    till: Till, monkeypatch: pytest.MonkeyPatch, found_by: str
) -> None:
    till.stripe.act("webhooks", mode="lost")
    till.pay()
    day = day_at_stripe(till)
    monkeypatch.setattr(recording, "datetime", FiveDaysLater)
    if found_by == "comparison":
        tending.compare(till.sessions, till.processor)
    elif found_by == "open page":
        till.session.execute(
            text("UPDATE checkouts SET created_at = now() - interval '11 minutes'")
        )
        till.session.commit()
        tending.tend_checkouts(till.sessions, till.processor)
    else:
        till.page(method="ach")
    assert [payment.received_on for payment in till.payments] == [day]


@pytest.mark.parametrize("way", ["card", "ach"])
def test_an_event_that_comes_late_dates_its_payment(till: Till, way: str) -> None:
    till.stripe.act("webhooks", mode="lost")
    if way == "card":
        till.pay()
    else:
        till.send_transfer()
        till.pass_time(ACH_TAKES)
    [told] = [
        event
        for event in till.stripe.events(till.account)
        if event["type"].startswith("checkout.session.")
        and event["data"]["object"]["payment_status"] == "paid"
    ]
    at = datetime(2024, 11, 1, 2, 30, tzinfo=UTC)  # October still, where the firm is
    for created in ("soon", -1, 10**20, int(at.timestamp())):  # what is no time says nothing
        event = event_of({**told, "created": created}, is_live=False)
    with till.sessions.begin() as database:
        recording.carry_out(database, event)
    assert [payment.received_on for payment in till.payments] == [date(2024, 10, 31)]


def test_a_payment_is_never_dated_in_the_future(till: Till) -> None:
    till.stripe.act("webhooks", mode="lost")
    till.pay()
    session = till.processor.session(till.account, str(till.checkouts[0].session_id))
    ahead = datetime.now(UTC) + timedelta(days=400)
    today = till.session.get_one(Organization, till.firm).day_at(datetime.now(UTC))
    with till.sessions.begin() as database:
        recording.note_session(database, replace(session, paid_at=ahead))
    [payment] = till.payments
    assert payment.received_on - today < timedelta(days=2)


# --- At the same time -----------------------------------------------------------------------------


def test_two_tabs_get_one_page_and_pay_once(till: Till) -> None:
    tabs = [Visitor(till.app), Visitor(till.app)]
    pages: list[str] = []
    threads = [
        threading.Thread(target=lambda tab=tab: pages.append(till.page(tab))) for tab in tabs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(pages)) == 1
    assert till.stripe.pay(pages[0]).status_code == 303
    assert till.stripe.pay(pages[1]).status_code == 303  # the page is closed, and leads back
    till.stripe.await_quiet()
    assert till.sums() == ([Decimal(100)], Decimal(0))


def test_another_way_to_pay_closes_the_page_of_the_first(till: Till) -> None:
    first, second = till.page(), till.page(method="ach")
    assert first != second
    assert "This page has expired" in till.stripe.pay(first).text
    assert [checkout.state for checkout in till.checkouts] == ["expired", "open"]


def set_time_left(till: Till, left: str) -> None:
    """Of all checkouts, as our clock has it."""
    moment = text("UPDATE checkouts SET expires_at = clock_timestamp() + CAST(:left AS interval)")
    till.session.execute(moment, {"left": left})
    till.session.commit()


@pytest.mark.parametrize("method", ["card", "ach"])
@pytest.mark.parametrize("left", ["4 minutes", "1 second", "-1 second"])
def test_a_page_near_its_end_is_closed_before_another_opens(
    till: Till, left: str, method: str
) -> None:
    first = till.page(method=method)
    set_time_left(till, left)
    second = till.page()
    assert first != second
    assert "This page has expired" in till.stripe.pay(first).text
    till.stripe.pay(second)
    till.stripe.await_quiet()
    assert till.sums() == ([Decimal(100)], Decimal(0))
    assert [checkout.state for checkout in till.checkouts] == ["expired", "paid"]


def test_a_page_paid_near_its_end_leaves_nothing_to_pay(till: Till) -> None:
    first = till.page()
    till.stripe.act("webhooks", mode="lost")
    till.stripe.pay(first)
    set_time_left(till, "1 minute")
    assert till.page().endswith(f"/i/{till.token}")
    assert till.sums() == ([Decimal(100)], Decimal(0))


def test_a_page_left_half_opened_is_not_used_for_another_amount(till: Till) -> None:
    till.page()
    till.session.execute(
        text("UPDATE checkouts SET state = 'opening', url = NULL, session_id = NULL")
    )
    till.session.commit()
    till.session.add(new_payment(till.firm, till.invoice, "40"))
    till.session.commit()
    till.stripe.pay(till.page())
    till.stripe.await_quiet()
    assert till.sums() == ([Decimal(40), Decimal(60)], Decimal(0))


def test_a_page_paid_while_another_is_asked_for_is_recorded(till: Till) -> None:
    first = till.page()
    till.stripe.act("webhooks", mode="lost")
    till.stripe.pay(first)
    assert till.page(method="ach").endswith(f"/i/{till.token}")
    assert till.sums() == ([Decimal(100)], Decimal(0))


def test_a_check_recorded_meanwhile_closes_the_page(till: Till) -> None:
    page = till.page()
    till.session.add(new_payment(till.firm, till.invoice, "40"))
    till.session.commit()
    tending.tend_checkouts(till.sessions, till.processor)
    assert "This page has expired" in till.stripe.pay(page).text
    till.stripe.pay(till.page())
    till.stripe.await_quiet()
    assert till.sums() == ([Decimal(40), Decimal(60)], Decimal(0))


def test_a_check_recorded_too_late_leaves_an_overpaid_invoice_that_says_so(till: Till) -> None:
    page = till.page()
    till.session.add(new_payment(till.firm, till.invoice, "40"))
    till.session.commit()
    till.stripe.pay(page)
    till.stripe.await_quiet()
    assert till.sums() == ([Decimal(40), Decimal(100)], Decimal(-40))
    assert (
        "$40.00 more was paid than is due." in till.owner.open(f"/invoices/{till.invoice_id}").text
    )


def test_money_that_comes_for_a_void_invoice_is_recorded_and_said(till: Till) -> None:
    page = till.page()
    invoice = till.invoice
    invoice.voided_at = datetime.now(UTC)
    till.session.commit()
    till.stripe.pay(page)
    till.stripe.await_quiet()
    assert [payment.amount for payment in till.payments] == [Decimal(100)]
    told = till.owner.open(f"/invoices/{till.invoice_id}").text
    assert "$100.00 more was paid than is due." in told


@pytest.mark.parametrize("kind", ["500_after", "cut_after", "500_before", "cut_before", "429"])
def test_trouble_while_opening_the_page_costs_one_more_press(till: Till, kind: str) -> None:
    times = 1 if kind == "429" else 3  # the library repeats all but that one, twice
    till.stripe.act("faults", path="checkout/sessions", kind=kind, times=times)
    assert till.page().endswith(f"/i/{till.token}")
    assert "The payment page can't be reached." in till.see()
    till.stripe.pay(till.page())
    till.stripe.await_quiet()
    assert till.sums() == ([Decimal(100)], Decimal(0))


@pytest.mark.parametrize(
    ("price", "why"),
    [("0.49", "small"), ("0.01", "small"), ("1000000", "large"), ("0.50", ""), ("999999.99", "")],
)
def test_amounts_that_stripe_takes_are_paid_to_the_cent_and_others_say_so(
    till: Till, price: str, why: str
) -> None:
    _invoice, till.token = till.new_invoice(price, number="1044")
    if why:
        assert f"An amount this {why} can't be paid online. Ask Rivera" in till.see()
        assert "Pay by card" not in till.see()
        return
    till.pay()
    assert [payment.amount for payment in till.payments] == [Decimal(price)]
    assert "Paid. Thank you!" in till.see()


@pytest.mark.parametrize("kind", ["refund", "dispute"])
def test_what_went_back_before_we_had_the_payment_is_found_with_it(till: Till, kind: str) -> None:
    till.stripe.act("webhooks", mode="held")
    till.pay()
    [session] = till.stripe.all(till.account, "checkout.session")
    charge = till.stripe.all(till.account, "charge")[0]["id"]
    told = {"amount": 2_500} if kind == "refund" else {}
    till.stripe.act(kind, account=till.account, charge=charge, **told)
    till.stripe.await_quiet()
    till.stripe.act("let_go_held", reversed=True)
    till.stripe.await_quiet()
    assert session["id"] == till.checkouts[0].session_id
    tending.read_fees(till.sessions, till.processor)
    tending.read_refunds(till.sessions, till.processor)
    if kind == "refund":
        assert till.sums() == ([Decimal(75)], Decimal(25))
    else:
        assert till.charges[0].is_disputed


def test_the_page_stops_waiting_once_nothing_is_being_paid(till: Till) -> None:
    """The client opens the address of the receipt again, after the money went back."""
    waits = "We are waiting for the confirmation"
    page = till.page()
    assert waits in till.see(args="?paid=1")
    till.stripe.pay(page)
    till.stripe.await_quiet()
    assert waits not in till.see(args="?paid=1")
    till.stripe.act("refund", account=till.account, charge=till.charge_id(), amount=10_000)
    till.stripe.await_quiet()
    tending.read_refunds(till.sessions, till.processor)
    seen = till.see(args="?paid=1")
    assert waits not in seen
    assert "Pay by card" in seen


@pytest.mark.parametrize("method", ["card", "ach"])
def test_a_payment_recorded_while_the_page_is_read_is_never_asked_for_again(
    till: Till, method: str
) -> None:
    """Whichever two statements of the page the payment comes between: the page says that it is
    paid, or waits and loads again. One that asks for the money would stay open."""
    for moment in each_moment():
        _key, token = till.new_invoice(number=str(2_000 + moment))
        address = till.page(token=token, method=method)
        if method == "ach":  # it is on its way, and arrives now
            till.stripe.send_transfer(address)
            till.stripe.await_quiet()
        till.stripe.act("webhooks", mode="held")
        if method == "ach":
            till.pass_time(ACH_TAKES)
        else:
            till.stripe.pay(address)
        with just_before_statement(till.app, moment, till.let_arrive) as came:
            page = till.client.client.get(f"/i/{token}?paid=1").get_data(as_text=True)
        till.stripe.act("webhooks", mode="normal")
        if not came:
            break
        assert "Pay by card" not in page, moment
        told = ("Paid. Thank you!", "Your payment is on its way", 'http-equiv="refresh"')
        assert any(one in page for one in told), moment
    assert moment > 3


# --- The account ----------------------------------------------------------------------------------


def test_what_stripe_still_wants_is_shown_and_nobody_can_pay_until_then(till: Till) -> None:
    till.stripe.act("onboard", account=till.account, leave_out="individual.verification.document")
    till.stripe.await_quiet()
    settings = till.owner.open("/settings/payments").text
    assert "Not ready yet" in settings
    assert "About you: verification, document" in settings
    assert "Pay by card" not in till.see()


def test_a_firm_that_leaves_stripe_takes_no_more_payments(till: Till) -> None:
    till.stripe.act("let_go", account=till.account)
    till.stripe.await_quiet()
    assert "no longer connected to DunaHub" in till.owner.open("/settings/payments").text
    assert "Pay by card" not in till.see()


def test_a_firm_that_left_stripe_connects_another_account(till: Till) -> None:
    till.pay()
    till.stripe.act("let_go", account=till.account)
    till.stripe.await_quiet()
    assert "Connect Stripe" in till.owner.open("/settings/payments").text
    for _ in range(2):
        till.owner.post("/settings/payments/connect")
    left, now = till.account, till.session.scalars(select(ProcessorAccount)).one()
    till.session.refresh(now)
    assert now.account_id != left
    till.stripe.act("onboard", account=now.account_id)
    till.stripe.await_quiet()
    _invoice, till.token = till.new_invoice("50", number="1044")
    till.pay()
    assert [charge.account_id for charge in till.charges] == [left, now.account_id]
    assert till.owner.open(f"/payments/{till.payments[0].id}").status == 200


def test_a_page_open_at_an_account_that_left_holds_up_no_more_than_its_hour(till: Till) -> None:
    till.page()
    till.stripe.act("let_go", account=till.account)
    till.stripe.await_quiet()
    till.owner.post("/settings/payments/connect")
    now = till.session.scalars(select(ProcessorAccount)).one()
    till.session.refresh(now)
    till.stripe.act("onboard", account=now.account_id)
    till.stripe.await_quiet()
    for minutes in (50, 3):
        assert till.page().endswith(f"/i/{till.token}")
        assert "can't be reached. Please try again" in till.see()
        set_time_left(till, f"{minutes} minutes")
    set_time_left(till, "-6 minutes")
    till.pay()
    assert till.sums() == ([Decimal(100)], Decimal(0))
    assert [one.state for one in till.checkouts] == ["expired", "paid"]


def test_of_an_account_that_left_nothing_is_asked_and_the_firm_is_told(till: Till) -> None:
    till.send_transfer()
    _invoice, token = till.new_invoice("50", number="1044")
    till.stripe.pay(till.page(token=token))
    till.stripe.await_quiet()
    till.stripe.act("let_go", account=till.account)
    till.stripe.await_quiet()
    till.session.execute(text("UPDATE checkouts SET created_at = now() - interval '8 hours'"))
    till.session.execute(text("UPDATE charges SET refunds_due_at = now()"))
    till.session.commit()
    assert tending.read_fees(till.sessions, till.processor) == 0
    assert tending.read_refunds(till.sessions, till.processor) == 0
    assert tending.tend_checkouts(till.sessions, till.processor) == 0
    says = "was on its way when your Stripe account was disconnected"
    page = f"/invoices/{till.invoice_id}"
    assert says in till.owner.open(page).text
    assert "Your payment is on its way" in till.see()
    till.session.execute(text("UPDATE checkouts SET created_at = now() - interval '11 days'"))
    till.session.commit()
    assert "Amount due $100.00" in till.see()
    till.session.add(new_payment(till.firm, till.invoice, "100"))
    till.session.commit()
    assert says not in till.owner.open(page).text


def test_an_old_event_of_an_account_that_left_connects_nothing(till: Till) -> None:
    till.stripe.act("webhooks", mode="held")
    till.stripe.act("restrict", account=till.account)
    till.stripe.act("let_go", account=till.account)
    till.stripe.act("let_go_held", reversed=True)
    till.stripe.await_quiet()
    assert "no longer connected to DunaHub" in till.owner.open("/settings/payments").text


@pytest.mark.parametrize("order", ["reversed", "read before"])
def test_old_news_of_an_account_is_soon_corrected(till: Till, order: str) -> None:
    """Stripe restricts it, then not: the first event arrives last, or the answer to it."""
    till.stripe.act("webhooks", mode="held")
    till.stripe.act("restrict", account=till.account)
    old = till.processor.standing(till.account)
    till.stripe.act("onboard", account=till.account)
    till.stripe.act("let_go_held", reversed=order == "reversed")
    till.stripe.await_quiet()
    if order == "read before":
        recording.note_standing(till.session, old)
        till.session.commit()
    tending.read_standings(till.sessions, till.processor)
    assert "Pay by card" in till.see()
    assert tending.read_standings(till.sessions, till.processor) == 0


def test_an_account_that_could_not_be_read_is_read_again_soon(till: Till) -> None:
    till.session.execute(text("UPDATE processor_accounts SET asked_at = NULL, takes_cards = false"))
    till.session.commit()
    till.stripe.act("faults", path="accounts", kind="500_before", times=3)
    tending.read_standings(till.sessions, till.processor)
    till.session.execute(
        text("UPDATE processor_accounts SET asked_at = asked_at - interval '11 minutes'")
    )
    till.session.commit()
    tending.read_standings(till.sessions, till.processor)
    assert "Pay by card" in till.see()


def test_connecting_twice_makes_one_account(till: Till) -> None:
    till.owner.post("/settings/payments/connect")
    assert len(till.stripe.all("", "account")) == 1


def test_a_link_pays_its_own_invoice_whatever_is_sent_along(till: Till) -> None:
    other, _token = till.new_invoice("50", number="1044")
    page = till.client.client.get(f"/i/{till.token}").get_data(as_text=True)
    key = BeautifulSoup(page, "html.parser").select_one("[name=csrf_token]")
    assert key
    asked = {"method": "card", "invoice_id": str(other), "amount": "0.50", "account_id": "acct_x"}
    address = f"/i/{till.token}/pay?invoice_id={other}"
    answer = till.client.client.post(address, data={**asked, "csrf_token": str(key["value"])})
    assert answer.status_code == 303
    [checkout] = till.checkouts
    assert (checkout.invoice_id, checkout.amount) == (till.invoice_id, Decimal(100))
    assert checkout.account_id == till.account


def test_no_secret_is_in_a_page_or_a_log(till: Till, caplog: pytest.LogCaptureFixture) -> None:
    till.pay()
    payment = till.payments[0].id
    till.owner.open(f"/payments/{payment}/refund").submit({"amount": "10"}, press="Refund it")
    till.stripe.act("faults", path="refunds", kind="500_before", times=9)
    till.owner.open(f"/payments/{payment}/refund").submit({"amount": "10"}, press="Refund it")
    doors = (f"/payments/{payment}", f"/invoices/{till.invoice_id}", "/settings/payments")
    pages = "".join(till.owner.open(door).answer.get_data(as_text=True) for door in doors)
    pages += till.see() + till.see(args="?paid=1")
    logs = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    assert "refund not answered yet" in logs
    for secret in (STRIPE_KEY, PLATFORM_SECRET, CONNECT_SECRET, "whsec_", "sk_test_"):
        assert secret not in pages
        assert secret not in logs


def test_a_firm_in_brazil_has_no_online_payments(till: Till) -> None:
    till.session.get_one(Organization, till.firm).region = Region.BR
    till.session.commit()
    assert till.owner.open("/settings/payments").status == 404
    assert "Pay by card" not in till.see()
