"""The test drive: it predicts what really arrives, and sends nothing."""

import random
from collections.abc import Iterable, Mapping
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.outbox import Counterpart, Entry, State
from models.quickbooks import Purpose, UnconfirmedCompany
from models.sales import Lead, RecordType
from outbox.capture import send_by_hand
from quickbooks import connecting, consenting, trial
from quickbooks.consenting import Unconfirmed
from quickbooks.trial import Fate, TriedInvoice
from simulator.testing import SimulatorHandle
from tests.support.connected import RIVERA, consent
from tests.support.firm import entries_of, new_invoice, new_lead, new_line, new_product
from tests.support.office import Office, open_office
from tests.support.situation import Situation
from tests.support.situation import consent as back_from_intuit
from tests.support.visitor import PASSWORD, Visitor, _values

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


def chosen_company(office: Office) -> UnconfirmedCompany:
    """As far as our question whose company it is."""
    address = consenting.begin(office.sessions, office.config, office.owner, Purpose.CONNECT)
    finished = connecting.finish(
        office.sessions, office.config, office.owner, consent(address, RIVERA)
    )
    assert isinstance(finished, Unconfirmed)
    return office.session.get_one(UnconfirmedCompany, office.firm)


def send_one_by_one(office: Office, type_: RecordType, keys: Iterable[int]) -> None:
    """As the preview takes them."""
    for key in sorted(keys):
        send_by_hand(office.session, type_, [key])
        office.session.commit()
        office.drain()


def links_of(office: Office, type_: RecordType) -> dict[int, str | None]:
    office.session.rollback()
    found = office.session.scalars(select(Counterpart).where(Counterpart.record_type == type_))
    return {one.record_id: one.remote_id for one in found}


ODD = [  # seed, how many
    pytest.param(1, 40),
    pytest.param(2, 200, marks=[pytest.mark.full, pytest.mark.timeout(1200)]),
]


@pytest.mark.parametrize(("seed", "count"), ODD)
def test_what_is_foreseen_of_odd_leads_is_what_happens(
    office: Office, seed: int, count: int
) -> None:
    dice = random.Random(seed)
    customers_there(office, dice, 12)
    odd_leads(office, dice, count)
    company = chosen_company(office)
    office.simulator.clear_journal()
    books = trial.books_of_choice(office.session, company, None)
    leads = trial.newest_leads(office.session, office.firm, count)
    foreseen = {one.key: one for one in trial.try_leads(leads, books)}
    assert office.calls() == []
    assert {one.fate for one in foreseen.values()} == {Fate.LINK, Fate.CREATE, Fate.ASK}

    answers = {key: dice.choice(one.choices).key for key, one in foreseen.items() if one.choices}
    answers = {key: one for key, one in answers.items() if dice.random() < 0.7}
    company.choices = {str(key): one for key, one in answers.items()}
    office.session.commit()
    books = trial.books_of_choice(office.session, company, None)
    foreseen = {one.key: one for one in trial.try_leads(leads, books)}
    office.session.rollback()

    connecting.confirm(office.sessions, office.config, office.owner, RIVERA)
    assert office.states() == []
    before = {str(one["Id"]) for one in office.books("Customer")}
    send_one_by_one(office, RecordType.LEAD, foreseen)
    links = links_of(office, RecordType.LEAD)
    names = {str(one["Id"]): str(one["DisplayName"]) for one in office.books("Customer")}
    failed = set(office.session.scalars(select(Entry.record_id).where(Entry.state == State.FAILED)))
    wrong = []
    for key, one in foreseen.items():
        came = Fate.LINK if links.get(key) in before else Fate.CREATE
        came = Fate.ASK if key in failed else came
        name = names.get(str(links.get(key)))
        if came != one.fate or (came != Fate.ASK and name != one.customer):
            lead = office.session.get_one(Lead, key)
            wrong.append(
                (lead.name[:20], lead.email, lead.phone, answers.get(key), one, came, name)
            )
    assert wrong == []


