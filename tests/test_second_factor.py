"""A second factor: codes of an authenticator app, recovery codes; staff must have one."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from flask import Flask
from pyotp import TOTP
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from config import Config
from models.accounts import RecoveryCode, Role, User
from notices import mail
from quickbooks import tokens
from tests.support.firm import new_firm
from tests.support.post_office import PostOffice, running_post_office, text_of
from tests.support.visitor import PASSWORD, Visitor, new_person
from web import recovery

ANA, ADMIN = "ana@rivera.example", "admin@dunahub.example"
PAGE = "/account/second-factor"


@pytest.fixture
def ana(app: Flask, session: Session) -> Visitor:
    new_person(session, new_firm(session), ANA)
    return Visitor(app).sign_in(ANA)


def turn_on(visitor: Visitor) -> tuple[str, list[str]]:
    """The key, and the recovery codes."""
    visitor.open(f"{PAGE}/new")
    assert visitor.page.select_one("svg")
    code = visitor.page.find("code")
    assert code
    secret = code.get_text().replace(" ", "")
    visitor.submit({"code": TOTP(secret).now()})
    assert "Keep these recovery codes" in visitor.text
    return secret, [one.get_text() for one in visitor.page.select("main code")]


def sign_in(app: Flask, code: str, email: str = ANA) -> Visitor:
    visitor = Visitor(app).open("/sign-in").submit({"email": email, "password": PASSWORD})
    assert visitor.path == "/sign-in/code"
    return visitor.submit({"code": code})


def next_code(secret: str, steps: int = 1) -> str:
    """That the app shows in a moment; it is taken already."""
    return TOTP(secret).generate_otp(int(time.time()) // 30 + steps)


def forget_steps(session: Session) -> None:
    """As if half a minute and more had passed."""
    session.execute(text("UPDATE users SET totp_step = 0 WHERE totp_step IS NOT NULL"))
    session.commit()


def is_in(visitor: Visitor) -> bool:
    return visitor.open("/leads", follow=False).status == 200


def test_after_the_password_the_code_is_asked_for(app: Flask, ana: Visitor) -> None:
    secret, _codes = turn_on(ana)
    visitor = Visitor(app).open("/sign-in").submit({"email": ANA, "password": PASSWORD})
    assert visitor.path == "/sign-in/code"
    assert not is_in(visitor)
    visitor.open("/sign-in/code").submit({"code": "000000"})
    assert "This code isn't right" in visitor.text
    assert not is_in(visitor)
    visitor.open("/sign-in/code").submit(
        {"code": f" {next_code(secret)[:3]} {next_code(secret)[3:]}"}
    )
    assert is_in(visitor)


def test_where_one_wanted_to_go_is_kept(app: Flask, ana: Visitor) -> None:
    secret, _codes = turn_on(ana)
    visitor = Visitor(app).open("/invoices?q=7")
    visitor.submit({"email": ANA, "password": PASSWORD}).submit({"code": next_code(secret)})
    assert visitor.answer.request.full_path == "/invoices?q=7"


def test_a_code_works_once(app: Flask, ana: Visitor, session: Session) -> None:
    secret, _codes = turn_on(ana)
    code = next_code(secret)
    assert is_in(sign_in(app, code))
    assert not is_in(sign_in(app, code))
    forget_steps(session)
    visitors = [Visitor(app).open("/sign-in") for _ in range(4)]
    for visitor in visitors:
        visitor.submit({"email": ANA, "password": PASSWORD})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda visitor: visitor.submit({"code": code}), visitors))
    assert [is_in(visitor) for visitor in visitors].count(True) == 1


@pytest.mark.parametrize("steps", [-40, -3, 3, 40])
def test_a_code_of_another_time_is_refused(
    app: Flask, ana: Visitor, session: Session, steps: int
) -> None:
    secret, _codes = turn_on(ana)
    forget_steps(session)
    assert not is_in(sign_in(app, next_code(secret, steps)))


@pytest.mark.parametrize("code", ["", "x", "١٢٣٤٥٦", "\x00", "1" * 5000, "' OR 1=1"])
def test_odd_codes_are_refused(app: Flask, ana: Visitor, code: str) -> None:
    turn_on(ana)
    assert not is_in(sign_in(app, code))


def test_a_recovery_code_works_once_however_it_is_typed(
    app: Flask, ana: Visitor, session: Session
) -> None:
    _secret, codes = turn_on(ana)
    assert len(codes) == recovery.HOW_MANY
    stored = session.scalars(select(RecoveryCode.digest)).all()
    assert not {code.replace("-", "") for code in codes} & set(stored)
    assert is_in(sign_in(app, codes[0].upper().replace("-", " ")))
    assert not is_in(sign_in(app, codes[0]))
    assert "9 recovery codes are left." in ana.open(PAGE).text
    ana.submit(press="New recovery codes")
    assert not is_in(sign_in(app, codes[1]))


def test_case_s02_turned_on_twice_it_says_how_to_see_the_codes(
    ana: Visitor, session: Session
) -> None:
    page = ana.open(f"{PAGE}/new").answer
    with ana.client.session_transaction() as cookie:
        pending = dict(cookie)
    code = TOTP(pending["new_second_factor"]).now()
    ana.submit({"code": code})
    with ana.client.session_transaction() as cookie:
        cookie.update(pending)  # the first answer, and its cookie, never arrived
    ana.answer = page
    ana.submit({"code": code})
    assert "If you didn't see the recovery codes, make new ones." in ana.text
    assert "10 recovery codes are left." in ana.text
    assert len(session.scalars(select(RecoveryCode)).all()) == 10


def test_codes_of_one_account_are_guessed_ten_times_at_most(app: Flask, ana: Visitor) -> None:
    secret, codes = turn_on(ana)
    for _ in range(10):
        assert not is_in(sign_in(app, "000000"))
    for good in (next_code(secret), codes[0]):
        visitor = sign_in(app, good)
        assert visitor.status == 429
        assert visitor.answer.headers["Retry-After"] == "900"
        assert not is_in(visitor)


def test_the_half_way_sign_in_ends(app: Flask, ana: Visitor, session: Session) -> None:
    secret, _codes = turn_on(ana)
    visitor = Visitor(app).open("/sign-in").submit({"email": ANA, "password": PASSWORD})
    with visitor.client.session_transaction() as cookie:
        key, version, _at = cookie["half"]
        cookie["half"] = [key, version, int(time.time()) - 601]
    assert visitor.submit({"code": next_code(secret)}).path == "/sign-in"
    visitor = Visitor(app).open("/sign-in").submit({"email": ANA, "password": PASSWORD})
    session.execute(text("UPDATE users SET session_version = session_version + 1"))
    session.commit()
    assert visitor.submit({"code": next_code(secret)}).path == "/sign-in"


def test_the_key_is_encrypted_and_turned_with_the_others(
    ana: Visitor, session: Session, config: Config
) -> None:
    secret, _codes = turn_on(ana)
    user = session.scalars(select(User).where(User.email == ANA)).one()
    assert secret not in (user.totp_secret or "")
    turned = replace(config, token_keys=(tokens.new_key(), *config.token_keys))
    tokens.rotate(ana.app.extensions["dunahub"].sessions, turned)
    session.refresh(user)
    only_new = replace(config, token_keys=turned.token_keys[:1])
    assert tokens.decrypt(only_new, user.totp_secret or "") == secret


def test_turning_it_off_asks_no_code_any_more(app: Flask, ana: Visitor) -> None:
    turn_on(ana)
    ana.open(PAGE).submit(press="Turn off")
    assert "The second factor is off." in ana.text
    assert is_in(Visitor(app).sign_in(ANA))


def test_case_s01_each_change_of_the_second_factor_is_told_by_e_mail(
    app: Flask, ana: Visitor, session: Session
) -> None:
    with running_post_office() as post_office:
        hub = app.extensions["dunahub"]
        address = f"smtp://127.0.0.1:{post_office.port}"
        mails = replace(hub.config, smtp_url=address, mail_from="notices@dunahub.example")
        app.extensions["dunahub"] = replace(hub, config=mails)

        secret, codes = turn_on(ana)
        ((to, subject, body),) = letters(post_office)
        assert (to, subject) == (ANA, "Your DunaHub second factor was changed")
        assert "was turned on" in body
        assert secret not in body.replace(" ", "")
        ana.open(PAGE).submit(press="New recovery codes")
        assert "New recovery codes were made" in told(post_office)
        unused = ana.page.select("main code")[0].get_text()
        sign_in(app, codes[0])  # a code that no longer works is nothing to write about
        assert letters(post_office) == []
        assert is_in(sign_in(app, unused))
        assert "signed in with a recovery code" in told(post_office)
        ana.open(PAGE).submit(press="Turn off")
        assert "was turned off" in told(post_office)
        turn_on(ana)
        letters(post_office)
        reset = ["people", "reset", "--email", ANA]
        app.test_cli_runner().invoke(args=reset)
        assert letters(post_office) == []  # it is still on
        for _ in range(2):
            app.test_cli_runner().invoke(args=[*reset, "--second-factor"])
        assert "was turned off" in told(post_office)  # once: the second time it was off


def told(post_office: PostOffice) -> str:
    ((_to, _subject, body),) = letters(post_office)
    return " ".join(body.split())


def letters(post_office: PostOffice) -> list[tuple[str, str, str]]:
    mail.wait_until_sent()
    found = [(str(one["To"]), str(one["Subject"]), text_of(one)) for one in post_office.letters]
    post_office.letters.clear()
    return found


def test_case_s01_an_old_password_may_not_change_the_second_factor(ana: Visitor) -> None:
    turn_on(ana)
    with ana.client.session_transaction() as cookie:
        cookie["signed_in_at"] = int(time.time()) - 601
    for path in ("/new", "/codes", "/remove"):
        ana.post(PAGE + path)
        assert ana.answer.headers["Location"].startswith("/confirm"), path
    assert ana.open(PAGE + "/new", follow=False).answer.headers["Location"].startswith("/confirm")


def test_staff_see_nothing_before_they_turn_it_on(
    environ: dict[str, str], session: Session, app: Flask
) -> None:
    new_person(session, None, ADMIN, Role.ADMIN)
    hub = app.extensions["dunahub"]
    app.extensions["dunahub"] = replace(hub, config=replace(hub.config, environment="sandbox"))
    admin = Visitor(app).sign_in(ADMIN)
    assert admin.path == PAGE
    for path in ("/admin/outbox", "/admin/organizations", "/admin/audit"):
        assert admin.open(path).path == PAGE
    assert "DunaHub's staff must sign in with a second factor." in admin.text
    turn_on(admin)
    assert admin.open("/admin/outbox").path == "/admin/outbox"
    assert admin.post(f"{PAGE}/remove").status == 403


def test_a_language_chosen_on_the_way_in_is_kept_past_the_code(
    app: Flask, ana: Visitor, session: Session
) -> None:
    secret, _codes = turn_on(ana)
    forget_steps(session)
    visitor = Visitor(app).open("/sign-in")
    visitor.post("/language", {"language": "pt_BR"})
    visitor.open("/sign-in").submit({"email": ANA, "password": PASSWORD})
    assert "Código" in visitor.text
    visitor.submit({"code": TOTP(secret).now()})
    assert "Mudar sua senha" in visitor.open("/account").text
