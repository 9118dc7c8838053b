"""What nobody can tell of a send arrives once all the same, and stops one record at most."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.outbox import Entry, Lane
from models.sales import Invoice
from outbox import actions
from simulator.testing import SimulatorHandle
from tests.support.connected import RIVERA, connect, new_owner, states
from tests.support.firm import entries_of, new_lead, new_payment
from tests.test_quickbooks_trouble import Firm

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
