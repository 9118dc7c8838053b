"""A simulated company that misbehaves: nothing is lost, nothing arrives twice, people are asked."""

import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import User
from models.outbox import Counterpart, Dispatch, Entry, Lane, State
from models.quickbooks import Connection, Tokens
from models.sales import Invoice, Payment
from outbox import actions
from outbox.pace import MAX_SLOWDOWN
from outbox.poller import drain_lane
from quickbooks import decisions, facts, tokens
from quickbooks.delivery import QuickBooks
from simulator.testing import SimulatorHandle
from tests.support.connected import (
    RIVERA,
    connect,
    drain,
    firm_of,
    go_through,
    new_owner,
    states,
)
from tests.support.firm import (
    entries_of,
    new_invoice,
    new_lead,
    new_line,
    new_payment,
    new_product,
)


class Firm:
    """A connected firm, and the few things these tests do with it."""

    def __init__(
        self,
        session: Session,
        sessions: Sessions,
        config: Config,
        owner: User,
        connection: Connection,
        simulator: SimulatorHandle,
    ) -> None:
        self.session, self.sessions, self.config = session, sessions, config
        self.owner, self.connection, self.simulator = owner, connection, simulator
        self.id = firm_of(owner)

    def save(self, *records: object) -> None:
        self.session.add_all(records)
        self.session.commit()

    def drain(self) -> None:
        drain(self.sessions, self.config, self.connection.lane_id)

    def let_time_pass(self) -> None:
        """What waits for RESEND_AFTER or for the end of a pause may go now."""
        with self.sessions.begin() as session:
            session.execute(text("UPDATE outbox SET available_at = now() WHERE state = 'pending'"))
            session.execute(
                text(
                    "UPDATE outbox_lanes SET pause_until = NULL, pause_reason = NULL,"
                    " questions_rest_until = now()"
                )
            )

    def drain_to_the_end(self) -> None:
        for _ in range(12):
            self.let_time_pass()
            self.drain()
            if all(state != "pending" for _, state in states(self.session)):
                return

    def books(self, entity: str) -> list[Any]:
        return list(self.simulator.books(RIVERA).get(entity, []))

    def last(self) -> Entry:
        return entries_of(self.session)[-1]

    def an_invoice(self, number: str = "1001", **fields: str) -> Invoice:
        lead = new_lead(self.id, f"Customer of {number}", **fields)
        invoice = new_invoice(self.id, lead, [new_line(self.id)], number=number)
        self.save(invoice)
        return invoice


@pytest.fixture
def firm(session: Session, sessions: Sessions, config: Config, simulator: SimulatorHandle) -> Firm:
    owner = new_owner(session)
    connection = connect(sessions, config, owner)
    simulator.clear_journal()
    return Firm(session, sessions, config, owner, connection, simulator)


def bookkeeper(firm: Firm) -> facts.Reader:
    """Someone who works in QuickBooks itself."""
    token = tokens.access_token(firm.sessions, firm.config, firm.connection.id)
    return facts.Reader(firm.config, RIVERA, token)


# --- Silence ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "do",
    [
        {"timeout": "after"},
        {"reset": "after"},
        {"reset": "before"},
        {"truncate": True},
        {"status": 500, "after_commit": True},
        {"status": 503},
        {"status": 504, "after_commit": True},
    ],
)
@pytest.mark.parametrize("forgets", [False, True])
def test_rule_5_what_was_not_answered_arrives_once(
    firm: Firm, do: dict[str, object], forgets: bool
) -> None:
    if forgets:  # QuickBooks no longer knows the request id: we must find our own work again
        firm.simulator.company(RIVERA, requestid_ttl=0.0)
    invoice = firm.an_invoice()
    firm.save(new_payment(firm.id, invoice))
    for entity in ("Customer", "Invoice", "Payment"):
        firm.simulator.fault(match={"entity": entity, "method": "POST", "nth": 1}, do=do)
    for _ in range(6):
        firm.drain()
        if forgets:  # as after three sends without an answer
            with firm.sessions.begin() as session:
                session.execute(update(Dispatch).values(sends=3))
        firm.let_time_pass()
    assert {state for _, state in states(firm.session)} == {"synced"}
    for entity in ("Customer", "Invoice", "Payment"):
        assert len(firm.books(entity)) == 1, entity


