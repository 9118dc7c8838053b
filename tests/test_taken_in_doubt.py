"""A customer that an unanswered create of a lead has made is that lead's until it is looked up."""

from sqlalchemy import text

from tests.support.situation import Situation
from tests.test_changed_while_in_doubt import wait_and_drain
from tests.test_edited_there import press


def in_doubt(at: Situation) -> int:
    """A lead whose create arrived, and was not answered; the copy of customers has it."""
    at.connect()
    at.simulator.fault(match={"path": "/customer", "times": 1}, do={"reset": "after"})
    lead = at.save_lead("Green Lawn Co", email="kim@lawn.example")
    at.drain()
    at.read_directory()
    return lead


def customer_of(at: Situation, lead: int) -> str | None:
    link = at.link("lead", lead)
    return link.remote_id if link else None


def test_another_lead_is_asked_about_it(at: Situation) -> None:
    first = in_doubt(at)
    second = at.save_lead("Green Lawn", email="kim@lawn.example")
    at.drain()
    wait_and_drain(at)
    [customer] = at.books("Customer")
    assert customer_of(at, first) == customer["Id"]
    assert at.fault() == "taken_by_another_record"
    press(at, f"/leads/{second}", "Use “Green Lawn Co” for both")
    assert customer_of(at, second) == customer["Id"]


def test_who_made_it_may_share_it_with_a_lead_that_was_linked(at: Situation) -> None:
    first = in_doubt(at)
    second = at.save_lead("Evergreen", email="other@lawn.example")
    at.drain()
    made = next(one for one in at.books("Customer") if one["DisplayName"] == "Green Lawn Co")
    at.session.execute(
        text("UPDATE outbox_links SET remote_id = :made WHERE aggregate_id = :lead"),
        {"made": made["Id"], "lead": second},
    )
    at.session.commit()
    wait_and_drain(at)
    panel = at.ana.open(f"/leads/{first}").panel()
    assert "This could be the customer “Green Lawn Co” in QuickBooks" in panel
    assert "belongs to another lead here" in panel
    press(at, f"/leads/{first}", "Use “Green Lawn Co” for both")
    wait_and_drain(at)
    assert customer_of(at, first) == customer_of(at, second) == made["Id"]
