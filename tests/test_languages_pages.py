"""Every page in every state: no word on it that a translator has not seen, none in English.

The first by a made-up language, in which each translated text stands between marks: what stands
outside of them is data, or a word that somebody forgot to mark. The second by reading Portuguese.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from babel.support import NullTranslations
from bs4 import BeautifulSoup
from flask import Flask
from flask_babel import Domain
from sqlalchemy import text
from sqlalchemy.orm import Session

from development.words import forms_of, marked, read
from languages import PORTUGUESE, Reader, reader_of, source_of
from models.accounts import Role, User
from quickbooks.catalogue import CATALOGUE
from quickbooks.faults import explain, phrase
from tests.support.firm import new_firm
from tests.support.situation import Situation
from tests.support.visitor import Visitor, new_person

# --- A language of marks --------------------------------------------------------------------------


class Marked(NullTranslations):
    """Everything between ⟦ and ⟧."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"⟦{msgid1 if n == 1 else msgid2}⟧"

    def pgettext(self, context: str, message: str) -> str:
        return f"⟦{message}⟧"

    ugettext = gettext
    ungettext = ngettext
    upgettext = pgettext


class MarkedDomain(Domain):  # type: ignore[misc]  # Flask-Babel has no types
    def get_translations(self) -> NullTranslations:
        return Marked()


SAME_IN_EVERY_LANGUAGE = {
    *"DunaHub QuickBooks Intuit ACH English Português HTTP".split(),
    *"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec AM PM UTC min ms".split(),  # by Babel
    *"January February March April May June July August September October November".split(),
    *"December US BR POST GET".split(),
    # Menus and accounts, as QuickBooks shows them.
    *"Undeposited Funds Account and settings Sales form content Custom transaction numbers".split(),
    *"Advanced Accounting Automation Close the books Taxes Use automatic tax Currency".split(),
}
# What the people of these tests typed, and what the simulated company has.
TYPED = {
    *"Rivera Plumbing LLC Ana Tom Bruno Admin Silva Reformas rivera silva example ana tom".split(),
    *"Green Lawn Sprinkler repair Valve Plan office lawn Net Los Angeles America invoice".split(),
    *"customer payment item batch create Checking Services Bank Hours Design Visa Check".split(),
    *"services of Product Income California San Rocha Elm Cash bruno admin dunahub new".split(),
    *"Discounts given".split(),
}
READ_ALOUD = ("aria-label", "title", "placeholder", "alt", "data-label")


def words_outside(page: str) -> set[str]:
    soup = BeautifulSoup(page, "html.parser")
    for unread in soup.select("script, style, pre, textarea, code, time, svg, .number"):
        unread.decompose()
    for option in soup.select("option"):
        if option.find_parent(id="time_zone") or str(option.get("value")).isdigit():
            option.decompose()  # hundreds of cities, and what the company calls its things
    said = [soup.get_text(" ")]
    said += [str(tag[name]) for name in READ_ALOUD for tag in soup.select(f"[{name}]")]
    return {word for each in said for word in _words(_without_marked(each))}


def _without_marked(said: str) -> str:
    while (shorter := re.sub(r"⟦[^⟦⟧]*⟧", " ", said)) != said:
        said = shorter
    return said


def _words(said: str) -> list[str]:
    return re.findall(r"[^\W\d_]{2,}", said)


# --- All pages of a firm --------------------------------------------------------------------------


@dataclass
class Tour:
    """Opens every address that a browser can open, with the keys of what there is."""

    app: Flask
    keys: dict[str, int | str]
    found: dict[str, set[str]] = field(default_factory=dict)

    def addresses(self, *, of_staff: bool) -> Iterator[str]:
        for rule in self.app.url_map.iter_rules():
            group = rule.endpoint.partition(".")[0]
            if group in ("static", "health", "webhooks") or (group == "admin") != of_staff:
                continue
            if "GET" in (rule.methods or ()) and rule.arguments <= set(self.keys):
                built = rule.build({name: self.keys[name] for name in rule.arguments})
                assert built
                yield built[1]


