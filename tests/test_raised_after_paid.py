"""An invoice that is raised after more was paid than it took: the credit pays it."""

import json
from typing import Any

import pytest
from sqlalchemy import select

from models.comparisons import Kind
from models.sales import Payment, RecordType
from tests.support.refunds import choose, choose_receipts, pass_and_drain, take_back
from tests.support.situation import RIVERA, SETTINGS, Situation
from tests.test_cases_counterpart import booked, edit_invoice
from tests.test_changed_while_in_doubt import forget, wait_and_drain
from tests.test_matching_books import ask, differences


def save_price(at: Situation, invoice: int, price: str) -> None:
    """Its one line costs so much now, though more was paid."""
    at.ana.open(f"/invoices/{invoice}/edit")
    at.ana.submit({"lines-0-unit_price": price}, press="Save invoice")
    if "is saved." not in at.ana.text:
        at.ana.submit({"confirms_below_paid": "y"}, press="Save invoice")
    assert "is saved." in at.ana.text


def priced(at: Situation, invoice: int, price: str) -> None:
    save_price(at, invoice, price)
    at.drain()


def unapplied(at: Situation) -> list[Any]:
    return [one["UnappliedAmt"] for one in at.books("Payment")]


def test_what_was_paid_too_much_pays_what_is_added(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "60")
    second = at.pay(invoice, "60")
    at.drain()
    assert unapplied(at) == [0, 20]
    priced(at, invoice, "115")
    assert booked(at)["Balance"] == 0
    assert unapplied(at) == [0, 5]
    assert {state.split()[1] for state in at.states()} == {"synced"}
    assert "the invoice takes no more in QuickBooks" in at.ana.open(f"/payments/{second}").text
    priced(at, invoice, "120")
    assert (booked(at)["Balance"], unapplied(at)) == (0, [0, 0])
    page = at.ana.open(f"/payments/{second}").text
    assert "takes no more" not in page
    assert "What was credit there pays its invoice now" in page


def test_what_quickbooks_took_off_a_lowered_invoice_pays_it_again(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "80")
    at.drain()
    priced(at, invoice, "50")
    assert (booked(at)["Balance"], unapplied(at)) == (0, [30])
    priced(at, invoice, "60")
    assert (booked(at)["Balance"], unapplied(at)) == (0, [20])
    priced(at, invoice, "100")
    assert (booked(at)["Balance"], unapplied(at)) == (20, [0])
    assert at.invoice(invoice).balance == 20


def test_a_raised_invoice_without_credit_asks_nothing(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "80")
    at.drain()
    at.calls()
    priced(at, invoice, "120")
    assert at.calls()[-1] == "POST invoice"  # and nothing is read after it
    assert booked(at)["Balance"] == 40


LOST: list[dict[str, object]] = [
    {"reset": "after"},
    {"timeout": "after"},
    {"reset": "before"},
    {"truncate": True},
    {"bump_sync_token": True},
]


@pytest.mark.parametrize("do", LOST)
def test_credit_pays_what_is_added_though_the_answer_is_lost(
    at: Situation, do: dict[str, object]
) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "120")
    at.drain()
    assert unapplied(at) == [20]
    match = {"entity": "Invoice", "method": "POST"}
    at.simulator.fault(match=match | {"times": 1}, do=do)
    priced(at, invoice, "115")
    at.simulator.clear_faults()
    pass_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (0, [5])


@pytest.mark.parametrize("do", LOST)
def test_what_a_lowered_invoice_gave_back_pays_it_again_though_answers_are_lost(
    at: Situation, do: dict[str, object]
) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "80")
    at.drain()
    match = {"entity": "Invoice", "method": "POST"}
    for price in ("50", "100"):
        at.simulator.fault(match=match | {"times": 1}, do=do)
        priced(at, invoice, price)
        at.simulator.clear_faults()
        pass_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (20, [0])


def overpaid(at: Situation) -> tuple[int, int]:
    """An invoice of $100 with two payments of $60; the second one's id, too."""
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "60")
    second = at.pay(invoice, "60")
    at.drain()
    return invoice, second


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("path", ["/invoice", "/payment"])
def test_a_lost_answer_leaves_no_credit_beside_what_is_open(
    at: Situation, path: str, when: str
) -> None:
    """The answer to the raise, or to the write that puts the credit on it."""
    invoice, second = overpaid(at)
    at.simulator.fault(match={"path": path, "times": 1}, do={"reset": when})
    priced(at, invoice, "120")
    forget(at)
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (0, [0, 0])
    ask(at)
    assert differences(at) == []
    page = at.ana.open(f"/payments/{second}").text
    assert "takes no more" not in page
    assert "What was credit there pays its invoice now" in page


