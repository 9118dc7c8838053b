"""Sign-in, sign-up, headers, error pages."""

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from models.accounts import AuditEvent, Organization, User
from tests.support.firm import new_firm
from tests.support.visitor import PASSWORD, Visitor, new_person

ANA = "ana@rivera.example"
GOOD = {
    "organization": "Rivera Plumbing LLC",
    "region": "US",
    "time_zone": "America/Chicago",
    "name": "Ana Rivera",
    "email": ANA,
    "password": "a long password",
}


@pytest.fixture
def firm(session: Session) -> int:
    firm = new_firm(session)
    new_person(session, firm, ANA)
    return firm


def test_sign_up_makes_an_organization_and_its_owner(app: Flask, session: Session) -> None:
    visitor = Visitor(app).open("/sign-up").submit(GOOD)
    assert visitor.path == "/"
    assert "Welcome to DunaHub, Ana Rivera." in visitor.text
    organization = session.scalars(select(Organization)).one()
    assert (organization.region, organization.time_zone) == ("US", "America/Chicago")
    user = session.scalars(select(User)).one()
    assert (user.role, user.organization_id) == ("owner", organization.id)
    assert "a long password" not in user.password_hash


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("organization", "", "What is your company called?"),
        ("organization", "x" * 300, "the maximum is 200."),
        ("region", "FR", "Choose one of these."),
        ("time_zone", "Mars/Olympus", "Choose one of these."),
        ("time_zone", "../../etc/passwd", "Choose one of these."),
        ("email", "ana", "This isn't an e-mail address."),
        ("email", "a\x00@b.example", "can't be stored"),
        ("password", "password123", "easy to guess"),
        ("password", "short", "Use at least 10 characters."),
        ("password", "x" * 501, "Use at most 500 characters."),
    ],
)
def test_sign_up_refuses_with_a_sentence(
    app: Flask, session: Session, field: str, value: str, why: str
) -> None:
    visitor = Visitor(app).open("/sign-up").submit({**GOOD, field: value})
    assert visitor.status == 422
    assert why in visitor.text
    assert session.scalars(select(User)).all() == []


def test_sign_up_refuses_an_address_in_use_however_it_is_written(app: Flask, firm: int) -> None:
    visitor = Visitor(app).open("/sign-up").submit({**GOOD, "email": "Ana@Rivera.example"})
    assert "Someone signed up with this address." in visitor.text


def test_sign_in_tells_nobody_which_half_was_wrong(app: Flask, firm: int) -> None:
    wrong = Visitor(app).open("/sign-in").submit({"email": ANA, "password": "wrong"})
    nobody = Visitor(app).open("/sign-in").submit({"email": "x@y.example", "password": PASSWORD})
    assert (wrong.status, nobody.status) == (422, 422)
    assert wrong.text == nobody.text
    assert "That e-mail and password don't match." in wrong.text


def test_sign_in_takes_the_address_in_any_case_and_goes_on_to_where_one_wanted(
    app: Flask, firm: int
) -> None:
    visitor = Visitor(app).open("/invoices?q=7")
    assert visitor.path == "/sign-in"
    visitor.submit({"email": " ANA@rivera.example", "password": PASSWORD})
    assert visitor.answer.request.full_path == "/invoices?q=7"


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/\t/x",
        "",
    ],
)
def test_sign_in_never_leads_to_another_site(app: Flask, firm: int, target: str) -> None:
    visitor = Visitor(app)
    visitor.answer = visitor.client.get("/sign-in", query_string={"next": target})
    visitor.submit({"email": ANA, "password": PASSWORD})
    assert visitor.path == "/"


def test_too_many_tries_from_one_address_are_stopped_there_only(app: Flask, firm: int) -> None:
    guesser = Visitor(app).open("/sign-in")
    for _ in range(20):
        guesser.submit({"email": ANA, "password": "wrong"})
    guesser.open("/sign-in").submit({"email": ANA, "password": PASSWORD})
    assert guesser.status == 429
    assert "Too many tries" in guesser.text
    assert Visitor(app).sign_in(ANA).path == "/"