def a_busy_firm(at: Situation) -> Tour:
    """Records in every state, written by people at their browsers. In English, as they are."""
    new_person(at.session, at.firm, "tom@rivera.example", Role.MEMBER)
    new_person(at.session, None, "admin@dunahub.example", Role.ADMIN)
    at.save_lead("Green Lawn")  # before QuickBooks: never sent
    at.connect()
    lead = at.save_lead("Green Lawn", email="office@lawn.example")
    invoice = at.save_invoice(lead)
    payment = at.pay(invoice, "40")
    at.pay(invoice, "10", "ach")
    at.drain()
    others = [at.save_invoice(lead, price=price) for price in ("11", "12", "13", "14", "15")]
    at.ana.open("/products/new").submit({"name": "Valve", "unit_price": "1234.50"})
    at.ana.open(f"/jobs/new?lead={lead}").submit({"title": "Valve"}, press="Save job")
    at.ana.open(f"/proposals/new?lead={lead}").submit({"title": "Plan"}, press="Save proposal")
    session = at.session
    session.rollback()
    session.execute(
        text(
            "UPDATE outbox_links SET remote_total = '1.00', note = 'found in QuickBooks'"
            " WHERE remote_total IS NOT NULL"
        )
    )
    states = ["failed", "skipped", "superseded", "pending", "pending"]
    for key, state in zip(others, states, strict=True):
        session.execute(
            text(
                "UPDATE outbox SET state = :state, settled_at = CASE WHEN :state <> 'pending'"
                " THEN clock_timestamp() END WHERE aggregate_type = 'invoice'"
                " AND aggregate_id = :key"
            ),
            {"state": state, "key": key},
        )
    session.commit()
    keys: dict[str, int | str] = {
        "lead_id": lead,
        "invoice_id": others[0],
        "payment_id": payment,
        "product_id": 1,
        "job_id": 1,
        "proposal_id": 1,
        "organization_id": at.firm,
        "choice": "other_item",
    }
    failed = session.execute(text("SELECT min(id) FROM outbox WHERE state = 'failed'")).scalar_one()
    keys["entry_id"] = failed
    session.commit()
    return Tour(at.app, keys)


def words_on_all_pages(at: Situation, tour: Tour) -> dict[str, set[str]]:
    """What each page says outside of the marks, of every page that there is."""
    found: dict[str, set[str]] = {}
    people = {"ana@rivera.example": False, "tom@rivera.example": False}
    for email, of_staff in {**people, "admin@dunahub.example": True}.items():
        visitor = Visitor(at.app).sign_in(email)
        with marks_in(at.app):
            for address in tour.addresses(of_staff=of_staff):
                page = visitor.client.get(address)
                if page.mimetype == "text/html" and page.status_code == 200:
                    found.setdefault(address, set()).update(unmarked(page.get_data(as_text=True)))
    assert len(found) > 40
    return {address: words for address, words in found.items() if words}


@contextmanager
def marks_in(app: Flask) -> Iterator[None]:
    babel = app.extensions["babel"].instance
    babel.domain_instance = MarkedDomain()
    yield
    del babel.domain_instance


def unmarked(page: str) -> set[str]:
    return words_outside(page) - SAME_IN_EVERY_LANGUAGE - TYPED


STATES = {
    "connected": "SELECT",
    "held": "UPDATE outbox_lanes SET state = 'held', hold_reason = 'plan_lapsed'",
    "expired": """
        UPDATE outbox_lanes SET state = 'held', hold_reason = 'signed_out';
        UPDATE quickbooks_connections SET status = 'expired', status_since = now()""",
    "throttled": """
        UPDATE outbox_lanes SET pause_until = now() + interval '1 hour',
                                pause_reason = 'throttled'""",
    "ending": "UPDATE quickbooks_connections SET hard_expires_at = now() + interval '5 days'",
    "behind the line": "UPDATE outbox_lanes SET line = (SELECT max(id) FROM outbox)",
    "trying again": """
        UPDATE outbox SET attempts = 1, available_at = now() + interval '1 hour'
        WHERE state = 'pending'""",
}


@pytest.mark.parametrize(
    "state", ["connected", *(pytest.param(s, marks=pytest.mark.full) for s in list(STATES)[1:])]
)
def test_no_page_has_a_word_that_is_not_marked(at: Situation, state: str) -> None:
    tour = a_busy_firm(at)
    at.session.execute(text(STATES[state]))
    at.session.commit()
    assert words_on_all_pages(at, tour) == {}


def test_no_page_of_a_firm_that_disconnected_has_a_word_that_is_not_marked(at: Situation) -> None:
    tour = a_busy_firm(at)
    at.disconnect()
    assert words_on_all_pages(at, tour) == {}


@pytest.mark.parametrize("address", ["/sign-in", "/sign-up", "/no-such-page", "/callback"])
def test_no_page_of_a_stranger_has_a_word_that_is_not_marked(app: Flask, address: str) -> None:
    visitor = Visitor(app)
    with marks_in(app):
        assert unmarked(visitor.open(address).answer.get_data(as_text=True)) == set()


REFUSED = {
    "/leads/new": {"name": "", "email": "x"},
    "/products/new": {"name": "", "unit_price": "x"},
    "/account": {"current": "x", "password": "x"},
    "/settings/people": {"email": "x"},
}


