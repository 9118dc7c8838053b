"""The test drive: what it says beforehand is what really arrives, and it sends nothing."""

import random
from contextlib import closing
from decimal import Decimal

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.outbox import Counterpart, Entry, State
from models.quickbooks import Purpose, UnconfirmedCompany
from models.sales import Lead, RecordType
from outbox.capture import send_by_hand
from quickbooks import connecting, consenting, trial
from quickbooks.consenting import Unconfirmed
from quickbooks.trial import Fate
from simulator.testing import SimulatorHandle
from tests.support.connected import RIVERA, consent
from tests.support.firm import new_invoice, new_lead, new_line, new_product
from tests.support.office import Office, open_office
from tests.support.situation import Situation
from tests.support.situation import consent as back_from_intuit
from tests.support.visitor import Visitor

PAGE = "/settings/quickbooks/company"
NAMES = ("Green Lawn Co", "Harbor Cafe", "Élan & Söhne", 'O\'Hara "Bob" & Sons', "Rosa\tDelgado")
ODD_NAMES = (
    ":::",
    "A:B",
    "x" * 600,
    "😀 Pool",
    "  Harbor   cafe ",
    "harbor cafe",
    "Müller (deleted)",
)
EMAILS = ("", "a@x.example", "A@X.example ", "b@y.example", "c@z.example", "not an address")
PHONES = ("", "(415) 555-0101", "+1 415 555 0101", "5105550102")


@pytest.fixture
def office(
    sessions: Sessions, config: Config, simulator: SimulatorHandle, session: Session
) -> Office:
    return open_office(sessions, config, simulator, session)


def customers_there(office: Office, dice: random.Random, count: int) -> None:
    with closing(office.simulator.client(RIVERA)) as books:
        for number in range(count):
            name = f"{dice.choice(NAMES)} {number}" if number >= len(NAMES) else NAMES[number]
            body: dict[str, object] = {"DisplayName": name.replace("\t", " ").replace('"', "")}
            if email := dice.choice(EMAILS[:5]).strip():
                body["PrimaryEmailAddr"] = {"Address": email}
            if phone := dice.choice(PHONES):
                body["PrimaryPhone"] = {"FreeFormNumber": phone}
            books.post("customer", body)


def odd_leads(office: Office, dice: random.Random, count: int) -> None:
    for _ in range(count):
        name = dice.choice((*NAMES, *ODD_NAMES, f"Client {dice.randrange(150)}"))
        office.session.add(
            new_lead(office.firm, name, email=dice.choice(EMAILS), phone=dice.choice(PHONES))
        )
        office.session.commit()


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_foreseen_of_200_odd_leads_is_what_happens(office: Office, seed: int) -> None:
    dice = random.Random(seed)
    customers_there(office, dice, 12)
    odd_leads(office, dice, 200)
    address = consenting.begin(office.sessions, office.config, office.owner, Purpose.CONNECT)
    finished = connecting.finish(
        office.sessions, office.config, office.owner, consent(address, RIVERA)
    )
    assert isinstance(finished, Unconfirmed)
    office.simulator.clear_journal()
    company = office.session.get_one(UnconfirmedCompany, office.firm)
    books = trial.books_of_choice(office.session, company, None)
    leads = trial.newest_leads(office.session, office.firm, 200)
    foreseen = {one.key: one for one in trial.try_leads(leads, books)}
    office.session.rollback()
    assert office.calls() == []
    assert {one.fate for one in foreseen.values()} == {Fate.LINK, Fate.CREATE, Fate.ASK}

    connecting.confirm(office.sessions, office.config, office.owner, RIVERA)
    before = {str(one["Id"]) for one in office.books("Customer")}
    for key in sorted(foreseen):  # one after the other, as the preview takes them
        send_by_hand(office.session, RecordType.LEAD, [key])
        office.session.commit()
        office.drain()
    links = {
        one.record_id: one.remote_id
        for one in office.session.scalars(
            select(Counterpart).where(Counterpart.record_type == RecordType.LEAD)
        )
    }
    failed = set(office.session.scalars(select(Entry.record_id).where(Entry.state == State.FAILED)))
    wrong = []
    for key, one in foreseen.items():
        came = Fate.LINK if links.get(key) in before else Fate.CREATE
        came = Fate.ASK if key in failed else came
        if came != one.fate or (came == Fate.LINK and links[key] != one.customer_id):
            lead = office.session.get_one(Lead, key)
            wrong.append((lead.name[:20], lead.email, lead.phone, one.fate, came))
    assert wrong == []


