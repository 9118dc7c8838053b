"""Cases in which a record once landed on the wrong customer, or on none."""

import pytest
from sqlalchemy import text

from models.sales import Lead
from quickbooks.matching import names_agree
from tests.support.connected import RIVERA
from tests.support.drains import make_older
from tests.support.situation import Situation


def there(at: Situation, name: str, email: str, phone: str = "") -> str:
    body: dict[str, object] = {"DisplayName": name, "PrimaryEmailAddr": {"Address": email}}
    if phone:
        body["PrimaryPhone"] = {"FreeFormNumber": phone}
    return str(at.bookkeeper().post("customer", body).object("Customer")["Id"])


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Maple Court HOA", "phone": "555-200-0002"},
        {"name": "Maple Court HOA"},
        {"name": "Harborview HOA", "phone": "555-200-0002"},
    ],
    ids=["name and phone differ", "name differs", "phone differs"],
)
def test_case_r11_agreement_in_one_field_beside_contradiction_asks(
    at: Situation, fields: dict[str, str]
) -> None:
    there(at, "Harborview HOA", "manager@pm.example", "555-100-0001")
    at.connect()
    lead = at.save_lead(email="manager@pm.example", **fields)
    at.save_invoice(lead)
    at.drain()
    assert at.fault(0) == "perhaps_another"
    assert at.books("Invoice") == []
    at.ana.open(f"/leads/{lead}").submit(press="Create a separate customer")
    at.drain()
    if fields["name"] != "Harborview HOA":  # a name is taken once
        assert len(at.books("Customer")) == 2
        assert at.books("Invoice")[0]["CustomerRef"]["name"] == "Maple Court HOA"


def test_case_r11_the_existing_customer_can_be_used(at: Situation) -> None:
    customer = there(at, "Harborview HOA", "manager@pm.example")
    at.connect()
    lead = at.save_lead("Maple Court HOA", email="manager@pm.example")
    at.drain()
    at.ana.open(f"/leads/{lead}").submit(press="Use the existing customer Harborview HOA")
    at.drain()
    link = at.link("lead", lead)
    assert link
    assert link.remote_id == customer


@pytest.mark.parametrize(
    "theirs",
    [
        "front@pm.example,billing@pm.example",
        "front@pm.example,BILLING@pm.example",
        "mailto:billing@pm.example",
        "billing@pm.example.",
    ],
)
def test_case_r12_each_address_of_a_field_is_compared(at: Situation, theirs: str) -> None:
    with_address = {"DisplayName": "Green Lawn Co", "PrimaryEmailAddr": {"Address": theirs}}
    answer = at.bookkeeper().post("customer", with_address)
    if answer.status != 200:
        pytest.fail("the simulated company refuses this address")
    at.connect()
    lead = at.save_lead("Green Lawn", email="billing@pm.example")
    at.drain()
    assert len(at.books("Customer")) == 1
    link = at.link("lead", lead)
    assert link
    assert link.remote_id


def test_case_r12_several_addresses_of_a_lead_are_kept(at: Situation) -> None:
    at.connect()
    at.save_lead("Green Lawn", email="front@pm.example, billing@pm.example")
    at.drain()
    [customer] = at.books("Customer")
    assert customer["PrimaryEmailAddr"]["Address"] == "front@pm.example,billing@pm.example"


