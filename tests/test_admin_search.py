"""Staff find a row by anything it shows; an organization's page shows its status."""

import pytest
from sqlalchemy.orm import Session

from models.accounts import Role
from tests.support.situation import Situation
from tests.support.visitor import Visitor, new_person


@pytest.fixture
def admin(at: Situation) -> Visitor:
    at.connect()
    lead = at.save_lead("Green Lawn Co")
    for _ in range(3):
        at.pay(at.save_invoice(lead, "100"), "40")
    at.save_lead("Somebody else")
    new_person(at.session, None, "admin@dunahub.example", Role.ADMIN)
    return Visitor(at.app).sign_in("admin@dunahub.example")


def found(admin: Visitor, words: str) -> list[str]:
    admin.open("/admin/outbox?state=&q=" + words.replace(" ", "+"))
    cells = admin.page.select("main .list tbody tr td:nth-of-type(4)")
    return [" ".join(cell.get_text().split()) for cell in cells]


def test_the_number_of_an_invoice_finds_its_payment_too(admin: Visitor) -> None:
    assert found(admin, "1003") == [
        "Payment for invoice 1003",
        "Invoice 1003 · Green Lawn Co",
    ]


def test_a_customers_name_finds_every_row_that_shows_it(admin: Visitor) -> None:
    assert found(admin, "green lawn") == [
        "Invoice 1003 · Green Lawn Co",
        "Invoice 1002 · Green Lawn Co",
        "Invoice 1001 · Green Lawn Co",
        "Customer Green Lawn Co",
    ]


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("Rivera", 8),  # the organization
        ("Payment for", 3),
        ("Invoice 1002 · Green", 1),
        ("#1", 1),
        ("nobody", 0),
    ],
)
def test_whatever_a_row_shows_is_found(admin: Visitor, words: str, count: int) -> None:
    assert len(found(admin, words.replace("#", "%23"))) == count


def test_staff_read_one_clock_and_are_told_which(admin: Visitor, session: Session) -> None:
    admin.open("/admin/outbox?state=")
    assert "Created (UTC)" in admin.text
    times = admin.page.select("main .list time")
    assert times
    assert all(str(time["datetime"]).endswith("+00:00") for time in times)
    admin.open("/admin/outbox/1")
    assert "Times are UTC" in admin.text
    assert all(str(time["datetime"]).endswith("+00:00") for time in admin.page.select("main time"))


def test_an_organizations_page_says_how_it_is_with_quickbooks(
    admin: Visitor, at: Situation
) -> None:
    admin.open(f"/admin/organizations/{at.firm}")
    assert "Connection connected since" in admin.text
    assert "Last sent nothing yet" in admin.text
    assert "Waiting 8" in admin.text
    assert "Failed 0" in admin.text
    waiting = admin.page.find("a", string="8")
    assert waiting
    assert len(admin.open(str(waiting["href"])).page.select(".list tbody tr")) == 8  # type: ignore[index]
    at.drain()
    admin.open(f"/admin/organizations/{at.firm}")
    assert "Last sent nothing yet" not in admin.text
    assert "Waiting 0" in admin.text
