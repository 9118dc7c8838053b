"""The secret address: one document and nothing else, until it is revoked."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from clients.links import make_link
from models.clients import ClientLink, Letterhead
from models.sales import Invoice, Proposal, ProposalLine
from tests.support.firm import new_firm, new_invoice, new_lead, new_payment
from tests.support.visitor import Visitor, new_person

LIGHTEST = 60_000  # bytes of the page with all it loads


@pytest.fixture
def firm(session: Session) -> int:
    return new_firm(session)


@pytest.fixture
def invoice(session: Session, firm: int) -> Invoice:
    invoice = new_invoice(firm, new_lead(firm, email="maria@client.example"), number="1043")
    invoice.due_on = date.today() + timedelta(days=30)
    session.add(invoice)
    session.commit()
    return invoice


def link_to(session: Session, document: Invoice | Proposal) -> str:
    link = make_link(session, document)
    session.commit()
    return f"/i/{link.token}"


@pytest.fixture
def proposal(session: Session, firm: int) -> Proposal:
    line = ProposalLine(
        organization_id=firm,
        position=1,
        description="New heater",
        quantity=Decimal(1),
        unit_price=Decimal(1249),
    )
    proposal = Proposal(
        organization_id=firm, lead=new_lead(firm), number="7", title="Heater", lines=[line]
    )
    session.add(proposal)
    session.commit()
    return proposal


def test_a_stranger_with_the_link_sees_the_invoice(
    app: Flask, session: Session, invoice: Invoice
) -> None:
    page = Visitor(app).open(link_to(session, invoice))
    assert page.status == 200
    for part in ("Rivera Plumbing LLC", "Amount due $100.00", "Invoice 1043", "Sprinkler repair"):
        assert part in page.text
    assert page.answer.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert page.answer.headers["Cache-Control"] == "no-store"
    assert page.page.select_one("meta[name=robots]")
    assert "Sign" not in page.text


def test_the_token_is_160_random_bits(session: Session, invoice: Invoice) -> None:
    tokens = set()
    for _ in range(50):
        link = make_link(session, invoice)
        tokens.add(link.token)
        link.revoked_at = datetime.now(UTC)
        session.flush()
    assert len(tokens) == 50
    assert all(re.fullmatch(r"[\w-]{27}", token) for token in tokens)


def test_two_who_make_a_link_get_the_same_one(session: Session, invoice: Invoice) -> None:
    assert link_to(session, invoice) == link_to(session, invoice)


@pytest.mark.parametrize(
    "token", ["x", "x" * 27, "x" * 65, "%00" + "x" * 27, "é" * 27, "../settings" + "x" * 27]
)
def test_any_other_token_opens_nothing(app: Flask, invoice: Invoice, token: str) -> None:
    for part in ("", "/pdf", "/logo"):
        assert Visitor(app).open(f"/i/{token}{part}").status == 404


def test_a_revoked_link_opens_nothing_and_the_next_is_another(
    app: Flask, session: Session, firm: int, invoice: Invoice
) -> None:
    new_person(session, firm, "ana@rivera.example")
    ana = Visitor(app).sign_in("ana@rivera.example")
    ana.open(f"/invoices/{invoice.id}").submit(press="Create a link")
    first = session.query(ClientLink).one().token
    assert f"http://localhost/i/{first}" in str(ana.page.select_one("#client-link"))
    ana.submit(press="Revoke the link")
    gone = Visitor(app).open(f"/i/{first}")
    assert gone.status == 410
    assert "This link is no longer valid" in gone.text
    assert "Rivera" not in gone.text
    assert Visitor(app).open(f"/i/{first}/pdf").status == 404
    ana.submit(press="Create a link")
    tokens = [link.token for link in session.query(ClientLink).order_by(ClientLink.id)]
    assert len(set(tokens)) == 2
    assert Visitor(app).open(f"/i/{tokens[1]}").status == 200


def test_an_old_page_does_not_revoke_the_next_link(
    app: Flask, session: Session, firm: int, invoice: Invoice
) -> None:
    new_person(session, firm, "ana@rivera.example")
    ana = Visitor(app).sign_in("ana@rivera.example")
    old = ana.open(f"/invoices/{invoice.id}").submit(press="Create a link").answer
    ana.submit(press="Revoke the link")
    ana.submit(press="Create a link")  # a colleague, who mails it
    ana.answer = old
    ana.submit(press="Revoke the link")
    assert "This has changed since you opened the page." in ana.text
    second = session.query(ClientLink).order_by(ClientLink.id.desc()).first()
    assert second
    assert Visitor(app).open(f"/i/{second.token}").status == 200
    ana.submit(press="Revoke the link")  # now they know
    assert Visitor(app).open(f"/i/{second.token}").status == 410


def test_another_firm_can_neither_make_nor_revoke_it(
    app: Flask, session: Session, invoice: Invoice
) -> None:
    path = link_to(session, invoice)
    oak = new_firm(session, name="Oak HVAC Inc")
    new_person(session, oak, "carla@oak.example")
    carla = Visitor(app).sign_in("carla@oak.example")
    for act in ("link", "link/revoke", "send"):
        assert carla.post(f"/invoices/{invoice.id}/{act}").status == 404
    assert Visitor(app).open(path).status == 200


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("overdue", "Overdue $100.00"),
        ("part", "Amount due $60.00"),
        ("paid", "Paid. Thank you! $100.00"),
        ("void", "Nothing is due"),
    ],
)
def test_each_state_says_what_is_so(
    app: Flask, session: Session, invoice: Invoice, state: str, says: str
) -> None:
    match state:
        case "overdue":
            invoice.issued_on = invoice.due_on = date(2026, 1, 2)
        case "part":
            session.add(new_payment(invoice.organization_id, invoice, "40"))
        case "paid":
            session.add(new_payment(invoice.organization_id, invoice, "100"))
        case "void":
            invoice.voided_at = datetime.now(UTC)
    session.commit()
    page = Visitor(app).open(link_to(session, invoice))
    assert says in page.text
    assert ("Payments received" in page.text) == (state in ("part", "paid"))
    assert "Pay by card" not in page.text  # no processor here


@pytest.mark.parametrize(
    ("phone", "email", "asks"),
    [
        ("(916) 555-0142", "o@r.example", "call (916) 555-0142 or write to o@r.example."),
        ("(916) 555-0142", "", "how to pay: call (916) 555-0142."),
        ("", "o@r.example", "how to pay: write to o@r.example."),
        ("", "", "Ask Rivera Plumbing LLC how to pay."),
    ],
)
def test_who_cannot_pay_online_is_told_whom_to_ask(
    app: Flask, session: Session, invoice: Invoice, phone: str, email: str, asks: str
) -> None:
    firm = invoice.organization_id
    session.add(Letterhead(organization_id=firm, phone=phone, email=email))
    session.commit()
    path = link_to(session, invoice)
    page = Visitor(app).open(path).text.replace("\xa0", " ")
    assert "This invoice can't be paid online." in page
    assert asks in page
    session.add(new_payment(firm, invoice, "100"))
    session.commit()
    assert "paid online" not in Visitor(app).open(path).text


def test_the_client_reads_it_in_their_language(
    app: Flask, session: Session, invoice: Invoice
) -> None:
    path = link_to(session, invoice)
    client = Visitor(app)
    client.client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "pt-BR"
    assert "Valor a pagar US$ 100,00" in client.open(path).text.replace("\xa0", " ")
    assert "Amount due" in client.open(f"{path}?language=en").text
    session.query(ClientLink).update({"language": "en"})
    session.commit()
    assert "Amount due" in client.open(path).text  # as the firm chose
    assert "Valor a pagar" in client.open(f"{path}?language=pt_BR").text


def test_the_page_is_light(app: Flask, session: Session, invoice: Invoice) -> None:
    client = Visitor(app).open(link_to(session, invoice))
    weight = len(client.answer.data)
    gzip = {"Accept-Encoding": "gzip"}
    for part in client.page.select("link[href], script[src], img[src]"):
        address = str(part.get("href") or part.get("src"))
        weight += len(client.client.get(address, headers=gzip, buffered=True).data)
    assert weight < LIGHTEST
    assert not client.page.select("script")


def test_the_link_is_in_no_log(
    app: Flask, session: Session, invoice: Invoice, caplog: pytest.LogCaptureFixture
) -> None:
    path = link_to(session, invoice)
    Visitor(app).open(path)
    Visitor(app).open(f"{path}/pdf")
    session.execute(text("DROP TABLE client_letters"))
    session.commit()
    assert Visitor(app).open(f"{path}?letter=1").status == 500
    assert "Request failed" in caplog.text
    assert path not in caplog.text
    assert all(path not in str(record.__dict__) for record in caplog.records)


def test_a_link_opens_its_own_document_and_no_other(
    app: Flask, session: Session, firm: int, invoice: Invoice
) -> None:
    lead = invoice.lead
    others = [new_invoice(firm, lead, number="2044")]
    others.append(new_invoice(new_firm(session), new_lead(firm), number="2055"))
    session.add_all(others)
    session.commit()
    path = link_to(session, invoice)
    client = Visitor(app)
    for number in (other.id for other in others):
        words = client.open(f"{path}?invoice_id={number}").text
        assert "1043" in words
        assert not {"2044", "2055"} & set(re.findall(r"[0-9]{4}", words))
        for door in (f"{path}/{number}", f"/i/{number}", f"{path}/../{number}"):
            assert client.client.get(door).status_code == 404
        assert client.open(f"/invoices/{number}").path == "/sign-in"
    assert client.open("/leads").path == "/sign-in"


@pytest.mark.parametrize(("button", "status"), [("Accept", "accepted"), ("Decline", "declined")])
def test_a_client_answers_a_proposal_once(
    app: Flask, session: Session, proposal: Proposal, button: str, status: str
) -> None:
    client = Visitor(app).open(link_to(session, proposal))
    assert "$1,249.00" in client.text
    other = Visitor(app).open(client.path)
    client.submit(press=button)
    assert f"This proposal was {status}" in client.text
    other.submit(press="Decline" if button == "Accept" else "Accept")
    assert "This proposal was already answered." in other.text
    session.refresh(proposal)
    assert proposal.status == status


def test_a_proposal_that_the_client_declined_stays_declined_when_it_is_billed(
    app: Flask, session: Session, proposal: Proposal
) -> None:
    """They declined it while the firm had the new invoice open."""
    new_person(session, proposal.organization_id, "ana@rivera.example")
    ana = Visitor(app).sign_in("ana@rivera.example").open(f"/invoices/new?proposal={proposal.id}")
    client = Visitor(app).open(link_to(session, proposal))
    client.submit(press="Decline")
    ana.submit(press="Save invoice")
    assert "Your client declined this proposal. It stays declined." in ana.text
    assert "This proposal was declined" in client.open(client.path).text


def test_a_client_accepts_only_what_was_on_the_page(
    app: Flask, session: Session, proposal: Proposal
) -> None:
    client = Visitor(app).open(link_to(session, proposal))
    proposal.lines[0].unit_price = Decimal(9000)
    session.commit()
    client.submit(press="Accept")
    assert "changed after you opened it" in client.text
    session.refresh(proposal)
    assert proposal.status in ("draft", "sent")
    client.submit(press="Accept")
    session.refresh(proposal)
    assert proposal.status == "accepted"


def test_an_invoice_of_nothing_says_that_nothing_is_due(
    app: Flask, session: Session, invoice: Invoice
) -> None:
    invoice.lines[0].unit_price = Decimal(0)
    del invoice.lines[1:]
    invoice.tax_rate = Decimal(0)
    session.commit()
    client = Visitor(app).open(link_to(session, invoice))
    assert "Nothing is due" in client.text
    assert "on its way" not in client.text


def test_an_invoice_takes_no_answer_and_a_proposal_no_payment(
    app: Flask, session: Session, invoice: Invoice, proposal: Proposal
) -> None:
    client = Visitor(app)
    assert client.post(f"{link_to(session, invoice)}/answer", {"answer": "accept"}).status == 400
    assert client.post(f"{link_to(session, proposal)}/pay", {"method": "card"}).status == 400
    assert client.post(f"{link_to(session, invoice)}/pay", {"method": "card"}).status == 400


@pytest.mark.parametrize("act", ["pay", "answer"])
def test_a_client_whose_page_was_open_too_long_gets_it_again(
    app: Flask, session: Session, invoice: Invoice, act: str
) -> None:
    path = link_to(session, invoice)
    client = Visitor(app)
    client.answer = client.client.post(f"{path}/{act}", data={"method": "card"})
    assert client.status == 400
    assert "This page was open too long" in client.text
    links = [str(link["href"]) for link in client.page.select("a")]
    assert links == [path]
    assert "Amount due $100.00" in client.open(path).text


@pytest.mark.parametrize("path", ["/i/" + "x" * 27, "/i/x/y/z", "/i/" + "x" * 27 + "/pdf"])
def test_a_client_never_sees_our_menu(app: Flask, path: str) -> None:
    page = Visitor(app).open(path)
    assert page.status == 404
    assert "There is nothing here" in page.text
    assert not page.page.select("a, nav, form")


def test_trying_many_links_is_bounded(app: Flask, invoice: Invoice) -> None:
    client = Visitor(app)
    answers = [client.open(f"/i/{n:027}").status for n in range(125)]
    assert answers[:120] == [404] * 120
    assert set(answers[120:]) == {429}
