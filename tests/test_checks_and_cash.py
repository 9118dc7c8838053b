"""Checks and cash: recorded with a check's number, booked by their own QuickBooks method."""

import pytest
from sqlalchemy import select

from models.sales import Payment
from tests.support.situation import Situation
from tests.support.visitor import PASSWORD
from web.access import PASSWORD_FRESH_SECONDS


def pay(at: Situation, method: str, **fields: str) -> None:
    invoice = at.save_invoice(at.save_lead(f"Pays by {method}"))
    at.ana.open(f"/invoices/{invoice}/payments/new")
    at.ana.submit({"amount": "40", "method": method} | fields, press="Record payment")
    assert at.ana.status == 200, at.ana.text


@pytest.mark.parametrize(("method", "name"), [("check", "Check"), ("cash", "Cash")])
def test_each_is_booked_by_the_method_of_that_name(at: Situation, method: str, name: str) -> None:
    at.connect()
    pay(at, method)
    at.drain()
    [booked] = at.books("Payment")
    names = {one["Id"]: one["Name"] for one in at.books("PaymentMethod")}
    assert names[booked["PaymentMethodRef"]["value"]] == name
    assert name in at.ana.open("/payments").text


def test_a_checks_number_is_kept_and_goes_into_the_note(at: Situation) -> None:
    at.connect()
    pay(at, "check", reference="1042", note="Left at the desk")
    at.drain()
    [booked] = at.books("Payment")
    assert booked["PrivateNote"].endswith("Check 1042. Left at the desk")
    payment = at.session.scalars(select(Payment)).one()
    assert "Check 1042" in at.ana.open(f"/payments/{payment.id}").text


def test_only_a_check_has_a_number(at: Situation) -> None:
    pay(at, "cash", reference="1042")
    assert at.session.scalars(select(Payment)).one().reference == ""


def test_an_owner_chooses_where_checks_and_cash_go(at: Situation) -> None:
    at.connect()
    page = at.ana.open("/settings/quickbooks/arrivals").page
    accounts = {one.get_text(): str(one["value"]) for one in page.select("#check_deposits option")}
    at.ana.submit({"check_deposits": accounts["Checking"], "cash_method": ""}, press="Save")
    pay(at, "check")
    pay(at, "cash")
    at.drain()
    check, cash = sorted(at.books("Payment"), key=lambda one: int(one["Id"]))
    assert check["DepositToAccountRef"]["value"] == accounts["Checking"]
    assert "PaymentMethodRef" not in cash


def test_case_s01_where_money_goes_asks_for_an_old_password_again(at: Situation) -> None:
    at.connect()
    page = at.ana.open("/settings/quickbooks/arrivals").page
    accounts = {one.get_text(): str(one["value"]) for one in page.select("#check_deposits option")}
    before = at.connection.settings
    with at.ana.client.session_transaction() as cookie:
        cookie["signed_in_at"] -= PASSWORD_FRESH_SECONDS + 1
    at.ana.submit({"check_deposits": accounts["Checking"]}, press="Save")
    assert (at.ana.path, at.connection.settings) == ("/confirm", before)
    at.ana.submit({"password": PASSWORD}).submit(press="Continue")
    at.ana.submit(press="Save")
    assert at.connection.settings["deposit_accounts"]["check"] == accounts["Checking"]


@pytest.mark.parametrize(("method", "name"), [("check", "Check"), ("cash", "Cash")])
def test_the_preview_of_an_unsent_invoice_names_how_it_was_paid(
    at: Situation, method: str, name: str
) -> None:
    pay(at, method)
    at.connect()
    [invoice] = at.session.scalars(select(Payment.invoice_id))
    at.ana.open(f"/quickbooks/send/invoices/{invoice}")
    assert f"$40.00 · {name} · received" in at.ana.text


def test_how_it_was_paid_is_never_guessed(at: Situation) -> None:
    invoice = at.save_invoice(at.save_lead("Pays somehow"))
    page = at.ana.open(f"/invoices/{invoice}/payments/new")
    assert page.page.select("[name=method][checked]") == []
    at.ana.submit({"amount": "40"}, press="Record payment")
    assert at.ana.status == 422
    assert "How was it paid?" in at.ana.text
    assert at.session.scalars(select(Payment)).all() == []