def test_the_invoice_arrives_as_it_was_shown(office: Office) -> None:
    lead, product = new_lead(office.firm), new_product(office.firm, "Sprinkler repair")
    lines = [
        new_line(office.firm, "Valve", "2", "45.50", product=product),
        new_line(office.firm, "Call-out", "1", "80", position=2),
    ]
    invoice = new_invoice(office.firm, lead, lines, number="A-77")
    office.save(lead, product, invoice)
    office.simulator.company(RIVERA, CustomTxnNumbers=True)
    address = consenting.begin(office.sessions, office.config, office.owner, Purpose.CONNECT)
    connecting.finish(office.sessions, office.config, office.owner, consent(address, RIVERA))
    company = office.session.get_one(UnconfirmedCompany, office.firm)
    due = trial.newest_invoice(office.session, office.firm)
    assert due
    shown = trial.try_invoice(due, trial.books_of_choice(office.session, company, None))
    office.session.rollback()
    assert shown.fault is None
    connecting.confirm(office.sessions, office.config, office.owner, RIVERA)
    send_by_hand(office.session, RecordType.INVOICE, [invoice.id])
    office.session.commit()
    office.drain()
    there = max(office.books("Invoice"), key=lambda one: int(one["Id"]))
    items = {one["Id"]: one for one in office.books("Item")}
    accounts = {one["Id"]: one["Name"] for one in office.books("Account")}
    sold = [one for one in there["Line"] if one["DetailType"] == "SalesItemLineDetail"]
    names = [items[one["SalesItemLineDetail"]["ItemRef"]["value"]]["Name"] for one in sold]
    assert there["DocNumber"] == shown.number == "A-77"
    assert Decimal(str(there["TotalAmt"])) == Decimal(shown.total)
    assert (there["TxnDate"], there["DueDate"]) == (shown.issued_on, shown.due_on)
    assert names == [line.item for line in shown.lines]
    made = items[sold[0]["SalesItemLineDetail"]["ItemRef"]["value"]]
    assert accounts[made["IncomeAccountRef"]["value"]] == shown.income_account
    assert [line.is_new_item for line in shown.lines] == [True, True]


def test_the_page_before_starting_shows_it_and_writes_nothing(at: Situation) -> None:
    with closing(at.simulator.client(RIVERA)) as books:
        books.post("customer", {"DisplayName": "Green Lawn Co"})
    at.save_lead("Green Lawn Co")
    at.save_lead("Somebody New")
    before = at.simulator.books(RIVERA)
    ana = at.ana.open(back_from_intuit(at.to_intuit(), RIVERA))
    assert ana.path == PAGE
    assert "Somebody New Would be created as a new customer" in ana.text
    assert "Green Lawn Co Would link to the customer “Green Lawn Co”" in ana.text
    assert "Where money lands" in ana.text
    assert at.simulator.books(RIVERA) == before


def test_it_can_be_repeated_from_settings(at: Situation) -> None:
    at.connect()
    at.save_lead("Green Lawn Co")
    at.drain()
    at.simulator.clear_journal()
    page: Visitor = at.ana.open("/settings/quickbooks")
    assert page.page.find("a", href="/settings/quickbooks/test-drive")
    page.open("/settings/quickbooks/test-drive")
    assert "Green Lawn Co Is in QuickBooks" in page.text
    assert [call for call in at.simulator.journal() if "/v3/" in call["path"]] == []
