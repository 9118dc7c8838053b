"""English and Brazilian Portuguese: both are complete, and no page mixes them."""

import re
from collections.abc import Iterator
from decimal import Decimal

import pytest
from babel.messages.catalog import Message
from flask import Flask
from sqlalchemy.orm import Session

from config import Config
from development.words import forms_of, marked, read, updated, written
from languages import PORTUGUESE, source_of
from models.accounts import User
from models.base import Json
from models.notices import Notice
from models.sales import Product
from notices.letters import letter_of
from notices.mail import Letter
from tests.support.firm import new_firm, new_invoice, new_lead
from tests.support.visitor import Visitor, new_person

PORTUGUESE_FILE = source_of(PORTUGUESE)


# --- The words themselves -------------------------------------------------------------------------


def messages() -> Iterator[Message]:
    return (message for message in read(PORTUGUESE_FILE, PORTUGUESE) if message.id)


def english_of(message: Message) -> list[str]:
    return [str(one) for one in message.id] if message.pluralizable else [str(message.id)]


def test_every_marked_word_is_in_the_file_and_no_other() -> None:
    """Run bin/words when this fails."""
    kept = {tuple(english_of(message)) for message in messages()}
    wanted = {tuple(english_of(message)) for message in marked() if message.id}
    assert kept == wanted


def test_the_file_is_as_bin_words_writes_it() -> None:
    """So that two people who add words meet in as few lines as possible."""
    assert written(updated(read(PORTUGUESE_FILE, PORTUGUESE))) == PORTUGUESE_FILE.read_bytes()


def test_every_word_is_translated_for_sure() -> None:
    assert [message.id for message in messages() if not all(forms_of(message))] == []
    assert [message.id for message in messages() if message.fuzzy] == []


MARKS = re.compile(r"%\(\w+\)[a-z]|\{\w*\}|</?\w+|%%")


def test_a_translation_keeps_values_and_tags() -> None:
    for message in messages():
        many = sorted(MARKS.findall(english_of(message)[-1]))
        for form in forms_of(message):
            marks = sorted(MARKS.findall(str(form)))
            assert marks in (many, sorted(MARKS.findall(english_of(message)[0]))), message.id


def test_no_portuguese_pill_reads_like_no_quickbooks_in_english() -> None:
    """“No QuickBooks” means “in QuickBooks”; in a mixed crew it would be read the other way."""
    pills = [
        one for one in messages() if re.match("In QuickBooks($|, .*[^.]$)", english_of(one)[0])
    ]
    assert len(pills) > 5
    assert [one.id for one in pills if str(forms_of(one)[0]).startswith("No QuickBooks")] == []


def test_a_translation_begins_and_ends_like_its_original() -> None:
    for message in messages():
        for form in forms_of(message):
            said, original = str(form), english_of(message)[0]
            assert '"' not in re.sub(r"<[^>]*>", "", said), message.id  # it may be an attribute
            assert said == said.strip() or original != original.strip(), message.id
            for mark in (".", "…", ":", "?"):
                assert said.rstrip().endswith(mark) == original.rstrip().endswith(mark), message.id


# --- Who reads what -------------------------------------------------------------------------------


def tag(visitor: Visitor) -> str:
    found = re.search(r'<html lang="([^"]+)"', visitor.answer.get_data(as_text=True))
    assert found
    return found[1]


def choose(visitor: Visitor, language: str) -> Visitor:
    """Presses the button at the foot of the page."""
    page = visitor.answer.request.full_path
    visitor.post("/language", {"language": language, "next": page})
    return visitor.open(visitor.answer.headers["Location"])


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (None, "en"),
        ("en-US,en;q=0.9", "en"),
        ("pt-BR,pt;q=0.9,en;q=0.8", "pt-BR"),
        ("pt", "pt-BR"),
        ("pt-PT,pt;q=0.8", "pt-BR"),
        ("fr-FR,pt-BR;q=0.7,en;q=0.3", "pt-BR"),
        ("fr-FR,fr", "en"),
        ("*", "en"),
        (";;q=x", "en"),
    ],
)
def test_a_stranger_reads_what_the_browser_asks_for(
    app: Flask, wanted: str | None, said: str
) -> None:
    visitor = Visitor(app)
    headers = {"Accept-Language": wanted} if wanted else {}
    visitor.answer = visitor.client.get("/sign-in", headers=headers)
    assert tag(visitor) == said
    assert ("Cadastre sua empresa" in visitor.text) == (said == "pt-BR")


