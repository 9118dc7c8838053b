"""Sign-up: the address is verified first, and the response doesn't reveal existing accounts."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from config import Config
from models.accounts import Organization, SignUp, User
from notices import mail
from tests.support.firm import new_firm
from tests.support.post_office import PostOffice, running_post_office
from tests.support.visitor import Visitor, new_person
from tests.test_forgotten import letters, link_in

ANA, TOM, EVE = "ana@rivera.example", "tom@rivera.example", "eve@elsewhere.example"
FIRM = {
    "organization": "Click https://evil.example/ to keep your account",
    "region": "US",
    "time_zone": "America/Chicago",
    "name": "Eve",
    "password": "a long password",
}


@pytest.fixture
def post_office() -> Iterator[PostOffice]:
    with running_post_office() as kept:
        yield kept


@pytest.fixture
def mailing(app: Flask, config: Config, post_office: PostOffice) -> Flask:
    return with_config(
        app,
        smtp_url=f"smtp://127.0.0.1:{post_office.port}",
        mail_from="DunaHub <notices@dunahub.example>",
    )


def with_config(app: Flask, **changes: object) -> Flask:
    hub = app.extensions["dunahub"]
    changed = replace(hub.config, **changes)
    app.extensions["dunahub"] = replace(hub, config=changed)
    return app


@pytest.fixture
def ana(session: Session) -> User:
    return new_person(session, new_firm(session), ANA)


def ask(app: Flask, email: str) -> Visitor:
    return Visitor(app).open("/sign-up").submit({"email": email})


def accounts_of(session: Session, email: str) -> int:
    session.rollback()
    return session.query(User).filter(User.email == email).count()


def invite(app: Flask, post_office: PostOffice, email: str) -> str:
    owner = Visitor(app).sign_in(ANA).open("/settings/people")
    owner.submit({"email": email, "role": "owner"})
    assert f"We sent an e-mail to {email}" in owner.text
    ((to, _subject, body),) = letters(post_office)
    assert to == email
    return link_in(body)


def test_case_s09_the_reader_of_the_address_signs_up(
    mailing: Flask, post_office: PostOffice, session: Session
) -> None:
    asked = ask(mailing, "Eve@Elsewhere.example")
    assert "Open the link in it to continue" in asked.text
    assert session.scalars(select(User)).all() == []
    ((to, subject, body),) = letters(post_office)
    assert (to, subject) == ("Eve@elsewhere.example", "Sign up for DunaHub")
    visitor = Visitor(mailing).open(link_in(body))
    assert "You will sign in as Eve@elsewhere.example" in visitor.text
    visitor.submit(FIRM)
    assert (visitor.path, visitor.status) == ("/", 200)
    firm = session.scalars(select(Organization)).one()
    assert firm.time_zone == "America/Chicago"
    user = session.scalars(select(User)).one()
    assert (user.email, user.role, user.organization_id) == (to, "owner", firm.id)


def test_case_s09_a_stranger_who_signs_up_as_the_invited_leaves_the_invitation_good(
    mailing: Flask, post_office: PostOffice, ana: User, session: Session
) -> None:
    link = invite(mailing, post_office, TOM)
    ask(mailing, TOM)
    assert accounts_of(session, TOM) == 0
    tom = Visitor(mailing).open(link).submit({"name": "Tom", "password": "his own password"})
    assert "Welcome to DunaHub, Tom." in tom.text
    user = session.scalars(select(User).where(User.email == TOM)).one()
    assert user.organization_id == ana.organization_id


def test_case_s09_the_letter_holds_no_word_of_who_asked(
    mailing: Flask, post_office: PostOffice
) -> None:
    """Not even when they send the fields of the whole form."""
    fields = {**FIRM, "email": TOM}
    Visitor(mailing).post("/sign-up", fields)
    ((_to, subject, body),) = letters(post_office)
    for word in ("evil", "Click", "Eve"):
        assert word not in subject + body


def test_case_s09_no_account_is_made_without_the_link(mailing: Flask, session: Session) -> None:
    Visitor(mailing).post("/sign-up", {**FIRM, "email": TOM})
    Visitor(mailing).post("/sign-up/lnk_guessed", {**FIRM, "email": TOM})
    assert accounts_of(session, TOM) == 0


def test_case_s09_a_link_can_not_be_bent_to_another_address(
    mailing: Flask, post_office: PostOffice, session: Session
) -> None:
    ask(mailing, EVE)
    ((_to, _subject, body),) = letters(post_office)
    Visitor(mailing).post(link_in(body), {**FIRM, "email": TOM})
    assert accounts_of(session, TOM) == 0
    assert accounts_of(session, EVE) == 1


def test_case_s09_a_form_sent_twice_makes_one_account_and_says_where_to_go(
    mailing: Flask, post_office: PostOffice, session: Session
) -> None:
    ask(mailing, EVE)
    ((_to, _subject, body),) = letters(post_office)
    first, second = (Visitor(mailing).open(link_in(body)) for _ in range(2))
    first.submit(FIRM)
    second.submit(FIRM)
    assert second.path == "/sign-in"
    assert f"{EVE} has an account." in second.page.get_text(" ")
    assert accounts_of(session, EVE) == 1


@pytest.mark.parametrize("then", ["moved to another address", "removed"])
def test_case_s09_a_link_makes_one_account_whatever_becomes_of_it(
    mailing: Flask, post_office: PostOffice, session: Session, then: str
) -> None:
    ask(mailing, EVE)
    ask(mailing, EVE.upper())
    links = [link_in(body) for _to, _subject, body in letters(post_office)]
    Visitor(mailing).open(links[0]).submit(FIRM)
    eve = session.scalars(select(User)).one()
    if then == "removed":
        eve.removed_at = eve.created_at
    else:
        eve.email = "eve@new.example"
    session.commit()
    for link in links:
        visitor = Visitor(mailing).open(link)
        assert visitor.path == "/sign-in"
        assert "This link was already used." in visitor.page.get_text(" ")
        assert Visitor(mailing).post(link, FIRM).status == 303
    session.rollback()
    assert session.query(User).count() == 1
    assert len(session.scalars(select(Organization)).all()) == 1


def test_the_link_works_for_a_day(
    mailing: Flask, post_office: PostOffice, session: Session
) -> None:
    ask(mailing, EVE)
    ((_to, _subject, body),) = letters(post_office)
    for hours, status in ((23, 200), (2, 404)):
        session.execute(
            update(SignUp).values(created_at=SignUp.created_at - timedelta(hours=hours))
        )
        session.commit()
        assert Visitor(mailing).open(link_in(body)).status == status
    assert Visitor(mailing).post(link_in(body), FIRM).status == 404
    ask(mailing, TOM)
    session.rollback()
    assert [one.email for one in session.scalars(select(SignUp))] == [TOM]


def test_case_s12_sign_up_answers_alike_whether_or_not_the_address_has_an_account(
    mailing: Flask, post_office: PostOffice, ana: User, session: Session
) -> None:
    known, unknown = ask(mailing, ANA), ask(mailing, TOM)
    assert known.status == unknown.status == 200
    assert known.text.replace(ANA, TOM) == unknown.text
    told = {to: subject for to, subject, _body in letters(post_office)}
    assert told == {ANA: "You already have a DunaHub account", TOM: "Sign up for DunaHub"}
    assert Visitor(mailing).sign_in(ANA)  # as before


@pytest.mark.parametrize("typed", ["ANA@Rivera.example", " ana@rivera.example "])
def test_case_s12_an_address_with_an_account_is_known_however_it_is_typed(
    mailing: Flask, post_office: PostOffice, ana: User, typed: str
) -> None:
    ask(mailing, typed)
    ((to, subject, _body),) = letters(post_office)
    assert (to, subject) == (ANA, "You already have a DunaHub account")


def test_case_s12_one_address_gets_three_letters_an_hour(
    mailing: Flask, post_office: PostOffice, ana: User
) -> None:
    for email in (ANA, TOM):
        answers = {ask(mailing, email).status for _ in range(5)}
        assert answers == {200}
        assert len(letters(post_office)) == 3


def test_case_s12_an_owner_learns_nothing_of_other_firms_people_by_inviting_them(
    mailing: Flask, post_office: PostOffice, ana: User, session: Session
) -> None:
    new_person(session, new_firm(session, name="Oak HVAC"), EVE)
    link = invite(mailing, post_office, EVE)  # answered like anybody's
    page = Visitor(mailing).open(link)
    assert f"{EVE} already has a DunaHub account" in page.text
    joined = Visitor(mailing).post(link, {"name": "Eve", "password": "a long password"})
    assert joined.status == 422
    assert "already has a DunaHub account" in joined.text
    assert accounts_of(session, EVE) == 1


def test_case_s09_where_no_letter_can_be_sent_the_operator_makes_the_link(
    app: Flask, session: Session
) -> None:
    with_config(app, base_url="https://dunahub.example")
    page = Visitor(app).open("/sign-up")
    assert "E-mail isn't set up here." in page.text
    assert Visitor(app).post("/sign-up", {**FIRM, "email": EVE}).status == 404
    assert accounts_of(session, EVE) == 0
    told = app.test_cli_runner().invoke(args=["people", "sign-up", "--email", EVE])
    Visitor(app).open(link_in(told.output)).submit(FIRM)
    assert accounts_of(session, EVE) == 1
    nobody = app.test_cli_runner().invoke(args=["people", "sign-up", "--email", "nobody"])
    assert nobody.exit_code == 1


def test_case_s12_the_answer_does_not_wait_for_the_letter(
    mailing: Flask, post_office: PostOffice, ana: User
) -> None:
    post_office.refuses = True
    assert ask(mailing, ANA).text.replace(ANA, TOM) == ask(mailing, TOM).text
    mail.wait_until_sent()
    assert post_office.letters == []