PRODUCTS = (
    "Sprinkler repair",
    "sprinkler  REPAIR",
    "Pest Control",
    "Parts: PVC",
    "Parts - PVC",
    "Élan\t😀 service",
    "x" * 130,
    "名前",
    "😀",
    "“Quoted” & <b>",
)
DESCRIPTIONS = ("Valve", "", "a\n\n b \r\n", "😀", "Größe – ½ ″ 名", "y" * 4100, "  ")
QUANTITIES = ("1", "0", "3", "0.333", "2.5", "1000", "0.005")
PRICES = ("0", "100", "45.55", "0.01", "33.333", "1.005", "99999.99", "-20", "0.125")
RATES = ("0", "8", "8.25", "7.1", "100", "0.005")
MEMOS = ("", "Thank you!", "😀 " * 700)


def odd_invoices(office: Office, dice: random.Random, count: int) -> None:
    firm = office.firm
    leads = [new_lead(firm, f"Client {number}") for number in range(count // 4)]
    leads += [new_lead(firm, ":::"), new_lead(firm, "A:B")]
    products = [new_product(firm, name, dice.choice(PRICES[:6])) for name in PRODUCTS]
    office.save(*leads, *products)
    for number in range(count):
        lines = [
            new_line(
                firm,
                dice.choice(DESCRIPTIONS),
                dice.choice(QUANTITIES),
                dice.choice(PRICES),
                position=position,
                product=dice.choice([None, None, *products]),
                taxable=dice.random() < 0.5,
            )
            for position in range(dice.randrange(1, 6))
        ]
        invoice = new_invoice(
            firm,
            dice.choice(leads),
            lines,
            number=dice.choice(
                [f"A-{number}", f"{number}", f"№ {number} 😀", f"{number}-{'9' * 15}"]
            ),
            tax_rate=dice.choice(RATES),
        )
        invoice.memo = dice.choice(MEMOS)
        office.save(invoice)


COMPANIES = {
    "its_own_numbers": {"CustomTxnNumbers": False},
    "our_numbers": {"CustomTxnNumbers": True},
    "our_tax": {"CustomTxnNumbers": True, "PartnerTaxEnabled": True},
    "its_own_tax": {"CustomTxnNumbers": True, "PartnerTaxEnabled": True},
    "no_tax": {"CustomTxnNumbers": True, "UsingSalesTax": False},
}


@pytest.mark.parametrize(("seed", "count"), ODD)
@pytest.mark.parametrize("company", COMPANIES)
def test_what_is_foreseen_of_odd_invoices_is_what_arrives(
    office: Office, company: str, seed: int, count: int
) -> None:
    office.simulator.company(RIVERA, **COMPANIES[company])
    dice = random.Random(seed)
    odd_invoices(office, dice, count // 2 if count < 100 else count)
    chosen = chosen_company(office)
    if company == "its_own_tax":
        chosen.settings = {**chosen.settings, "tax": {"mode": "quickbooks"}}
        office.session.commit()
    books = trial.books_of_choice(office.session, chosen, None)
    invoices = trial.newest_invoices(office.session, office.firm, 1000)
    leads = trial.newest_leads(office.session, office.firm, 1000)
    customers = {one.key: one for one in trial.try_leads(leads, books)}
    foreseen = {}
    for due in invoices:
        needed = trial.needed_by(office.session, [due])
        customer = customers[due.payload["lead_id"]]
        foreseen[due.record.id] = trial.try_invoice(due, needed, customer, books)
    office.session.rollback()

    connecting.confirm(office.sessions, office.config, office.owner, RIVERA)
    send_one_by_one(office, RecordType.LEAD, customers)
    send_by_hand(office.session, RecordType.INVOICE, sorted(foreseen))  # none takes from another
    office.session.commit()
    office.drain(rounds=400)
    links = links_of(office, RecordType.INVOICE)
    there = {str(one["Id"]): one for one in office.books("Invoice")}
    names = {str(one["Id"]): str(one["Name"]) for one in office.books("Item")}
    codes = {
        entry.record_id: entry.fault_code
        for entry in office.session.scalars(select(Entry).order_by(Entry.id))
        if entry.record_type == RecordType.INVOICE
    }
    assert len({bool(one.fault) for one in foreseen.values()}) == 2
    for key, shown in foreseen.items():
        arrived = there.get(str(links.get(key)))
        if shown.fault or shown.customer.fate == Fate.ASK:
            assert arrived is None, (shown, arrived)
            assert codes[key] in (None, shown.fault.code if shown.fault else None), shown
            continue
        assert arrived, (shown, codes[key])
        assert said_of(shown, arrived, names) == [], (shown, arrived)


def said_of(
    shown: TriedInvoice, arrived: Mapping[str, Any], names: Mapping[str, str]
) -> list[tuple[str, object, object]]:
    """What arrived otherwise than it was shown, and was not said to be QuickBooks' own matter."""
    sold = [one for one in arrived["Line"] if one["DetailType"] == "SalesItemLineDetail"]
    lines = [
        (
            line.get("Description", ""),
            Decimal(str(line["Amount"])),
            names[str(line["SalesItemLineDetail"]["ItemRef"]["value"])].casefold(),
        )
        for line in sold
    ]
    tax = Decimal(str((arrived.get("TxnTaxDetail") or {}).get("TotalTax", 0)))
    ours_shown = [(one.description, one.amount, one.item.casefold()) for one in shown.lines]
    compared: list[tuple[str, object, object]] = [
        ("dates", (shown.issued_on, shown.due_on), (arrived["TxnDate"], arrived["DueDate"])),
        ("lines", ours_shown, lines),
        ("customer", shown.customer.customer, arrived["CustomerRef"]["name"]),
    ]
    if shown.is_our_number:
        compared.append(("number", shown.number, arrived["DocNumber"]))
    if shown.tax_mode != "automated":
        total = Decimal(str(arrived["TotalAmt"]))
        compared.append(("total", Decimal(shown.total), total))
        compared.append(
            ("tax", Decimal(shown.tax if shown.tax_mode in ("manual", "billed") else 0), tax)
        )
    return [(what, one, other) for what, one, other in compared if one != other]


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
    [due] = trial.newest_invoices(office.session, office.firm)
    needed = trial.needed_by(office.session, [due])
    books = trial.books_of_choice(office.session, company, None)
    [customer] = trial.try_leads(needed[:1], books)
    shown = trial.try_invoice(due, needed, customer, books)
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


def test_what_is_chosen_on_the_page_is_carried_out_once_it_starts(at: Situation) -> None:
    with closing(at.simulator.client(RIVERA)) as books:
        for name, email in (("Green Lawn Co", "g@x.example"), ("Harbor Cafe", "h@x.example")):
            books.post("customer", {"DisplayName": name, "PrimaryEmailAddr": {"Address": email}})
    used = at.save_lead("Green Lawn Co", email="other@x.example")
    renamed = at.save_lead("Harbor Cafe", email="another@x.example", phone="(415) 555-0101")
    later = at.save_lead("Green Lawn Co", email="third@x.example")
    ana = at.ana.open(back_from_intuit(at.to_intuit(), RIVERA))
    assert "3 leads would need your answer" in ana.text
    [there] = [one for one in at.books("Customer") if one["DisplayName"] == "Green Lawn Co"]
    checking = next(one["Id"] for one in at.books("Account") if one["Name"] == "Checking")
    before = at.simulator.books(RIVERA)
    chosen = {
        f"lead-{used}": f"use:{there['Id']}",
        f"lead-{renamed}": "create_as:Harbor Cafe - 555-0101",
        "card_deposits": str(checking),
    }
    ana.submit(chosen, press="Show what my choices do")
    assert ana.path == PAGE
    assert "1 lead would need your answer" in ana.text
    assert "as a new customer, “Harbor Cafe - 555-0101”" in ana.text
    assert "Card payments go to Checking" in ana.text
    assert at.simulator.books(RIVERA) == before
    ana.submit(press="Yes, start")
    assert "QuickBooks is connected" in ana.text
    at.drain()
    assert at.states() == []  # nothing is sent by it
    assert at.connection.settings["deposit_accounts"]["card"] == checking
    test_drive = ana.open("/settings/quickbooks/test-drive").text
    assert test_drive.count("Would ask you") == 1
    linked = "When it is sent, it is linked to the customer “Green Lawn Co”. Chosen by Ana"
    assert linked in ana.open(f"/leads/{used}").panel()
    created = "When it is sent, a new customer “Harbor Cafe - 555-0101” is created. Chosen by Ana"
    assert created in ana.open(f"/leads/{renamed}").panel()
    assert "When it is sent" not in ana.open(f"/leads/{later}").panel()
    for lead in (used, renamed, later):
        at.save_invoice(lead)
        at.drain()
    names = {one["Id"]: one["DisplayName"] for one in at.books("Customer")}
    used_link, renamed_link = at.link("lead", used), at.link("lead", renamed)
    assert used_link
    assert renamed_link
    assert used_link.remote_id == there["Id"]
    panel = ana.open(f"/leads/{used}").panel()
    assert "Customer in QuickBooks Green Lawn Co" in panel
    assert "How Chosen by Ana" in panel
    assert "When it is sent" not in panel
    assert names[renamed_link.remote_id] == "Harbor Cafe - 555-0101"
    assert [entry.fault_code for entry in entries_of(at.session) if entry.fault_code] == [
        "taken_by_another_record"
    ]


def test_a_choice_for_a_lead_that_is_deleted_creates_nobody(at: Situation) -> None:
    with closing(at.simulator.client(RIVERA)) as books:
        email = {"PrimaryEmailAddr": {"Address": "g@x.example"}}
        books.post("customer", {"DisplayName": "Green Lawn Co", **email})
    lead = at.save_lead("Green Lawn Co", email="x@x.example", phone="(415) 555-0101")
    ana = at.ana.open(back_from_intuit(at.to_intuit(), RIVERA))
    ana.submit(
        {f"lead-{lead}": "create_as:Green Lawn Co - 555-0101"}, press="Show what my choices do"
    )
    ana.submit(press="Yes, start")
    with at.sessions.begin() as session:
        session.get_one(Lead, lead).deleted_at = session.scalar(select(func.now()))
    at.drain()
    assert [one["DisplayName"] for one in at.books("Customer")] == ["Green Lawn Co"]


def test_only_what_was_offered_can_be_chosen(at: Situation) -> None:
    with closing(at.simulator.client(RIVERA)) as books:
        books.post("customer", {"DisplayName": "Green Lawn Co", "Notes": "somebody else"})
        books.post("customer", {"DisplayName": "Harbor Cafe"})
    lead = at.save_lead("Somebody New")
    at.ana.open(back_from_intuit(at.to_intuit(), RIVERA))
    for told in ("use:1", "use:99", "create_as:Evil", "create:", "nonsense", "use:"):
        at.ana.post(PAGE, {**_shown(at.ana), f"lead-{lead}": told, "shows": "yes"})
        at.session.rollback()
        assert at.session.scalars(select(UnconfirmedCompany.choices)).one() == {}
    at.ana.post(PAGE, {**_shown(at.ana.open(PAGE)), "card_deposits": "999"})
    assert at.ana.status == 422
    assert "Choose one of these." in at.ana.text


def _shown(visitor: Visitor) -> dict[str, str]:
    visitor.open(PAGE)
    return _values(visitor._form({}, "Yes, start"))


def test_choices_are_kept_when_the_password_is_asked_again(at: Situation) -> None:
    with closing(at.simulator.client(RIVERA)) as books:
        address = {"Address": "g@x.example"}
        books.post("customer", {"DisplayName": "Green Lawn Co", "PrimaryEmailAddr": address})
    lead = at.save_lead("Green Lawn Co", email="other@x.example")
    ana = at.ana.open(back_from_intuit(at.to_intuit(), RIVERA))
    with ana.client.session_transaction() as cookie:
        cookie["signed_in_at"] -= 3600
    key = next(iter(ana.page.select(f"#lead-{lead} option[value^=use]")))["value"]
    ana.submit({f"lead-{lead}": str(key)}, press="Yes, start")
    assert "password" in ana.text
    assert ana.page.select_one("input[type=password]")
    ana.submit({"password": PASSWORD}).open(PAGE)
    assert "Would link to the customer “Green Lawn Co”" in ana.text


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