def test_case_e34_two_leads_of_one_customer_share_it_once_asked(at: Situation) -> None:
    customer = there(at, "Green Lawn Co", "kim@lawn.example")
    at.connect()
    place = {"street": "12 Elm Street", "city": "Austin", "state": "TX", "phone": "512-555-0142"}
    first = at.save_lead("Green Lawn Co", email="kim@lawn.example", **place)
    at.drain()
    second = at.save_lead("Green Lawn Co, North", email="kim@lawn.example", street="9 Oak Road")
    at.drain()
    assert at.fault() == "taken_by_another_record"
    invoice = at.save_invoice(second)
    at.drain()
    for page in (f"/leads/{second}", f"/invoices/{invoice}"):  # what tells the two apart
        panel = at.ana.open(page).panel()
        told = "The other lead Green Lawn Co 12 Elm Street Austin, TX 512-555-0142 kim@lawn.example"
        assert told in panel
        assert "This lead Green Lawn Co, North 9 Oak Road kim@lawn.example" in panel
    at.ana.open(f"/leads/{second}").submit(press="Use “Green Lawn Co” for both")
    at.drain()
    for lead in (first, second):
        link = at.link("lead", lead)
        assert link
        assert link.remote_id == customer
    assert at.books("Invoice")[0]["CustomerRef"]["value"] == customer


def test_case_e34_one_that_is_looked_for_and_is_another_leads_can_be_shared_too(
    at: Situation,
) -> None:
    customer = there(at, "Green Lawn Co", "kim@lawn.example")
    at.connect()
    first = at.save_lead("Green Lawn Co", email="kim@lawn.example")
    at.drain()
    second = at.save_lead("Green Lawn Co", email="kim@lawn.example")
    with at.sessions() as session:
        make_older(session)  # it may have arrived, so it is looked for
    at.drain()
    assert at.fault() == "taken_by_another_record"
    panel = at.ana.open(f"/leads/{second}").panel()
    assert (
        "This could be the customer “Green Lawn Co” in QuickBooks, but that one belongs to" in panel
    )
    at.ana.submit(press="Use “Green Lawn Co” for both")
    at.drain()
    for lead in (first, second):
        link = at.link("lead", lead)
        assert link
        assert link.remote_id == customer


def test_case_e12_a_decision_about_a_deleted_leads_customer_is_carried_out(at: Situation) -> None:
    at.connect()
    lead = at.save_lead("Green Lawn Co")
    invoice = at.save_invoice(lead)
    at.drain()
    [customer] = at.books("Customer")
    at.bookkeeper().post(
        "customer",
        {"Id": customer["Id"], "SyncToken": customer["SyncToken"], "sparse": True,
         "DisplayName": customer["DisplayName"], "Active": False},
    )  # fmt: skip
    with at.sessions.begin() as session:
        session.get_one(Lead, lead).deleted_at = session.scalar(text("SELECT now()"))
    at.drain()
    payment = at.pay(invoice, "40")
    at.drain()
    assert at.fault() == "its_customer_inactive"
    at.ana.open(f"/payments/{payment}").submit(press="Reactivate it in QuickBooks")
    at.drain()
    at.drain()
    assert at.books("Customer", RIVERA)[0]["Active"] is True
    assert at.books("Payment")[0]["TotalAmt"] == 40


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        ("Green Lawn", "Green Lawn Co", True),
        ("Green Lawn Inc.", "GREEN LAWN, LLC", True),
        ("Kim Green", "Green Lawn", False),
        ("Maple Court HOA", "Harborview HOA", False),
        ("", "Green", False),
        ("John Smith", "John Smith Jr.", False),
        ("Maple Court HOA", "Maple Court HOA Phase 2", False),
        ("Green Lawn", "Green Lawn North", False),
        ("Acme", "Acme Two", False),
        ("Oak Unit 4", "Oak", False),
        ("Unit 4 Oak", "Oak Co, Unit 4", True),
        ("Kim Green", "Kim A. Green", True),
        ("Maple Court - plain@customer.example", "Plain Customer", False),
        ("Maple Court - plain@customer.example", "Maple Court HOA", True),
        ("office@green-lawn.example", "Office@green-lawn.example", True),
    ],
)
def test_names_agree_where_the_shorter_is_in_the_longer(one: str, other: str, agree: bool) -> None:
    assert names_agree(one, other) is agree


def choose(at: Situation, lead: int, customer: str) -> None:
    at.ana.open(f"/quickbooks/customers/{lead}").submit(
        {"customer": customer}, press="Use this one"
    )
    at.drain()


