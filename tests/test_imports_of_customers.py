"""Customers from a file or from QuickBooks: looked at, saved once, taken back."""

from contextlib import closing
from io import BytesIO

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.imports import LeadImport
from models.outbox import Counterpart
from models.sales import Lead
from tests.support.connected import RIVERA
from tests.support.firm import new_firm, new_invoice, new_lead
from tests.support.situation import Situation
from tests.support.visitor import Visitor, new_person
from web.customer_files import NotReadable, rows_of_file

ANA = "ana@rivera.example"
FILE = (
    b"\xef\xbb\xbfCustomer full name,Email,Phone Numbers,Bill address,City,State,ZIP\n"
    b'"Cafe, Harbor",front@harbor.example,(415) 555-0101,1 Pier St,Oakland,CA,94607\n'
    b"Green Lawn Co,,,,,,\n"
    b"green  lawn co,,,,,,\n"
    b",,,,,,\n"
    b"Harbor Cafe Inc,FRONT@harbor.example,,,,,\n"
)


@pytest.fixture
def ana(app: Flask, session: Session) -> Visitor:
    new_person(session, new_firm(session), ANA)
    return Visitor(app).sign_in(ANA)


def upload(visitor: Visitor, content: bytes) -> Visitor:
    fields = {"csrf_token": visitor.token(), "file": (BytesIO(content), "customers.csv")}
    visitor.answer = visitor.client.post("/leads/imports", data=fields, follow_redirects=True)
    return visitor


def alive(session: Session) -> list[str]:
    session.rollback()
    query = select(Lead.name).where(Lead.deleted_at.is_(None)).order_by(Lead.id)
    return list(session.scalars(query))


def test_a_file_is_looked_at_saved_once_and_taken_back(ana: Visitor, session: Session) -> None:
    ana.open("/leads")
    assert ana.page.find("a", href="/leads/imports/new")
    upload(ana, FILE)
    assert "2 new leads" in ana.text
    assert "2 are already here" in ana.text  # once by name, once by e-mail
    assert alive(session) == []
    path = ana.path
    ana.submit(press="Save as leads")
    assert "2 leads are saved." in ana.text
    ana.post(f"{path}/save")
    assert alive(session) == ["Cafe, Harbor", "Green Lawn Co"]
    lead = session.scalars(select(Lead).order_by(Lead.id)).first()
    assert lead
    assert (lead.email, lead.street, lead.postal_code) == (
        "front@harbor.example",
        "1 Pier St",
        "94607",
    )
    session.add(new_invoice(lead.organization_id, lead))
    session.commit()
    ana.open(path).submit(press="Undo the import")
    assert "1 lead was deleted." in ana.text
    assert alive(session) == ["Cafe, Harbor"]
    ana.post(f"{path}/undo")
    assert alive(session) == ["Cafe, Harbor"]


def test_leads_that_are_here_are_left_out(ana: Visitor, session: Session) -> None:
    firm = session.scalars(select(Lead.organization_id)).first() or 1
    session.add_all(
        [
            new_lead(firm, "GREEN LAWN CO"),
            new_lead(firm, "Cafe Harbor", email="Front@Harbor.example"),
        ]
    )
    session.commit()
    upload(ana, FILE)
    assert "0 new leads" in ana.text
    assert "Everyone in it is already here." in ana.text


def test_a_company_without_customers_is_told_from_one_whose_customers_are_here(
    at: Situation,
) -> None:
    at.connect()
    at.ana.open("/leads/imports/new").submit(press="Review them")
    assert "There are no customers in it." in at.ana.text


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"Nome;E-mail;Cidade\nJo\xc3\xa3o;j@x.example;Recife\n", ["João"]),
        (b"First Name\tLast Name\nAnn\tLee\n\t\n", ["Ann Lee"]),
        (b"Company,Notes\n\xc9lan SA,hi\n", ["Élan SA"]),  # as Excel writes it
        (b'name\n"=HYPERLINK(1)"\n\'=1+1\n', ["=HYPERLINK(1)", "=1+1"]),
        (b"Name,Email\nBob,not an address\n", ["Bob"]),
        (b"Name\n" + b"x" * 5000 + b"\n", ["x" * 1000]),
        (b"Name\na\x00b\n", ["ab"]),
    ],
)
def test_files_of_other_programs_are_read(content: bytes, names: list[str]) -> None:
    rows = rows_of_file(content)
    assert [row["name"] for row in rows] == names
    assert all("@" in row["email"] or not row["email"] for row in rows)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("front@oak.example, billing@oak.example", "front@oak.example, billing@oak.example"),
        ("a@x.example; b@x.example", "a@x.example, b@x.example"),
        ("a@x.example,b@x.example;c@x.example", "a@x.example, b@x.example, c@x.example"),
        ("a@x.example b@x.example", "a@x.example, b@x.example"),
        ("a@x.example\nb@x.example", "a@x.example, b@x.example"),
        ("n/a, billing@oak.example", "billing@oak.example"),
        ("Oak Lawn <billing@oak.example>", "billing@oak.example"),
        ("mailto:billing@oak.example", "billing@oak.example"),
        ("A@x.example, a@x.example.", "a@x.example"),
        ("@, @oak, oak@, none", ""),
        ("front @ oak.example", ""),
    ],
)
def test_case_r12_each_address_of_a_field_is_kept(
    ana: Visitor, session: Session, written: str, kept: str
) -> None:
    upload(ana, f'Name,Email\nOak,"{written}"\n'.encode())
    ana.submit(press="Save as leads")
    session.rollback()
    lead = session.scalars(select(Lead)).one()
    assert lead.email == kept
    form = ana.open(f"/leads/{lead.id}/edit")
    assert form.submit(press="Save lead").status == 200  # the form takes what the import kept


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no_table"),
        (b"Name\n", "no_table"),
        (b"Colour,Size\nred,1\n", "no_name"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "no_name"),
        (b"Name\n" + b"a\n" * 5001, "too_long"),
    ],
)
def test_what_is_no_list_of_customers_is_refused(
    ana: Visitor, session: Session, content: bytes, reason: str
) -> None:
    with pytest.raises(NotReadable) as refusal:
        rows_of_file(content)
    assert refusal.value.reason == reason
    assert upload(ana, content).status == 422
    assert session.scalar(select(func.count()).select_from(LeadImport)) == 0