def test_what_was_read_before_the_raise_was_acknowledged_hides_no_credit(at: Situation) -> None:
    """The daily comparison reads the new total before the lost answer is looked up."""
    invoice, _second = overpaid(at)
    at.simulator.fault(match={"path": "/invoice", "times": 1}, do={"reset": "after"})
    priced(at, invoice, "120")
    ask(at)
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (0, [0, 0])


def test_a_payment_voided_there_is_not_said_to_be_credit(at: Situation) -> None:
    invoice, second = overpaid(at)
    choose(at, taken_back="void")
    take_back(at, second, "60")
    at.drain()
    page = at.ana.open(f"/payments/{second}").text
    assert "Voided in QuickBooks" in page
    assert "takes no more" not in page
    assert invoice


def test_credit_of_a_deposited_payment_stays_credit(at: Situation) -> None:
    """QuickBooks changes nothing of what is in a bank deposit. The payment is there as it was."""
    invoice, second = overpaid(at)
    at.simulator.act(RIVERA, "deposit", payment_id=at.books("Payment")[1]["Id"])
    priced(at, invoice, "120")
    wait_and_drain(at)
    assert {state.split()[1] for state in at.states()} == {"synced"}
    page = at.ana.open(f"/payments/{second}").text
    assert "QuickBooks refused to put it on the invoice, so do it there" in page
    ask(at)
    assert [kind for kind, _type, _title in differences(at)] == [Kind.OTHER_BALANCE]


def test_what_the_bookkeeper_took_off_stays_off(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "100")
    at.drain()
    payment_id, invoice_id = at.books("Payment")[0]["Id"], at.books("Invoice")[0]["Id"]
    at.simulator.act(RIVERA, "unapply", payment_id=payment_id, invoice_id=invoice_id)
    priced(at, invoice, "120")
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (120, [100])
    ask(at)
    assert (Kind.OFF_INVOICE, RecordType.PAYMENT, "1001") in differences(at)


def test_a_lowered_invoice_leaves_no_difference(at: Situation) -> None:
    """QuickBooks took some off its payments: nothing can be put back."""
    invoice, second = overpaid(at)
    priced(at, invoice, "30")
    wait_and_drain(at)
    assert booked(at)["Balance"] == 0
    assert sum(unapplied(at)) == 90
    ask(at)
    assert differences(at) == []
    assert "takes no more" in at.ana.open(f"/payments/{second}").text
    priced(at, invoice, "100")
    assert (booked(at)["Balance"], sum(unapplied(at))) == (0, 20)
    assert differences(at) == []


def test_the_repeated_void_of_a_payment_frees_what_another_pays(at: Situation) -> None:
    """Its answer was lost, and the same request is sent again."""
    invoice, _second = overpaid(at)
    first = min(at.session.scalars(select(Payment.id)))
    choose(at, taken_back="void")
    at.simulator.fault(match={"path": "/payment", "times": 1}, do={"reset": "after"})
    take_back(at, first, "60")
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (40, [0, 0])
    assert invoice


def test_a_message_puts_back_nothing_that_the_bookkeeper_took_off(at: Situation) -> None:
    """She added a fee, too, so that the total is above the one we sent."""
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "100")
    at.drain()
    there = at.books("Invoice")[0]
    line = next(one for one in there["Line"] if one["DetailType"] == "SalesItemLineDetail")
    line = {key: value for key, value in line.items() if key != "Id"}
    detail = line["SalesItemLineDetail"] | {"Qty": 1, "UnitPrice": 5}
    fee = line | {"Description": "Late fee", "Amount": 5, "SalesItemLineDetail": detail}
    lines = json.loads(json.dumps([line, fee], default=float))
    at.simulator.act(RIVERA, "edit", entity="Invoice", object_id=there["Id"], Line=lines)
    payment_id = at.books("Payment")[0]["Id"]
    at.simulator.act(RIVERA, "unapply", payment_id=payment_id, invoice_id=there["Id"])
    edit_invoice(at, invoice, memo="Thank you")
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (105, [100])


