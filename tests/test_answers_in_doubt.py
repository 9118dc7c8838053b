"""A send with an unknown effect arrives exactly once, and stops one record at most."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.base import Json
from models.outbox import Entry, Lane
from models.quickbooks import Connection
from models.sales import Invoice
from outbox import actions
from quickbooks import directory, facts
from quickbooks.consenting import TryAgain
from simulator.testing import SimulatorHandle
from tests.support.connected import RIVERA, connect, go_through, new_owner, states
from tests.support.firm import entries_of, new_lead, new_payment
from tests.test_quickbooks_trouble import Firm, bookkeeper

INSIDE = {"code": "10000", "message": "An application error has occurred", "type": "SystemFault"}
NUMBERED = {
    "code": "6000",
    "message": "A business validation error has occurred while processing your request",
    "detail": "Business Validation Error: Unexpected Internal Error. (-30003)",
    "type": "ValidationFault",
}


@pytest.fixture
def firm(session: Session, sessions: Sessions, config: Config, simulator: SimulatorHandle) -> Firm:
    owner = new_owner(session)
    connection = connect(sessions, config, owner)
    simulator.clear_journal()
    return Firm(session, sessions, config, owner, connection, simulator)


def as_body(fault: dict[str, str]) -> dict[str, Any]:
    error = {"Message": fault["message"], "Detail": fault.get("detail", ""), "code": fault["code"]}
    return {"Fault": {"Error": [error], "type": fault["type"]}}


def three_invoices(firm: Firm) -> list[Invoice]:
    return [firm.an_invoice(str(number)) for number in (1001, 1002, 1003)]


def once_each(firm: Firm, **counts: int) -> None:
    assert {state for _, state in states(firm.session)} == {"synced"}
    for entity, count in counts.items():
        assert len(firm.books(entity)) == count, entity


# --- Errors about the inside ----------------------------------------------------------------------


@pytest.mark.parametrize("fault", [INSIDE, NUMBERED], ids=["10000", "-30003"])
def test_case_r01_a_batch_whose_items_say_system_failure_makes_no_second_document(
    firm: Firm, fault: dict[str, str]
) -> None:
    three_invoices(firm)
    firm.simulator.company(RIVERA, requestid_ttl=0.0)
    done = {
        "BatchItemResponse": [{"bId": str(place), **as_body(fault)} for place in range(3)],
    }
    firm.simulator.fault(
        match={"path": "batch", "body": "Invoice", "nth": 1},
        do={"status": 200, "after_commit": True, "body": done},
    )
    firm.drain_to_the_end()
    once_each(firm, Customer=3, Invoice=3)


@pytest.mark.parametrize("fault", [INSIDE, NUMBERED], ids=["10000", "-30003"])
@pytest.mark.parametrize("entity", ["Customer", "Invoice", "Payment"])
def test_case_r02_an_error_of_the_inside_and_the_owner_presses_send_again(
    firm: Firm, entity: str, fault: dict[str, str]
) -> None:
    invoice = firm.an_invoice()
    firm.save(new_payment(firm.id, invoice, "40"))
    firm.simulator.company(RIVERA, requestid_ttl=0.0)
    firm.simulator.fault(
        match={"entity": entity, "method": "POST", "nth": 1},
        do={"status": 400, "after_commit": True, "body": as_body(fault)},
    )
    firm.drain()
    for entry in entries_of(firm.session):
        actions.requeue(firm.session, [entry.id], organization_id=firm.id)
    firm.session.commit()
    firm.drain_to_the_end()
    once_each(firm, Customer=1, Invoice=1, Payment=1)
    [there] = firm.books("Invoice")
    assert str(there["Balance"]) in ("60.0", "60", "60.00")


@pytest.mark.parametrize("do", [{"timeout": "after"}, {"reset": "after"}, {"truncate": True}])
def test_case_r04_request_ids_that_are_forgotten_make_no_second_document(
    firm: Firm, do: dict[str, object]
) -> None:
    firm.simulator.company(RIVERA, requestid_ttl=0.0)
    three_invoices(firm)
    firm.simulator.fault(match={"method": "POST", "nth": 2}, do=do)
    firm.simulator.fault(match={"method": "POST", "nth": 1}, do=do)
    firm.drain_to_the_end()
    once_each(firm, Customer=3, Invoice=3)


def test_case_r06_a_500_with_a_sign_in_code_holds_nothing(firm: Firm) -> None:
    body = {"fault": {"error": [{"message": "m", "detail": "d", "code": "3100"}]}}
    firm.simulator.fault(
        match={"entity": "Customer", "method": "POST", "nth": 1}, do={"status": 500, "body": body}
    )
    firm.save(new_lead(firm.id))
    firm.drain_to_the_end()
    once_each(firm, Customer=1)
    assert lane_of(firm).state == "open"


@pytest.mark.parametrize("entity", ["Customer", "Invoice", "Payment"])
def test_case_r08_a_collision_told_of_a_create_is_a_verdict(firm: Firm, entity: str) -> None:
    invoice = firm.an_invoice()
    firm.save(new_payment(firm.id, invoice))
    fault = {"code": "5010", "message": "Stale Object Error", "detail": "account period closed"}
    firm.simulator.fault(match={"entity": entity, "method": "POST"}, do={"fault": fault})
    firm.drain()
    firm.session.rollback()
    failed = firm.session.scalars(select(Entry).where(Entry.state == "failed")).one()
    assert failed.fault_code == "5010"
    assert "account period closed" in (failed.fault_detail or "")
    sends = [each for each in firm.simulator.journal() if each["path"].endswith(entity.lower())]
    assert len(sends) == 2


def lane_of(firm: Firm) -> Lane:
    firm.session.expire_all()
    return firm.session.get_one(Lane, firm.connection.lane_id)


# --- One record's trouble, and the company's ------------------------------------------------------

BARE: list[dict[str, Any]] = [
    {"status": status, "body": "<html><h1>No</h1></html>"}
    for status in (401, 403, 404, 413, 503, 504)
]


def of_record(firm: Firm, number: str, do: dict[str, Any]) -> None:
    """Whatever is sent for this invoice alone gets this answer, always."""
    firm.simulator.fault(match={"method": "POST", "path": "invoice", "body": number}, do=do)
    alone = {"method": "POST", "path": "batch", "body": number}
    firm.simulator.fault(match=alone, do=do)


@pytest.mark.parametrize("do", BARE, ids=lambda do: str(do["status"]))
def test_case_e04_e05_e28_an_answer_without_words_for_one_record_stops_that_record_alone(
    firm: Firm, do: dict[str, Any]
) -> None:
    three_invoices(firm)
    of_record(firm, "1002", do)
    for _ in range(20):
        firm.let_time_pass()
        firm.drain()
        if all(state != "pending" for _, state in states(firm.session)):
            break
    by_number = {
        entry.payload["number"]: entry
        for entry in entries_of(firm.session)
        if entry.record_type == "invoice"
    }
    assert [by_number[number].state for number in ("1001", "1002", "1003")] == [
        "synced",
        "failed",
        "synced",
    ]
    assert by_number["1002"].fault_code in ("turned_away", "unanswered")
    assert by_number["1002"].fault_about["was_looked_for"]
    assert f"HTTP {do['status']}" in (by_number["1002"].fault_detail or "")
    assert len(firm.books("Invoice")) == 2
    lane = lane_of(firm)
    assert (lane.state, lane.hold_reason, lane.outage_since) == ("open", None, None)
    firm.session.refresh(firm.session.merge(firm.connection))
    assert firm.session.merge(firm.connection).status == "connected"


def test_case_e05_one_record_alone_in_the_lane_ends_with_a_person(firm: Firm) -> None:
    invoice = firm.an_invoice()
    firm.drain()
    of_record(firm, "Thank you", {"status": 413, "body": "<h1>Request Entity Too Large</h1>"})
    invoice.memo = "Thank you"
    firm.save(invoice)
    for _ in range(20):
        firm.let_time_pass()
        firm.drain()
        if states(firm.session)[-1][1] != "pending":
            break
    last = firm.last()
    assert (last.state, last.fault_code) == ("failed", "turned_away")
    assert last.fault_detail == "HTTP 413: Request Entity Too Large"


def test_case_e04_skipping_what_was_turned_away_at_the_door_doubles_nothing(firm: Firm) -> None:
    """Turned away without words, it may have arrived all the same."""
    invoice = firm.an_invoice()
    firm.drain()
    firm.simulator.fault(
        match={"entity": "Payment", "method": "POST", "nth": 1},
        do={"status": 403, "after_commit": True, "body": "<html>"},
    )
    firm.save(new_payment(firm.id, invoice, "40"))
    firm.drain()
    unrelated = firm.an_invoice("1009")
    assert unrelated.id
    actions.skip(firm.session, [firm.last().id], organization_id=firm.id)
    firm.session.commit()
    firm.drain_to_the_end()
    assert len(firm.books("Payment")) == 1


def test_case_e22_one_outage_of_writes_has_one_beginning(firm: Firm) -> None:
    """Questions are answered meanwhile, and end nothing."""
    firm.save(*(new_lead(firm.id, f"Lead {number}") for number in range(3)))
    firm.simulator.fault(match={"method": "POST"}, do={"status": 503})
    beginnings = set()
    for _ in range(10):
        firm.let_time_pass()
        firm.drain()
        beginnings.add(lane_of(firm).outage_since)
    assert len(beginnings - {None}) == 1
    assert lane_of(firm).consecutive_outages > 5
    assert {state for _, state in states(firm.session)} == {"pending"}
    firm.simulator.clear_faults()
    firm.drain_to_the_end()
    once_each(firm, Customer=3)
    assert lane_of(firm).outage_since is None


@pytest.mark.parametrize("do", [{"status": 429}, {"status": 503}, {"reset": "before"}])
def test_case_r09_questions_rest_and_writes_go_on(firm: Firm, do: dict[str, Any]) -> None:
    lead = new_lead(firm.id, "Known")
    firm.save(lead)
    firm.drain()
    firm.simulator.fault(match={"method": "GET"}, do=do)
    asks = new_lead(firm.id, "Asks")
    firm.save(asks)
    with firm.sessions.begin() as session:  # it waited long, so it is looked for first
        session.execute(
            text(
                "UPDATE outbox SET created_at = now() - interval '1 hour' WHERE aggregate_id = :id"
            ),
            {"id": asks.id},
        )
    for number in range(6):
        firm.save(new_lead(firm.id, f"New {number}"))
    firm.drain()
    assert [state for _, state in states(firm.session)] == ["synced", "pending", *["synced"] * 6]
    lane = lane_of(firm)
    assert (lane.state, lane.pause_reason) == ("open", None)
    assert lane.questions_rest_until is not None
    firm.simulator.clear_faults()
    with firm.sessions.begin() as session:
        session.execute(text("UPDATE outbox_lanes SET questions_rest_until = now()"))
    firm.drain_to_the_end()
    once_each(firm, Customer=8)
    assert lane_of(firm).questions_rest_since is None


def test_case_r09_a_create_in_doubt_goes_again_while_questions_rest(firm: Firm) -> None:
    firm.simulator.fault(match={"method": "GET"}, do={"status": 429})
    firm.simulator.fault(match={"method": "POST", "nth": 1}, do={"reset": "after"})
    firm.save(new_lead(firm.id))
    for _ in range(3):
        firm.let_time_pass()
        firm.drain()
    once_each(firm, Customer=1)


def test_case_r09_an_old_create_in_doubt_waits_until_it_can_be_looked_up(firm: Firm) -> None:
    """Rule 5: nobody promises that QuickBooks still knows the request's id."""
    invoice = firm.an_invoice("1001")
    firm.save(invoice)
    firm.drain()
    firm.simulator.fault(match={"method": "GET"}, do={"status": 429})
    firm.simulator.fault(match={"method": "POST", "nth": 1}, do={"reset": "after"})
    firm.save(new_payment(firm.id, invoice, "10"))
    firm.drain()
    firm.simulator.company(RIVERA, requestid_ttl=0.0)
    with firm.sessions.begin() as session:
        session.execute(
            text("UPDATE outbox_dispatches SET created_at = now() - interval '11 minutes'")
        )
    for _ in range(3):
        firm.let_time_pass()
        firm.drain()
    assert [state for _, state in states(firm.session)][-1] == "pending"
    assert len(firm.books("Payment")) == 1
    firm.simulator.clear_faults()
    with firm.sessions.begin() as session:
        session.execute(text("UPDATE outbox_lanes SET questions_rest_until = now()"))
    firm.drain_to_the_end()
    once_each(firm, Payment=1)