def test_customers_of_the_company_become_linked_leads_without_a_write(at: Situation) -> None:
    with closing(at.simulator.client(RIVERA)) as books:
        for number, name in enumerate(("Green Lawn Co", "Harbor Cafe", "Élan & Söhne")):
            address = {"Address": f"office{number}@x.example"}
            books.post("customer", {"DisplayName": name, "PrimaryEmailAddr": address})
    at.connect()
    ana = at.ana.open("/leads/imports/new").submit(press="Review them")
    ana.submit(press="Save as leads")
    assert "are saved." in ana.text
    at.simulator.clear_journal()
    at.drain()
    leads = at.session.scalar(select(func.count()).select_from(Lead))
    links = at.session.scalar(
        select(func.count()).where(Counterpart.record_type == "lead", Counterpart.lane_id > 0)
    )
    assert leads == 3
    assert links == leads
    assert at.calls() == []


PM = "manager@pm.example"


def test_case_r11_clients_of_one_property_manager_are_all_imported(
    ana: Visitor, session: Session
) -> None:
    rows = ["Harborview HOA", "Maple Court HOA", "Maple Court HOA, Inc", "Oak HOA Phase 2"]
    written = "".join(f'"{name}",{PM}\n' for name in rows)
    upload(ana, f"Name,Email\n{written}".encode())
    assert "Maple Court HOA, Inc manager@pm.example Maple Court HOA" in ana.text  # the same again
    ana.submit(press="Save as leads")
    assert alive(session) == ["Harborview HOA", "Maple Court HOA", "Oak HOA Phase 2"]


def test_case_r11_customers_that_share_an_address_are_all_imported(at: Situation) -> None:
    names = ["Harborview HOA", "Maple Court", "Maple Court Inc"]
    with closing(at.simulator.client(RIVERA)) as books:
        for name in names:
            books.post("customer", {"DisplayName": name, "PrimaryEmailAddr": {"Address": PM}})
    at.connect()
    at.save_lead("Harborview HOA", email=PM)
    at.drain()
    renamed = at.session.scalars(select(Lead)).one()
    at.ana.open(f"/leads/{renamed.id}/edit").submit({"name": "HV Homeowners"})
    ana = at.ana.open("/leads/imports/new").submit(press="Review them")
    assert "1 is already here" in ana.text
    ana.submit(press="Save as leads")
    assert alive(at.session) == ["HV Homeowners", "Maple Court", "Maple Court Inc"]


def test_rule_18_another_firms_import_is_not_there(
    app: Flask, ana: Visitor, session: Session
) -> None:
    path = upload(ana, FILE).path
    new_person(session, new_firm(session, name="Oak HVAC Inc"), "carla@oakhvac.example")
    carla = Visitor(app).sign_in("carla@oakhvac.example")
    assert carla.open(path).status == 404
    assert carla.post(f"{path}/save").status == 404
    assert carla.post(f"{path}/undo").status == 404
    assert alive(session) == []


def test_rule_19_a_firm_in_brazil_imports_files_only(app: Flask, session: Session) -> None:
    new_person(session, new_firm(session, name="Silva", region="BR"), "bruno@silva.example")
    bruno = Visitor(app).sign_in("bruno@silva.example").open("/leads/imports/new")
    assert "quickbooks" not in bruno.answer.get_data(as_text=True).lower()
    assert bruno.post("/leads/imports/quickbooks").status == 404


def test_a_lead_with_a_draft_is_in_use(ana: Visitor, session: Session) -> None:
    upload(ana, FILE)
    path = ana.path
    ana.submit(press="Save as leads")
    lead = session.scalars(select(Lead.id).where(Lead.name == "Green Lawn Co")).one()
    ana.open(f"/invoices/new?lead={lead}")
    ana.submit({"lines-0-description": "Leak repair"}, press="Save draft")
    draft = ana.path
    assert "except those with an invoice or its draft" in ana.open(path).text
    ana.submit(press="Undo the import")
    assert "Leads with an invoice or its draft, a job or a proposal stayed." in ana.text
    assert alive(session) == ["Green Lawn Co"]
    page = ana.open(f"/leads/{lead}/delete")
    assert "An invoice draft for it can't be finished anymore." in page.text
    page.submit(press="Delete the lead")
    ana.open(draft)
    ana.submit(
        {"lines-0-description": "New drain", "lines-0-unit_price": "100"}, press="Finish invoice"
    )
    assert "was deleted in the meantime, so nothing can be billed." in ana.text
    assert "New drain" in str(ana.page)
