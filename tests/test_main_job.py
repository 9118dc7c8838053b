"""The main job, end to end against the simulator: what a firm writes is what its books show."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import requests
from sqlalchemy import text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.outbox import Entry
from models.quickbooks import ConnectionStatus, Purpose, Revocation, Tokens
from models.sales import Lead
from outbox import actions, lanes
from quickbooks import directory
from quickbooks.consenting import Connected
from quickbooks.tokens import decrypt
from simulator.testing import SimulatorHandle, running_simulator
from tests.support.firm import entries_of, new_invoice, new_lead, new_line, new_payment, new_product
from tests.support.office import RIVERA, Office, money, open_office


@pytest.fixture
def office(
    sessions: Sessions, config: Config, simulator: SimulatorHandle, session: Session
) -> Office:
    office = open_office(sessions, config, simulator, session)
    assert isinstance(office.connect(), Connected)
    office.connection  # noqa: B018  (loaded anew)
    simulator.clear_journal()
    return office


def write_the_main_job(office: Office) -> None:
    """A lead, an invoice with three lines and tax, paid by card and ACH in two parts."""
    firm = office.firm
    lead = new_lead(firm, "Green Lawn Co", email="kim@greenlawn.example", phone="(916) 555-0142")
    lines = [
        new_line(firm, "Sprinkler repair", "3.5", "120", product=new_product(firm)),
        new_line(firm, "Backflow test", "1", "95", position=2),
        new_line(firm, "PVC parts", "12", "55", position=3, taxable=True),
    ]
    invoice = new_invoice(firm, lead, lines, number="1043", tax_rate="8")
    office.save(lead, invoice)
    office.save(new_payment(firm, invoice, "500", "card"))
    office.save(new_payment(firm, invoice, "727.80", "ach"))


def test_a_lead_an_invoice_and_two_payments_reach_the_books(office: Office) -> None:
    write_the_main_job(office)
    office.drain()
    assert {state for _, state in office.states()} == {"synced"}
    [customer] = [c for c in office.books("Customer") if c["DisplayName"] == "Green Lawn Co"]
    [invoice] = [i for i in office.books("Invoice") if i["DocNumber"] == "1043"]
    payments = [p for p in office.books("Payment") if p["CustomerRef"]["value"] == customer["Id"]]
    assert customer["PrimaryEmailAddr"]["Address"] == "kim@greenlawn.example"
    assert invoice["CustomerRef"]["value"] == customer["Id"]
    amounts = [
        money(line["Amount"])
        for line in invoice["Line"]
        if line["DetailType"] == "SalesItemLineDetail"
    ]
    assert amounts[:3] == [money(420), money(95), money(660)]
    assert (money(invoice["TotalAmt"]), money(invoice["Balance"])) == (money("1227.80"), money(0))
    assert sorted(money(payment["TotalAmt"]) for payment in payments) == [
        money(500),
        money("727.80"),
    ]
    assert all(payment["PaymentRefNum"].startswith("DH-") for payment in payments)


def test_rule_16_the_main_job_reads_nothing(office: Office) -> None:
    write_the_main_job(office)
    office.drain()
    assert office.calls("GET") == []


@pytest.mark.full
@pytest.mark.timeout(600)
def test_rule_16_a_thousand_invoices_of_known_customers_read_nothing(office: Office) -> None:
    leads = [new_lead(office.firm, f"Customer {number}") for number in range(20)]
    office.save(*leads)
    office.drain()
    office.simulator.clear_journal()
    office.save(
        *(new_invoice(office.firm, leads[n % 20], number=str(20_000 + n)) for n in range(1_000))
    )
    office.drain(rounds=400)
    assert {state for _, state in office.states()} == {"synced"}
    assert office.calls("GET") == []
    numbers = {int(invoice["DocNumber"]) for invoice in office.books("Invoice")}
    assert numbers >= set(range(20_000, 21_000))


def new_customers_read_the_directory_only(office: Office, there: int, new: int) -> None:
    """Connects a company with so many customers, and saves so many leads who are new to it."""
    office.disconnect()
    bookkeeper = office.simulator.client(RIVERA)
    for first in range(0, there, 30):
        made: list[dict[str, Any]] = [
            {"bId": f"{n}", "operation": "create", "Customer": {"DisplayName": f"Known {n}"}}
            for n in range(first, min(first + 30, there))
        ]
        bookkeeper.batch(*made)
    bookkeeper.close()
    office.simulator.clear_journal()
    office.connect()
    pages = [call for call in office.simulator.journal() if "Customer" in call["query"]]
    known = len(office.books("Customer"))
    assert len(pages) == known // 1_000 + 1
    office.simulator.clear_journal()
    office.save(*(new_lead(office.firm, f"New {number}") for number in range(new)))
    office.drain(rounds=400)
    assert office.calls("GET") == []
    assert len(office.books("Customer")) == known + new
    office.simulator.advance(3000)  # the next day, told in minutes: QuickBooks' clock is ahead
    later = "UPDATE quickbooks_connections SET customers_read_at = now() + interval '80 min'"
    office.session.execute(text(later))
    office.session.commit()
    assert directory.refresh(office.sessions, office.config, office.connection.id)
    office.save(new_lead(office.firm, "Of the next day"))
    office.drain()
    assert office.calls("GET") == ["GET cdc"]


def test_rule_16_new_customers_read_the_directorys_pages_only(office: Office) -> None:
    new_customers_read_the_directory_only(office, there=40, new=35)


@pytest.mark.full
@pytest.mark.timeout(600)
def test_rule_16_a_thousand_new_customers_read_the_directorys_pages_only(office: Office) -> None:
    new_customers_read_the_directory_only(office, there=2_100, new=1_000)


def test_a_changed_email_changes_the_one_customer(office: Office) -> None:
    lead = new_lead(office.firm, email="old@greenlawn.example")
    office.save(lead)
    office.drain()
    lead.email = "new@greenlawn.example"
    office.save(lead)
    office.drain()
    [customer] = [c for c in office.books("Customer") if c["DisplayName"] == "Green Lawn Co"]
    assert customer["PrimaryEmailAddr"]["Address"] == "new@greenlawn.example"
    assert customer["SyncToken"] == "1"


def test_a_contact_arrives_and_is_cleared_and_notes_never_leave(office: Office) -> None:
    lead = new_lead(office.firm, given_name="Kim", family_name="Ng", notes="Pays late.")
    office.save(lead)
    office.drain()
    [customer] = [c for c in office.books("Customer") if c["DisplayName"] == "Green Lawn Co"]
    assert (customer["GivenName"], customer["FamilyName"]) == ("Kim", "Ng")
    lead.given_name, lead.notes = "", "Pays very late."
    office.save(lead)
    office.drain()
    [customer] = [c for c in office.books("Customer") if c["DisplayName"] == "Green Lawn Co"]
    assert (customer.get("GivenName", ""), customer["FamilyName"]) == ("", "Ng")
    assert "late" not in str(office.books("Customer"))


def test_a_name_clash_asks_and_a_changed_name_goes_by_itself(office: Office) -> None:
    first = new_lead(office.firm, email="one@lawn.example")
    office.save(first)
    office.drain()
    second = new_lead(office.firm, email="two@lawn.example", phone="555-0199")
    invoice = new_invoice(office.firm, second, number="1050")
    office.save(second, invoice)
    office.drain()
    clash = entries_of(office.session)[1]
    assert (clash.state, clash.fault_code, clash.fault_field) == ("failed", "6240", "name")
    second = office.session.get_one(Lead, second.id)
    second.name = "Green Lawn Co (Elm St)"
    office.save(second)
    office.drain()
    names = [c["DisplayName"] for c in office.books("Customer")]
    assert names.count("Green Lawn Co") == 1
    assert "Green Lawn Co (Elm St)" in names
    assert [i["DocNumber"] for i in office.books("Invoice")].count("1050") == 1


def test_requeueing_everything_leaves_the_books_exactly_as_they_were(office: Office) -> None:
    """The same objects with the same versions, after any number of times."""
    write_the_main_job(office)
    office.drain()
    before = office.simulator.books(RIVERA)
    for _ in range(2):
        ids = [entry.id for entry in entries_of(office.session)]
        acted = actions.requeue(office.session, ids, organization_id=None)
        office.session.commit()
        assert set(acted.done) | set(acted.refused) == set(ids)
        assert len(acted.done) == len(ids)
        office.drain()
        assert {state for _, state in office.states()} == {"synced"}
    assert office.simulator.books(RIVERA) == before
    assert not [call for call in office.calls("POST") if "query" not in call][5:]


def test_saving_goes_on_while_quickbooks_is_down_and_all_arrives_in_order_afterwards(
    sessions: Sessions, config: Config, session: Session, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("books")
    with running_simulator(folder) as own:
        office = open_office(sessions, replace(config, simulator_url=own.url), own, session)
        assert isinstance(office.connect(), Connected)
        own.stop()
        write_the_main_job(office)
        office.drain()
        assert {state for _, state in office.states()} == {"pending"}
        assert {entry.attempts for entry in entries_of(session)} == {0}
        own.start()
        for _ in range(3):
            office.pass_time()
            office.drain()
        assert {state for _, state in office.states()} == {"synced"}
        [invoice] = [i for i in office.books("Invoice") if i["DocNumber"] == "1043"]
        assert money(invoice["Balance"]) == 0
        made = office.calls("POST")
        assert made == [
            "POST customer",
            "POST item",
            "POST invoice",
            "POST payment",  # one by one: both change the same invoice
            "POST payment",
        ]


def test_disconnect_kills_the_token_and_draws_the_line(office: Office) -> None:
    lead = new_lead(office.firm, "Waiting at disconnect")
    office.save(lead)
    with office.sessions() as session:
        tokens = session.query(Tokens).one()
        access = decrypt(office.config, tokens.access_token)
    office.disconnect()
    answer = requests.get(
        f"{office.simulator.url}/v3/company/{RIVERA}/companyinfo/{RIVERA}",
        headers={"Authorization": f"Bearer {access}", "Accept": "application/json"},
        timeout=5,
    )
    assert answer.status_code == 401
    office.session.rollback()
    assert office.session.query(Tokens).count() == 0
    assert office.session.query(Revocation).one().token is None
    office.save(new_lead(office.firm, "Made meanwhile"))

    again = office.connect()
    assert isinstance(again, Connected)
    assert (again.was_known, again.waiting) == (True, 1)
    office.save(new_lead(office.firm, "New"))
    office.drain()
    names = {c["DisplayName"] for c in office.books("Customer")}
    assert "New" in names
    assert not names & {"Waiting at disconnect", "Made meanwhile"}
    lanes.send_waiting(office.session, office.connection.lane_id)
    office.session.commit()
    office.drain()
    names = {c["DisplayName"] for c in office.books("Customer")}
    assert "Waiting at disconnect" in names
    assert "Made meanwhile" not in names


def test_a_refused_refresh_holds_entries_and_reconnecting_drains_them(office: Office) -> None:
    office.simulator.revoke(RIVERA)  # the owner removes us inside QuickBooks
    office.save(new_lead(office.firm))
    office.drain()
    assert office.connection.status == ConnectionStatus.EXPIRED
    assert office.connection.lane.state == "held"
    office.save(new_lead(office.firm, "Saved while expired"))
    assert office.states() == [("lead", "pending")] * 2
    assert {entry.attempts for entry in entries_of(office.session)} == {0}
    assert isinstance(office.connect(purpose=Purpose.RECONNECT), Connected)
    office.drain()
    assert office.states() == [("lead", "synced")] * 2
    names = {c["DisplayName"] for c in office.books("Customer")}
    assert {"Green Lawn Co", "Saved while expired"} <= names


def test_a_voided_invoice_is_voided_there(office: Office) -> None:
    invoice = new_invoice(office.firm, new_lead(office.firm), number="1060")
    office.save(invoice)
    office.drain()
    invoice.voided_at = datetime.now(UTC)
    office.save(invoice)
    office.drain()
    [there] = [i for i in office.books("Invoice") if i["DocNumber"] == "1060"]
    assert money(there["TotalAmt"]) == 0
    assert entries_of(office.session)[-1].state == "synced"


def test_a_void_that_was_undone_there_is_voided_again_when_a_person_says_so(office: Office) -> None:
    invoice = new_invoice(office.firm, new_lead(office.firm), number="1061")
    office.save(invoice)
    office.drain()
    [sent] = office.books("Invoice")
    invoice.voided_at = datetime.now(UTC)
    office.save(invoice)
    office.drain()
    [there] = office.books("Invoice")
    with closing(office.simulator.client(office.realm)) as bookkeeper:
        version = {"Id": there["Id"], "SyncToken": there["SyncToken"], "sparse": True}
        bookkeeper.post("invoice", {**version, "Line": sent["Line"], "PrivateNote": ""})
    assert money(office.books("Invoice")[0]["TotalAmt"]) > 0
    voiding = entries_of(office.session)[-1]
    assert actions.requeue(office.session, [voiding.id], organization_id=office.firm).done
    office.session.commit()
    office.drain()
    assert money(office.books("Invoice")[0]["TotalAmt"]) == 0
    assert entries_of(office.session)[-1].state == "synced"


def test_an_invoice_changed_after_a_payment_is_read_once_and_updated(office: Office) -> None:
    invoice = new_invoice(office.firm, new_lead(office.firm), number="1070")
    office.save(invoice)
    office.save(new_payment(office.firm, invoice, "40"))
    office.drain()
    office.simulator.clear_journal()
    invoice.lines[0].quantity = Decimal(2)
    office.save(invoice)
    office.drain()
    [there] = [i for i in office.books("Invoice") if i["DocNumber"] == "1070"]
    assert (money(there["TotalAmt"]), money(there["Balance"])) == (money(200), money(160))
    assert office.calls() == ["GET query", "POST invoice"]


def test_thirty_leads_go_in_one_batch(office: Office) -> None:
    office.save(*(new_lead(office.firm, f"Customer {number}") for number in range(30)))
    office.drain()
    assert office.calls() == ["POST batch"]
    assert {state for _, state in office.states()} == {"synced"}
    names = {c["DisplayName"] for c in office.books("Customer")}
    assert {f"Customer {number}" for number in range(30)} <= names


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_call_cut_off_before_or_after_the_commit_makes_one_of_each(
    office: Office, moment: str
) -> None:
    office.simulator.fault(
        match={"method": "POST", "path": "/v3/", "times": 1}, do={"reset": moment}
    )
    write_the_main_job(office)
    for _ in range(4):
        office.drain()
        office.pass_time()
    assert {state for _, state in office.states()} == {"synced"}
    names = [c["DisplayName"] for c in office.books("Customer")]
    assert names.count("Green Lawn Co") == 1
    office.session.rollback()
    office.session.execute(text("SELECT 1"))
    assert office.session.query(Entry).filter(Entry.attempts > 0).count() == 0
