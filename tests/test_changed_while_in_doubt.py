"""A customer that a bookkeeper changes while it is unknown whether our create arrived: never a
second one, and a person is asked when it is not clear which one is ours."""

import pytest
from sqlalchemy import text

from tests.support.situation import RIVERA, Situation
from tests.test_cases_counterpart import edit_lead

NAME = "Green Lawn Co"


def lost_create(at: Situation, does: str = "after", **fields: str) -> int:
    at.connect()
    at.simulator.fault(match={"path": "/customer", "times": 1}, do={"reset": does})
    lead = at.save_lead(NAME, **fields)
    at.drain()
    return lead


def change_there(at: Situation, **values: object) -> str:
    """The bookkeeper's change of the customer that was just created; its id."""
    made = at.books("Customer")[0]
    body = {"Id": made["Id"], "SyncToken": made["SyncToken"], "sparse": True, **values}
    at.bookkeeper().post("customer", {"DisplayName": NAME, **body})
    return str(made["Id"])


def forget(at: Situation) -> None:
    """Nobody knows the request by its id any more, here and there."""
    at.simulator.company(RIVERA, requestid_ttl=0.0)
    with at.sessions.begin() as session:
        session.execute(
            text("UPDATE outbox_dispatches SET created_at = created_at - interval '11 minutes'")
        )


def wait_and_drain(at: Situation) -> None:
    for _ in range(6):
        at.pass_time()
        at.drain()


def customers(at: Situation) -> list[str]:
    return sorted(str(one["DisplayName"]) for one in at.books("Customer"))


PHONE = {"PrimaryPhone": {"FreeFormNumber": "555-999-0000"}}


@pytest.mark.parametrize(
    ("values", "fields", "renamed_here"),
    [
        (PHONE, {"phone": "555-200-0001"}, True),
        ({"DisplayName": "Kim's garden"}, {"email": "kim@lawn.example"}, False),
        ({"DisplayName": "Green Lawn Co, North"}, {}, False),
    ],
)
def test_a_customer_changed_there_while_in_doubt_is_asked_about(
    at: Situation, values: dict[str, object], fields: dict[str, str], renamed_here: bool
) -> None:
    lead = lost_create(at, **fields)
    remote_id = change_there(at, **values)
    if renamed_here:
        edit_lead(at, lead, name="Evergreen Lawn Care")
    forget(at)
    wait_and_drain(at)
    assert len(at.books("Customer")) == 1, customers(at)
    there = str(at.books("Customer")[0]["DisplayName"])
    assert at.fault() == "perhaps_ours"
    page = at.ana.open(f"/leads/{lead}")
    assert f"It now has “{there}”" in page.text
    page.submit(press=f"Use the existing customer {there}")
    wait_and_drain(at)
    assert len(at.books("Customer")) == 1, customers(at)
    assert at.entry().state == "synced", at.entry().fault_code
    link = at.link("lead", lead)
    assert link
    assert link.remote_id == remote_id
    name = "Evergreen Lawn Care" if renamed_here else there
    assert customers(at) == [name]


def test_a_separate_customer_is_created_if_a_person_says_so(at: Situation) -> None:
    lead = lost_create(at, phone="555-200-0001")
    change_there(at, DisplayName="Kim's garden")
    forget(at)
    wait_and_drain(at)
    at.ana.open(f"/leads/{lead}").submit(press="Create a separate customer")
    wait_and_drain(at)
    assert customers(at) == [NAME, "Kim's garden"]
    assert at.entry().state == "synced", at.entry().fault_code


def test_a_separate_customer_of_the_same_name_is_asked_about_once(at: Situation) -> None:
    lead = lost_create(at, phone="555-200-0001")
    change_there(at, **PHONE)
    forget(at)
    wait_and_drain(at)
    at.ana.open(f"/leads/{lead}").submit(press="Create a separate customer")
    wait_and_drain(at)
    assert at.fault() == "6240"  # QuickBooks has each name once
    at.ana.open(f"/leads/{lead}").submit(press="Send as “Green Lawn Co - 200-0001”")
    wait_and_drain(at)
    assert customers(at) == [NAME, "Green Lawn Co - 200-0001"]
    assert at.entry().state == "synced", at.entry().fault_code


def test_a_customer_made_inactive_while_in_doubt_is_ours(at: Situation) -> None:
    lead = lost_create(at, phone="555-200-0001")
    remote_id = change_there(at, Active=False)
    forget(at)
    wait_and_drain(at)
    assert at.fault() == "customer_inactive"
    at.ana.open(f"/leads/{lead}").submit(press="Reactivate it in QuickBooks")
    wait_and_drain(at)
    assert at.entry().state == "synced", at.entry().fault_code
    assert [str(one["Id"]) for one in at.books("Customer")] == [remote_id]


def test_a_create_that_never_arrived_asks_nobody(at: Situation) -> None:
    """Older customers, and those of other leads, are not taken for it."""
    old = {"DisplayName": "Kim's garden", "PrimaryPhone": {"FreeFormNumber": "555-200-0001"}}
    at.bookkeeper().post("customer", old)
    at.simulator.advance(86_400)
    at.connect()
    at.save_lead("Green Lawn Co, North", phone="555-200-0001")
    at.drain()
    at.simulator.fault(match={"path": "/customer", "times": 1}, do={"reset": "before"})
    at.save_lead(NAME, phone="555-200-0001")
    at.drain()
    forget(at)
    wait_and_drain(at)
    assert at.entry().state == "synced", at.entry().fault_code
    assert customers(at) == [NAME, "Green Lawn Co, North", "Kim's garden"]