def test_an_old_void_sent_again_puts_back_nothing(at: Situation) -> None:
    at.connect()
    choose(at, taken_back="void")
    invoice = at.save_invoice(at.save_lead(), "100")
    first = at.pay(invoice, "60")
    at.drain()
    take_back(at, first, "60")
    at.drain()
    at.pay(invoice, "100")
    at.drain()
    payment_id, invoice_id = at.books("Payment")[1]["Id"], at.books("Invoice")[0]["Id"]
    at.simulator.act(RIVERA, "unapply", payment_id=payment_id, invoice_id=invoice_id)
    at.ana.open(f"/payments/{first}").submit(press="Send again")
    at.drain()
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (100, [0, 100])


@pytest.mark.parametrize(
    ("unanswered", "found"),
    [({"path": "/payment"}, []), ({"path": "/query", "nth": 2}, [Kind.OTHER_BALANCE])],
    ids=["write", "read"],
)
def test_disconnecting_leaves_no_check_of_ours_behind(
    at: Situation, unanswered: dict[str, object], found: list[Kind]
) -> None:
    """Nobody changed the payments, so the owner is not asked about them."""
    invoice, second = overpaid(at)
    at.simulator.fault(match=unanswered | {"times": 9}, do={"status": 503})
    priced(at, invoice, "120")
    at.simulator.clear_faults()
    at.disconnect()
    at.connect()
    assert "Payment for invoice 1001" not in at.ana.open(SETTINGS).text
    wait_and_drain(at)
    assert {state.split()[1] for state in at.states()} <= {"synced", "superseded"}
    assert "In QuickBooks" in at.ana.open(f"/payments/{second}").text
    ask(at)
    assert [kind for kind, _type, _title in differences(at)] == found


def test_an_open_check_of_a_payment_about_which_the_owner_is_asked_waits_for_the_answer(
    at: Situation,
) -> None:
    invoice, second = overpaid(at)
    at.simulator.fault(match={"path": "/payment", "times": 9}, do={"status": 503})
    priced(at, invoice, "120")
    at.simulator.clear_faults()
    at.disconnect()
    take_back(at, second, "10")
    at.connect()
    assert "Payment for invoice 1001" in at.ana.open(SETTINGS).text
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (20, [0, 20])
    at.ana.open(SETTINGS).submit(press="Leave as they are")
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (20, [0, 20])


def taken_off(at: Situation) -> tuple[int, int]:
    """An invoice and its payment, which the bookkeeper took off it."""
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    payment = at.pay(invoice, "100")
    at.drain()
    payment_id, invoice_id = at.books("Payment")[0]["Id"], at.books("Invoice")[0]["Id"]
    at.simulator.act(RIVERA, "unapply", payment_id=payment_id, invoice_id=invoice_id)
    return invoice, payment


def test_what_the_bookkeeper_took_off_before_it_was_lowered_stays_off(at: Situation) -> None:
    """QuickBooks takes nothing off: nothing is on it any more."""
    invoice, payment = taken_off(at)
    priced(at, invoice, "80")
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (80, [100])
    assert "takes no more" not in at.ana.open(f"/payments/{payment}").text
    ask(at)
    assert (Kind.OFF_INVOICE, RecordType.PAYMENT, "1001") in differences(at)
    priced(at, invoice, "90")
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (90, [100])


def lowered_then_away(at: Situation) -> tuple[int, int]:
    """QuickBooks took half off the payment, and nobody read that before the disconnect."""
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    payment = at.pay(invoice, "100")
    at.drain()
    at.simulator.fault(match={"path": "/query", "nth": 2, "times": 9}, do={"status": 503})
    priced(at, invoice, "50")
    at.simulator.clear_faults()
    at.disconnect()
    assert "In QuickBooks" in at.ana.open(f"/payments/{payment}").text
    at.connect()
    assert "Payment for invoice 1001" not in at.ana.open(SETTINGS).text
    wait_and_drain(at)
    assert unapplied(at) == [50]
    return invoice, payment


def test_what_quickbooks_took_off_is_read_after_reconnecting(at: Situation) -> None:
    _invoice, payment = lowered_then_away(at)
    assert "part of it is credit" in at.ana.open(f"/payments/{payment}").text.lower()
    ask(at)
    assert differences(at) == []


def test_what_quickbooks_took_off_before_a_disconnect_pays_it_again(at: Situation) -> None:
    invoice, _payment = lowered_then_away(at)
    priced(at, invoice, "100")
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (0, [0])


