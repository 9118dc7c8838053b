"""Send to client: the mail as it arrives, what the firm sees, an unreachable mail server."""

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from io import BytesIO

import pytest
from flask import Flask
from pypdf import PdfReader
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from clients import post
from clients.links import make_link
from config import Config
from db import Sessions
from models.clients import ClientLetter, ClientLink
from models.processors import ProcessorAccount
from models.sales import Invoice, Proposal
from tests.support.firm import new_firm, new_invoice, new_lead, new_payment
from tests.support.meanwhile import at_once, each_moment, just_before_statement
from tests.support.postbox import Postbox, running_postbox
from tests.support.visitor import Visitor, new_person


@pytest.fixture
def postbox() -> Iterator[tuple[Postbox, int]]:
    with running_postbox() as found:
        yield found


@pytest.fixture
def environ(environ: dict[str, str], request: pytest.FixtureRequest) -> dict[str, str]:
    if "postbox" not in request.fixturenames:
        return environ
    _box, port = request.getfixturevalue("postbox")
    return environ | {
        "SMTP_URL": f"smtp://127.0.0.1:{port}",
        "MAIL_FROM": "DunaHub <mail@dunahub.example>",
    }


@pytest.fixture
def invoice_id(session: Session) -> int:
    firm = new_firm(session)
    new_person(session, firm, "ana@rivera.example")
    lead = new_lead(firm, email="maria@client.example, office@client.example")
    invoice = new_invoice(firm, lead, number="1043")
    session.add(invoice)
    session.commit()
    return invoice.id


@pytest.fixture
def ana(app: Flask, invoice_id: int) -> Visitor:
    return Visitor(app).sign_in("ana@rivera.example")


def words_of(letter: EmailMessage) -> str:
    body = letter.get_body(("plain",))
    assert body
    return str(body.get_content())


def test_the_client_gets_the_invoice_and_its_link(
    ana: Visitor,
    invoice_id: int,
    app: Flask,
    postbox: tuple[Postbox, int],
    sessions: Sessions,
    config: Config,
) -> None:
    ana.open("/settings/letterhead").submit({"email": "office@rivera.example"}, press="Save")
    ana.open(f"/invoices/{invoice_id}").open(f"/invoices/{invoice_id}/send")
    form = ana.page.select_one("[name=to_address]")
    assert form
    assert form["value"] == "maria@client.example"
    ana.submit({"copies_me": "y", "subject": "Your invoice"}, press="Send")
    assert "being sent" in ana.text
    assert post.send_due(sessions, config) == 1
    assert post.send_due(sessions, config) == 0
    [letter], [to] = postbox[0].letters, postbox[0].to
    assert sorted(to) == ["ana@rivera.example", "maria@client.example"]
    assert letter["Subject"] == "Your invoice"
    assert letter["From"] == "Rivera Plumbing LLC via DunaHub <mail@dunahub.example>"
    assert letter["Reply-To"] == "office@rivera.example"
    assert letter["Bcc"] is None
    [attached] = list(letter.iter_attachments())
    assert attached.get_filename() == "Invoice 1043.pdf"
    told = PdfReader(BytesIO(attached.get_content())).pages[0].extract_text()
    assert "$100.00" in told
    body = words_of(letter)
    assert "Here is invoice 1043 for $100.00, due Dec 18, 2026" in " ".join(body.split())
    address = next(word for word in body.split() if word.startswith("http://localhost/i/"))
    assert ana.open(f"/invoices/{invoice_id}").text.count("sent ") >= 1
    client = Visitor(app).open(address.removeprefix("http://localhost"))
    assert "Amount due $100.00" in client.text
    assert "E-mail to maria@client.example · opened" in ana.open(f"/invoices/{invoice_id}").text


def test_case_s09_a_subject_writes_no_headers_and_a_bad_letter_stops_no_other(
    ana: Visitor,
    invoice_id: int,
    postbox: tuple[Postbox, int],
    sessions: Sessions,
    config: Config,
    session: Session,
) -> None:
    for subject in ("First", "=?utf-8?q?=0d=0aBcc:_evil@x.example=0d=0a=0d=0aPay?= here"):
        ana.open(f"/invoices/{invoice_id}/send").submit({"subject": subject}, press="Send")
    first = session.scalars(select(ClientLetter).order_by(ClientLetter.id)).first()
    assert first
    first.to_address = '"'  # which the mail library's parser cannot read
    session.commit()
    assert post.send_due(sessions, config) == 1
    [letter] = postbox[0].letters
    assert letter["Subject"] == "= ?utf-8?q?=0d=0aBcc:_evil@x.example=0d=0a=0d=0aPay?= here"
    assert letter["Bcc"] is None
    assert "Here is invoice 1043" in words_of(letter)