def test_of_a_batch_that_goes_again_only_what_is_in_doubt_goes(firm: Firm) -> None:
    """Rule 5: QuickBooks has forgotten the request, and one of its items was answered."""
    invoices = three_invoices(firm)
    firm.save(*invoices)
    firm.drain()
    firm.simulator.company(RIVERA, requestid_ttl=0.0)
    firm.simulator.fault(match={"method": "GET"}, do={"status": 429})
    firm.simulator.fault(
        match={"path": "batch", "nth": 1}, do={"item_fault": {"bId": "1", **INSIDE}}
    )
    firm.save(*(new_payment(firm.id, invoice, "10") for invoice in invoices))
    for _ in range(3):
        firm.let_time_pass()
        firm.drain()
    once_each(firm, Payment=3)


def test_case_e27_a_throttle_told_in_a_batch_slows_the_lane(firm: Firm) -> None:
    firm.save(*(new_lead(firm.id, f"Lead {number}") for number in range(3)))
    firm.simulator.fault(
        match={"path": "batch", "nth": 1}, do={"item_fault": {"bId": "1", "code": "3001"}}
    )
    firm.drain()
    lane = lane_of(firm)
    assert lane.pause_reason == "throttled"
    assert lane.slowdown > 1
    firm.drain_to_the_end()
    once_each(firm, Customer=3)


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [("6190", 400, "plan_lapsed"), ("120", 401, "access_lost"), ("10200", 400, "company_reset")],
)
def test_a_hold_needs_a_second_write_that_says_the_same(
    firm: Firm, code: str, status: int, reason: str
) -> None:
    body = as_body({"code": code, "message": "m", "type": "ValidationFault"})
    firm.simulator.fault(match={"method": "POST", "nth": 1}, do={"status": status, "body": body})
    firm.save(*(new_lead(firm.id, f"Lead {number}") for number in range(3)))
    firm.drain()
    assert lane_of(firm).state == "open"
    firm.drain_to_the_end()
    once_each(firm, Customer=3)
    assert lane_of(firm).hold_suspected is None
    firm.simulator.fault(match={"method": "POST"}, do={"status": status, "body": body})
    firm.simulator.clear_journal()
    firm.save(*(new_lead(firm.id, f"More {number}") for number in range(3)))
    firm.drain_to_the_end()
    assert (lane_of(firm).state, lane_of(firm).hold_reason) == ("held", reason)
    if status == 400:  # at the door the same request is the proof
        sent = [each["path"].rsplit("/", 1)[1] for each in firm.simulator.journal()]
        assert sent.count("batch") == 1, "the proof goes alone"


