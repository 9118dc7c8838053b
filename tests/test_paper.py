"""Letterhead, printed sheet and PDF: what a client gets on paper."""

import re
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO

import pytest
from flask import Flask
from PIL import Image
from pypdf import PdfReader
from sqlalchemy import text
from sqlalchemy.orm import Session

from clients.links import make_link
from clients.logos import NoPicture, logo_from
from models.accounts import Organization
from models.clients import Letterhead
from models.outbox import Counterpart
from models.quickbooks import Connection
from models.sales import Invoice, Proposal, ProposalLine, RecordType
from tests.support.firm import (
    new_firm,
    new_firm_with_lane,
    new_invoice,
    new_lead,
    new_line,
    new_payment,
    new_product,
)
from tests.support.visitor import Visitor, new_person

ADDRESS = "210 Oak Ave\nSacramento, CA 95814"


@pytest.fixture
def ana(app: Flask, session: Session) -> Visitor:
    firm = new_firm(session)
    new_person(session, firm, "ana@rivera.example")
    return Visitor(app).sign_in("ana@rivera.example")


def picture(size: tuple[int, int] = (900, 300), kind: str = "PNG") -> bytes:
    target = BytesIO()
    Image.new("RGB", size, (15, 118, 110)).save(target, kind)
    return target.getvalue()


def firm_id(session: Session) -> int:
    return session.query(Organization.id).order_by(Organization.id).limit(1).scalar() or 0


def set_letterhead(visitor: Visitor, **more: str) -> None:
    visitor.open("/settings/letterhead").submit(
        {
            "address": ADDRESS,
            "phone": "(916) 555-0142",
            "email": "office@rivera.example",
            "license_number": "884210",
            "due_days": "14",
            "message": "Thank you.\nChecks to Rivera Plumbing LLC.",
            **more,
        },
        press="Save",
    )
    assert visitor.status == 200, visitor.text


def saved_invoice(session: Session) -> Invoice:
    firm = firm_id(session)
    product = new_product(firm, "Drain cleaning", "149")
    lines = [
        new_line(firm, "Main line, up to 50 ft", price="149", product=product, taxable=True),
        new_line(firm, "Faucet\nMoen 7594, installed", "2", "120", position=2),
    ]
    invoice = new_invoice(firm, new_lead(firm), lines, number="1043", tax_rate="7.5")
    session.add_all([product, invoice])
    session.commit()
    return invoice


def text_of(answer_data: bytes) -> str:
    pages = PdfReader(BytesIO(answer_data)).pages
    return " ".join(" ".join(page.extract_text().split()) for page in pages)


def test_the_letterhead_is_printed_and_starts_new_invoices(ana: Visitor, session: Session) -> None:
    set_letterhead(ana)
    invoice = saved_invoice(session)
    sheet = ana.open(f"/invoices/{invoice.id}/print").text
    for part in (
        "Rivera Plumbing LLC",
        "210 Oak Ave Sacramento, CA 95814",
        "(916) 555-0142",
        "office@rivera.example",
        "License 884210",
        "Invoice 1043",
        "Due Dec 18, 2026",
        "Amount due $400.18",
        "Drain cleaning taxable Main line, up to 50 ft 1 $149.00 $149.00",
        "Faucet Moen 7594, installed 2 $120.00 $240.00",
        "Sales tax 7.5% $11.18",
    ):
        assert part in sheet
    form = ana.open(f"/invoices/new?lead={invoice.lead_id}").page
    memo = form.select_one("[name=memo]")
    assert memo is not None
    assert "Checks to Rivera" in memo.get_text()
    days = [form.select_one(f"[name={name}]") for name in ("issued_on", "due_on")]
    issued, due = (date.fromisoformat(str(day["value"])) for day in days if day)
    assert (due - issued).days == 14


@pytest.mark.parametrize(
    ("field", "value"),
    [("email", "office at rivera"), ("due_days", "-1"), ("due_days", "400"), ("phone", "5" * 51)],
)
def test_a_letterhead_that_cannot_be_kept_is_refused_beside_its_field(
    ana: Visitor, session: Session, field: str, value: str
) -> None:
    ana.open("/settings/letterhead").submit({field: value}, press="Save")
    assert ana.status == 422
    assert ana.page.select_one(f"#{field}-error")
    assert session.query(Letterhead).count() == 0