def test_a_reminder_in_the_clients_language(
    ana: Visitor,
    invoice_id: int,
    postbox: tuple[Postbox, int],
    sessions: Sessions,
    config: Config,
) -> None:
    ana.open(f"/invoices/{invoice_id}/send").submit(press="Send")
    ana.open(f"/invoices/{invoice_id}/send?kind=reminder&language=pt_BR").submit(press="Send")
    assert post.send_due(sessions, config) == 2
    reminder = postbox[0].letters[1]
    assert reminder["Subject"] == "Lembrete: Fatura 1043 de Rivera Plumbing LLC"
    [attached] = list(reminder.iter_attachments())
    assert attached.get_filename() == "Fatura 1043.pdf"
    assert "Reminder to maria@client.example" in ana.open(f"/invoices/{invoice_id}").text


def test_a_mail_server_that_is_away_gets_it_later(
    ana: Visitor,
    invoice_id: int,
    session: Session,
    postbox: tuple[Postbox, int],
    sessions: Sessions,
    config: Config,
) -> None:
    postbox[0].is_closed = True
    ana.open(f"/invoices/{invoice_id}/send").submit(press="Send")
    assert post.send_due(sessions, config) == 0
    assert "being sent" in ana.open(f"/invoices/{invoice_id}").text
    postbox[0].is_closed = False
    session.execute(text("UPDATE client_letters SET available_at = now()"))
    session.commit()
    assert post.send_due(sessions, config) == 1
    assert len(postbox[0].letters) == 1


def test_a_revoked_link_is_not_sent_any_more(
    ana: Visitor,
    invoice_id: int,
    session: Session,
    postbox: tuple[Postbox, int],
    sessions: Sessions,
    config: Config,
) -> None:
    ana.open(f"/invoices/{invoice_id}/send").submit(press="Send")
    ana.open(f"/invoices/{invoice_id}").submit(press="Revoke the link")
    assert post.send_due(sessions, config) == 0
    assert postbox[0].letters == []
    assert "could not be sent" in ana.open(f"/invoices/{invoice_id}").text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("to_address", "nobody"),
        ("to_address", "a@b.example\nBcc: x@y.example"),
        ("subject", ""),
        ("body", ""),
    ],
)
def test_what_cannot_be_sent_is_refused_beside_its_field(
    ana: Visitor,
    invoice_id: int,
    session: Session,
    postbox: tuple[Postbox, int],
    field: str,
    value: str,
) -> None:
    ana.open(f"/invoices/{invoice_id}/send").submit({field: value}, press="Send")
    assert ana.status == 422
    assert ana.page.select_one(f"#{field}-error")
    assert session.query(ClientLetter).count() == 0


def test_a_name_or_subject_with_line_breaks_makes_no_header(
    ana: Visitor,
    invoice_id: int,
    session: Session,
    postbox: tuple[Postbox, int],
    sessions: Sessions,
    config: Config,
) -> None:
    session.execute(
        text("UPDATE organizations SET name = E'Rivera\\r\\nBcc: x@y.example <script>'")
    )
    session.commit()
    ana.open(f"/invoices/{invoice_id}/send")
    ana.submit({"subject": "One\r\nBcc: x@y.example"}, press="Send")
    assert post.send_due(sessions, config) == 1
    [letter], [to] = postbox[0].letters, postbox[0].to
    assert to == ["maria@client.example"]
    assert letter["Bcc"] is None
    assert letter["Subject"] == "One Bcc: x@y.example"


def test_a_void_invoice_is_not_sent(
    ana: Visitor, invoice_id: int, session: Session, postbox: tuple[Postbox, int]
) -> None:
    assert "Create a link" in ana.open(f"/invoices/{invoice_id}").text
    ana.open(f"/invoices/{invoice_id}/send")
    session.get_one(Invoice, invoice_id).voided_at = datetime.now(UTC)
    session.commit()
    ana.submit(press="Send")
    assert "This invoice is voided, so it can't be sent to your client." in ana.text
    assert session.query(ClientLetter).count() == 0
    page = ana.open(f"/invoices/{invoice_id}")
    assert "Send to client" not in page.text
    assert "Create a link" not in page.text
    assert "This invoice is voided" in ana.open(f"/invoices/{invoice_id}/send").text
    ana.post(f"/invoices/{invoice_id}/link")
    assert session.scalars(select(ClientLink)).all() == []
    assert "This invoice is voided" in ana.open(f"/invoices/{invoice_id}").text


def test_pressing_send_twice_sends_once(
    ana: Visitor, invoice_id: int, session: Session, postbox: tuple[Postbox, int]
) -> None:
    ana.open(f"/invoices/{invoice_id}/send")
    page = ana.answer
    ana.submit(press="Send")
    ana.answer = page
    ana.submit(press="Send")
    assert session.query(ClientLetter).count() == 1