# --- An answer without what was asked for ---------------------------------------------------------

SAYS_NOTHING: list[Any] = [{}, {"time": "2026-11-28"}, {"QueryResponse": None}, "<html>sign in"]


def says_nothing(firm: Firm, path: str, body: object) -> None:
    firm.simulator.fault(match={"method": "GET", "path": path}, do={"status": 200, "body": body})


@pytest.mark.parametrize("body", SAYS_NOTHING, ids=str)
def test_case_e06_facts_that_are_not_told_wipe_no_choice(firm: Firm, body: object) -> None:
    with firm.sessions.begin() as session:
        connection = session.get_one(Connection, firm.connection.id)
        facts.choose(connection, payment_methods={"card": "1", "ach": "2"}, numbers="generated")
        chosen = dict(connection.settings)
    for path in ("companyinfo", "preferences", "query"):
        says_nothing(firm, path, body)
        assert not facts.refresh(firm.sessions, firm.config, firm.connection.id)
        firm.simulator.clear_faults()
    with firm.sessions() as session:
        assert session.get_one(Connection, firm.connection.id).settings == chosen


@pytest.mark.parametrize("body", SAYS_NOTHING, ids=str)
@pytest.mark.parametrize("path", ["query", "cdc"])
def test_case_e06_a_customer_list_that_is_not_told_forgets_nobody(
    firm: Firm, path: str, body: object
) -> None:
    bookkeeper(firm).post("customer", {"DisplayName": "Green Lawn", "PrimaryEmailAddr": {
        "Address": "ana@green.example"}})  # fmt: skip
    assert directory.refresh(firm.sessions, firm.config, firm.connection.id)
    with firm.sessions.begin() as session:
        connection = session.get_one(Connection, firm.connection.id)
        read_at = connection.customers_read_at
        if path == "query":
            connection.customers_read_at = None
    says_nothing(firm, path, body)
    assert not directory.refresh(firm.sessions, firm.config, firm.connection.id)
    with firm.sessions.begin() as session:
        connection = session.get_one(Connection, firm.connection.id)
        assert connection.customers_read_at == (None if path == "query" else read_at)
        connection.customers_read_at = read_at
    firm.simulator.clear_faults()
    firm.save(new_lead(firm.id, "Green Lawn", email="ana@green.example"))
    firm.drain_to_the_end()
    once_each(firm, Customer=1)


