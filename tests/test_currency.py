"""Customers that have another currency in QuickBooks: our invoices are in dollars."""

import pytest

from models.outbox import Counterpart
from models.quickbooks import Customer
from tests.support.situation import RIVERA, Situation
from tests.test_edited_there import press

EMAIL = "kim@lawn.example"


def customer(at: Situation, name: str, currency: str | None, email: str = EMAIL) -> str:
    at.simulator.company(RIVERA, MultiCurrencyEnabled=True)
    told = {"DisplayName": name, "PrimaryEmailAddr": {"Address": email}}
    told |= {"CurrencyRef": {"value": currency}} if currency else {}
    return str(at.bookkeeper().post("customer", told).object("Customer")["Id"])


def invoiced(at: Situation) -> list[str]:
    return [one["CustomerRef"]["value"] for one in at.books("Invoice")]


def customer_of(at: Situation, lead: int) -> str | None:
    link = at.link("lead", lead)
    return link.remote_id if link else None


def test_a_customer_with_another_currency_is_not_linked_by_itself(at: Situation) -> None:
    theirs = customer(at, "Green Lawn CAD", "CAD")
    at.connect()
    lead = at.save_lead("Green Lawn", email=EMAIL)
    at.save_invoice(lead)
    at.drain()
    assert at.states() == ["lead failed", "invoice pending"]
    assert at.fault(-2) == "other_currency"
    panel = at.ana.open(f"/leads/{lead}").panel()
    assert "“Green Lawn CAD” in QuickBooks has the currency CAD" in panel
    press(at, f"/leads/{lead}", "Create a separate customer")
    assert at.states()[-2:] == ["lead synced", "invoice synced"], at.entry().fault_code
    assert theirs not in invoiced(at)


def test_one_with_the_same_name_gets_another_name(at: Situation) -> None:
    theirs = customer(at, "Green Lawn", "CAD")
    at.connect()
    lead = at.save_lead("Green Lawn", email=EMAIL, phone="916-555-0142")
    at.drain()
    assert at.fault() == "other_currency"
    press(at, f"/leads/{lead}", at.entry().fault_about["suggestion"].join(["Send as “", "”"]))
    assert at.entry().state == "synced"
    assert customer_of(at, lead) not in (None, theirs)


@pytest.mark.parametrize("currency", [None, "USD"])
def test_one_with_our_currency_is_linked_whoever_is_beside_it(
    at: Situation, currency: str | None
) -> None:
    customer(at, "Green Lawn CAD", "CAD")
    ours = customer(at, "Green Lawn Inc", currency)
    at.connect()
    lead = at.save_lead("Green Lawn", email=EMAIL)
    at.drain()
    assert (at.entry().state, customer_of(at, lead)) == ("synced", ours)


def test_one_that_came_since_is_refused_whether_chosen_or_found(at: Situation) -> None:
    at.connect()
    theirs = customer(at, "Green Lawn", "EUR")
    lead = at.save_lead("Green Lawn", email=EMAIL)
    at.drain()
    assert at.fault() == "other_currency"  # found by its name, which QuickBooks refused
    address = f"/quickbooks/fixes/{at.entry().id}/choose_customer"
    assert "Green Lawn" not in [one.text for one in at.ana.open(address).page.find_all("label")]
    at.ana.submit({"customer": theirs})
    at.drain()
    assert (at.fault(), customer_of(at, lead)) == ("other_currency", None)


def test_an_invoice_of_a_customer_with_another_currency_says_so(at: Situation) -> None:
    """A lead that was linked before its customer's currency was looked at."""
    theirs = customer(at, "Somebody else", "CAD", email="x@else.example")
    at.connect()
    lead = at.save_lead("Green Lawn", email=EMAIL)
    at.drain()
    link = at.session.query(Counterpart).filter_by(record_id=lead, record_type="lead").one()
    link.remote_id, link.remote_version = theirs, "0"
    at.session.commit()
    first = at.save_invoice(lead)
    at.save_invoice(lead)
    at.drain()
    assert [at.fault(-2), at.fault(-1)] == ["its_customer_currency"] * 2
    panel = at.ana.open(f"/invoices/{first}").panel()
    assert "The customer “Somebody else” has the currency CAD in QuickBooks" in panel
    press(at, f"/invoices/{first}", "Create a separate customer")
    at.drain()
    # the name is that of the customer that the lead had before: it is ours, and linked again
    assert at.entry().state == "synced", (at.states(), at.fault(-1))
    assert len(invoiced(at)) == 2
    assert theirs not in invoiced(at)


def test_the_currency_is_kept_with_the_copy_of_customers(at: Situation) -> None:
    customer(at, "Green Lawn CAD", "CAD")
    at.connect()
    stored = at.session.query(Customer).filter_by(name="Green Lawn CAD").one()
    assert stored.currency == "CAD"


def test_an_import_leaves_out_customers_with_another_currency(at: Situation) -> None:
    customer(at, "Maple Homes", "CAD")
    customer(at, "Plain", None, "plain@homes.example")
    at.connect()
    page = at.ana.open("/leads/imports/new")
    assert "Those in another currency are left out" in page.text
    page.submit(press="Review them")
    assert "1 new lead" in at.ana.text
    assert "Maple Homes" not in at.ana.text
    at.ana.submit(press="Save as leads")
    at.drain()
    assert at.states() == ["lead synced"]


def test_an_import_says_nothing_of_currencies_where_there_is_one(at: Situation) -> None:
    at.connect()
    assert "another currency" not in at.ana.open("/leads/imports/new").text
