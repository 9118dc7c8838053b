"""Forgotten passwords, changed names and addresses, and the commands of operators."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from config import Config
from models.accounts import AccountLink, AuditEvent, User
from notices import mail
from tests.support.firm import new_firm
from tests.support.post_office import PostOffice, running_post_office, text_of
from tests.support.visitor import PASSWORD, Visitor, new_person
from web.access import PASSWORD_FRESH_SECONDS

ANA, CARLA = "ana@rivera.example", "carla@oakhvac.example"
NEW = "a quite new password"


@pytest.fixture
def post_office() -> Iterator[PostOffice]:
    with running_post_office() as kept:
        yield kept


@pytest.fixture
def mailing(app: Flask, config: Config, post_office: PostOffice) -> Flask:
    hub = app.extensions["dunahub"]
    address = f"smtp://127.0.0.1:{post_office.port}"
    mails = replace(hub.config, smtp_url=address, mail_from="DunaHub <notices@dunahub.example>")
    app.extensions["dunahub"] = replace(hub, config=mails)
    return app


@pytest.fixture(autouse=True)
def ana(session: Session) -> int:
    return new_person(session, new_firm(session), ANA).id


def letters(post_office: PostOffice) -> list[tuple[str, str, str]]:
    """Recipient, subject and text of all that was written."""
    mail.wait_until_sent()
    found = [(str(one["To"]), str(one["Subject"]), text_of(one)) for one in post_office.letters]
    post_office.letters.clear()
    return found


def link_in(text_: str) -> str:
    found = re.search(r"https?://[^/]+(/\S+)", text_)
    assert found, text_
    return found.group(1)


def forget(app: Flask, email: str = ANA) -> Visitor:
    return Visitor(app).open("/forgotten").submit({"email": email})


def mailed_link(app: Flask, post_office: PostOffice) -> str:
    forget(app)
    ((to, subject, body),) = letters(post_office)
    assert (to, subject) == (ANA, "Reset your DunaHub password")
    return link_in(body)


def test_a_forgotten_password_is_replaced_by_a_mailed_link(
    mailing: Flask, post_office: PostOffice, session: Session
) -> None:
    thief = Visitor(mailing).sign_in(ANA)
    assert Visitor(mailing).open("/sign-in").page.find("a", href="/forgotten")
    link = mailed_link(mailing, post_office)
    visitor = Visitor(mailing).open(link).submit({"password": NEW})
    assert visitor.path == "/sign-in"
    assert "Your password is changed" in visitor.text
    visitor.submit({"email": ANA, "password": NEW})
    assert visitor.path != "/sign-in"
    assert thief.open("/leads", follow=False).status == 302
    ((to, subject, _body),) = letters(post_office)
    assert (to, subject) == (ANA, "Your DunaHub password was changed")
    actions = session.scalars(select(AuditEvent.action)).all()
    assert {"account.password_forgotten", "account.password_reset"} <= set(actions)


def test_the_link_works_once_and_a_later_one_ends_with_it(
    mailing: Flask, post_office: PostOffice
) -> None:
    first, second = mailed_link(mailing, post_office), mailed_link(mailing, post_office)
    Visitor(mailing).open(first).submit({"password": NEW})
    for link in (first, second):
        assert Visitor(mailing).open(link).status == 404
        assert Visitor(mailing).post(link, {"password": "another new one"}).status == 404


def test_the_link_lasts_half_an_hour(
    mailing: Flask, post_office: PostOffice, session: Session
) -> None:
    link = mailed_link(mailing, post_office)
    for minutes, status in ((29, 200), (2, 404)):
        session.execute(
            update(AccountLink).values(
                created_at=AccountLink.created_at - text(f"interval '{minutes} min'")
            )
        )
        session.commit()
        assert Visitor(mailing).open(link).status == status


def test_a_password_that_is_too_short_uses_nothing_up(
    mailing: Flask, post_office: PostOffice
) -> None:
    link = mailed_link(mailing, post_office)
    visitor = Visitor(mailing).open(link).submit({"password": "short"})
    assert visitor.status == 422
    assert "Your password is changed" in visitor.submit({"password": NEW}).text


@pytest.mark.parametrize("email", ["nobody@x.example", "", "x", "\x00", "A" * 4000, CARLA])
def test_the_answer_is_the_same_whether_the_address_exists(
    mailing: Flask, post_office: PostOffice, session: Session, email: str
) -> None:
    session.add(
        User(
            email=CARLA,
            name="Gone",
            role="member",
            password_hash="-",
            organization_id=session.scalar(select(User.organization_id)),
            removed_at=func.now(),
        )
    )
    session.commit()
    known, other = forget(mailing), forget(mailing, email)
    assert (known.status, known.text) == (other.status, other.text)
    assert "If there is an account" in other.text
    assert [to for to, _subject, _body in letters(post_office)] == [ANA]


def test_one_account_gets_three_letters_an_hour(mailing: Flask, post_office: PostOffice) -> None:
    for _ in range(6):
        forget(mailing)
    assert len(letters(post_office)) == 3


def test_without_mail_the_page_says_whom_to_ask(app: Flask, session: Session) -> None:
    assert "E-mail isn't set up here" in Visitor(app).open("/forgotten").text
    assert "E-mail isn't set up here" in Visitor(app).post("/forgotten", {"email": ANA}).text
    assert session.scalars(select(AccountLink)).all() == []


def test_the_secret_is_kept_as_a_digest_only(
    mailing: Flask, post_office: PostOffice, session: Session
) -> None:
    link = mailed_link(mailing, post_office)
    (digest,) = session.scalars(select(AccountLink.digest))
    assert digest not in link


def test_case_s01_a_new_password_ends_the_other_sessions_and_is_told(
    mailing: Flask, post_office: PostOffice
) -> None:
    intruder = Visitor(mailing).sign_in(ANA)
    ana = Visitor(mailing).sign_in(ANA).open("/account")
    ana.submit({"current": PASSWORD, "password": NEW}, press="Change password")
    assert intruder.open("/leads", follow=False).status == 302
    assert ana.open("/leads", follow=False).status == 200
    ((to, subject, _body),) = letters(post_office)
    assert (to, subject) == (ANA, "Your DunaHub password was changed")


# --- Name and address -----------------------------------------------------------------------------


def test_a_name_is_changed(mailing: Flask, session: Session) -> None:
    ana = Visitor(mailing).sign_in(ANA).open("/account")
    ana.submit({"name": "Ana Maria Rivera"}, press="Save name")
    assert "Ana Maria Rivera" in ana.answer.get_data(as_text=True)
    assert ana.open("/account").submit({"name": " "}, press="Save name").status == 422


def test_an_address_changes_once_its_reader_confirms(
    mailing: Flask, post_office: PostOffice, session: Session
) -> None:
    ana = Visitor(mailing).sign_in(ANA).open("/account")
    ana.submit({"email": "ana@new.example"}, press="Change e-mail")
    assert "We sent an e-mail to ana@new.example." in ana.text
    (body,) = (body for to, _subject, body in letters(post_office) if to == "ana@new.example")
    assert session.scalars(select(User.email)).one() == ANA
    phone = Visitor(mailing).open(link_in(body))
    assert "ana@new.example" in phone.text
    phone.submit(press="Confirm")
    session.rollback()
    assert session.scalars(select(User.email)).one() == "ana@new.example"
    ((to, subject, _body),) = letters(post_office)
    assert (to, subject) == (ANA, "Your DunaHub e-mail address was changed")
    assert Visitor(mailing).open(link_in(body)).status == 404
    Visitor(mailing).sign_in("ana@new.example")


def test_an_address_of_somebody_else_is_never_taken(
    mailing: Flask, post_office: PostOffice, session: Session
) -> None:
    ana = Visitor(mailing).sign_in(ANA).open("/account")
    ana.submit({"email": CARLA}, press="Change e-mail")
    (body,) = (body for to, _subject, body in letters(post_office) if to == CARLA)
    new_person(session, new_firm(session, name="Oak"), CARLA.upper())
    assert Visitor(mailing).open(link_in(body)).submit(press="Confirm").status == 404
    session.rollback()
    assert session.scalars(select(User.email).order_by(User.id)).all() == [ANA, CARLA.upper()]
    ana.open("/account").submit({"email": CARLA}, press="Change e-mail")
    assert (
        f"We sent an e-mail to {CARLA}." in ana.text
    )  # the same answer; nobody is told who has an account
    assert [to for to, _subject, _body in letters(post_office)] == [ANA]


def test_case_s01_an_old_password_may_not_change_the_address(
    mailing: Flask, session: Session
) -> None:
    ana = Visitor(mailing).sign_in(ANA)
    with ana.client.session_transaction() as cookie:
        cookie["signed_in_at"] = int(time.time()) - PASSWORD_FRESH_SECONDS - 1
    ana.post("/account/email", {"email": "x@y.example"})
    assert ana.answer.headers["Location"].startswith("/confirm")
    assert session.scalars(select(AccountLink)).all() == []


@pytest.mark.parametrize(
    "act", ["everywhere", "password", "by an owner", "operator's sign-out", "operator's reset"]
)
def test_case_s01_what_ends_the_sessions_ends_a_link_to_another_address(
    mailing: Flask, post_office: PostOffice, session: Session, ana: int, act: str
) -> None:
    intruder = Visitor(mailing).sign_in(ANA).open("/account")
    intruder.submit({"email": "evil@evil.example"}, press="Change e-mail")
    (link,) = (link_in(body) for to, _subject, body in letters(post_office) if to != ANA)
    end_sessions(mailing, session, ana, act)
    assert intruder.open("/leads", follow=False).status == 302
    assert Visitor(mailing).open(link).status == 404
    assert Visitor(mailing).post(link).status == 404
    session.rollback()
    assert session.scalars(select(User.email).where(User.id == ana)).one() == ANA


def end_sessions(app: Flask, session: Session, ana: int, act: str) -> None:
    match act:
        case "everywhere":
            Visitor(app).sign_in(ANA).open("/account").submit(press="Sign out everywhere")
        case "password":
            fields = {"current": PASSWORD, "password": NEW}
            Visitor(app).sign_in(ANA).open("/account").submit(fields, press="Change password")
        case "by an owner":
            firm = session.scalars(select(User.organization_id).where(User.id == ana)).one()
            assert firm
            new_person(session, firm, CARLA)
            page = Visitor(app).sign_in(CARLA).open(f"/settings/people/{ana}")
            page.submit(press="Sign out everywhere")
        case "operator's sign-out":
            assert run(app, "sign-out", "--email", ANA)[0] == 0
        case "operator's reset":
            code, said = run(app, "reset", "--email", ANA)
            assert code == 0
            assert Visitor(app).open(link_in(said)).status == 200  # its own link works


def test_case_s01_the_old_address_hears_of_a_change_that_is_asked_for(
    mailing: Flask, post_office: PostOffice
) -> None:
    ana = Visitor(mailing).sign_in(ANA)
    new_one, taken, same = "ana@new.example", CARLA, ANA.upper()
    ana.open("/account").submit({"email": new_one}, press="Change e-mail")
    ((subject, body),) = (
        (subject, body) for to, subject, body in letters(post_office) if to == ANA
    )
    assert subject == "Change the e-mail address of your DunaHub account?"
    assert new_one in body
    assert "/account" in body
    # An address that has an account gets no letter, but ours is written to: it must not show.
    ana.open("/account").submit({"email": taken}, press="Change e-mail")
    assert [taken in body for to, _, body in letters(post_office) if to == ANA] == [True]
    ana.open("/account").submit({"email": same}, press="Change e-mail")
    assert letters(post_office) == []


# --- Commands -------------------------------------------------------------------------------------


def run(app: Flask, *words: str) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["people", *words])
    return result.exit_code, result.output


def test_operators_make_a_link_to_a_new_password(app: Flask, session: Session) -> None:
    ana = Visitor(app).sign_in(ANA)
    code, said = run(app, "reset", "--email", ANA.upper())
    assert code == 0
    assert ana.open("/leads", follow=False).status == 302
    visitor = Visitor(app).open(link_in(said)).submit({"password": NEW})
    assert "Your password is changed" in visitor.text
    assert "account.reset_by_operator" in session.scalars(select(AuditEvent.action)).all()


def test_operators_take_away_a_second_factor(app: Flask, session: Session) -> None:
    session.execute(update(User).values(totp_secret="-", totp_step=1))
    session.commit()
    run(app, "reset", "--email", ANA)
    session.rollback()
    assert session.scalars(select(User.totp_secret)).one() == "-"
    run(app, "reset", "--email", ANA, "--second-factor")
    session.rollback()
    assert session.scalars(select(User.totp_secret)).one() is None


def test_operators_end_sessions_and_remove_people(app: Flask, session: Session) -> None:
    ana = Visitor(app).sign_in(ANA)
    assert run(app, "sign-out", "--email", ANA)[0] == 0
    assert ana.open("/leads", follow=False).status == 302
    ana = Visitor(app).sign_in(ANA)
    assert run(app, "remove", "--email", ANA)[0] == 0
    assert ana.open("/leads", follow=False).status == 302
    code, said = run(app, "remove", "--email", ANA)
    assert code != 0
    assert "nobody" in said.lower()