def test_rule_5_what_a_batch_leaves_out_is_found_again(firm: Firm) -> None:
    firm.save(*(new_lead(firm.id, f"Lead {number}") for number in range(5)))
    firm.simulator.fault(match={"path": "batch", "nth": 1}, do={"missing_bids": ["1", "3"]})
    firm.drain()
    assert [state for _, state in states(firm.session)].count("pending") == 2
    firm.drain_to_the_end()
    assert {state for _, state in states(firm.session)} == {"synced"}
    assert len(firm.books("Customer")) == 5


def test_entries_that_waited_long_look_first_with_one_read_a_wave(firm: Firm) -> None:
    firm.save(*(new_lead(firm.id, f"Lead {number}") for number in range(8)))
    with firm.sessions.begin() as session:
        session.execute(text("UPDATE outbox SET created_at = created_at - interval '1 hour'"))
    firm.drain()
    assert {state for _, state in states(firm.session)} == {"synced"}
    calls = [(each["method"], each["path"].rsplit("/", 1)[1]) for each in firm.simulator.journal()]
    assert calls == [("GET", "query"), ("POST", "batch")]


def test_a_restored_backup_finds_what_it_had_sent(firm: Firm) -> None:
    invoice = firm.an_invoice()
    firm.save(new_payment(firm.id, invoice))
    firm.drain()
    with firm.sessions.begin() as session:  # the backup knows nothing of the sends
        session.execute(text("DELETE FROM outbox_dispatch_items"))
        session.execute(text("DELETE FROM outbox_dispatches"))
        session.execute(text("DELETE FROM outbox_links"))
        session.execute(
            text(
                "UPDATE outbox SET state = 'pending', settled_at = NULL, first_attempt_at = NULL,"
                " knowledge = '{}', created_at = created_at - interval '1 hour'"
            )
        )
    firm.drain_to_the_end()
    assert {state for _, state in states(firm.session)} == {"synced"}
    for entity in ("Customer", "Invoice", "Payment"):
        assert len(firm.books(entity)) == 1, entity


def _arrives_and_nobody_can_tell(firm: Firm, record: Invoice | Payment, entity: str) -> None:
    """Its create is cut, and the question what became of it is refused."""
    firm.simulator.fault(match={"entity": entity, "method": "POST"}, do={"reset": "after"})
    firm.save(record)
    firm.drain()
    with firm.sessions.begin() as session:  # as after three sends
        session.execute(update(Dispatch).values(sends=3))
    firm.simulator.clear_faults()
    firm.simulator.fault(match={"method": "GET"}, do={"fault": {"code": "4001"}})
    firm.let_time_pass()
    firm.drain()
    firm.simulator.clear_faults()
    assert (states(firm.session)[-1][1], len(firm.books(entity))) == ("failed", 1)


def test_rule_5_voiding_an_invoice_that_may_have_arrived_looks_for_it_first(firm: Firm) -> None:
    lead = new_lead(firm.id)
    invoice = new_invoice(firm.id, lead, [new_line(firm.id)])
    firm.save(lead)
    _arrives_and_nobody_can_tell(firm, invoice, "Invoice")
    invoice.voided_at = datetime.now(UTC)
    firm.session.commit()
    firm.drain()
    assert states(firm.session)[1:] == [("invoice", "superseded"), ("invoice", "synced")]
    (voided,) = firm.books("Invoice")
    assert (voided["TotalAmt"], voided["PrivateNote"][:6]) == (0, "Voided")
    link = firm.session.scalars(
        select(Counterpart).where(Counterpart.record_type == "invoice")
    ).one()
    assert link.voided_at


def test_rule_5_the_refund_of_a_payment_that_may_have_arrived_is_asked_about(firm: Firm) -> None:
    invoice = firm.an_invoice()
    firm.drain()
    payment = new_payment(firm.id, invoice, "40.00")
    _arrives_and_nobody_can_tell(firm, payment, "Payment")
    payment.refunded_amount = payment.amount
    firm.session.commit()
    firm.drain()
    assert (firm.last().state, firm.last().fault_code) == ("failed", "reversed")


def test_what_came_and_went_during_a_hold_is_looked_for_and_never_sent(firm: Firm) -> None:
    invoice = firm.an_invoice()
    invoice.voided_at = datetime.now(UTC)
    firm.session.commit()
    with firm.sessions.begin() as session:
        session.execute(text("UPDATE outbox SET created_at = created_at - interval '1 hour'"))
    firm.drain_to_the_end()
    assert states(firm.session)[1:] == [("invoice", "superseded")] * 2
    assert firm.books("Invoice") == []