def upload(ana: Visitor, file: bytes, name: str = "logo.png") -> None:
    fields = {"csrf_token": ana.token(), "logo": (BytesIO(file), name)}
    ana.answer = ana.client.post("/settings/letterhead", data=fields, follow_redirects=True)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_any_usual_picture_becomes_a_small_logo(ana: Visitor, session: Session, kind: str) -> None:
    upload(ana, picture(kind=kind))
    assert ana.status == 200, ana.text
    answer = ana.client.get("/settings/letterhead/logo")
    assert answer.mimetype == "image/png"
    assert Image.open(BytesIO(answer.data)).size == (600, 200)
    invoice = saved_invoice(session)
    assert ana.open(f"/invoices/{invoice.id}/print").page.select_one("article img.logo")
    data = ana.client.get(f"/invoices/{invoice.id}/pdf").data
    assert len(PdfReader(BytesIO(data)).pages[0].images) == 1
    ana.open("/settings/letterhead").submit({"removes_logo": "y"}, press="Save")
    assert ana.client.get("/settings/letterhead/logo").status_code == 404


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"no picture",
        picture()[:-200],
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        picture((9000, 4)),
        picture() + b"x" * 2 * 1024 * 1024,
    ],
    ids=["empty", "text", "cut", "svg", "long", "heavy"],
)
def test_what_is_no_picture_becomes_no_logo(file: bytes) -> None:
    with pytest.raises(NoPicture):
        logo_from(file)


def test_a_small_file_of_many_pixels_becomes_no_logo() -> None:
    file = BytesIO()
    Image.new("1", (8_000, 2_501)).save(file, "PNG")
    assert len(file.getvalue()) < 10_000
    with pytest.raises(NoPicture):
        logo_from(file.getvalue())


def test_a_file_that_is_no_picture_is_refused_with_a_sentence(ana: Visitor) -> None:
    upload(ana, b"no picture", "logo.svg")
    assert ana.status == 422
    assert "This picture can't be used." in ana.text


def test_the_pdf_says_what_the_sheet_says(ana: Visitor, session: Session) -> None:
    set_letterhead(ana)
    invoice = saved_invoice(session)
    invoice.memo = "Checks to Rivera Plumbing LLC"
    session.add(new_payment(invoice.organization_id, invoice, "100"))
    link = make_link(session, invoice)
    session.commit()
    answer = ana.client.get(f"/invoices/{invoice.id}/pdf")
    assert answer.mimetype == "application/pdf"
    assert 'filename="Invoice 1043.pdf"' in answer.headers["Content-Disposition"]
    told = text_of(answer.data)
    for part in (
        "Rivera Plumbing LLC",
        "License 884210",
        "Drain cleaning",
        "Main line, up to 50 ft",
        "$400.18",
        "−$100.00",
        "$300.18",
        f"http://localhost/i/{link.token}",
        "Checks to Rivera",
    ):
        assert part in told
    sheet = ana.open(f"/invoices/{invoice.id}/print")
    assert "Amount due $300.18" in sheet.text
    assert sheet.page.select_one("article svg.code")


def test_the_client_may_read_another_language(ana: Visitor, session: Session) -> None:
    invoice = saved_invoice(session)
    told = text_of(ana.client.get(f"/invoices/{invoice.id}/pdf?language=pt_BR").data)
    assert "Fatura 1043" in told
    assert "US$ 400,18" in told.replace("\xa0", " ")
    assert "Fatura 1043" in ana.open(f"/invoices/{invoice.id}/print?language=pt_BR").text


def test_a_firm_in_brazil_prints_reais_on_a4(app: Flask, session: Session) -> None:
    firm = new_firm(session, name="Silva Reformas", region="BR")
    new_person(session, firm, "bruno@silva.example")
    invoice = saved_invoice(session)
    data = (
        Visitor(app).sign_in("bruno@silva.example").client.get(f"/invoices/{invoice.id}/pdf").data
    )
    assert "R$400.18" in text_of(data)
    box = PdfReader(BytesIO(data)).pages[0].mediabox
    assert (round(box.width), round(box.height)) == (595, 842)


@pytest.mark.parametrize(
    "odd",
    [
        "Ремонт",
        "إصلاح الأنابيب",
        "תיקון",
        "配管",
        "🔧",
        "a" * 3000,
        "a\tb",
        "\u202ex",
        "0" * 20_000,
    ],
    ids=["cyrillic", "arabic", "hebrew", "cjk", "emoji", "long", "tab", "bidi", "area"],
)
def test_odd_words_still_become_a_pdf(ana: Visitor, session: Session, odd: str) -> None:
    firm = firm_id(session)
    lead = new_lead(firm, odd[:900])
    invoice = new_invoice(firm, lead, [new_line(firm, odd)], number="1043")
    invoice.memo = odd
    session.add(invoice)
    session.commit()
    answer = ana.client.get(f"/invoices/{invoice.id}/pdf")
    assert answer.status_code == 200
    assert "Invoice 1043" in text_of(answer.data)


@pytest.mark.parametrize("long", ["word ", "x", "\u200b", "\n", "漢", "\u0301"])
def test_case_s03_the_longest_texts_are_drawn_in_seconds(
    ana: Visitor, session: Session, long: str
) -> None:
    firm = firm_id(session)
    text_ = "Part no. 1\n" + (long * 20_000)[:19_980]
    lines = [new_line(firm, text_, position=n) for n in range(200)]
    invoice = new_invoice(firm, new_lead(firm, "Maria"), lines, number="1043")
    invoice.memo = text_
    session.add(invoice)
    session.commit()
    began = time.process_time()
    data = ana.client.get(f"/invoices/{invoice.id}/pdf").data
    assert time.process_time() - began < 10  # minutes or hours when it was not bounded
    told = text_of(data)
    assert told.count("Part no. 1") == 201  # each line has its beginning
    assert "$20,000.00" in told


