"""Doubts and decisions that outlive what they were about, once: each stands for a kind."""

import pytest
from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import text

from development.database import ALEMBIC_INI
from outbox import actions, servers
from quickbooks import decisions
from tests.support.firm import entries_of
from tests.support.situation import Situation
from tests.test_cases_counterpart import (
    booked,
    decide,
    edit_invoice,
    edit_lead,
    reconnect,
    sent_invoice,
    void,
)


def wait_and_drain(at: Situation) -> None:
    for _ in range(5):
        at.pass_time()
        at.drain()


def test_both_leads_of_a_shared_customer_can_be_edited(at: Situation) -> None:
    body = {"DisplayName": "Green Lawn Co", "PrimaryEmailAddr": {"Address": "kim@lawn.example"}}
    at.bookkeeper().post("customer", body)
    at.connect()
    leads = [at.save_lead("Green Lawn Co", email="kim@lawn.example")]
    at.drain()
    leads.append(at.save_lead("Green Lawn Co, North", email="kim@lawn.example"))
    at.drain()
    at.ana.open(f"/leads/{leads[1]}").submit(press="Use “Green Lawn Co” for both")
    at.drain()
    for lead, phone in zip(leads, ("555-200-0001", "555-200-0002"), strict=True):
        edit_lead(at, lead, phone=phone)
        at.drain()
        assert at.entry().state == "synced", at.entry().fault_code
        assert at.books("Customer")[0]["PrimaryPhone"]["FreeFormNumber"] == phone


def test_a_reactivation_of_which_nobody_heard_ends(at: Situation) -> None:
    made = (
        at.bookkeeper()
        .post(
            "customer",
            {"DisplayName": "Green Lawn Co", "PrimaryEmailAddr": {"Address": "kim@lawn.example"}},
        )
        .object("Customer")
    )
    at.bookkeeper().post(
        "customer",
        {"Id": made["Id"], "SyncToken": made["SyncToken"], "sparse": True,
         "DisplayName": "Green Lawn Co", "Active": False},
    )  # fmt: skip
    at.connect()
    lead = at.save_lead("Green Lawn Co", email="kim@lawn.example")
    at.drain()
    assert at.fault() == "customer_inactive"
    at.simulator.fault(match={"path": "/customer", "times": 3}, do={"reset": "after"})
    at.session.rollback()
    decisions.reactivate(at.session, entries_of(at.session)[-1], str(made["Id"]))
    at.session.commit()
    at.drain()
    at.simulator.clear_journal()
    wait_and_drain(at)
    assert at.entry().state == "synced", (at.entry().fault_code, at.calls())
    link = at.link("lead", lead)
    assert link
    assert link.remote_id == made["Id"]


def test_what_was_looked_for_before_a_send_is_looked_for_after_it(at: Situation) -> None:
    invoice = sent_invoice(at)
    at.pay(invoice, "40")
    with at.sessions.begin() as session:
        servers.doubt_everything(session)
    at.simulator.fault(match={"path": "/payment", "times": 1}, do={"reset": "after"})
    at.drain()
    wait_and_drain(at)
    assert [one["TotalAmt"] for one in at.books("Payment")] == [40]
    assert at.entry().state == "synced"


@pytest.mark.parametrize("arrives", ["before", "after"])
def test_a_void_that_is_skipped_while_in_doubt_is_told_as_it_is(
    at: Situation, arrives: str
) -> None:
    invoice = sent_invoice(at)
    void(at, invoice)
    at.simulator.fault(match={"path": "/invoice", "times": 1}, do={"reset": arrives})
    at.drain()
    at.disconnect()
    at.connect()
    decide(at, "leave")
    wait_and_drain(at)
    assert booked(at)["TotalAmt"] == (100 if arrives == "before" else 0)
    assert at.entry().state == ("skipped" if arrives == "before" else "synced")
    link = at.link("invoice", invoice)
    assert link
    assert bool(link.voided_at) == (arrives == "after")


def test_a_change_of_tax_that_was_left_goes_when_the_skip_is_taken_back(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100", tax_rate="8", **{"lines-0-taxable": "y"})
    at.drain()
    assert booked(at)["TotalAmt"] == 108
    at.disconnect()
    edit_invoice(at, invoice, tax_rate="9")
    reconnect(at)
    decide(at, "leave")
    assert booked(at)["TotalAmt"] == 108
    at.session.rollback()
    assert actions.undo_skip(
        at.session, [entries_of(at.session)[-1].id], organization_id=at.firm
    ).done
    at.session.commit()
    at.drain()
    assert at.entry().state == "synced"
    assert booked(at)["TotalAmt"] == 109


def test_what_was_left_and_then_voided_is_not_asked_about_again(at: Situation) -> None:
    invoice = sent_invoice(at)
    at.disconnect()
    edit_invoice(at, invoice, **{"lines-0-unit_price": "110"})
    reconnect(at)
    decide(at, "leave")
    void(at, invoice)
    at.drain()
    assert booked(at)["TotalAmt"] == 0
    at.disconnect()
    reconnect(at)
    assert not at.entry().withheld


def test_send_again_after_a_skip_that_could_not_be_looked_for(at: Situation) -> None:
    at.connect()
    at.save_lead("Green Lawn")
    at.simulator.fault(match={"path": "/customer", "times": 1}, do={"reset": "before"})
    at.drain()
    at.disconnect()
    at.connect()
    decide(at, "leave")
    with at.sessions.begin() as session:  # nobody could tell for so long that a person was asked
        session.execute(
            text("UPDATE outbox_dispatch_items SET outcome = 'unknown' WHERE outcome IS NULL")
        )
        session.execute(
            text(
                "UPDATE outbox SET state = 'failed', settled_at = now(), fault_code = 'unanswered'"
            )
        )
    at.session.rollback()
    assert actions.requeue(
        at.session, [entries_of(at.session)[-1].id], organization_id=at.firm
    ).done
    at.session.commit()
    wait_and_drain(at)
    assert at.entry().state == "synced"
    assert len(at.books("Customer")) == 1


@pytest.mark.parametrize("outcome", [None, "unknown"])
def test_doubts_of_the_first_release_are_kept(
    at: Situation, monkeypatch: pytest.MonkeyPatch, outcome: str | None
) -> None:
    """One request of a batch was open, or nobody could tell: as its items knew it then."""
    at.connect()
    leads = [at.save_lead(name) for name in ("Green Lawn", "Blue Pool")]
    at.simulator.fault(match={"path": "/batch", "times": 1}, do={"reset": "after"})
    at.drain()
    with at.sessions.begin() as session:
        session.execute(
            text("UPDATE outbox_dispatch_items SET document = NULL, outcome = :outcome"),
            {"outcome": outcome},
        )
        if outcome:
            session.execute(
                text(
                    "UPDATE outbox SET state = 'failed', settled_at = now(),"
                    " fault_code = 'unanswered'"
                )
            )
    alembic = AlembicConfig(ALEMBIC_INI)
    monkeypatch.setenv("DATABASE_URL", at.config.database_url)
    command.downgrade(alembic, "0032")
    command.upgrade(alembic, "head")
    if outcome:
        entries = [entry.id for entry in entries_of(at.session)]
        at.session.rollback()
        assert len(actions.requeue(at.session, entries, organization_id=at.firm).done) == 2
        at.session.commit()
    wait_and_drain(at)
    assert at.states() == ["lead synced", "lead synced"]
    assert len(at.books("Customer")) == 2
    assert all(at.link("lead", lead) for lead in leads)
