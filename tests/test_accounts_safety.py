"""Password guessing, old sessions, invitations, and an audit log that cannot be rewritten."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import TimestampSigner
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from app import create_app
from config import Config
from models import passwords
from models.accounts import AuditEvent, EndedSession, Invitation, Role, Tally, User
from simulator.testing import SimulatorHandle
from tests.support.firm import new_firm
from tests.support.visitor import PASSWORD, Visitor, new_person
from web import guesses
from web.access import MAX_SESSION_AGE, PASSWORD_FRESH_SECONDS
from web.guesses import GUESS_PERIOD
from web.security import address_of_visitor

ANA = "ana@rivera.example"
NEW = "a quite new password"


@pytest.fixture
def firm(session: Session) -> int:
    firm = new_firm(session)
    new_person(session, firm, ANA)
    return firm


# --- Hashes ---------------------------------------------------------------------------------------


def test_signing_in_renews_a_hash_of_another_cost_once(
    app: Flask, firm: int, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stored() -> str:
        session.rollback()
        return session.scalars(select(User.password_hash).where(User.email == ANA)).one()

    monkeypatch.setattr(passwords, "HASHER", PasswordHasher())
    old = stored()
    assert "m=8,t=1,p=1" in old
    Visitor(app).open("/sign-in").submit({"email": ANA, "password": "wrong"})
    assert stored() == old, "whoever guesses renews nothing"
    Visitor(app).sign_in(ANA)
    new = stored()
    assert "m=65536,t=3,p=4" in new
    assert Visitor(app).sign_in(ANA).path == "/"
    assert stored() == new, "renewed once"


GUESSES = 5  # of one account in an hour, where a test tries them all; 50 take long


@pytest.fixture
def few_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "MAX_GUESSES", GUESSES)


# --- Guessing -------------------------------------------------------------------------------------


def test_a_thousand_guesses_a_minute_lock_out_nobody_elsewhere(app: Flask, firm: int) -> None:
    guesser = Visitor(app)
    token = guesser.token()

    def guess(number: int) -> int:
        client = app.test_client()
        client.environ_base.update(guesser.client.environ_base)
        client.set_cookie("dunahub", guesser.client.get_cookie("dunahub").value)  # type: ignore[union-attr]
        wrong = {"email": ANA, "password": f"guess {number}", "csrf_token": token}
        return client.post("/sign-in", data=wrong).status_code

    began = time.monotonic()
    with ThreadPoolExecutor(4) as processes:
        statuses = list(processes.map(guess, range(1000)))
    assert statuses.count(422) == 20
    assert statuses.count(429) == 980
    assert time.monotonic() - began < 60  # so it was a thousand a minute, and then some
    assert Visitor(app).sign_in(ANA).path == "/"


def test_guesses_from_many_addresses_block_no_account_but_are_told(
    app: Flask, firm: int, session: Session
) -> None:
    for _ in range(25):
        Visitor(app).open("/sign-in").submit({"email": ANA, "password": "wrong"})
    owner = Visitor(app).sign_in(ANA)
    assert owner.path == "/"
    actions = session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)).all()
    assert actions == ["account.many_wrong_passwords", "account.signed_in"]
    assert "Many wrong passwords" in owner.open("/settings/record").text


def test_processes_count_together(environ: dict[str, str], firm: int) -> None:
    apps = [create_app(Config.from_environ(environ)) for _ in range(2)]
    visitors = [Visitor(app).open("/sign-in") for app in apps]
    visitors[1].client.environ_base.update(visitors[0].client.environ_base)
    for number in range(20):
        visitors[number % 2].submit({"email": ANA, "password": "wrong"})
    for visitor in visitors:
        visitor.open("/sign-in").submit({"email": ANA, "password": PASSWORD})
        assert visitor.status == 429
    for app in apps:
        app.extensions["dunahub"].database.dispose()


def test_the_next_minute_counts_anew(app: Flask, firm: int, session: Session) -> None:
    guesser = Visitor(app).open("/sign-in")
    for _ in range(21):
        guesser.submit({"email": ANA, "password": "wrong"}) if guesser.status != 429 else None
    assert guesser.status == 429
    session.execute(
        update(Tally).where(Tally.count < 100).values(expires_at=func.clock_timestamp())
    )
    session.commit()
    assert guesser.open("/sign-in").submit({"email": ANA, "password": PASSWORD}).path == "/"


def test_a_home_with_ipv6_is_one_address(app: Flask, firm: int) -> None:
    statuses = []
    for number in range(22):
        visitor = Visitor(app)
        visitor.client.environ_base["REMOTE_ADDR"] = f"2001:db8:1:2::{number + 1:x}"
        statuses.append(visitor.open("/sign-in").submit({"email": ANA, "password": "wrong"}).status)
    assert statuses[-1] == 429


@pytest.mark.parametrize(
    ("told", "key"),
    [
        ("::ffff:198.51.100.7", "198.51.100.7"),  # not all of IPv4 is one home
        ("198.51.100.7:50123", "198.51.100.7"),
        ("[2001:db8:1:2::7]:443", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::7]", "2001:db8:1:2::/64"),
        ("", "unknown"),
        ("x:1", "unknown"),
    ],
)
def test_an_address_is_known_however_it_is_written(app: Flask, told: str, key: str) -> None:
    with app.test_request_context(environ_base={"REMOTE_ADDR": told}):
        assert address_of_visitor() == key


@pytest.mark.parametrize(("proxies", "blocked"), [("0", True), ("1", False)])
def test_behind_a_proxy_visitors_are_told_apart_by_what_it_says(
    environ: dict[str, str], firm: int, proxies: str, blocked: bool
) -> None:
    app = create_app(Config.from_environ(environ | {"PROXIES": proxies}))
    statuses = []
    for number in range(22):
        visitor = Visitor(app)
        visitor.client.environ_base["REMOTE_ADDR"] = "10.0.0.1"
        # The first entry is the visitor's own invention.
        visitor.client.environ_base["HTTP_X_FORWARDED_FOR"] = f"9.9.9.9, 203.0.113.{number}"
        visitor.open("/sign-in").submit({"email": ANA, "password": "wrong"})
        statuses.append(visitor.status)
    assert (429 in statuses) is blocked
    app.extensions["dunahub"].database.dispose()


def _guesses(app: Flask, count: int, email: str = ANA) -> list[int]:
    """Wrong passwords, each from another address."""
    statuses = []
    for number in range(count):
        visitor = Visitor(app)
        visitor.client.environ_base["REMOTE_ADDR"] = f"198.51.{100 + number // 250}.{number % 250}"
        statuses.append(
            visitor.open("/sign-in").submit({"email": email, "password": "wrong"}).status
        )
    return statuses


@pytest.mark.usefixtures("few_guesses")
def test_case_s04_one_account_is_not_guessed_without_bound(app: Flask, firm: int) -> None:
    before = Visitor(app).sign_in(ANA)
    assert _guesses(app, GUESSES + 2) == [422] * (GUESSES - 1) + [429] * 3  # the sign-in counts
    refused = Visitor(app).open("/sign-in").submit({"email": ANA, "password": PASSWORD})
    assert refused.status == 429
    assert int(refused.answer.headers["Retry-After"]) == GUESS_PERIOD
    # The owner's own browser is not kept out by whoever guesses elsewhere.
    before.post("/sign-out")
    assert before.open("/sign-in").submit({"email": ANA, "password": PASSWORD}).path == "/"


@pytest.mark.usefixtures("few_guesses")
def test_case_s04_who_has_no_account_is_refused_alike(app: Flask, firm: int) -> None:
    """Or the bound would tell who has one."""
    assert _guesses(app, GUESSES + 1, "nobody@rivera.example") == [422] * GUESSES + [429]


@pytest.mark.usefixtures("few_guesses")
def test_a_known_browser_has_a_bound_too(app: Flask, firm: int) -> None:
    known = Visitor(app).sign_in(ANA)
    known.post("/sign-out")
    statuses = []
    for number in range(GUESSES + 5):
        known.client.environ_base["REMOTE_ADDR"] = f"203.0.113.{number}"
        statuses.append(known.open("/sign-in").submit({"email": ANA, "password": "wrong"}).status)
    assert statuses[-5:].count(429) >= 4
    assert Visitor(app).sign_in(ANA).path == "/"


@pytest.mark.usefixtures("few_guesses")
def test_a_browser_known_to_one_account_is_not_known_to_another(
    app: Flask, firm: int, session: Session
) -> None:
    new_person(session, firm, "tom@rivera.example", Role.MEMBER)
    tom = Visitor(app).sign_in("tom@rivera.example")
    tom.post("/sign-out")
    _guesses(app, GUESSES)
    assert tom.open("/sign-in").submit({"email": ANA, "password": PASSWORD}).status == 429


def test_too_many_tries_from_an_address_say_when_to_try_again(app: Flask, firm: int) -> None:
    guesser = Visitor(app)
    for number in range(21):
        guesser.open("/sign-in").submit({"email": f"p{number}@x.example", "password": "wrong"})
    assert guesser.status == 429
    assert guesser.answer.headers["Retry-After"] == "60"


# --- Sessions -------------------------------------------------------------------------------------


def test_case_s04_a_session_ends_however_much_it_is_used(app: Flask, firm: int) -> None:
    owner = Visitor(app).sign_in(ANA)
    with owner.client.session_transaction() as cookie:
        cookie["signed_in_at"] -= MAX_SESSION_AGE.total_seconds() - 60
    assert owner.open("/leads").path == "/leads"
    with owner.client.session_transaction() as cookie:
        cookie["signed_in_at"] -= 120
    assert owner.open("/leads").path == "/sign-in"


def test_case_s04_over_https_the_cookie_belongs_to_this_host_alone(
    environ: dict[str, str], firm: int
) -> None:
    app = create_app(replace(Config.from_environ(environ), secure_cookies=True))
    answer = app.test_client().get("/sign-in", base_url="https://localhost")
    [header] = answer.headers.getlist("Set-Cookie")
    assert header.startswith("__Host-dunahub=")
    assert "Secure" in header
    assert "Path=/" in header
    assert "Domain" not in header
    app.extensions["dunahub"].database.dispose()


@pytest.mark.parametrize(
    ("seconds", "still_in"), [(2, True), (300, True), (-300, True), (3600, False)]
)
def test_case_s07_machines_whose_clocks_differ_sign_nobody_out(
    app: Flask, firm: int, seconds: int, still_in: bool
) -> None:
    """What another machine signed, whose clock is so many seconds ahead."""

    class Ahead(TimestampSigner):
        def get_timestamp(self) -> int:
            return super().get_timestamp() + seconds

    owner = Visitor(app).sign_in(ANA).open("/account")
    with owner.client.session_transaction() as cookie:
        cookie["signed_in_at"] += seconds
        content = dict(cookie)
    interface = app.session_interface
    assert isinstance(interface, SecureCookieSessionInterface)
    serializer = interface.get_signing_serializer(app)
    assert serializer
    serializer.signer = Ahead
    owner.client.set_cookie("dunahub", str(serializer.dumps(content)))
    owner.submit(press="Sign out everywhere")
    assert ("You are signed out everywhere" in owner.text) is still_in


def test_sign_out_everywhere_ends_what_was_stolen(app: Flask, firm: int) -> None:
    here, there = Visitor(app).sign_in(ANA), Visitor(app).sign_in(ANA)
    here.open("/account").submit(press="Sign out everywhere")
    for visitor in (here, there):
        assert visitor.open("/leads").path == "/sign-in"


@pytest.mark.parametrize("how", ["/confirm", "/sign-in"])
def test_signing_out_ends_copies_from_before_the_password_was_typed_again(
    app: Flask, firm: int, how: str
) -> None:
    here, thief = Visitor(app).sign_in(ANA), Visitor(app)
    copied = here.client.get_cookie("dunahub")
    assert copied
    here.post(how, {"email": ANA, "password": PASSWORD})
    here.post("/sign-out")
    thief.client.set_cookie("dunahub", copied.value)
    assert thief.open("/leads").path == "/sign-in"


@pytest.mark.parametrize("next_", ["http://[", "//[", "https://]/x", "//evil.example", "/\\evil"])
def test_a_bad_address_leads_home(app: Flask, firm: int, next_: str) -> None:
    visitor = Visitor(app)
    fields = {"email": ANA, "password": PASSWORD, "csrf_token": visitor.token()}
    answer = visitor.client.post("/sign-in", query_string={"next": next_}, data=fields)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    with visitor.client.session_transaction() as cookie:
        cookie["signed_in_at"] -= PASSWORD_FRESH_SECONDS + 1
    referrer = {"Referer": next_}
    fields = {"csrf_token": visitor.token()}
    answer = visitor.client.post("/account/second-factor/codes", data=fields, headers=referrer)
    assert answer.status_code == 303
    assert "evil.example" not in answer.headers["Location"]


@pytest.mark.parametrize("host", ["x" * 64, ".".join(["x" * 70] * 3), "a..b"])
def test_a_host_that_cannot_be_is_a_bad_request(app: Flask, host: str) -> None:
    assert app.test_client().get("/sign-in", headers={"Host": host}).status_code in (200, 400)


def test_signing_out_ends_a_copy_of_the_cookie_and_no_other_session(
    app: Flask, firm: int, session: Session
) -> None:
    here, there, thief = Visitor(app).sign_in(ANA), Visitor(app).sign_in(ANA), Visitor(app)
    copied = here.client.get_cookie("dunahub")
    assert copied
    thief.client.set_cookie("dunahub", copied.value)
    assert thief.open("/leads").path == "/leads"
    session.execute(
        insert(EndedSession).values(digest="old", ended_at=text("now() - interval '29 days'"))
    )
    session.commit()
    here.post("/sign-out")
    thief.client.set_cookie("dunahub", copied.value)
    assert thief.open("/leads").path == "/sign-in"
    assert there.open("/leads").path == "/leads"
    assert len(session.scalars(select(EndedSession.digest)).all()) == 1  # the old one is swept


@pytest.mark.parametrize(
    "password",
    [
        *("password123", "aaaaaaaaaa", " " * 10, "dunahub-demo", "DunaHub-Demo", "qwertyuiop"),
        *("1234567890", "abcabcabcabc", "P@ssw0rd!!", "letmein2024!", "Summer2026!", "19900101199"),
        *(
            "senha12345",
            "flamengo2019",
            "corinthians10",
            "quickbooks1",
            "Ana Rivera1",
            "rivera2026",
        ),
        *("rivera2026", "ana@rivera.example", "Rivera Plumbing", "x" * 72 + "y" * 72),
    ],
)
def test_case_s04_a_password_that_guessers_try_first_is_refused(
    app: Flask, firm: int, password: str
) -> None:
    owner = Visitor(app).sign_in(ANA).open("/account")
    owner.submit({"current": PASSWORD, "password": password})
    assert owner.status == 422
    assert "easy to guess" in owner.text


@pytest.mark.parametrize(
    "password",
    ["t1ger-lily-9", "correct horse battery", "três pratos de trigo", "🦊🐢🦉🐝🌵🍋🎈🧵🪁🧭"],
)
def test_a_password_of_ones_own_is_taken(app: Flask, firm: int, password: str) -> None:
    owner = Visitor(app).sign_in(ANA).open("/account")
    owner.submit({"current": PASSWORD, "password": password})
    assert "Your password is changed." in owner.text


def test_a_new_password_ends_every_other_session(app: Flask, firm: int) -> None:
    here, there = Visitor(app).sign_in(ANA), Visitor(app).sign_in(ANA)
    here.open("/account").submit({"current": "wrong", "password": NEW})
    assert "This isn't your password." in here.text
    here.open("/account").submit({"current": PASSWORD, "password": "short"})
    assert "Use at least 10 characters." in here.text
    here.open("/account").submit({"current": PASSWORD, "password": NEW})
    assert "Your password is changed." in here.text
    assert here.open("/leads").path == "/leads"
    assert there.open("/leads").path == "/sign-in"
    assert there.submit({"email": ANA, "password": PASSWORD}).status == 422
    assert there.open("/sign-in").submit({"email": ANA, "password": NEW}).path == "/"


@pytest.mark.parametrize("act", ["connection", "connection/other-company", "connection/disconnect"])
def test_an_old_session_types_its_password_before_it_connects_or_disconnects(
    app: Flask, firm: int, simulator: SimulatorHandle, act: str
) -> None:
    owner = Visitor(app).sign_in(ANA)
    with owner.client.session_transaction() as cookie:
        cookie["signed_in_at"] = time.time() - PASSWORD_FRESH_SECONDS - 1
    token = owner.token()
    answer = owner.client.post(
        f"/settings/quickbooks/{act}",
        data={"csrf_token": token},
        headers={"Referer": "http://localhost/settings/quickbooks"},
    )
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/confirm?next=/settings/quickbooks"
    owner.open(answer.headers["Location"]).submit({"password": "wrong"})
    assert owner.status == 422
    owner.submit({"password": PASSWORD})
    assert owner.path == "/settings/quickbooks"
    answer = owner.client.post(f"/settings/quickbooks/{act}", data={"csrf_token": owner.token()})
    assert "/confirm" not in answer.headers["Location"]


# --- Colleagues -----------------------------------------------------------------------------------


def _invite(owner: Visitor, email: str, role: str = "member") -> str:
    owner.open("/settings/people").submit({"email": email, "role": role})
    found = re.search(r"http://localhost(/invitations/\S+)", owner.text)
    assert found, owner.text
    return found[1]


def test_a_colleague_joins_by_the_link_once(app: Flask, firm: int, session: Session) -> None:
    owner = Visitor(app).sign_in(ANA)
    link = _invite(owner, "tom@rivera.example")
    tom = Visitor(app).open(link).submit({"name": "Tom", "password": NEW})
    assert tom.path == "/"
    assert "Welcome to DunaHub, Tom." in tom.text
    user = session.scalars(select(User).where(User.email == "tom@rivera.example")).one()
    assert (user.organization_id, user.role) == (firm, Role.MEMBER)
    assert Visitor(app).open(link).status == 404
    assert "Tom" in owner.open("/settings/people").text
    assert link.rpartition("/")[2] not in str(
        session.execute(text("SELECT * FROM invitations")).all()
    )


def test_a_withdrawn_an_older_and_an_expired_link_do_not_work(
    app: Flask, firm: int, session: Session
) -> None:
    owner = Visitor(app).sign_in(ANA)
    first = _invite(owner, "tom@rivera.example")
    second = _invite(owner, "TOM@rivera.example")
    assert Visitor(app).open(first).status == 404
    assert Visitor(app).open(second).status == 200
    owner.open("/settings/people").submit(press="Withdraw")
    assert Visitor(app).open(second).status == 404
    third = _invite(owner, "tom@rivera.example")
    session.execute(update(Invitation).values(created_at=text("created_at - interval '8 days'")))
    session.commit()
    assert Visitor(app).open(third).status == 404
    assert Visitor(app).open("/invitations/inv_guess").status == 404


def test_two_who_press_join_at_once_are_one(app: Flask, firm: int, session: Session) -> None:
    link = _invite(Visitor(app).sign_in(ANA), "tom@rivera.example")
    visitors = [Visitor(app).open(link) for _ in range(4)]
    with ThreadPoolExecutor(4) as people:
        done = list(
            people.map(lambda one: one.submit({"name": "Tom", "password": NEW}).status, visitors)
        )
    assert sorted(done) == [200, 404, 404, 404]
    assert session.query(User).filter(User.email == "tom@rivera.example").count() == 1


def test_members_invite_nobody_and_no_one_is_invited_twice(
    app: Flask, firm: int, session: Session
) -> None:
    new_person(session, firm, "tom@rivera.example", Role.MEMBER)
    tom = Visitor(app).sign_in("tom@rivera.example")
    assert "Invite a colleague" not in tom.open("/settings/people").text
    assert tom.post("/settings/people/invitations", {"email": "x@y.example"}).status == 403
    owner = Visitor(app).sign_in(ANA)
    for email, why in (
        ("tom@rivera.example", "This person is already on your team."),
        ("nobody", "This isn't an e-mail address."),
        ("", "Type your colleague's e-mail address."),
    ):
        owner.open("/settings/people").submit({"email": email})
        assert why in owner.text
    owner.open("/settings/people")
    owner.post("/settings/people/invitations", {"email": "a@b.example", "role": "admin"})
    assert owner.status == 422
    assert session.query(Invitation).count() == 0


# --- The record -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET reason = 'another'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
    ],
)
def test_the_audit_record_is_only_added_to(session: Session, firm: int, statement: str) -> None:
    session.add(AuditEvent(organization_id=firm, action="account.signed_in"))
    session.commit()
    with pytest.raises(ProgrammingError, match="only ever added to"):
        session.execute(text(statement))
    session.rollback()
    assert session.query(AuditEvent).count() == 1