def test_case_r11_a_link_is_taken_back_and_what_was_sent_is_named(at: Situation) -> None:
    theirs = there(at, "Harborview HOA", "manager@pm.example")
    at.connect()
    lead = at.save_lead("Harborview", email="manager@pm.example")
    invoice = at.save_invoice(lead)
    at.drain()
    link = at.link("lead", lead)
    assert link
    assert link.remote_id == theirs
    at.ana.open(f"/leads/{lead}")
    assert at.ana.page.find("a", string="Not this customer")
    at.ana.open(f"/quickbooks/customers/{lead}")
    assert f"Invoice {at.invoice(invoice).number}" in at.ana.text
    choose(at, lead, "new")
    link = at.link("lead", lead)
    assert link
    assert link.remote_id not in (None, theirs)
    assert [one["DisplayName"] for one in at.books("Customer")] == ["Harborview HOA", "Harborview"]
    assert at.books("Invoice")[0]["CustomerRef"]["value"] == theirs
    at.ana.open(f"/invoices/{invoice}").submit(press="Send again")
    at.drain()
    assert at.books("Invoice")[0]["CustomerRef"]["value"] == link.remote_id


def test_a_customer_that_was_ruled_out_is_not_linked_again_by_its_name(at: Situation) -> None:
    there(at, "Harborview HOA", "manager@pm.example")
    at.connect()
    lead = at.save_lead("Harborview HOA", email="manager@pm.example")
    at.drain()
    choose(at, lead, "new")
    assert at.fault(-1) == "6240"
    assert len(at.books("Customer")) == 1
    at.session.rollback()
    at.session.get_one(Lead, lead).quickbooks_name = "Harborview HOA North"  # as it is offered
    at.session.commit()
    at.drain()
    assert [one["DisplayName"] for one in at.books("Customer")] == [
        "Harborview HOA",
        "Harborview HOA North",
    ]


def test_a_link_is_moved_to_another_customer_that_is_there(at: Situation) -> None:
    there(at, "Harborview HOA", "manager@pm.example")
    other = there(at, "Oakview HOA", "oak@pm.example")
    at.connect()
    lead = at.save_lead("Harborview", email="manager@pm.example")
    at.drain()
    choose(at, lead, other)
    link = at.link("lead", lead)
    assert link
    assert link.remote_id == other
    assert len(at.books("Customer")) == 2


def test_an_invoice_meanwhile_goes_to_the_customer_that_was_chosen(at: Situation) -> None:
    """It is saved after the choice, and before QuickBooks was asked about it."""
    there(at, "Harborview HOA", "manager@pm.example")
    other = there(at, "Oakview HOA", "oak@pm.example")
    at.connect()
    lead = at.save_lead("Harborview", email="manager@pm.example")
    at.drain()
    at.ana.open(f"/quickbooks/customers/{lead}").submit({"customer": other}, press="Use this one")
    at.save_invoice(lead)
    at.drain()
    at.drain()
    assert [one["CustomerRef"]["value"] for one in at.books("Invoice")] == [other]


@pytest.mark.parametrize("customer", ["", "x", "-1", "²"])
def test_nothing_is_taken_back_without_a_choice(at: Situation, customer: str) -> None:
    at.connect()
    lead = at.save_lead("Harborview")
    at.drain()
    link = at.link("lead", lead)
    assert link
    told = {"customer": customer, "linked": link.remote_id}
    at.ana.post(f"/quickbooks/customers/{lead}", told)
    at.ana.open(f"/quickbooks/customers/{lead}")
    assert "Choose one of them first" in at.ana.text
    assert at.states() == ["lead synced"]


def test_a_lead_that_is_not_linked_has_nothing_to_take_back(at: Situation) -> None:
    lead = at.save_lead("Harborview")
    at.connect()
    at.ana.open(f"/quickbooks/customers/{lead}")
    assert "is not linked to a customer" in at.ana.text
