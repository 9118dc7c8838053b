"""The life of a connection against a simulated Intuit: made, lost, made again, ended."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, event, func, select, text, update
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import AuditEvent, Organization, User
from models.outbox import Lane
from models.quickbooks import (
    Connection,
    ConnectionStatus,
    Customer,
    OAuthState,
    Purpose,
    Revocation,
    Tokens,
    UnconfirmedCompany,
)
from outbox import lanes
from quickbooks import connecting, consenting, directory, disconnecting, facts, tokens
from quickbooks.consenting import (
    BadState,
    CompanyTaken,
    Connected,
    Denied,
    Misconfigured,
    NotAllowed,
    OtherCompany,
    TryAgain,
    Unconfirmed,
    Unsuitable,
)
from quickbooks.standing import probe_due, status_of
from simulator.testing import SimulatorHandle
from tests.support.connected import (
    CANADIAN,
    OAK,
    RIVERA,
    connect,
    consent,
    drain,
    finish,
    firm_of,
    go_through,
    new_owner,
    states,
)
from tests.support.firm import new_firm, new_lead

EXCHANGE = {"path": "/oauth2/v1/tokens/bearer"}


@pytest.fixture
def owner(session: Session, simulator: SimulatorHandle) -> User:
    return new_owner(session)


def exchanges(simulator: SimulatorHandle) -> int:
    return sum(each["path"] == EXCHANGE["path"] for each in simulator.journal())


def audited(session: Session) -> list[str]:
    session.rollback()
    return list(session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)))


# --- Made ---------------------------------------------------------------------------------------


def test_a_first_connect_reads_the_company_and_chooses_sensibly(
    sessions: Sessions,
    config: Config,
    owner: User,
    simulator: SimulatorHandle,
    session: Session,
) -> None:
    simulator.company(RIVERA, CustomTxnNumbers=False)
    finished = go_through(sessions, config, owner)
    assert isinstance(finished, Connected)
    assert (finished.was_known, finished.waiting, finished.replayed) == (False, 0, False)
    connection = session.get_one(Connection, finished.connection_id)
    assert (connection.country, connection.status) == ("US", "connected")
    assert connection.lane.state == "open"
    assert connection.connected_by_id == owner.id
    chosen = connection.settings
    names = {one["id"]: one["name"] for one in connection.facts["items"]}
    assert names[chosen["fallback_item_id"]] == facts.FALLBACK_ITEM
    assert chosen["income_account_id"] in [a["id"] for a in connection.facts["income_accounts"]]
    methods = {one["id"]: one["name"] for one in connection.facts["payment_methods"]}
    assert chosen["payment_methods"]["card"] is None  # none of its methods is neutral
    assert methods[chosen["payment_methods"]["ach"]] == "Direct Debit"
    assert facts.for_documents(connection)["numbers"] == "quickbooks"
    assert facts.for_documents(connection)["tax"]["mode"] == "manual"
    assert audited(session) == ["quickbooks.company_chosen", "quickbooks.connected"]
    items = [one["Name"] for one in simulator.books(RIVERA)["Item"]]
    assert items.count(facts.FALLBACK_ITEM) == 1


def test_a_company_that_numbers_its_own_forms_gets_our_numbers(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle
) -> None:
    simulator.company(RIVERA, CustomTxnNumbers=True, UsingSalesTax=False)
    settings = facts.for_documents(connect(sessions, config, owner))
    assert settings["numbers"] == "ours"
    assert settings["tax"]["mode"] == "line"


def test_the_fallback_item_is_found_again_and_not_made_twice(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle
) -> None:
    first = connect(sessions, config, owner)
    disconnecting.disconnect(sessions, config, firm_of(owner), owner)
    again = connect(sessions, config, owner)
    assert again.settings["fallback_item_id"] == first.settings["fallback_item_id"]
    items = [one["Name"] for one in simulator.books(RIVERA)["Item"]]
    assert items.count(facts.FALLBACK_ITEM) == 1


def test_consent_denied_changes_nothing(
    sessions: Sessions, config: Config, owner: User, session: Session
) -> None:
    address = consenting.begin(sessions, config, owner, Purpose.CONNECT)
    told = consent(address, RIVERA, action="cancel")
    assert connecting.finish(sessions, config, owner, told) == Denied()
    assert session.scalar(select(func.count(Connection.id))) == 0


@pytest.mark.parametrize("spoil", ["missing", "wrong", "expired", "used"])
def test_a_state_that_is_not_good_exchanges_nothing(
    sessions: Sessions,
    config: Config,
    owner: User,
    simulator: SimulatorHandle,
    spoil: str,
) -> None:
    told = consent(consenting.begin(sessions, config, owner, Purpose.CONNECT), RIVERA)
    with sessions.begin() as session:
        match spoil:
            case "missing":
                del told["state"]
            case "wrong":
                told["state"] = "x" + told["state"]
            case "expired":
                session.execute(
                    update(OAuthState).values(
                        created_at=func.clock_timestamp() - timedelta(minutes=11)
                    )
                )
            case "used":
                session.execute(update(OAuthState).values(used_at=func.clock_timestamp()))
    with pytest.raises(BadState):
        connecting.finish(sessions, config, owner, told)
    assert exchanges(simulator) == 0


def test_a_state_is_kept_as_a_digest_only(
    sessions: Sessions, config: Config, owner: User, session: Session
) -> None:
    address = consenting.begin(sessions, config, owner, Purpose.CONNECT)
    told = consent(address, RIVERA)
    (digest,) = session.scalars(select(OAuthState.digest))
    assert told["state"] not in digest


def test_a_callback_shown_again_is_the_same_success(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle
) -> None:
    told = consent(consenting.begin(sessions, config, owner, Purpose.CONNECT), RIVERA)
    asked = connecting.finish(sessions, config, owner, told)
    assert isinstance(asked, Unconfirmed)
    assert connecting.finish(sessions, config, owner, told) == asked
    first = connecting.confirm(sessions, config, owner, RIVERA)
    again = connecting.finish(sessions, config, owner, told)
    assert isinstance(first, Connected)
    assert isinstance(again, Connected)
    assert again.replayed
    assert again.connection_id == first.connection_id
    assert exchanges(simulator) == 1
    disconnecting.disconnect(sessions, config, firm_of(owner), owner)
    with pytest.raises(BadState):
        connecting.finish(sessions, config, owner, told)


def test_one_state_at_the_same_moment_is_exchanged_once(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle
) -> None:
    told = consent(consenting.begin(sessions, config, owner, Purpose.CONNECT), RIVERA)
    ready = threading.Barrier(4)

    def call_back(_: int) -> str:
        ready.wait()
        try:
            return type(connecting.finish(sessions, config, owner, told)).__name__
        except BadState:
            return "BadState"

    with ThreadPoolExecutor(4) as pool:
        came = sorted(pool.map(call_back, range(4)))
    assert exchanges(simulator) == 1
    assert came.count("Unconfirmed") >= 1
    assert set(came) <= {"Unconfirmed", "BadState"}


@pytest.mark.parametrize("change", ["member", "region", "other firm"])
def test_rule_18_whoever_lost_the_right_meanwhile_is_refused_and_audited(
    sessions: Sessions,
    config: Config,
    owner: User,
    simulator: SimulatorHandle,
    session: Session,
    change: str,
) -> None:
    told = consent(consenting.begin(sessions, config, owner, Purpose.CONNECT), RIVERA)
    match change:
        case "member":
            session.execute(update(User).values(role="member"))
        case "region":
            session.execute(update(Organization).values(region="BR"))
        case _:
            other = new_firm(session, name="Oak HVAC")
            session.execute(update(User).values(organization_id=other))
    session.commit()
    with pytest.raises((NotAllowed, BadState)):
        connecting.finish(sessions, config, owner, told)
    assert exchanges(simulator) == 0
    if change != "other firm":
        assert audited(session) == ["quickbooks.callback_refused"]


def test_rule_18_another_persons_state_is_of_no_use(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle, session: Session
) -> None:
    told = consent(consenting.begin(sessions, config, owner, Purpose.CONNECT), RIVERA)
    stranger = new_owner(session, new_firm(session, name="Oak HVAC"), "carla@oakhvac.example")
    with pytest.raises(BadState):
        connecting.finish(sessions, config, stranger, told)
    assert isinstance(finish(sessions, config, owner, told), Connected)


def test_rule_19_a_firm_outside_the_us_cannot_even_begin(
    sessions: Sessions, config: Config, session: Session, simulator: SimulatorHandle
) -> None:
    bruno = new_owner(session, new_firm(session, name="Silva Reformas", region="BR"))
    with pytest.raises(NotAllowed):
        consenting.begin(sessions, config, bruno, Purpose.CONNECT)


def test_a_company_outside_the_us_is_not_kept_and_its_grant_is_ended(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle, session: Session
) -> None:
    finished = go_through(sessions, config, owner, CANADIAN)
    assert isinstance(finished, Unsuitable)
    assert finished.country == "CA"
    assert finished.company_name
    assert session.scalar(select(func.count(Connection.id))) == 0
    assert simulator.journal()[-1]["path"] == "/v2/oauth2/tokens/revoke"


def test_a_company_of_another_firm_is_refused_before_the_exchange_and_not_named(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle, session: Session
) -> None:
    connect(sessions, config, owner)
    carla = new_owner(session, new_firm(session, name="Oak HVAC"), "carla@oakhvac.example")
    simulator.clear_journal()
    assert go_through(sessions, config, carla, RIVERA) == CompanyTaken()
    assert exchanges(simulator) == 0


def test_two_firms_at_the_same_moment_get_one_company_and_the_winners_grant_lives(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle, session: Session
) -> None:
    carla = new_owner(session, new_firm(session, name="Oak HVAC"), "carla@oakhvac.example")
    both = [
        (person, consent(consenting.begin(sessions, config, person, Purpose.CONNECT), RIVERA))
        for person in (owner, carla)
    ]
    # Both are past the comparison before either stores: the index decides.
    simulator.fault(match={"path": "companyinfo"}, do={"delay": 0.3})
    ready = threading.Barrier(2)

    def call_back(one: tuple[User, dict[str, str]]) -> consenting.Finished:
        ready.wait()
        return finish(sessions, config, *one)

    with ThreadPoolExecutor(2) as pool:
        came = list(pool.map(call_back, both))
    assert sorted(type(one).__name__ for one in came) == ["CompanyTaken", "Connected"]
    assert session.scalar(select(func.count(Connection.id))) == 1
    assert session.scalar(select(func.count(Lane.id))) == 1
    revokes = [each for each in simulator.journal() if "revoke" in each["path"]]
    assert revokes == []
    (winner,) = session.scalars(select(Connection.id))
    assert facts.refresh(sessions, config, winner)


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ({"path": "/oauth2/v1/tokens/bearer"}, "unavailable"),
        ({"path": "companyinfo"}, "unavailable"),
        ({"path": "query"}, "unavailable"),
    ],
)
def test_trouble_at_intuit_stores_nothing_and_a_second_try_connects(
    sessions: Sessions,
    config: Config,
    owner: User,
    simulator: SimulatorHandle,
    session: Session,
    where: dict[str, str],
    reason: str,
) -> None:
    simulator.fault(match={**where}, do={"status": 503, "body": "<html>down</html>"})
    assert go_through(sessions, config, owner) == TryAgain(reason)
    assert session.scalar(select(func.count(Connection.id))) == 0
    simulator.clear_faults()
    assert isinstance(go_through(sessions, config, owner), Connected)


def test_a_stale_code_asks_to_try_again(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle
) -> None:
    told = consent(consenting.begin(sessions, config, owner, Purpose.CONNECT), RIVERA)
    told["code"] = "AB11-stale"
    assert connecting.finish(sessions, config, owner, told) == TryAgain("refused")


def test_a_wrong_secret_of_ours_is_not_the_owners_fault(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle
) -> None:
    told = consent(consenting.begin(sessions, config, owner, Purpose.CONNECT), RIVERA)
    wrong = replace(config, client_secret="not the secret of anyone")
    assert connecting.finish(sessions, wrong, owner, told) == Misconfigured()


# --- Ended --------------------------------------------------------------------------------------


def test_disconnect_ends_the_grant_at_once_and_draws_the_line(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle, session: Session
) -> None:
    connection = connect(sessions, config, owner)
    session.add(new_lead(firm_of(owner)))
    session.commit()
    access = tokens.access_token(sessions, config, connection.id)
    ended = disconnecting.disconnect(sessions, config, firm_of(owner), owner)
    assert ended is not None
    assert (ended.waiting, ended.revoked) == (1, True)
    session.rollback()
    session.expire_all()
    known = session.get_one(Connection, connection.id)
    assert (known.status, known.lane.state) == ("disconnected", "closed")
    assert session.scalar(select(func.count()).select_from(Tokens)) == 0
    assert session.scalars(select(Revocation.token)).all() == [None]
    reader = facts.Reader(config, RIVERA, access)
    with pytest.raises(facts.FactsUnavailable):
        facts.read_company(reader)
    assert disconnecting.disconnect(sessions, config, firm_of(owner), owner) is None
    session.add(new_lead(firm_of(owner), "Created while disconnected"))
    session.commit()
    assert len(states(session)) == 1


def test_a_revoke_that_intuit_does_not_take_goes_on_by_itself(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle, session: Session
) -> None:
    connect(sessions, config, owner)
    simulator.fault(match={"path": "/v2/oauth2/tokens/revoke"}, do={"status": 503, "body": ""})
    ended = disconnecting.disconnect(sessions, config, firm_of(owner), owner)
    assert ended is not None
    assert not ended.revoked
    assert status_of(session, config, firm_of(owner)).revoke_pending
    simulator.clear_faults()
    assert disconnecting.revoke_due(sessions, config) == 0, "not due again so soon"
    session.execute(update(Revocation).values(available_at=func.clock_timestamp()))
    session.commit()
    assert disconnecting.revoke_due(sessions, config) == 1
    assert not status_of(session, config, firm_of(owner)).revoke_pending
    assert session.scalars(select(Revocation.token)).all() == [None]


def test_rule_19_a_flip_of_the_region_closes_in_the_callers_transaction(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle, session: Session
) -> None:
    connection = connect(sessions, config, owner)
    organization = session.get_one(Organization, firm_of(owner))
    assert disconnecting.close_for_region(session, organization)
    session.rollback()
    assert status_of(session, config, firm_of(owner)).status == "connected"
    organization = session.get_one(Organization, firm_of(owner))
    disconnecting.close_for_region(session, organization)
    session.commit()
    standing = status_of(session, config, firm_of(owner))
    assert standing.status is ConnectionStatus.DISCONNECTED
    assert disconnecting.revoke_due(sessions, config) == 1
    session.expire_all()
    assert session.get_one(Lane, connection.lane_id).state == "closed"


# --- Made again ---------------------------------------------------------------------------------


def test_rule_14_reconnecting_finds_row_lane_and_links_and_asks_about_what_waited(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle, session: Session
) -> None:
    connection = connect(sessions, config, owner)
    session.add(new_lead(firm_of(owner), "Sent before"))
    session.commit()
    drain(sessions, config, connection.lane_id)
    session.add(new_lead(firm_of(owner), "Waited"))
    session.commit()
    disconnecting.disconnect(sessions, config, firm_of(owner), owner)
    session.add(new_lead(firm_of(owner), "Meanwhile"))
    session.commit()
    finished = go_through(sessions, config, owner)
    assert isinstance(finished, Connected)
    assert (finished.was_known, finished.waiting) == (True, 1)
    assert finished.connection_id == connection.id
    session.add(new_lead(firm_of(owner), "After"))
    session.commit()
    drain(sessions, config, connection.lane_id)
    names = {one["DisplayName"] for one in simulator.books(RIVERA)["Customer"]}
    assert names == {"Sent before", "After"}


def test_an_expired_connection_drains_what_it_held_after_a_reconnect(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle, session: Session
) -> None:
    connection = connect(sessions, config, owner)
    simulator.revoke(RIVERA)
    session.add(new_lead(firm_of(owner)))
    session.commit()
    drain(sessions, config, connection.lane_id)
    standing = status_of(session, config, firm_of(owner))
    assert standing.status is ConnectionStatus.EXPIRED
    assert standing.held_for == "signed_out"
    assert states(session) == [("lead", "pending")]
    finished = go_through(sessions, config, owner, purpose=Purpose.RECONNECT)
    assert isinstance(finished, Connected)
    assert finished.waiting == 0
    drain(sessions, config, connection.lane_id)
    assert states(session) == [("lead", "synced")]
    assert len(simulator.books(RIVERA)["Customer"]) == 1


@pytest.mark.parametrize("end", ["expired", "disconnected"])
def test_another_company_is_asked_about_before_the_exchange(
    sessions: Sessions,
    config: Config,
    owner: User,
    simulator: SimulatorHandle,
    session: Session,
    end: str,
) -> None:
    first = connect(sessions, config, owner)
    if end == "expired":
        with sessions() as reading:
            stored = reading.get_one(Tokens, first.id).refresh_token
        tokens.expire(sessions, first.id, stored, reason="refused")
    else:
        disconnecting.disconnect(sessions, config, firm_of(owner), owner)
    simulator.clear_journal()
    asked = go_through(sessions, config, owner, OAK, Purpose.RECONNECT)
    assert asked == OtherCompany(OAK, first.company_name, None)
    assert exchanges(simulator) == 0
    agreed = go_through(sessions, config, owner, OAK, Purpose.RECONNECT, allowed_realm_id=OAK)
    assert isinstance(agreed, Connected)
    assert agreed.connection_id != first.id
    session.rollback()
    session.expire_all()
    rows = session.scalars(select(Connection).order_by(Connection.id)).all()
    assert [(row.realm_id, row.status, row.lane.state) for row in rows] == [
        (RIVERA, "disconnected", "closed"),
        (OAK, "connected", "open"),
    ]
    back = go_through(sessions, config, owner, RIVERA, Purpose.RECONNECT)
    assert back == OtherCompany(RIVERA, rows[1].company_name, first.company_name)


def test_a_pending_revoke_does_not_end_the_grant_that_follows_it(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle, session: Session
) -> None:
    connection = connect(sessions, config, owner)
    simulator.fault(match={"path": "/v2/oauth2/tokens/revoke"}, do={"status": 503, "body": ""})
    disconnecting.disconnect(sessions, config, firm_of(owner), owner)
    simulator.clear_faults()
    connect(sessions, config, owner)
    session.execute(update(Revocation).values(available_at=func.clock_timestamp()))
    session.commit()
    assert disconnecting.revoke_due(sessions, config) == 0
    assert facts.refresh(sessions, config, connection.id)


def test_a_reconnect_keeps_what_the_owner_chose(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle, session: Session
) -> None:
    connection = connect(sessions, config, owner)
    account = connection.facts["income_accounts"][-1]["id"]
    with sessions.begin() as writing:
        known = writing.get_one(Connection, connection.id)
        known.settings = {**known.settings, "income_account_id": account, "numbers": "ours"}
    again = connect(sessions, config, owner)
    assert again.settings["income_account_id"] == account
    assert again.settings["numbers"] == "ours"


# --- How it stands ------------------------------------------------------------------------------


@pytest.fixture
def a_day_later(sessions: Sessions) -> Callable[[], None]:
    def pass_a_day() -> None:
        with sessions.begin() as session:
            session.execute(
                update(Connection).values(facts_read_at=func.clock_timestamp() - timedelta(days=2))
            )

    return pass_a_day


def test_facts_are_read_anew_once_a_day(
    sessions: Sessions,
    config: Config,
    owner: User,
    simulator: SimulatorHandle,
    session: Session,
    a_day_later: Callable[[], None],
) -> None:
    simulator.company(RIVERA, CustomTxnNumbers=False)
    connection = connect(sessions, config, owner)
    assert facts.for_documents(connection)["numbers"] == "quickbooks"
    assert facts.refresh_due(sessions, config) == 0
    simulator.company(RIVERA, CustomTxnNumbers=True)
    a_day_later()
    assert facts.refresh_due(sessions, config) == 1
    session.expire_all()
    known = session.get_one(Connection, connection.id)
    assert facts.for_documents(known)["numbers"] == "ours"
    assert facts.refresh_due(sessions, config) == 0


def test_of_two_processes_only_one_reads_a_company_anew(
    sessions: Sessions,
    config: Config,
    owner: User,
    simulator: SimulatorHandle,
    session: Session,
    a_day_later: Callable[[], None],
) -> None:
    connect(sessions, config, owner)
    connect(sessions, config, new_owner(session, email="olga@oak.example"), OAK)
    a_day_later()
    mine = facts.older_than(sessions, config, Connection.facts_read_at, facts.FACTS_LAST)
    next(mine)  # this process begins with one of the two, and reads it for a while
    assert facts.refresh_due(sessions, config) == 2  # … while another one does its work
    assert list(mine) == []


def test_a_daily_read_of_many_companies_lets_other_jobs_have_their_turn(
    sessions: Sessions,
    config: Config,
    owner: User,
    simulator: SimulatorHandle,
    session: Session,
    a_day_later: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect(sessions, config, owner)
    connect(sessions, config, new_owner(session, email="olga@oak.example"), OAK)
    a_day_later()
    monkeypatch.setattr("outbox.scheduler.AT_A_STRETCH", 0.0)  # as if each took so long
    assert [facts.refresh_due(sessions, config) for _ in range(3)] == [1, 1, 0]


def test_rule_19_a_region_that_changes_while_connecting_ends_it(
    sessions: Sessions, config: Config, owner: User, session: Session, engine: Engine
) -> None:
    flipped: list[bool] = []

    @event.listens_for(engine, "before_cursor_execute")
    def flip_before(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM organizations" in statement and "FOR NO KEY UPDATE" in statement and not flipped:
            flipped.append(True)
            with sessions.begin() as own:
                own.execute(update(Organization).values(region="BR"))

    with pytest.raises(NotAllowed):
        connect(sessions, config, owner)
    assert flipped
    assert session.scalars(select(Connection)).all() == []


def test_a_name_that_no_database_can_store_keeps_no_customer_from_being_known(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle, session: Session
) -> None:
    """Half an emoji, say: cut off by whoever wrote it there."""
    ana = r'{"Id": "9", "SyncToken": "0", "DisplayName": "Ana \ud83d\u0000", "Active": true}'
    body = f'{{"QueryResponse": {{"Customer": [{ana}]}}}}'
    connect(sessions, config, owner)
    with sessions.begin() as own:
        own.execute(update(Connection).values(customers_read_at=None))
    simulator.fault(match={"path": "query"}, do={"status": 200, "body": body})
    assert directory.read_missing(sessions, config) == 1
    assert session.scalars(select(Customer.name)).all() == ["Ana ?"]


def test_a_lapsed_plan_holds_once_and_is_found_out_again(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle, session: Session
) -> None:
    connection = connect(sessions, config, owner)
    simulator.company(RIVERA, subscription_lapsed=True)
    session.add_all(new_lead(firm_of(owner), f"Lead {number}") for number in range(3))
    session.commit()
    drain(sessions, config, connection.lane_id)
    standing = status_of(session, config, firm_of(owner))
    assert (standing.status, standing.held_for) == (ConnectionStatus.CONNECTED, "plan_lapsed")
    assert {state for _, state in states(session)} == {"pending"}
    attempts = session.scalars(text("SELECT attempts FROM outbox")).all()
    assert set(attempts) == {0}, "rule 12: the company's trouble is not the entry's"
    simulator.company(RIVERA, subscription_lapsed=False)
    assert probe_due(sessions, config) == 1
    drain(sessions, config, connection.lane_id)
    assert {state for _, state in states(session)} == {"synced"}


def test_a_probe_that_meets_a_disconnect_leaves_the_lane_closed(
    sessions: Sessions,
    config: Config,
    owner: User,
    simulator: SimulatorHandle,
    session: Session,
    engine: Engine,
) -> None:
    """An open lane without a connection would take entries, and no other company beside it."""
    connection = connect(sessions, config, owner)
    with sessions.begin() as own:
        lanes.hold(own, connection.lane_id, "plan_lapsed")

    once = iter([True])

    @event.listens_for(engine, "before_cursor_execute")
    def disconnect_before(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        # Just before it is reopened: from its first statement on the lane is locked.
        if "FROM outbox_lanes WHERE id = " in statement and next(once, False):
            assert disconnecting.disconnect(sessions, config, firm_of(owner), owner)

    probe_due(sessions, config)
    assert next(once, None) is None
    assert session.get_one(Lane, connection.lane_id).state == "closed"
    other = go_through(sessions, config, owner, OAK, allowed_realm_id=OAK)
    assert isinstance(other, Connected)


@pytest.mark.parametrize("end", ["expired", "disconnected"])
def test_what_is_chosen_while_the_company_is_read_is_kept(
    sessions: Sessions,
    config: Config,
    owner: User,
    simulator: SimulatorHandle,
    session: Session,
    engine: Engine,
    end: str,
) -> None:
    first = connect(sessions, config, owner)
    if end == "expired":
        with sessions() as reading:
            stored = reading.get_one(Tokens, first.id).refresh_token
        tokens.expire(sessions, first.id, stored, reason="refused")
    else:
        disconnecting.disconnect(sessions, config, firm_of(owner), owner)
    accounts = [one["id"] for one in first.facts["income_accounts"]]
    chosen = next(one for one in accounts if one != first.settings["income_account_id"])
    told = consent(consenting.begin(sessions, config, owner, Purpose.RECONNECT), RIVERA)
    if end == "disconnected":
        assert isinstance(connecting.finish(sessions, config, owner, told), Unconfirmed)

    once = iter([True])

    @event.listens_for(engine, "before_cursor_execute")
    def choose_before(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        # Just before it is stored, with everything read.
        if "FROM organizations" in statement and "FOR NO KEY" in statement and next(once, False):
            with sessions.begin() as other:
                row: Connection | UnconfirmedCompany = other.get_one(Connection, first.id)
                if end == "disconnected":
                    row = other.get_one(UnconfirmedCompany, firm_of(owner))
                row.settings = {**row.settings, "income_account_id": chosen}

    if end == "disconnected":
        finished = connecting.confirm(sessions, config, owner, RIVERA)
    else:
        finished = connecting.finish(sessions, config, owner, told)
    assert isinstance(finished, Connected)
    assert next(once, None) is None
    session.rollback()
    settings = session.get_one(Connection, first.id).settings
    assert settings["income_account_id"] == chosen
    assert settings["fallback_item_id"] == first.settings["fallback_item_id"]


def test_a_firm_that_never_connected_stands_disconnected(
    session: Session, config: Config, owner: User
) -> None:
    standing = status_of(session, config, firm_of(owner))
    assert (standing.status, standing.connection) == (ConnectionStatus.DISCONNECTED, None)


def test_two_browsers_of_one_firm_end_with_one_company(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle, session: Session
) -> None:
    """Each confirms the company that its page named; the one that was chosen later is connected."""
    told = [
        consent(consenting.begin(sessions, config, owner, Purpose.CONNECT), realm)
        for realm in (RIVERA, OAK)
    ]
    simulator.fault(match={"path": "companyinfo"}, do={"delay": 0.3})
    ready = threading.Barrier(2)

    def call_back(one: dict[str, str]) -> consenting.Finished:
        ready.wait()
        return connecting.finish(sessions, config, owner, one)

    with ThreadPoolExecutor(2) as pool:
        came = list(pool.map(call_back, told))
    assert [type(one).__name__ for one in came] == ["Unconfirmed"] * 2
    answers = [
        connecting.confirm(sessions, config, owner, realm) for realm in (RIVERA, OAK, RIVERA)
    ]
    assert sorted(type(one).__name__ for one in answers) == [
        "Connected",
        "TryAgain",
        "TryAgain",
    ] or [type(one).__name__ for one in answers] == ["Connected", "TryAgain", "Connected"]
    live = select(func.count(Connection.id)).where(Connection.status == "connected")
    assert session.scalar(live) == 1


def test_the_revoke_of_one_firm_does_not_end_the_grant_of_the_next(
    sessions: Sessions, config: Config, owner: User, simulator: SimulatorHandle, session: Session
) -> None:
    connect(sessions, config, owner)
    simulator.fault(match={"path": "/v2/oauth2/tokens/revoke"}, do={"status": 503, "body": ""})
    disconnecting.disconnect(sessions, config, firm_of(owner), owner)
    simulator.clear_faults()
    carla = new_owner(session, new_firm(session, name="Oak HVAC"), "carla@oakhvac.example")
    hers = connect(sessions, config, carla)
    session.execute(update(Revocation).values(available_at=func.clock_timestamp()))
    session.commit()
    assert disconnecting.revoke_due(sessions, config) == 0
    assert facts.refresh(sessions, config, hers.id)