def test_case_e06_one_bad_row_ends_no_list(firm: Firm) -> None:
    pages = [
        [{"Id": "1", "SyncToken": "0"}, {"Name": "no object"}],
        [{"Id": "2", "SyncToken": "0"}],
    ]

    class Told(facts.Reader):
        def get(self, path: str, **query: str) -> Json:
            return {"QueryResponse": {"Customer": pages.pop(0)}}

    found = directory.read_all(Told(firm.config, RIVERA, "token"), most=2)
    assert [row["Id"] for row in found] == ["1", "2"]


@pytest.mark.parametrize("odd", ["x", 7, True, ["x"], [None], {"x": "y"}], ids=str)
def test_case_e06_parts_of_another_shape_are_no_facts(config: Config, odd: object) -> None:
    info = dict.fromkeys(("CompanyName", "CompanyAddr", "NameValue", "Country"), odd)
    parts = ("CurrencyPrefs", "SalesFormsPrefs", "TaxPrefs", "AccountingInfoPrefs")
    row = {"Id": "1", **dict.fromkeys(("CustomerRef", "MetaData", "SalesTaxRateList"), odd)}

    class Told(facts.Reader):
        def get(self, path: str, **query: str) -> Json:
            entity = query.get("query", "").split(" ")[3:4]
            return {"QueryResponse": {entity[0]: [row]}} if entity else {}

        def one(self, path: str, kind: str) -> Json:
            return {"CompanyInfo": info, "Preferences": dict.fromkeys(parts, odd)}[kind]

    reader = Told(config, RIVERA, "token")
    company: Json = {"preferences": {"uses_sales_tax": True}}
    reads: list[Callable[[], object]] = [
        lambda: facts.read_company(reader),
        lambda: facts.read_last_sale(reader),
        lambda: facts.read_facts(reader, company),
    ]
    for read in reads:
        with suppress(facts.FactsUnavailable):
            assert json.dumps(read())


@pytest.mark.parametrize(
    ("told", "kept"),
    [("2026-03-09", "2026-03-09"), ("soon", None), ("", None), (None, None), (7, None), ([], None)],
)
def test_a_closing_date_that_is_none_closes_nothing(
    config: Config, told: object, kept: str | None
) -> None:
    class Told(facts.Reader):
        def one(self, path: str, kind: str) -> Json:
            return {"AccountingInfoPrefs": {"BookCloseDate": told}, "CompanyName": "Rivera"}

    company = facts.read_company(Told(config, RIVERA, "token"))
    assert company["preferences"]["closed_until"] == kept


@pytest.mark.parametrize("body", SAYS_NOTHING, ids=str)
@pytest.mark.parametrize("path", ["companyinfo", "preferences", "query"])
def test_case_e06_a_company_that_says_nothing_of_itself_is_not_unsuitable(
    session: Session, sessions: Sessions, config: Config, simulator: SimulatorHandle,
    path: str, body: object,
) -> None:  # fmt: skip
    simulator.fault(match={"method": "GET", "path": path}, do={"status": 200, "body": body})
    finished = go_through(sessions, config, new_owner(session))
    assert finished == TryAgain("unavailable")