def test_a_strangers_choice_lasts_and_leads_back(app: Flask) -> None:
    visitor = choose(Visitor(app).open("/sign-up"), "pt_BR")
    assert visitor.path == "/sign-up"
    assert tag(visitor) == "pt-BR"
    assert tag(visitor.open("/sign-in")) == "pt-BR"


def test_a_persons_choice_is_kept_on_the_account(app: Flask, session: Session) -> None:
    new_person(session, new_firm(session), "ana@rivera.example")
    ana = Visitor(app).sign_in("ana@rivera.example")
    assert tag(ana.open("/account")) == "en"
    choose(ana, "pt_BR")
    assert tag(ana) == "pt-BR"
    assert "Mudar sua senha" in ana.text
    elsewhere = Visitor(app).sign_in("ana@rivera.example")
    assert tag(elsewhere.open("/account")) == "pt-BR"


def test_what_a_person_chose_counts_more_than_the_browser(app: Flask, session: Session) -> None:
    new_person(session, new_firm(session), "ana@rivera.example")
    ana = Visitor(app).sign_in("ana@rivera.example")
    ana.answer = ana.client.get("/account", headers={"Accept-Language": "pt-BR"})
    assert tag(ana) == "en"


def test_a_strangers_choice_goes_onto_their_account_when_they_sign_in(
    app: Flask, session: Session
) -> None:
    new_person(session, new_firm(session), "ana@rivera.example")
    visitor = choose(Visitor(app).open("/sign-in"), "pt_BR")
    visitor.sign_in("ana@rivera.example")
    assert tag(visitor.open("/account")) == "pt-BR"
    elsewhere = Visitor(app).sign_in("ana@rivera.example")
    assert tag(elsewhere.open("/account")) == "pt-BR"


@pytest.mark.parametrize("chosen", ["", "de", "../pt_BR", "pt-BR"])
def test_another_language_is_refused(app: Flask, session: Session, chosen: str) -> None:
    new_person(session, new_firm(session), "ana@rivera.example")
    ana = Visitor(app).sign_in("ana@rivera.example")
    ana.post("/language", {"language": chosen})
    assert ana.status == 400
    session.rollback()
    assert session.query(User).one().language == "en"


def test_who_signs_up_in_portuguese_goes_on_in_it(app: Flask, session: Session) -> None:
    visitor = choose(Visitor(app).open("/sign-up"), "pt_BR")
    visitor.submit(
        {
            "organization": "Rivera Plumbing LLC",
            "name": "Ana",
            "email": "ana@rivera.example",
            "password": "a long enough password",
        },
    )
    assert "Boas-vindas ao DunaHub, Ana." in visitor.text
    assert session.query(User).one().language == "pt_BR"


# --- Numbers are typed as they are read -----------------------------------------------------------


@pytest.mark.parametrize(
    ("shown_in", "typed", "kept"),
    [
        ("en", "1,234.50", "1234.50"),
        ("en", "$1,234.50", "1234.50"),
        ("en", "12.5", "12.50"),
        ("en", "12,50", None),  # not 1250
        ("en", "1,23.4", None),
        ("pt_BR", "1.234,50", "1234.50"),
        ("pt_BR", "R$ 1.234,50", "1234.50"),
        ("pt_BR", "US$ 12,5", "12.50"),
        ("pt_BR", "1.234", "1234.00"),
        ("pt_BR", "12.50", None),  # not 1250
        ("pt_BR", "1.234.50", None),
    ],
)
def test_a_number_means_what_it_means_in_the_language_of_the_form(
    app: Flask, session: Session, shown_in: str, typed: str, kept: str | None
) -> None:
    firm = new_firm(session)
    new_person(session, firm, "ana@rivera.example")
    ana = Visitor(app).sign_in("ana@rivera.example")
    fields = {"name": "Filter", "unit_price": typed, "shown_in": shown_in}
    ana.post("/products", fields)
    assert (ana.status == 422) == (kept is None)
    session.rollback()
    prices = [str(product.unit_price) for product in session.query(Product)]
    assert prices == ([f"{kept}00"] if kept else [])


def test_a_form_that_is_saved_untouched_changes_no_number(app: Flask, session: Session) -> None:
    firm = new_firm(session)
    new_person(session, firm, "ana@rivera.example")
    product = Product(organization_id=firm, name="Pipe", unit_price=Decimal("1234.5025"))
    session.add(product)
    session.commit()
    ana = choose(Visitor(app).sign_in("ana@rivera.example"), "pt_BR")
    ana.open(f"/products/{product.id}/edit")
    assert ana.page.select_one("#unit_price")["value"] == "1234,5025"  # type: ignore[index]
    ana.submit({"name": "Pipe, long"})
    session.refresh(product)
    assert (product.name, product.unit_price) == ("Pipe, long", Decimal("1234.5025"))


