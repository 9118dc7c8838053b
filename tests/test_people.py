"""Owners change roles, end sessions and remove people, after entering their password again."""

import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models.accounts import AuditEvent, Invitation, Role, User
from models.clients import Letterhead
from tests.support.firm import new_firm
from tests.support.visitor import PASSWORD, Visitor, new_person
from web.access import PASSWORD_FRESH_SECONDS

ANA, PAULA, TOM = "ana@rivera.example", "paula@rivera.example", "tom@rivera.example"
PEOPLE = "/settings/people"
ACCOUNTANT = "/settings/quickbooks/accountant"


@pytest.fixture
def ids(session: Session) -> dict[str, int]:
    firm = new_firm(session)
    roles = {ANA: Role.OWNER, PAULA: Role.OWNER, TOM: Role.MEMBER}
    return {email: new_person(session, firm, email, role).id for email, role in roles.items()}


@pytest.fixture
def ana(app: Flask, ids: dict[str, int]) -> Visitor:
    return Visitor(app).sign_in(ANA)


def user(session: Session, email: str) -> User:
    session.rollback()
    session.expire_all()
    return session.scalars(select(User).where(User.email == email).order_by(User.id)).all()[-1]


def grow_stale(visitor: Visitor, seconds: int = PASSWORD_FRESH_SECONDS + 1) -> None:
    """The password was typed that long ago."""
    with visitor.client.session_transaction() as cookie:
        cookie["signed_in_at"] = int(time.time()) - seconds


def test_an_owner_changes_a_role(ana: Visitor, ids: dict[str, int], session: Session) -> None:
    ana.open(PEOPLE)
    assert ana.page.find("a", string="Tom")
    ana.open(f"{PEOPLE}/{ids[TOM]}").submit({"role": "owner"}, press="Save")
    assert "The role of Tom is saved." in ana.text
    assert user(session, TOM).role == Role.OWNER
    event = session.scalars(
        select(AuditEvent).where(AuditEvent.action == "account.role_changed")
    ).one()
    assert (event.details["was"], event.details["role"]) == ("member", "owner")


@pytest.mark.parametrize("role", ["admin", "", "x", "OWNER"])
def test_only_roles_of_a_firm_can_be_given(
    ana: Visitor, ids: dict[str, int], session: Session, role: str
) -> None:
    ana.post(f"{PEOPLE}/{ids[TOM]}/role", {"role": role})
    assert ana.status == 422
    assert user(session, TOM).role == Role.MEMBER


def test_a_removed_person_is_out_at_once_and_stays_in_the_record(
    app: Flask, ana: Visitor, ids: dict[str, int], session: Session
) -> None:
    tom = Visitor(app).sign_in(TOM)
    tom.open("/leads/new").submit({"name": "Green Lawn Co"})
    ana.open(f"{PEOPLE}/{ids[TOM]}").submit(press="Remove")
    assert "Tom has been removed" in ana.text
    assert "Tom" not in ana.open(PEOPLE).page.select("table")[0].get_text()
    assert tom.open("/leads", follow=False).status == 302
    Visitor(app).open("/sign-in").submit({"email": TOM, "password": "dunahub-demo"})
    assert tom.open("/leads", follow=False).status == 302
    record = ana.open("/settings/record").text
    assert "Removed from the organization" in record
    assert "Tom" in record
    assert ana.open(f"{PEOPLE}/{ids[TOM]}").status == 404


def test_a_removed_address_can_be_invited_and_join_again(
    app: Flask, ana: Visitor, ids: dict[str, int], session: Session
) -> None:
    ana.open(f"{PEOPLE}/{ids[TOM]}").submit(press="Remove")
    ana.open(PEOPLE).submit({"email": TOM})
    link = ana.page.find("code")
    assert link
    new_tom = Visitor(app).open("/" + link.get_text().split("/", 3)[3])
    new_tom.submit({"name": "Tom again", "password": "a quite new password"})
    assert "Welcome to DunaHub, Tom again." in new_tom.text
    assert user(session, TOM).id != ids[TOM]


@pytest.mark.parametrize("end", ["removed", "member", "bookkeeper", "command line"])
def test_case_s01_what_an_owner_gave_to_others_ends_with_their_power(
    app: Flask, ana: Visitor, ids: dict[str, int], session: Session, end: str
) -> None:
    paula = Visitor(app).sign_in(PAULA)
    paula.open(PEOPLE).submit({"email": "friend@evil.example", "role": "owner"})
    invitation = shown_link(paula)
    paula.open(ACCOUNTANT).submit({"name": "Dana at Miller CPA", "days": "90"})
    books = shown_link(paula)
    ana.open(ACCOUNTANT).submit({"name": "Dana at Miller CPA", "days": "90"})
    mine = shown_link(ana)
    for link in (invitation, books, mine):
        assert Visitor(app).open(link).status == 200
    page = ana.open(f"{PEOPLE}/{ids[PAULA]}")
    if end == "removed":
        page.submit(press="Remove")
    elif end == "command line":
        app.test_cli_runner().invoke(args=["people", "remove", "--email", PAULA])
    else:
        page.submit({"role": end}, press="Save")
    for link, status in ((invitation, 404), (books, 404), (mine, 200)):
        assert Visitor(app).open(link).status == status
    assert session.scalars(select(Invitation)).one().withdrawn_at


def shown_link(visitor: Visitor) -> str:
    link = visitor.page.find("code")
    assert link, visitor.text
    return "/" + link.get_text().split("/", 3)[3]


