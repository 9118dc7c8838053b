"""A lead that may be the customer of another lead is asked about, on the same day, too."""

import pytest

from tests.support.situation import Situation


@pytest.mark.parametrize(
    ("email", "name", "is_asked"),
    [
        ("Kim@lawn.example", "Green Lawn Care Inc", True),
        ("office@lawn.example, kim@lawn.example", "Green Lawn Care Inc", True),
        ("kim@lawn.example", "Maple Court HOA", False),  # a property manager's address
        ("other@lawn.example", "Green Lawn Care Inc", False),
    ],
)
def test_two_leads_with_one_address_and_names_that_agree_are_asked_about(
    at: Situation, email: str, name: str, *, is_asked: bool
) -> None:
    at.connect()
    at.save_lead("Green Lawn", email="info@lawn.example; kim@lawn.example")
    at.drain()
    at.calls()
    at.save_lead(name, email=email)
    at.drain()
    asked = (at.fault(), len(at.books("Customer")))
    assert asked == (("taken_by_another_record", 1) if is_asked else (None, 2))
    assert not any(call.startswith("GET") for call in at.calls())


def test_a_customer_that_two_leads_share_is_offered_once(at: Situation) -> None:
    body = {"DisplayName": "Green Lawn Co", "PrimaryEmailAddr": {"Address": "kim@lawn.example"}}
    at.bookkeeper().post("customer", body)
    at.connect()
    at.save_lead("Green Lawn Co", email="kim@lawn.example")
    at.drain()
    second = at.save_lead("Green Lawn Care", email="kim@lawn.example")
    at.drain()
    at.ana.open(f"/leads/{second}").submit(press="Use “Green Lawn Co” for both")
    at.drain()
    third = at.save_lead("Green Lawn Office", email="kim@lawn.example")
    at.drain()
    assert at.fault() == "taken_by_another_record"
    assert "belongs to the lead “Green Lawn Co”" in at.ana.open(f"/leads/{third}").panel()
