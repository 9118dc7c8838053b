"""Is this your company? Nothing is written to a chosen company before its owner says so."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import AuditEvent, Role
from models.outbox import Entry, Lane
from models.quickbooks import Connection, Purpose, Revocation, UnconfirmedCompany
from quickbooks import connecting, consenting, disconnecting, facts
from quickbooks.consenting import Connected, TryAgain, Unconfirmed
from quickbooks.unconfirmed import names_agree
from simulator.testing import SimulatorHandle
from tests.support.connected import (
    OAK,
    RIVERA,
    connect,
    consent,
    firm_of,
    go_through,
    new_owner,
    organization_of,
)
from tests.support.firm import new_firm, new_lead
from tests.support.situation import consent as back_from_intuit
from tests.support.visitor import Visitor, new_person
from tests.test_pages_quickbooks import press_connect

ANA, TOM = "ana@buckeye.example", "tom@buckeye.example"
PAGE = "/settings/quickbooks/company"


@pytest.fixture
def ana(app: Flask, session: Session, simulator: SimulatorHandle) -> Visitor:
    firm = new_firm(session, name="Buckeye Plumbing")
    new_person(session, firm, ANA)
    new_person(session, firm, TOM, Role.MEMBER)
    return Visitor(app).sign_in(ANA)


def chosen(visitor: Visitor, realm: str = RIVERA) -> Visitor:
    """At Intuit, this company; as far as our question."""
    return visitor.open(back_from_intuit(press_connect(visitor), realm))


def writes(simulator: SimulatorHandle) -> list[str]:
    return [
        call["path"]
        for call in simulator.journal()
        if "/v3/company/" in call["path"] and call["method"] != "GET"
    ]


def revokes(simulator: SimulatorHandle) -> int:
    return sum("revoke" in call["path"] for call in simulator.journal())


def test_the_page_names_the_company_and_says_when_names_are_not_alike(ana: Visitor) -> None:
    chosen(ana)
    assert ana.path == PAGE
    assert "Is this your company?" in ana.text
    assert "The names are different." in ana.text
    assert "Buckeye Plumbing in DunaHub" in ana.text
    assert "Rivera Plumbing LLC" in ana.text
    assert "Address" in ana.text
    assert "Last sale there" in ana.text


def test_nothing_is_written_or_captured_before_the_answer(
    ana: Visitor, simulator: SimulatorHandle, session: Session
) -> None:
    before = simulator.books(RIVERA)
    chosen(ana)
    ana.open("/leads/new").submit({"name": "Green Lawn Co"})
    assert writes(simulator) == []
    assert simulator.books(RIVERA) == before
    for table in (Connection, Lane, Entry):
        assert session.scalar(select(func.count()).select_from(table)) == 0
    assert "Not connected" in ana.open("/settings/quickbooks").text
    assert "You chose Rivera Plumbing LLC at Intuit" in ana.text


def test_yes_connects_and_a_second_press_changes_nothing(
    ana: Visitor, simulator: SimulatorHandle, session: Session
) -> None:
    chosen(ana)
    form = {"realm_id": RIVERA}
    ana.submit(press="Yes, start")
    assert "QuickBooks is connected to Rivera Plumbing LLC." in ana.text
    assert len(writes(simulator)) == 1  # the item for lines without a product
    ana.post(PAGE, form)
    assert ana.status == 303
    assert session.scalar(select(func.count()).select_from(Connection)) == 1
    assert session.scalar(select(func.count()).select_from(UnconfirmedCompany)) == 0
    assert len(writes(simulator)) == 1


def test_choose_another_gives_up_the_access_and_asks_intuit_again(
    ana: Visitor, simulator: SimulatorHandle, session: Session
) -> None:
    chosen(ana)
    form = ana._form({}, "Choose another company")
    token = form.select_one("[name=csrf_token]")
    assert token
    answer = ana.client.post(
        str(form["action"]), data={"csrf_token": token["value"], "realm_id": RIVERA}
    )
    assert answer.status_code == 303
    assert "/connect/oauth2" in answer.headers["Location"]
    assert revokes(simulator) == 1
    assert writes(simulator) == []
    ana.open(back_from_intuit(answer.headers["Location"], OAK)).submit(press="Yes, start")
    (connection,) = session.scalars(select(Connection))
    assert connection.realm_id == OAK


def test_a_member_may_neither_see_nor_answer(ana: Visitor, app: Flask, session: Session) -> None:
    chosen(ana)
    tom = Visitor(app).sign_in(TOM)
    assert tom.open(PAGE).status == 403
    assert tom.post(PAGE, {"realm_id": RIVERA}).status == 403
    assert tom.post(f"{PAGE}/another", {"realm_id": RIVERA}).status == 403
    assert session.scalar(select(func.count()).select_from(UnconfirmedCompany)) == 1


@pytest.mark.parametrize("realm_id", ["", OAK, "x", "\x00"])
def test_only_the_company_that_the_page_named_is_confirmed(
    ana: Visitor, session: Session, realm_id: str
) -> None:
    chosen(ana)
    ana.post(PAGE, {"realm_id": realm_id})
    assert session.scalar(select(func.count()).select_from(Connection)) == 0
    assert session.scalar(select(func.count()).select_from(UnconfirmedCompany)) == 1


def test_a_company_that_nobody_confirms_is_let_go(
    sessions: Sessions, config: Config, simulator: SimulatorHandle, session: Session
) -> None:
    owner = new_owner(session)
    told = consent(consenting.begin(sessions, config, owner, Purpose.CONNECT), RIVERA)
    assert isinstance(connecting.finish(sessions, config, owner, told), Unconfirmed)
    assert connecting.drop_unconfirmed(sessions) == 0
    an_hour_ago = func.clock_timestamp() - timedelta(hours=1)
    session.execute(update(UnconfirmedCompany).values(created_at=an_hour_ago))
    session.commit()
    assert connecting.confirm(sessions, config, owner, RIVERA) == TryAgain("expired")
    assert connecting.drop_unconfirmed(sessions) == 1
    assert disconnecting.revoke_due(sessions, config) == 1
    assert revokes(simulator) == 1
    assert isinstance(go_through(sessions, config, owner), Connected)


def test_a_revoke_that_is_still_to_come_does_not_end_the_next_grant(
    sessions: Sessions, config: Config, simulator: SimulatorHandle, session: Session
) -> None:
    owner = new_owner(session)
    told = consent(consenting.begin(sessions, config, owner, Purpose.CONNECT), RIVERA)
    connecting.finish(sessions, config, owner, told)
    simulator.fault(match={"path": "/v2/oauth2/tokens/revoke"}, do={"status": 503, "body": ""})
    assert connecting.decline(sessions, config, owner, RIVERA) == "Rivera Plumbing LLC"
    simulator.clear_faults()
    connection = connect(sessions, config, owner)
    session.execute(update(Revocation).values(available_at=func.clock_timestamp()))
    session.commit()
    disconnecting.revoke_due(sessions, config)
    assert facts.refresh(sessions, config, connection.id)


def test_rule_19_a_chosen_company_is_let_go_when_the_firm_moves_to_brazil(
    sessions: Sessions, config: Config, simulator: SimulatorHandle, session: Session
) -> None:
    owner = new_owner(session)
    told = consent(consenting.begin(sessions, config, owner, Purpose.CONNECT), RIVERA)
    connecting.finish(sessions, config, owner, told)
    disconnecting.close_for_region(session, organization_of(session, owner))
    session.commit()
    assert session.scalar(select(func.count()).select_from(UnconfirmedCompany)) == 0
    assert disconnecting.revoke_due(sessions, config) == 1
    assert revokes(simulator) == 1


def test_an_expired_sign_in_is_renewed_without_the_question(
    sessions: Sessions, config: Config, simulator: SimulatorHandle, session: Session
) -> None:
    owner = new_owner(session)
    connect(sessions, config, owner)
    told = consent(consenting.begin(sessions, config, owner, Purpose.RECONNECT), RIVERA)
    assert isinstance(connecting.finish(sessions, config, owner, told), Connected)


def test_after_disconnecting_the_question_is_asked_again(
    sessions: Sessions, config: Config, simulator: SimulatorHandle, session: Session
) -> None:
    owner = new_owner(session)
    connect(sessions, config, owner)
    disconnecting.disconnect(sessions, config, firm_of(owner), owner)
    session.add(new_lead(firm_of(owner)))
    session.commit()
    told = consent(consenting.begin(sessions, config, owner, Purpose.CONNECT), RIVERA)
    assert isinstance(connecting.finish(sessions, config, owner, told), Unconfirmed)
    actions = session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)).all()
    assert actions[-1] == "quickbooks.company_chosen"
    again = connecting.confirm(sessions, config, owner, RIVERA)
    assert isinstance(again, Connected)
    assert again.was_known


@pytest.mark.parametrize(
    ("ours", "name", "legal", "agree"),
    [
        ("Rivera Plumbing", "Rivera Plumbing, LLC", "", True),
        ("Rivera Plumbing LLC", "Rivera Plumbing & Heating", "", True),
        ("rivera plumbing", "RIVERA PLUMBING INC.", "", True),
        ("Rivera Plumbing", "RP Services", "Rivera Plumbing LLC", True),
        ("O'Hara & Sons", "O\u2019Hara and Sons Co", "", True),
        ("Buckeye Plumbing", "Craig's Design and Landscaping Services", "", False),
        ("Rivera Plumbing", "Oak Plumbing", "", False),
        ("The Company LLC", "Inc", "", False),
        ("Müller Klima", "müller klima GmbH", "", True),
        ("Rivera", "", "", False),
    ],
)
def test_names_agree(ours: str, name: str, legal: str, agree: bool) -> None:
    assert names_agree(ours, {"name": name, "legal_name": legal}) is agree