def test_an_owner_ends_the_sessions_of_a_colleague(
    app: Flask, ana: Visitor, ids: dict[str, int]
) -> None:
    tom = Visitor(app).sign_in(TOM)
    ana.open(f"{PEOPLE}/{ids[TOM]}").submit(press="Sign out everywhere")
    assert "Tom is signed out everywhere." in ana.text
    assert tom.open("/leads", follow=False).status == 302
    assert Visitor(app).sign_in(TOM).path == "/"


@pytest.mark.parametrize("act", ["", "/role", "/sign-out", "/remove"])
def test_nobody_acts_on_themselves_there(ana: Visitor, ids: dict[str, int], act: str) -> None:
    path = f"{PEOPLE}/{ids[ANA]}{act}"
    assert (ana.post(path, {"role": "member"}) if act else ana.open(path)).status == 404


@pytest.mark.parametrize("act", ["/remove", "/role"])
def test_of_two_owners_who_act_on_each_other_at_once_one_remains(
    app: Flask, ana: Visitor, ids: dict[str, int], session: Session, act: str
) -> None:
    paula = Visitor(app).sign_in(PAULA)
    pairs = [(ana, ids[PAULA], ana.token()), (paula, ids[ANA], paula.token())]

    def press(pair: tuple[Visitor, int, str]) -> int:
        visitor, other, token = pair
        fields = {"csrf_token": token, "role": "member"}
        return visitor.client.post(f"{PEOPLE}/{other}{act}", data=fields).status_code

    with ThreadPoolExecutor(2) as pool:
        statuses = list(pool.map(press, pairs))
    owners = select(User).where(User.role == Role.OWNER, User.removed_at.is_(None))
    assert len(session.scalars(owners).all()) == 1
    assert 303 in statuses
    assert set(statuses) <= {302, 303, 403}  # signed out, or no owner any more


@pytest.mark.parametrize("act", ["role", "sign-out", "remove"])
def test_case_s01_what_grants_power_asks_for_an_old_password_again(
    ana: Visitor, ids: dict[str, int], session: Session, act: str
) -> None:
    grow_stale(ana)
    ana.post(f"{PEOPLE}/{ids[TOM]}/{act}", {"role": "owner"})
    assert ana.answer.headers["Location"].startswith("/confirm")
    tom = user(session, TOM)
    assert (tom.role, tom.removed_at, tom.session_version) == (Role.MEMBER, None, 0)


@pytest.mark.parametrize(
    ("path", "typed"),
    [
        ("/settings/organization", {"name": "Evil LLC"}),
        ("/settings/letterhead", {"message": "Pay to account 666"}),
    ],
)
def test_case_s01_what_clients_see_asks_for_an_old_password_again_and_keeps_the_form(
    ana: Visitor, session: Session, path: str, typed: dict[str, str]
) -> None:
    before = stored(session)
    ana.open(path)
    grow_stale(ana)
    ana.submit(typed, press="Save")
    assert (ana.path, stored(session)) == ("/confirm", before)
    ana.submit({"password": PASSWORD}).submit(press="Continue")
    assert stored(session) == before  # shown again, not saved by itself
    ana.submit(press="Save")
    assert set(typed.values()) <= set(stored(session))


def stored(session: Session) -> list[str]:
    session.expire_all()
    organization = user(session, ANA).organization
    assert organization
    head = session.get(Letterhead, organization.id)
    return [organization.name, head.message if head else ""]


def test_a_chosen_logo_is_asked_for_again_with_the_password(ana: Visitor) -> None:
    ana.open("/settings/letterhead")
    grow_stale(ana)
    fields = {"csrf_token": ana.token(), "logo": (BytesIO(b"x"), "logo.png")}
    ana.answer = ana.client.post("/settings/letterhead", data=fields, follow_redirects=True)
    assert ana.path == "/confirm"
    assert "The file wasn't kept. Choose it again." in ana.text


def test_case_s01_inviting_asks_for_an_old_password_again(ana: Visitor, session: Session) -> None:
    grow_stale(ana)
    ana.post(f"{PEOPLE}/invitations", {"email": "x@y.example", "role": "owner"})
    assert ana.answer.headers["Location"].startswith("/confirm")
    assert session.scalars(select(Invitation)).all() == []
    grow_stale(ana, PASSWORD_FRESH_SECONDS - 60)
    ana.post(f"{PEOPLE}/invitations", {"email": "x@y.example", "role": "owner"})
    assert len(session.scalars(select(Invitation)).all()) == 1


def test_notices_no_longer_go_to_who_was_removed(session: Session, ids: dict[str, int]) -> None:
    from notices.letters import _owners

    firm = user(session, ANA).organization_id
    assert set(_owners(session, firm)) == {ANA, PAULA}
    session.execute(update(User).where(User.email == PAULA).values(removed_at=User.created_at))
    session.commit()
    assert set(_owners(session, firm)) == {ANA}


def test_rule_19_a_firm_in_brazil_gives_no_role_that_speaks_of_quickbooks(
    app: Flask, session: Session
) -> None:
    firm = new_firm(session, name="Silva Reformas", region="BR")
    new_person(session, firm, "bruno@silva.example")
    caio = new_person(session, firm, "caio@silva.example", Role.MEMBER)
    bruno = Visitor(app).sign_in("bruno@silva.example").open(f"{PEOPLE}/{caio.id}")
    assert "QuickBooks" not in bruno.answer.get_data(as_text=True)
    bruno.post(f"{PEOPLE}/{caio.id}/role", {"role": "bookkeeper"})
    assert bruno.status == 422