# --- The company's trouble ----------------------------------------------------------------------


def test_rule_12_a_throttle_rests_the_lane_and_spends_no_attempt(firm: Firm) -> None:
    firm.save(new_lead(firm.id))
    firm.simulator.fault(match={"nth": 1}, do={"status": 429, "format": "xml", "retry_after": 30})
    firm.drain()
    firm.session.expire_all()
    lane = firm.session.get_one(Lane, firm.connection.lane_id)
    assert lane.pause_reason == "throttled"
    assert lane.pause_until is not None
    assert firm.last().attempts == 0
    firm.drain_to_the_end()
    assert len(firm.books("Customer")) == 1
    ids = {each["requestid"] for each in firm.simulator.journal()}
    assert len(ids) == 1, "not taken: the same dispatch again"


def test_rule_12_a_refused_batch_slows_the_lane_to_what_the_company_admitted(firm: Firm) -> None:
    firm.save(*[new_lead(firm.id, f"Customer {number}") for number in range(60)])
    firm.simulator.fault(match={"path": "/batch", "nth": 2}, do={"status": 429, "retry_after": 60})
    firm.drain()
    firm.session.expire_all()
    lane = firm.session.get_one(Lane, firm.connection.lane_id)
    assert lane.pause_reason == "throttled"
    assert lane.slowdown == MAX_SLOWDOWN  # one in the last minute: others call it as well
    assert lane.slowed_at is not None
    firm.drain_to_the_end()
    assert {entry.attempts for entry in entries_of(firm.session)} == {0}
    assert len(firm.books("Customer")) == 60


def test_between_two_batches_a_record_goes_by_itself(
    firm: Firm, sessions: Sessions, config: Config
) -> None:
    firm.save(*[new_lead(firm.id, f"Customer {number}") for number in range(40)])
    with sessions.begin() as session:
        later = func.clock_timestamp() + text("interval '1 minute'")
        session.execute(update(Lane).values(next_batch_at=later))
    company = QuickBooks(sessions, config)
    again_in = drain_lane(sessions, company, firm.connection.lane_id, config, threading.Event())
    sent = {call["path"].rpartition("/")[2] for call in firm.simulator.journal()}
    assert sent == {"customer"}
    assert again_in is not None


@pytest.mark.parametrize("gateway", ["json", "xml"])
def test_a_401_is_renewed_silently_and_sent_again(firm: Firm, gateway: str) -> None:
    firm.simulator.company(RIVERA, gateway_format=gateway)
    firm.simulator.advance(3700)
    firm.save(new_lead(firm.id))
    firm.drain()
    assert states(firm.session) == [("lead", "synced")]
    paths = [each["path"].rsplit("/", 1)[1] for each in firm.simulator.journal()]
    assert paths == ["customer", "bearer", "customer"]


def test_a_second_401_holds_the_lane_and_a_reconnect_drains_it(firm: Firm) -> None:
    firm.save(new_lead(firm.id))
    firm.simulator.fault(match={"path": "/v3/"}, do={"status": 401})
    firm.drain()
    firm.session.expire_all()
    connection = firm.session.get_one(Connection, firm.connection.id)
    assert (connection.status, connection.status_reason) == ("expired", "access_refused")
    assert (connection.lane.state, connection.lane.hold_reason) == ("held", "signed_out")
    assert (firm.last().state, firm.last().attempts) == ("pending", 0)
    firm.simulator.clear_faults()
    go_through(firm.sessions, firm.config, firm.owner)
    firm.drain_to_the_end()
    assert states(firm.session) == [("lead", "synced")]


def test_a_user_who_lost_admin_holds_the_lane(firm: Firm) -> None:
    firm.simulator.company(RIVERA, user_lost_admin=True)
    firm.save(new_lead(firm.id))
    firm.drain()
    firm.session.expire_all()
    lane = firm.session.get_one(Lane, firm.connection.lane_id)
    assert (lane.state, lane.hold_reason) == ("held", "access_lost")
    assert firm.last().state == "pending"