def test_no_refusal_has_a_word_that_is_not_marked(app: Flask, session: Session) -> None:
    new_person(session, new_firm(session), "ana@rivera.example")
    ana = Visitor(app).sign_in("ana@rivera.example")
    with marks_in(app):
        for address, fields in REFUSED.items():
            ana.open(address).submit(fields)
            assert ana.status == 422, address
            assert unmarked(ana.answer.get_data(as_text=True)) == set(), address


def test_a_brazilian_firm_reads_its_pages_and_nothing_of_quickbooks(
    app: Flask, session: Session
) -> None:
    new_person(
        session, new_firm(session, region="BR", name="Silva Reformas"), "bruno@silva.example"
    )
    bruno = Visitor(app).sign_in("bruno@silva.example")
    tour = Tour(app, {})
    for language in ("en", PORTUGUESE):
        session.query(User).update({"language": language})
        session.commit()
        for address in tour.addresses(of_staff=False):
            page = bruno.client.get(address).get_data(as_text=True)
            assert "QuickBooks" not in page, (language, address)


# --- In Portuguese, no English --------------------------------------------------------------------


def english_only() -> set[str]:
    """Words of the English sentences that no Portuguese sentence has. ("out" is October.)"""
    english, portuguese = set(), set()
    translations = reader_of(PORTUGUESE)
    for message in marked():
        originals = [message.id] if isinstance(message.id, str) else list(message.id)
        for original in originals:
            english |= set(_words(_bare(original)))
            portuguese |= set(_words(_bare(translations.say(original))))
    for form in every_translation():
        portuguese |= set(_words(_bare(form)))
    return english - portuguese - {"out"} - SAME_IN_EVERY_LANGUAGE - TYPED


def _bare(sentence: str) -> str:
    return re.sub(r"%\(\w+\)s|\{\w+\}|<[^>]*>", " ", sentence)


def every_translation() -> Iterator[str]:
    for message in read(source_of(PORTUGUESE), PORTUGUESE):
        if message.id:
            yield from (str(form) for form in forms_of(message))


def test_a_page_of_each_kind_in_portuguese_has_no_english(at: Situation) -> None:
    tour, forbidden, found = a_busy_firm(at), english_only(), {}
    assert len(forbidden) > 500
    people = {"ana@rivera.example": False, "admin@dunahub.example": True}
    for email, of_staff in people.items():
        visitor = Visitor(at.app).sign_in(email)
        at.session.query(User).update({"language": PORTUGUESE})
        at.session.commit()
        for address in tour.addresses(of_staff=of_staff):
            page = visitor.client.get(address)
            if page.mimetype == "text/html" and page.status_code == 200:
                text_ = page.get_data(as_text=True)
                assert "<html" not in text_ or '<html lang="pt-BR">' in text_
                if english := words_outside(text_) & forbidden:
                    found[address] = english
        at.session.query(User).update({"language": "en"})
        at.session.commit()
    assert found == {}


# --- The sentences of faults ----------------------------------------------------------------------

SOME = {
    "record": "invoice",
    "what": "customer",
    "label": "The name",
    "amount": "$1,234.50",
    "refunded": "$1.00",
    "date": "2026-03-09",
    "holder": phrase("another customer ({email})", email="@"),
    "holder_id": "1",
    "suggestion": "-",
    "separate": "yes",
    "product_id": 1,
}


@pytest.mark.parametrize("code", [*CATALOGUE, "never heard of"])
def test_every_sentence_of_a_fault_is_marked(code: str) -> None:
    for about in ({}, SOME):
        explanation = explain(code, about, reader=Reader("en", Marked().gettext))
        labels = [action.label for action in explanation.actions]
        for said in (explanation.title, explanation.cause, explanation.effect, *labels):
            outside = set(_words(_without_marked(said)))
            assert outside <= SAME_IN_EVERY_LANGUAGE, said


def test_a_fault_is_told_with_the_sums_days_and_words_of_the_reader() -> None:
    said = explain("reversed", SOME, reader=reader_of(PORTUGUESE))
    assert "US$\xa01,00 deste pagamento de US$\xa01.234,50" in said.cause
    assert "9 de mar. de 2026" in explain("6200", SOME, reader=reader_of(PORTUGUESE)).cause
    clash = explain("6240", {**SOME, "name": "Green"}, reader=reader_of(PORTUGUESE))
    assert clash.cause == "“Green” já é o nome de outro cliente (@) no QuickBooks."


def test_what_was_stored_before_there_were_languages_still_shows() -> None:
    old = {"name": "Green", "holder": "another customer (green@lawn.example)"}
    said = explain("6240", old, reader=reader_of(PORTUGUESE))
    assert "another customer (green@lawn.example)" in said.cause