def test_a_long_text_is_complete_on_the_sheet_and_one_that_is_cut_says_so(
    ana: Visitor, session: Session
) -> None:
    firm = firm_id(session)
    terms = " ".join(f"term{n:05}" for n in range(1_900))  # 18,999 characters
    lines = [new_line(firm, f"Work no. {n}", position=n) for n in range(3)]
    invoice = new_invoice(firm, new_lead(firm), lines, number="1043")
    invoice.memo = terms
    session.add(invoice)
    session.commit()
    told = text_of(ana.client.get(f"/invoices/{invoice.id}/pdf").data)
    assert [word for word in terms.split() if word not in told] == []
    assert "shortened" not in told
    for line in lines:
        line.description = f"Work\n{terms}"
    session.commit()
    told = text_of(ana.client.get(f"/invoices/{invoice.id}/pdf").data)
    assert "Long texts are shortened here." in told
    assert "…" in told


def test_two_hundred_lines_fill_pages_and_lose_none(ana: Visitor, session: Session) -> None:
    firm = firm_id(session)
    lines = [new_line(firm, f"Part no. {n:03}.", position=n) for n in range(200)]
    invoice = new_invoice(firm, new_lead(firm), lines, number="1043")
    session.add(invoice)
    session.commit()
    told = text_of(ana.client.get(f"/invoices/{invoice.id}/pdf").data)
    assert sorted(re.findall(r"Part no\. (\d{3})\.", told)) == [f"{n:03}" for n in range(200)]
    assert "$20,000.00" in told


@pytest.mark.parametrize("state", ["void", "paid", "open", "overpaid"])
def test_the_stamp_says_what_became_of_it(ana: Visitor, session: Session, state: str) -> None:
    invoice = saved_invoice(session)
    paid = {"paid": "400.18", "overpaid": "500"}.get(state)
    if paid:
        session.add(new_payment(invoice.organization_id, invoice, paid))
    if state == "void":
        invoice.voided_at = datetime.now(UTC)
    session.commit()
    told = text_of(ana.client.get(f"/invoices/{invoice.id}/pdf").data)
    stamp = {"void": "VOID", "open": ""}.get(state, "PAID")
    assert stamp in told
    assert ("VOID" in told, "PAID" in told) == (stamp == "VOID", stamp == "PAID")
    assert ("Amount due" in told) == (state != "void")


def test_quickbooks_number_is_the_one_on_the_sheet_where_it_gave_another(
    app: Flask, session: Session
) -> None:
    firm, lane = new_firm_with_lane(session)
    new_person(session, firm, "ana@rivera.example")
    invoice = saved_invoice(session)
    company = Connection(
        organization_id=firm,
        lane_id=lane,
        environment="simulator",
        realm_id="1",
        company_name="Rivera",
        country="US",
        status="connected",
        status_since=text("now()"),
        connected_at=text("now()"),
    )
    there = Counterpart(
        organization_id=firm,
        lane_id=lane,
        record_type=RecordType.INVOICE,
        record_id=invoice.id,
        remote_id="9",
        remote_version="0",
        remote_number="2077",
    )
    session.add_all([company, there])
    session.commit()
    ana = Visitor(app).sign_in("ana@rivera.example")
    sheet = ana.open(f"/invoices/{invoice.id}/print").text
    assert "Invoice 2077" in sheet
    assert "Our reference 1043" in sheet
    there.remote_number = "1043"
    session.commit()
    sheet = ana.open(f"/invoices/{invoice.id}/print").text
    assert "Invoice 1043" in sheet
    assert "reference" not in sheet


def test_a_proposal_is_printed_like_an_invoice(ana: Visitor, session: Session) -> None:
    set_letterhead(ana)
    firm = firm_id(session)
    line = ProposalLine(
        organization_id=firm,
        position=1,
        description="Tankless heater",
        quantity=Decimal(1),
        unit_price=Decimal("1249"),
        taxable=True,
    )
    proposal = Proposal(
        organization_id=firm,
        lead=new_lead(firm),
        number="7",
        title="New water heater",
        tax_rate=Decimal("8.625"),
        lines=[line],
    )
    session.add(proposal)
    session.commit()
    for told in (
        ana.open(f"/proposals/{proposal.id}/print").text,
        text_of(ana.client.get(f"/proposals/{proposal.id}/pdf").data),
    ):
        for part in ("Proposal 7", "New water heater", "$1,249.00", "$107.73", "$1,356.73"):
            assert part in told
        assert "Amount due" not in told
