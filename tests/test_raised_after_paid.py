"""An invoice that is raised after more was paid than it took: the credit pays it."""

import pytest

from tests.support.refunds import pass_and_drain
from tests.support.situation import Situation
from tests.test_cases_counterpart import booked


def priced(at: Situation, invoice: int, price: str) -> None:
    """Its one line costs so much now, though more was paid."""
    at.ana.open(f"/invoices/{invoice}/edit")
    at.ana.submit({"lines-0-unit_price": price}, press="Save invoice")
    if "is saved." not in at.ana.text:
        at.ana.submit({"confirms_below_paid": "y"}, press="Save invoice")
    assert "is saved." in at.ana.text
    at.drain()


def unapplied(at: Situation) -> list[object]:
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