def test_with_quickbooks_away_everything_waits_and_then_arrives_in_order(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoice = firm.an_invoice()
    firm.save(new_payment(firm.id, invoice))
    away = Config(**{**firm.config.__dict__, "simulator_url": "http://127.0.0.1:9"})
    drain(firm.sessions, away, firm.connection.lane_id)
    assert {state for _, state in states(firm.session)} == {"pending"}
    assert set(firm.session.scalars(select(Entry.attempts))) == {0}
    firm.drain_to_the_end()
    assert {state for _, state in states(firm.session)} == {"synced"}


@pytest.mark.parametrize(
    "body", ["<html><body>Sign in to this network</body></html>", {"time": "2026-11-23"}, '{"Que']
)
def test_rule_16_a_question_answered_by_something_else_is_asked_again_after_a_pause(
    firm: Firm, body: object
) -> None:
    """It is paid for each time: never again and again at once."""
    firm.save(new_lead(firm.id))
    firm.drain()
    assert actions.requeue(firm.session, [firm.last().id], organization_id=firm.id).done
    firm.session.commit()
    firm.simulator.fault(match={"method": "GET", "path": "query"}, do={"status": 200, "body": body})
    firm.simulator.clear_journal()
    firm.drain()
    assert len(firm.simulator.journal()) == 1
    firm.session.expire_all()
    lane = firm.session.get_one(Lane, firm.connection.lane_id)
    assert (lane.state, lane.pause_reason) == ("open", None)
    assert lane.questions_rest_reason == "outage"
    firm.simulator.clear_faults()
    firm.let_time_pass()
    firm.drain()
    assert states(firm.session) == [("lead", "synced")]


# --- Conflicts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("wording", ["id", "null", "words"])
@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_same_customer_is_linked_in_every_wording(
    firm: Firm, wording: str, language: str
) -> None:
    firm.save(new_lead(firm.id, "Green Lawn", email="green@lawn.example"))
    firm.drain()
    _forget_links(firm)
    firm.simulator.company(RIVERA, duplicate_name_detail=wording, language=language)
    firm.save(new_lead(firm.id, "Green Lawn", email="green@lawn.example", city="Fresno"))
    firm.drain()
    assert firm.last().state == "synced"
    assert len(firm.books("Customer")) == 1
    (link,) = firm.session.scalars(select(Counterpart))
    assert link.note


@pytest.mark.parametrize("wording", ["id", "null"])
def test_a_name_of_another_customer_is_asked_about(firm: Firm, wording: str) -> None:
    firm.save(new_lead(firm.id, "Green Lawn", email="green@lawn.example"))
    firm.drain()
    _forget_links(firm)
    firm.simulator.company(RIVERA, duplicate_name_detail=wording)
    firm.save(new_lead(firm.id, "Green Lawn", email="other@lawn.example"))
    firm.drain()
    refused = firm.last()
    assert (refused.state, refused.fault_code, refused.fault_field) == ("failed", "6240", "name")
    assert refused.fault_about["holder"]["email"] == "green@lawn.example"


def test_two_leads_of_one_customer_are_asked_about_and_no_link_is_stolen(firm: Firm) -> None:
    firm.save(new_lead(firm.id, "Green Lawn", email="green@lawn.example"))
    firm.drain()
    firm.save(new_lead(firm.id, "Green Lawn", email="green@lawn.example"))
    firm.drain()
    assert (firm.last().state, firm.last().fault_code) == ("failed", "taken_by_another_record")
    assert firm.session.scalar(select(func.count(Counterpart.id))) == 1


def _forget_links(firm: Firm) -> None:
    """The customers are there, but not by our doing."""
    with firm.sessions.begin() as session:
        session.execute(text("DELETE FROM outbox_links"))
        session.execute(text("UPDATE outbox SET state = 'superseded'"))


def test_a_number_of_another_invoice_is_asked_about(firm: Firm) -> None:
    firm.simulator.company(RIVERA, CustomTxnNumbers=True)
    hers = bookkeeper(firm)
    customer = hers.post("customer", {"DisplayName": "Walk-in"})["Customer"]
    line = {
        "Amount": 7,
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"ItemRef": {"value": firm.connection.settings["fallback_item_id"]}},
    }
    theirs = {"CustomerRef": {"value": customer["Id"]}, "DocNumber": "1001", "Line": [line]}
    hers.post("invoice", theirs)
    firm.an_invoice("1001")
    firm.drain()
    refused = firm.last()
    assert (refused.fault_code, refused.fault_field) == ("6140", "number")
    assert refused.fault_about["number"] == "1001"