@pytest.mark.parametrize("limit", ["MAX_LETTERS_A_DAY", "MAX_LETTERS_TO_ONE"])
def test_case_s09_letters_to_clients_are_limited(
    ana: Visitor,
    invoice_id: int,
    session: Session,
    postbox: tuple[Postbox, int],
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
) -> None:
    monkeypatch.setattr(sys.modules["views.client_letters"], limit, 2)
    for _ in range(3):
        ana.open(f"/invoices/{invoice_id}/send").submit({"subject": "Mine"}, press="Send")
    assert (ana.status, "Too many e-mails" in ana.text) == (429, True)
    assert ana.page.select_one('input[name="subject"]')["value"] == "Mine"  # type: ignore[index]
    assert session.query(ClientLetter).count() == 2


def test_without_a_mail_server_the_page_says_what_to_configure(
    ana: Visitor, invoice_id: int
) -> None:
    page = ana.open(f"/invoices/{invoice_id}/send")
    assert "has to set SMTP_URL and MAIL_FROM" in page.text
    page.submit(press="Create a link")
    for path in (f"/invoices/{invoice_id}", f"/invoices/{invoice_id}/send"):
        page = ana.open(path)
        assert page.page.select_one("input#client-link")
        button = page.page.select_one("[data-copies=client-link]")
        assert button
        assert button.text == "Copy the link"


@pytest.mark.parametrize("kind", ["", "reminder"])
def test_a_letter_promises_no_payment_where_none_is_possible(
    ana: Visitor, invoice_id: int, session: Session, postbox: tuple[Postbox, int], kind: str
) -> None:
    page = ana.open(f"/invoices/{invoice_id}/send?kind={kind}")
    assert "You can see it here:" in page.text
    firm = session.execute(text("SELECT id FROM organizations")).scalar_one()
    account = ProcessorAccount(organization_id=firm, is_live=False, account_id="acct_1")
    account.takes_cards = True
    session.add(account)
    session.commit()
    assert "You can see it and pay it here:" in ana.open(f"/invoices/{invoice_id}/send").text


def test_a_letter_of_a_part_paid_invoice_says_what_is_left(
    ana: Visitor, invoice_id: int, session: Session, postbox: tuple[Postbox, int]
) -> None:
    invoice = session.get_one(Invoice, invoice_id)
    session.add(new_payment(invoice.organization_id, invoice, "40"))
    session.commit()
    page = ana.open(f"/invoices/{invoice_id}/send")
    assert "Here is invoice 1043, with $60.00 left to pay, due Dec 18, 2026." in page.text


def test_a_proposal_that_goes_out_is_no_draft_any_more(
    ana: Visitor,
    session: Session,
    postbox: tuple[Postbox, int],
    sessions: Sessions,
    config: Config,
) -> None:
    firm = session.execute(text("SELECT id FROM organizations")).scalar_one()
    lead = new_lead(firm, email="maria@client.example")
    proposal = Proposal(organization_id=firm, lead=lead, number="7", title="Heater")
    session.add(proposal)
    session.commit()
    letter = ana.open(f"/proposals/{proposal.id}/send")
    assert "You can see it and accept it here:" in letter.text
    letter.submit(press="Send")
    assert post.send_due(sessions, config) == 1
    session.refresh(proposal)
    assert proposal.status == "sent"
    assert postbox[0].letters[0]["Subject"] == "Proposal 7 from Rivera Plumbing LLC"
    ana.open(f"/proposals/{proposal.id}").submit(press="Revoke the link")
    acts = ana.open("/settings/record")
    assert "Invoice 7" not in acts.text
    links = acts.page.select(f'main a[href="/proposals/{proposal.id}"]')
    assert [link.get_text() for link in links] == ["Proposal 7", "Proposal 7"]


@pytest.mark.parametrize("answer", ["accepted", "declined"])
def test_the_letter_of_an_answered_proposal_asks_for_no_answer(
    ana: Visitor, session: Session, postbox: tuple[Postbox, int], answer: str
) -> None:
    firm = session.execute(text("SELECT id FROM organizations")).scalar_one()
    proposal = Proposal(
        organization_id=firm, lead=new_lead(firm), number="7", title="Heater", status=answer
    )
    session.add(proposal)
    session.commit()
    page = ana.open(f"/proposals/{proposal.id}/send").text
    assert "You can see it here:" in page
    assert "accept it" not in page