@pytest.mark.parametrize("do", [{"fault": {"code": "10000"}}, {"status": 500}])
def test_credit_that_is_never_put_on_its_invoice_is_said_to_be_credit(
    at: Situation, do: dict[str, object]
) -> None:
    """Nobody saved anything, so it is no person's matter that the payment was sent."""
    invoice, second = overpaid(at)
    at.simulator.fault(match={"path": "/payment"}, do=do)
    priced(at, invoice, "120")
    pass_and_drain(at, 14)
    assert at.entry().state == "synced", at.fault()
    page = at.ana.open(f"/payments/{second}").text
    assert "QuickBooks: In QuickBooks" in page
    assert "part of it is credit there" in page
    assert "needs attention" not in at.ana.open(SETTINGS).text.lower()


def test_a_payment_is_in_quickbooks_while_a_check_of_ours_waits(at: Situation) -> None:
    invoice, second = overpaid(at)
    at.simulator.fault(match={"path": "/query", "nth": 2, "times": 9}, do={"status": 429})
    priced(at, invoice, "120")
    assert at.entry().state == "pending"
    assert "QuickBooks: In QuickBooks" in at.ana.open(f"/payments/{second}").text
    assert "Waiting" not in at.ana.open("/payments").text
    assert "0 Waiting" in at.ana.open(SETTINGS).text


def test_a_check_of_ours_that_gets_no_answer_is_no_record_that_waits(at: Situation) -> None:
    invoice, _second = overpaid(at)
    at.simulator.fault(match={"path": "/payment", "times": 1}, do={"reset": "after"})
    priced(at, invoice, "120")
    assert at.entry().state == "pending"
    page = at.ana.open(SETTINGS).text
    assert "0 Waiting" in page
    assert "1 record is waiting" not in page


def test_what_quickbooks_took_off_is_read_again_while_lists_lag(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    payment = at.pay(invoice, "100")
    at.drain()
    priced(at, invoice, "100.00")  # its version is known then
    at.simulator.company(RIVERA, list_delay=86_400, list_hides_new=False)
    priced(at, invoice, "50")
    at.simulator.company(RIVERA, list_delay=0)
    wait_and_drain(at)
    assert unapplied(at) == [50]
    assert "part of it is credit" in at.ana.open(f"/payments/{payment}").text.lower()
    priced(at, invoice, "100")
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (0, [0])


def test_a_payment_that_never_was_credit_is_not_said_to_have_been(at: Situation) -> None:
    invoice, second = overpaid(at)
    priced(at, invoice, "80")
    wait_and_drain(at)
    assert unapplied(at) == [0, 40]
    assert "What was credit" not in at.ana.open(f"/payments/{second - 1}").text


def test_checks_of_ours_are_in_no_list_and_no_sum(at: Situation) -> None:
    invoice, _second = overpaid(at)
    before = at.ana.open("/settings/quickbooks/activity").text.count("Payment for invoice 1001")
    priced(at, invoice, "120")
    assert len(at.states()) > before
    page = at.ana.open("/settings/quickbooks/activity").text
    assert page.count("Payment for invoice 1001") == before


@pytest.mark.parametrize("do", [{"reset": "after"}, {"status": 503}])
def test_a_payment_that_was_overtaken_by_ours_is_credit(
    at: Situation, do: dict[str, object]
) -> None:
    """What is on the invoice is ours, so nobody is asked whether it is the same money."""
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "120")
    at.simulator.fault(match={"path": "/payment", "times": 1}, do=do)
    for amount in ("60", "100", "60"):
        at.pay(invoice, amount)
    at.drain()
    wait_and_drain(at)
    assert {state.split()[1] for state in at.states()} == {"synced"}, at.fault(-2)
    assert (booked(at)["Balance"], sum(unapplied(at))) == (0, 100)


def test_what_was_paid_too_much_goes_back_off_its_payment(at: Situation) -> None:
    """No goodwill, though the invoice stays paid: no receipt is booked for it."""
    at.connect()
    choose_receipts(at)
    invoice = at.save_invoice(at.save_lead(), "100")
    payment = at.pay(invoice, "100")
    at.drain()
    priced(at, invoice, "70")
    at.ana.open(f"/payments/{payment}/refund").submit({"amount": "30"}, press="Record refund")
    at.drain()
    assert at.books("RefundReceipt") == []
    assert "more was paid than is due" not in at.ana.open(f"/invoices/{invoice}").text
    assert at.invoice(invoice).balance == 0