def test_sign_out_ends_the_session(app: Flask, firm: int, session: Session) -> None:
    ana = Visitor(app).sign_in(ANA)
    ana.post("/sign-out")
    assert ana.open("/leads").path == "/sign-in"
    actions = list(session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)))
    assert actions == ["account.signed_in", "account.signed_out"]


def test_a_session_begins_anew_at_sign_in(app: Flask, firm: int) -> None:
    visitor = Visitor(app).open("/sign-in")
    with visitor.client.session_transaction() as cookie:
        cookie["planted"] = "by someone else"
    visitor.submit({"email": ANA, "password": PASSWORD})
    with visitor.client.session_transaction() as cookie:
        assert "planted" not in cookie


@pytest.mark.parametrize("path", ["/sign-in", "/nothing", "/static/app.css", "/leads"])
def test_every_answer_carries_the_security_headers(app: Flask, firm: int, path: str) -> None:
    answer = Visitor(app).open(path, follow=False).answer
    headers = answer.headers
    answer.close()
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(app: Flask, firm: int) -> None:
    visitor = Visitor(app).open("/sign-in")
    cookie = visitor.answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_pages_are_not_kept_by_the_browser_but_files_are(app: Flask) -> None:
    visitor = Visitor(app).open("/sign-in")
    assert visitor.answer.headers["Cache-Control"] == "no-store"
    sheet = visitor.page.find("link", rel="stylesheet")
    assert "?v=" in str(sheet["href"])  # type: ignore[index]


def test_no_page_has_scripts_or_styles_of_its_own(app: Flask, firm: int) -> None:
    ana = Visitor(app).sign_in(ANA)
    for path in ("/leads", "/leads/new", "/invoices", "/settings/quickbooks", "/nothing"):
        page = ana.open(path).page
        assert page.find("style") is None
        assert [script for script in page.find_all("script") if not script.get("src")] == []
        for tag in page.find_all(True):
            assert not [name for name in tag.attrs if name == "style" or name.startswith("on")], tag


def test_an_error_page_names_a_reference_that_the_log_has(
    app: Flask, firm: int, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down() -> str:
        raise RuntimeError("a bug")

    app.view_functions["home.show"] = break_down
    ana = Visitor(app).open("/sign-in")
    ana.submit({"email": ANA, "password": PASSWORD})
    assert ana.status == 500
    assert "Something went wrong on our side" in ana.text
    reference = ana.page.select_one("main strong")
    assert reference
    assert reference.get_text() in [getattr(told, "reference", "") for told in caplog.records]
    assert "RuntimeError" not in ana.text


@pytest.mark.parametrize(
    ("method", "path", "status", "title"),
    [
        ("GET", "/nothing", 404, "There is nothing here"),
        ("PUT", "/leads", 405, "That didn't work"),
        ("POST", "/leads", 400, "This page was open too long"),
    ],
)
def test_every_refusal_is_a_page_with_a_way_on(
    app: Flask, firm: int, method: str, path: str, status: int, title: str
) -> None:
    ana = Visitor(app).sign_in(ANA)
    ana.answer = ana.client.open(path, method=method)
    assert ana.status == status
    assert ana.page.find("h1").get_text() == title  # type: ignore[union-attr]
    assert ana.page.find("a", string="Go to the home page")


def test_a_form_too_large_is_refused(app: Flask, firm: int) -> None:
    ana = Visitor(app).sign_in(ANA)
    ana.answer = ana.client.post("/leads", data={"notes": "x" * 3_000_000})
    assert ana.status in (400, 413)


def test_settings_of_the_organization_are_the_owners(
    app: Flask, session: Session, firm: int
) -> None:
    ana = Visitor(app).sign_in(ANA).open("/settings/organization")
    ana.submit({"name": "Rivera & Daughters", "time_zone": "America/New_York"})
    assert "Your settings are saved." in ana.text
    session.expire_all()
    session.rollback()
    changed = session.scalars(select(Organization)).one()
    assert (changed.name, changed.time_zone) == ("Rivera & Daughters", "America/New_York")