def test_a_name_of_a_vendor_is_asked_about(firm: Firm) -> None:
    bookkeeper(firm).post("vendor", {"DisplayName": "Green Lawn"})
    firm.save(new_lead(firm.id, "Green Lawn", email="green@lawn.example"))
    firm.drain()
    refused = firm.last()
    assert (refused.state, refused.fault_code) == ("failed", "6240")
    assert "vendor" in refused.fault_about["holder"]["words"]


def test_closed_books_are_never_tried_again_by_themselves(firm: Firm) -> None:
    firm.simulator.company(RIVERA, BookCloseDate="2026-11-30")
    firm.an_invoice("1001")
    firm.drain()
    refused = firm.last()
    assert (refused.state, refused.fault_code) == ("failed", "6200")
    assert refused.fault_about["date"] == "2026-11-18"
    firm.simulator.clear_journal()
    firm.let_time_pass()
    firm.drain()
    assert firm.simulator.journal() == []


def test_a_version_changed_over_there_is_read_and_written_once_more(firm: Firm) -> None:
    lead = new_lead(firm.id, "Green Lawn", email="green@lawn.example")
    firm.save(lead)
    firm.drain()
    firm.simulator.clear_journal()
    firm.simulator.fault(match={"method": "POST", "nth": 1}, do={"bump_sync_token": True})
    lead.phone = "415 555 0142"
    firm.session.commit()
    firm.drain()
    assert firm.last().state == "synced"
    (customer,) = firm.books("Customer")
    assert customer["PrimaryPhone"] == {"FreeFormNumber": "415 555 0142"}
    assert [each["method"] for each in firm.simulator.journal()] == ["POST", "GET", "POST"]


def test_a_version_that_never_stops_changing_is_asked_about(firm: Firm) -> None:
    lead = new_lead(firm.id, "Green Lawn")
    firm.save(lead)
    firm.drain()
    firm.simulator.fault(match={"method": "POST"}, do={"bump_sync_token": True})
    lead.phone = "415 555 0142"
    firm.session.commit()
    firm.drain()
    assert (firm.last().state, firm.last().fault_code) == ("failed", "5010")
    firm.simulator.clear_faults()
    actions.requeue(firm.session, [firm.last().id], organization_id=firm.id)
    firm.session.commit()
    firm.drain()
    assert firm.last().state == "synced"


def edit_what_was_ended_there(firm: Firm, operation: str) -> None:
    invoice = firm.an_invoice()
    firm.drain()
    (there,) = firm.books("Invoice")
    named = {"Id": there["Id"], "SyncToken": there["SyncToken"]}
    bookkeeper(firm).post("invoice", named, operation=operation)
    invoice.memo = "Thank you"
    firm.session.commit()
    firm.drain()


def test_an_invoice_voided_over_there_is_not_written_to(firm: Firm) -> None:
    edit_what_was_ended_there(firm, "void")
    assert (firm.last().state, firm.last().fault_code) == ("failed", "voided_there")
    (there,) = firm.books("Invoice")
    assert there["TotalAmt"] == 0


def test_an_invoice_deleted_over_there_is_asked_about_and_not_created_again(firm: Firm) -> None:
    edit_what_was_ended_there(firm, "delete")
    assert (firm.last().state, firm.last().fault_code) == ("failed", "invoice_gone")
    actions.requeue(firm.session, [firm.last().id], organization_id=firm.id)
    firm.session.commit()
    firm.drain()
    assert (firm.last().state, firm.last().fault_code) == ("failed", "invoice_gone")
    assert firm.books("Invoice") == []


def test_an_invoice_that_seemed_to_be_deleted_gets_its_changes(firm: Firm) -> None:
    firm.simulator.company(RIVERA, list_delay=86_400, list_hides_new=True)
    invoice = firm.an_invoice()
    firm.drain()
    invoice.lines[0].unit_price = Decimal("130")
    firm.session.commit()
    firm.session.execute(update(Counterpart).values(stale=True))
    firm.session.commit()
    firm.drain()
    assert firm.last().fault_code == "invoice_gone"
    firm.simulator.company(RIVERA, list_delay=0, list_hides_new=False)
    assert decisions.create_anew(firm.session, firm.last()).done
    firm.session.commit()
    firm.drain()
    (there,) = firm.books("Invoice")
    assert (firm.last().state, there["TotalAmt"]) == ("synced", 130)