def test_a_form_shown_in_one_language_is_read_in_it_though_another_was_chosen_since(
    app: Flask, session: Session
) -> None:
    firm = new_firm(session)
    new_person(session, firm, "ana@rivera.example")
    ana = Visitor(app).sign_in("ana@rivera.example").open("/products/new")
    shown = ana.answer
    choose(ana, "pt_BR")  # in another tab
    ana.answer = shown
    ana.submit({"name": "Filter", "unit_price": "1,234.50"})
    assert session.query(Product).one().unit_price == Decimal("1234.50")


@pytest.mark.parametrize(
    ("region", "language", "said"),
    [
        ("US", "en", "$1,234.50"),
        ("US", "pt_BR", "US$ 1.234,50"),
        ("BR", "en", "R$1,234.50"),
        ("BR", "pt_BR", "R$ 1.234,50"),
    ],
)
def test_the_currency_is_the_organizations_and_its_look_the_readers(
    app: Flask, session: Session, region: str, language: str, said: str
) -> None:
    firm = new_firm(session, region=region)
    new_person(session, firm, "ana@rivera.example")
    session.add(Product(organization_id=firm, name="Pipe", unit_price=Decimal("1234.50")))
    session.commit()
    ana = choose(Visitor(app).sign_in("ana@rivera.example"), language)
    assert said in ana.open("/products").text


# --- Letters --------------------------------------------------------------------------------------


def letter_about(session: Session, config: Config, kind: str, about: Json) -> Letter:
    notice = Notice(kind=kind, subject="-", organization_id=1, about=about)
    letter = letter_of(session, config, notice)
    assert letter
    return letter


@pytest.mark.parametrize(
    ("kind", "about", "said"),
    [
        ("stopped", {}, "Reconecte o QuickBooks: Rivera"),
        ("stopped", {"reason": "plan_lapsed"}, "O QuickBooks está em espera: Rivera"),
        ("down", {}, "O QuickBooks não responde há um dia: Rivera"),
        ("ending", {"days": 7, "ends_on": "2026-11-29"}, "29 de nov. de 2026"),
        ("ending", {"days": 1, "ends_on": "November 29"}, "vence amanhã: Rivera"),
        ("attention", {"causes": {"6240": 2}}, "Nome já usado no QuickBooks: 2"),
    ],
)
def test_a_letter_is_in_the_language_of_its_reader(
    session: Session, config: Config, kind: str, about: Json, said: str
) -> None:
    new_person(session, new_firm(session), "ana@rivera.example").language = PORTUGUESE
    session.commit()
    letter = letter_about(session, config, kind, {"company": "Rivera", **about})
    assert said in f"{letter.subject}\n{letter.body}"
    assert "your" not in f"{letter.subject}\n{letter.body}".lower()
    assert f"{config.base_url}/settings/quickbooks" in letter.body


def test_owners_of_two_languages_get_one_letter_in_both(session: Session, config: Config) -> None:
    firm = new_firm(session)
    new_person(session, firm, "ana@rivera.example").language = PORTUGUESE
    new_person(session, firm, "tom@rivera.example")
    session.commit()
    letter = letter_about(session, config, "stopped", {"company": "Rivera"})
    assert letter.to == ["ana@rivera.example", "tom@rivera.example"]
    assert letter.subject == "Reconecte o QuickBooks: Rivera"
    assert "Nada se perde." in letter.body
    assert "Nothing is lost." in letter.body


def test_an_invoice_is_printed_in_the_language_of_who_gets_it(app: Flask, session: Session) -> None:
    firm = new_firm(session)
    new_person(session, firm, "ana@rivera.example")
    invoice = new_invoice(firm, new_lead(firm))
    session.add(invoice)
    session.commit()
    ana = Visitor(app).sign_in("ana@rivera.example").open(f"/invoices/{invoice.id}/print")
    link = ana.page.select_one("main a[lang=pt-BR]")
    assert link
    ana.open(str(link["href"]))
    assert tag(ana) == "pt-BR"
    assert "Emissão: 18 de nov. de 2026" in ana.text
    assert "Valor a pagar US$ 100,00" in ana.text
    assert tag(ana.open("/invoices")) == "en"  # the person still reads their own
    assert tag(ana.open(f"/invoices/{invoice.id}/print?language=de")) == "en"