@pytest.mark.parametrize("answer", ["Accept", "Decline"])
def test_what_a_client_answers_while_the_firm_sends_stays(
    app: Flask, ana: Visitor, session: Session, postbox: tuple[Postbox, int], answer: str
) -> None:
    firm = session.execute(text("SELECT id FROM organizations")).scalar_one()
    lead = new_lead(firm, email="maria@client.example")
    proposal = Proposal(organization_id=firm, lead=lead, number="7", title="Roof")
    session.add(proposal)
    session.flush()
    token = make_link(session, proposal).token
    session.commit()
    client = Visitor(app).open(f"/i/{token}")
    ana.open(f"/proposals/{proposal.id}/send")
    with at_once(app, "INSERT INTO client_links", lambda: client.submit(press=answer)) as came:
        ana.submit(press="Send")
    assert came
    session.refresh(proposal)
    assert proposal.status.startswith(answer.lower())
    assert "Thank you. We have your answer." in client.text


def test_a_mailed_paper_has_the_sums_of_its_lines(
    ana: Visitor,
    invoice_id: int,
    engine: Engine,
    postbox: tuple[Postbox, int],
    sessions: Sessions,
    config: Config,
) -> None:
    """Whenever a colleague changes the invoice while the letter is written."""

    def raise_by_one() -> None:
        with sessions.begin() as database:
            database.get_one(Invoice, invoice_id).lines[0].unit_price += 1

    for moment in each_moment():
        ana.open(f"/invoices/{invoice_id}/send").submit(press="Send")
        with just_before_statement(engine, moment, raise_by_one) as came:
            assert post.send_due(sessions, config) == 1
        if not came:
            break
        [attached] = list(postbox[0].letters[-1].iter_attachments())
        told = PdfReader(BytesIO(attached.get_content())).pages[0].extract_text()
        assert len(set(re.findall(r"\$1\d\d\.00", told))) == 1, came
    assert moment > 5


# --- What became of the invoice meanwhile ---------------------------------------------------------


def write_while_the_mail_server_is_down(
    ana: Visitor, invoice_id: int, box: Postbox, sessions: Sessions, config: Config, kind: str
) -> None:
    box.is_closed = True
    ana.open(f"/invoices/{invoice_id}/send?kind={kind}").submit(press="Send")
    assert post.send_due(sessions, config) == 0
    assert "being sent" in ana.open(f"/invoices/{invoice_id}").text
    box.is_closed = False


def make_letters_due(session: Session) -> None:
    session.execute(text("UPDATE client_letters SET available_at = now() WHERE sent_at IS NULL"))
    session.commit()


@pytest.mark.parametrize("kind", ["first", "reminder"])
@pytest.mark.parametrize("became", ["voided", "paid"])
def test_a_letter_that_waited_is_not_sent_about_an_invoice_that_was_voided_or_paid(
    ana: Visitor,
    invoice_id: int,
    session: Session,
    postbox: tuple[Postbox, int],
    sessions: Sessions,
    config: Config,
    kind: str,
    became: str,
) -> None:
    box, _port = postbox
    write_while_the_mail_server_is_down(ana, invoice_id, box, sessions, config, kind)
    if became == "voided":
        ana.open(f"/invoices/{invoice_id}/void").submit(press="Void the invoice")
    else:
        ana.open(f"/invoices/{invoice_id}/payments/new").submit({"method": "card"})
    make_letters_due(session)
    assert post.send_due(sessions, config) == 0
    assert box.letters == []
    page = ana.open(f"/invoices/{invoice_id}").text
    assert f"not sent, because the invoice was {became} first" in page
    make_letters_due(session)
    assert post.send_due(sessions, config) == 0


@pytest.mark.parametrize("paid", ["", "40", "100"])
def test_a_letter_that_waited_goes_if_its_invoice_is_as_it_was_written_about(
    ana: Visitor,
    invoice_id: int,
    session: Session,
    postbox: tuple[Postbox, int],
    sessions: Sessions,
    config: Config,
    paid: str,
) -> None:
    """Also about one that had been paid before it was written."""
    box, _port = postbox
    if paid:
        told = {"method": "card", "amount": paid}
        ana.open(f"/invoices/{invoice_id}/payments/new").submit(told)
    write_while_the_mail_server_is_down(ana, invoice_id, box, sessions, config, "first")
    make_letters_due(session)
    assert post.send_due(sessions, config) == 1


def test_a_reminder_written_on_an_old_page_is_shown_again_once_it_was_paid(
    app: Flask, ana: Visitor, invoice_id: int, session: Session, postbox: tuple[Postbox, int]
) -> None:
    bob = Visitor(app).sign_in("ana@rivera.example")
    bob.open(f"/invoices/{invoice_id}/send?kind=reminder")
    ana.open(f"/invoices/{invoice_id}/payments/new").submit({"method": "card"})
    bob.submit({"subject": "Please pay"}, press="Send")
    assert "What is due has changed since you opened this page. It is $0.00 now" in bob.text
    assert session.scalars(select(ClientLetter)).all() == []
    bob.submit(press="Send")  # they mean it
    assert "being sent" in bob.text