def test_what_a_person_ruled_out_is_not_offered_again(firm: Firm) -> None:
    """Two questions about different customers would otherwise follow each other without end."""
    firm.save(new_lead(firm.id, "Green Lawn", email="green@lawn.example"))
    entry = firm.last()
    for about in ({"holder_id": "4"}, {"candidates": [{"id": "7"}]}):
        entry.state, entry.fault_code, entry.fault_about = State.FAILED, "perhaps_ours", about
        entry.settled_at = datetime.now(UTC)
        firm.session.commit()
        assert decisions.create_anew(firm.session, entry).done
        firm.session.commit()
    link = firm.session.scalars(select(Counterpart)).one()
    assert link.decision["not"] == ["4", "7"]


def test_a_customer_renamed_over_there_keeps_its_name(firm: Firm) -> None:
    lead = new_lead(firm.id, "Green Lawn", email="green@lawn.example")
    firm.save(lead)
    firm.drain()
    (there,) = firm.books("Customer")
    renamed = {"Id": there["Id"], "SyncToken": there["SyncToken"], "DisplayName": "Green Lawn LLC"}
    bookkeeper(firm).post("customer", {**renamed, "sparse": True})
    lead.email = "new@lawn.example"
    firm.session.commit()
    firm.drain()
    (there,) = firm.books("Customer")
    assert there["DisplayName"] == "Green Lawn LLC"
    assert there["PrimaryEmailAddr"] == {"Address": "new@lawn.example"}


def test_one_bad_item_of_a_batch_stops_alone(firm: Firm) -> None:
    firm.save(*(new_lead(firm.id, f"Lead {number}") for number in range(4)))
    firm.simulator.fault(
        match={"path": "batch", "nth": 1},
        do={"item_fault": {"bId": "2", "code": "2040", "detail": "Invalid String"}},
    )
    firm.drain()
    assert sorted(state for _, state in states(firm.session)) == ["failed"] + ["synced"] * 3


def test_an_item_deleted_there_is_named(firm: Firm) -> None:
    product = new_product(firm.id)
    first = new_invoice(firm.id, new_lead(firm.id), [new_line(firm.id, product=product)])
    firm.save(first)
    firm.drain()
    (link,) = firm.session.scalars(select(Counterpart).where(Counterpart.record_type == "product"))
    with firm.sessions.begin() as session:
        session.execute(
            update(Counterpart).where(Counterpart.id == link.id).values(remote_id="4711")
        )  # as if it were gone
    firm.save(new_invoice(firm.id, first.lead, [new_line(firm.id, product=product)], number="1002"))
    firm.drain()
    refused = firm.last()
    assert (refused.state, refused.fault_code) == ("failed", "item_inactive")
    assert (refused.fault_about["item"], refused.fault_about["lines"]) == ("Sprinkler repair", "1")


# --- Fixing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arrives_as"),
    [
        ("O'Brien & Sons", "O'Brien & Sons"),
        ("A:B\tC", "A - B C"),
        ("Café “Zürich”", 'Café "Zürich"'),
        ("Back\\slash's", "Back\\slash's"),
        ("x" * 700, "x" * 500),
    ],
)
def test_any_name_arrives_and_is_found_again(firm: Firm, name: str, arrives_as: str) -> None:
    firm.save(new_lead(firm.id, name, email="a@lawn.example"))
    with firm.sessions.begin() as session:  # looks by name before it creates
        session.execute(text("UPDATE outbox SET created_at = created_at - interval '1 hour'"))
    firm.drain()
    (customer,) = firm.books("Customer")
    assert customer["DisplayName"] == arrives_as
    _forget_links(firm)
    firm.save(new_lead(firm.id, name, email="a@lawn.example"))
    firm.drain()
    assert firm.last().state == "synced"
    assert len(firm.books("Customer")) == 1


def test_a_payment_above_the_balance_is_held_as_credit(firm: Firm) -> None:
    invoice = firm.an_invoice()
    firm.save(new_payment(firm.id, invoice, "120"))
    firm.drain()
    (payment,) = firm.books("Payment")
    assert (payment["TotalAmt"], payment["UnappliedAmt"]) == (120, 20)


def test_no_token_is_kept_with_a_dispatch(firm: Firm) -> None:
    with firm.sessions() as session:
        assert session.scalar(select(func.count()).select_from(Tokens)) == 1
    firm.simulator.advance(3700)
    firm.simulator.fault(match={"path": "bearer"}, do={"status": 503})
    firm.save(new_lead(firm.id))
    firm.drain()
    for answer in firm.session.scalars(select(Dispatch.answer)):
        assert answer is None or "eyJ" not in answer