def test_what_the_bookkeeper_took_off_one_of_two_payments_stays_off(at: Situation) -> None:
    """QuickBooks takes something off the other one."""
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    for amount in ("60", "40"):
        at.pay(invoice, amount)
        at.drain()
    payment_id, invoice_id = at.books("Payment")[1]["Id"], at.books("Invoice")[0]["Id"]
    at.simulator.act(RIVERA, "unapply", payment_id=payment_id, invoice_id=invoice_id)
    priced(at, invoice, "50")
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (0, [10, 40])
    ask(at)
    assert differences(at) == [(Kind.OFF_INVOICE, RecordType.PAYMENT, "1001")]
    priced(at, invoice, "90")
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (30, [0, 40])


@pytest.mark.parametrize(("price", "left"), [("20", [40, 40]), ("60", [0, 40])])
def test_of_two_payments_that_may_be_meant_none_is_put_back(
    at: Situation, price: str, left: list[int]
) -> None:
    """The bookkeeper took all of the second one off. QuickBooks took as much off the first one, or
    nothing."""
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    for amount in ("60", "40"):
        at.pay(invoice, amount)
        at.drain()
    payment_id, invoice_id = at.books("Payment")[1]["Id"], at.books("Invoice")[0]["Id"]
    at.simulator.act(RIVERA, "unapply", payment_id=payment_id, invoice_id=invoice_id)
    priced(at, invoice, price)
    wait_and_drain(at)
    assert unapplied(at) == left
    ask(at)
    assert (Kind.OFF_INVOICE, RecordType.PAYMENT, "1001") in differences(at)
    priced(at, invoice, "90")
    wait_and_drain(at)
    assert unapplied(at) == left


@pytest.mark.parametrize("is_lost", [False, True])
def test_what_the_bookkeeper_took_off_stays_off_however_often_it_is_raised(
    at: Situation, *, is_lost: bool
) -> None:
    """QuickBooks took something off before, which is put back."""
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "100")
    at.drain()
    priced(at, invoice, "60")
    wait_and_drain(at)
    payment_id, invoice_id = at.books("Payment")[0]["Id"], at.books("Invoice")[0]["Id"]
    at.simulator.act(RIVERA, "unapply", payment_id=payment_id, invoice_id=invoice_id)
    for price, left in (("80", 40), ("200", 160), ("300", 260)):
        if is_lost:
            lost = {"reset": "after"}
            at.simulator.fault(match={"path": "/payment", "method": "POST", "times": 1}, do=lost)
        priced(at, invoice, price)
        wait_and_drain(at)
        assert (booked(at)["Balance"], unapplied(at)) == (left, [60])
    ask(at)
    assert (Kind.OFF_INVOICE, RecordType.PAYMENT, "1001") in differences(at)


def test_what_was_taken_off_in_two_steps_before_it_was_read_pays_again(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "100")
    at.drain()
    priced(at, invoice, "100.00")  # its version is known then
    at.simulator.company(RIVERA, list_delay=86_400, list_hides_new=False)
    for price in ("70", "50"):
        priced(at, invoice, price)
    at.simulator.company(RIVERA, list_delay=0)
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (0, [50])
    ask(at)
    assert differences(at) == []
    priced(at, invoice, "100")
    wait_and_drain(at)
    assert (booked(at)["Balance"], unapplied(at)) == (0, [0])


@pytest.mark.parametrize("amounts", [("50", "50"), ("30", "30", "40")])
def test_lists_that_lag_hide_nothing_that_was_taken_off_several_payments(
    at: Situation, amounts: tuple[str, ...]
) -> None:
    """None of them alone is above the total."""
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    for amount in amounts:
        at.pay(invoice, amount)
        at.drain()
    priced(at, invoice, "100.00")  # its version is known then
    at.simulator.company(RIVERA, list_delay=86_400, list_hides_new=False)
    priced(at, invoice, "50")
    at.simulator.company(RIVERA, list_delay=0)
    wait_and_drain(at)
    assert (booked(at)["Balance"], sum(unapplied(at))) == (0, 50)
    ask(at)
    assert differences(at) == []
    priced(at, invoice, "100")
    wait_and_drain(at)
    assert (booked(at)["Balance"], sum(unapplied(at))) == (0, 0)
