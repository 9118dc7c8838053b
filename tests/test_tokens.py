"""Tokens: encrypted at rest, refreshed once even with concurrent callers, and never lost."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
import responses
from cryptography.fernet import Fernet
from sqlalchemy import Engine, event, func, select, text, update
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import User
from models.outbox import Lane
from models.quickbooks import Connection, Revocation, Tokens
from quickbooks import disconnecting, oauth, tokens
from quickbooks.tokens import SignedOut, TokensUnavailable
from simulator.testing import SimulatorHandle
from tests.support.connected import RIVERA, connect, new_owner
from tests.support.serving import eventually

TOKEN_PATH = "/oauth2/v1/tokens/bearer"


@pytest.fixture
def connection(
    simulator: SimulatorHandle, session: Session, sessions: Sessions, config: Config
) -> Connection:
    return connect(sessions, config, new_owner(session))


@pytest.fixture
def wear_out(sessions: Sessions) -> Callable[[], None]:
    """Makes every access token one that must be renewed."""

    def wear() -> None:
        with sessions.begin() as session:
            session.execute(
                update(Tokens).values(
                    access_expires_at=func.clock_timestamp() + timedelta(minutes=4)
                )
            )

    return wear


def refreshes(simulator: SimulatorHandle) -> int:
    return sum(
        each["path"] == TOKEN_PATH and "refresh_token" in each["body"]
        for each in simulator.journal()
    )


def status_of(sessions: Sessions, connection: Connection) -> tuple[str, str, str | None]:
    with sessions() as session:
        known = session.get_one(Connection, connection.id)
        lane = session.get_one(Lane, known.lane_id)
        return known.status, lane.state, lane.hold_reason


def test_a_good_token_is_used_without_asking_intuit(
    sessions: Sessions, config: Config, connection: Connection, simulator: SimulatorHandle
) -> None:
    simulator.clear_journal()
    first = tokens.access_token(sessions, config, connection.id)
    assert tokens.access_token(sessions, config, connection.id) == first
    assert simulator.journal() == []


def test_rule_8_eight_who_need_a_token_at_once_make_one_refresh(
    sessions: Sessions,
    config: Config,
    connection: Connection,
    simulator: SimulatorHandle,
    wear_out: Callable[[], None],
) -> None:
    wear_out()
    simulator.clear_journal()
    ready = threading.Barrier(8)

    def ask(_: int) -> str:
        ready.wait()
        return tokens.access_token(sessions, config, connection.id)

    with ThreadPoolExecutor(8) as pool:
        got = set(pool.map(ask, range(8)))
    assert len(got) == 1
    assert refreshes(simulator) == 1


def test_calls_that_wait_for_a_refresh_hold_no_database_connection(
    sessions: Sessions,
    config: Config,
    connection: Connection,
    simulator: SimulatorHandle,
    wear_out: Callable[[], None],
    engine: Engine,
) -> None:
    wear_out()
    simulator.clear_journal()
    looked: list[object] = []
    event.listen(engine, "checkin", lambda *connection: looked.append(connection))

    def held() -> int:
        return engine.pool.checkedout()  # type: ignore[attr-defined, no-any-return]

    with ThreadPoolExecutor(8) as calls:
        with sessions.begin() as session:  # so that the refresh waits for as long as we look
            session.execute(select(Tokens).with_for_update())
            asked = [
                calls.submit(tokens.access, sessions, config, connection.lane_id) for _ in range(8)
            ]
            # each has seen that the token is old: ours is held, and that of the one who refreshes
            eventually(lambda: len(looked) >= 8 and held() == 2, lambda: (len(looked), held()))
        assert len({each.result().token for each in asked}) == 1
    assert refreshes(simulator) == 1


def test_rule_8_eight_whose_token_was_refused_at_once_make_one_refresh(
    sessions: Sessions, config: Config, connection: Connection, simulator: SimulatorHandle
) -> None:
    refused = tokens.access_token(sessions, config, connection.id)
    simulator.clear_journal()
    ready = threading.Barrier(8)

    def ask(_: int) -> str:
        ready.wait()
        return tokens.access_token(sessions, config, connection.id, refused=refused)

    with ThreadPoolExecutor(8) as pool:
        got = set(pool.map(ask, range(8)))
    assert len(got) == 1
    assert got != {refused}
    assert refreshes(simulator) == 1


def test_the_new_pair_is_stored_before_it_is_used(
    sessions: Sessions,
    config: Config,
    connection: Connection,
    simulator: SimulatorHandle,
    wear_out: Callable[[], None],
) -> None:
    simulator.advance(86_400 + 60)  # past a day the refresh token changes as well
    wear_out()
    with sessions() as session:
        before = tokens.decrypt(config, session.get_one(Tokens, connection.id).refresh_token)
    used = tokens.access_token(sessions, config, connection.id)
    with sessions() as session:
        stored = session.get_one(Tokens, connection.id)
        assert tokens.decrypt(config, stored.access_token) == used
        assert tokens.decrypt(config, stored.refresh_token) != before
    wear_out()
    assert tokens.access_token(sessions, config, connection.id)


def test_rule_17_no_token_lies_in_the_database_as_it_is(
    sessions: Sessions, config: Config, connection: Connection, simulator: SimulatorHandle
) -> None:
    access = tokens.access_token(sessions, config, connection.id)
    with sessions() as session:
        stored = session.get_one(Tokens, connection.id)
        refresh = tokens.decrypt(config, stored.refresh_token)
        names = session.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ).all()
        for name in names:
            rows = session.scalars(text(f"SELECT row_to_json(t)::text FROM {name} AS t")).all()
            assert not any(access in row or refresh in row for row in rows), name


def test_keys_rotate_without_anyone_signing_in_again(
    sessions: Sessions, config: Config, connection: Connection, simulator: SimulatorHandle
) -> None:
    used = tokens.access_token(sessions, config, connection.id)
    new = Fernet.generate_key().decode()
    both = replace(config, token_keys=(new, *config.token_keys))
    with sessions.begin() as session:
        session.add(
            Revocation(
                organization_id=connection.organization_id, token=tokens.encrypt(config, "RT1-x")
            )
        )
    assert tokens.rotate(sessions, both) == 3
    only = replace(config, token_keys=(new,))
    assert tokens.access_token(sessions, only, connection.id) == used
    with sessions() as session:
        assert (
            tokens.decrypt(only, session.scalars(select(Revocation.token)).one() or "") == "RT1-x"
        )
    with pytest.raises(TokensUnavailable):
        tokens.access_token(sessions, config, connection.id)


def test_a_refused_refresh_expires_the_connection_and_holds_its_lane(
    sessions: Sessions,
    config: Config,
    connection: Connection,
    simulator: SimulatorHandle,
    wear_out: Callable[[], None],
) -> None:
    simulator.revoke(RIVERA)
    wear_out()
    with pytest.raises(SignedOut):
        tokens.access_token(sessions, config, connection.id)
    assert status_of(sessions, connection) == ("expired", "held", "signed_out")


@pytest.mark.parametrize("refused", [1, 2])
def test_case_r22_a_refusal_is_asked_for_twice_before_a_person_is(
    simulator: SimulatorHandle, sessions: Sessions, config: Config, connection: Connection,
    wear_out: Callable[[], None], refused: int,
) -> None:  # fmt: skip
    wear_out()
    simulator.fault(
        match={"path": "tokens/bearer", "times": refused},
        do={"status": 400, "body": {"error": "invalid_grant"}},
    )
    if refused == 1:
        tokens.access_token(sessions, config, connection.id)
        assert status_of(sessions, connection) == ("connected", "open", None)
    else:
        with pytest.raises(SignedOut):
            tokens.access_token(sessions, config, connection.id)
        assert status_of(sessions, connection) == ("expired", "held", "signed_out")


@pytest.mark.parametrize("told", [None, "", " ", 0])
def test_case_r21_a_refresh_token_that_is_not_told_stays_the_old_one(
    simulator: SimulatorHandle, sessions: Sessions, config: Config, connection: Connection,
    wear_out: Callable[[], None], told: object,
) -> None:  # fmt: skip
    def stored() -> str:
        with sessions() as session:
            lies = session.get_one(Tokens, connection.id).refresh_token
        return tokens.decrypt(config, lies)

    before = stored()
    wear_out()
    body = {"access_token": "new", "refresh_token": told, "expires_in": 3600, "token_type": "b"}
    simulator.fault(match={"path": "tokens/bearer"}, do={"status": 200, "body": body})
    assert tokens.access_token(sessions, config, connection.id) == "new"
    assert stored() == before
    with pytest.raises(oauth.Unavailable):
        oauth.exchange(config, "code")  # which has no older one to keep


@pytest.mark.parametrize(
    ("status", "body"),
    [(401, '{"error":"invalid_client"}'), (503, "<html></html>"), (429, ""), (200, "<html>")],
)
@responses.activate
def test_rule_12_anything_else_leaves_the_connection_as_it_is(
    sessions: Sessions,
    config: Config,
    connection: Connection,
    wear_out: Callable[[], None],
    status: int,
    body: str,
) -> None:
    responses.post(config.simulator_url + TOKEN_PATH, status=status, body=body)
    wear_out()
    with pytest.raises(TokensUnavailable):
        tokens.access_token(sessions, config, connection.id)
    assert status_of(sessions, connection) == ("connected", "open", None)


def test_a_refusal_that_comes_after_a_reconnect_changes_nothing(
    sessions: Sessions, config: Config, connection: Connection, simulator: SimulatorHandle
) -> None:
    with sessions() as session:
        old = session.get_one(Tokens, connection.id).refresh_token
    tokens.rotate(sessions, config)  # as another row content, as a reconnect leaves it
    assert not tokens.expire(sessions, connection.id, old, reason="refused")
    assert status_of(sessions, connection) == ("connected", "open", None)


def test_a_refresh_that_finds_its_tokens_gone_stops(
    sessions: Sessions,
    config: Config,
    connection: Connection,
    simulator: SimulatorHandle,
    session: Session,
    wear_out: Callable[[], None],
) -> None:
    wear_out()
    user = connection.connected_by_id
    assert user is not None
    owner = session.get_one(User, user)
    disconnecting.disconnect(sessions, config, connection.organization_id, owner)
    simulator.clear_journal()
    with pytest.raises(SignedOut):
        tokens.access_token(sessions, config, connection.id)
    assert simulator.journal() == []


def test_a_crash_between_intuits_answer_and_our_commit_heals_by_itself(
    sessions: Sessions,
    config: Config,
    connection: Connection,
    simulator: SimulatorHandle,
    wear_out: Callable[[], None],
) -> None:
    with sessions() as session:
        stored = session.get_one(Tokens, connection.id)
        oauth.refresh(config, tokens.decrypt(config, stored.refresh_token))  # and then it died
    wear_out()
    assert tokens.access_token(sessions, config, connection.id)
    assert status_of(sessions, connection) == ("connected", "open", None)


def test_a_waiter_gives_up_while_someone_else_holds_the_row(
    sessions: Sessions,
    config: Config,
    connection: Connection,
    simulator: SimulatorHandle,
    wear_out: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wear_out()
    monkeypatch.setattr(tokens, "LOCK_WAIT", timedelta(milliseconds=50))
    with sessions.begin() as holder:
        holder.get(Tokens, connection.id, with_for_update=True)
        with pytest.raises(TokensUnavailable):
            tokens.access_token(sessions, config, connection.id)
    assert tokens.access_token(sessions, config, connection.id)


def test_an_idle_connection_is_kept_alive_once_a_day(
    sessions: Sessions, config: Config, connection: Connection, simulator: SimulatorHandle
) -> None:
    assert tokens.keep_alive_due(sessions, config) == 0
    with sessions.begin() as session:
        day = timedelta(days=1, minutes=1)
        session.execute(
            update(Tokens).values(
                refreshed_at=Tokens.refreshed_at - day,
                access_expires_at=Tokens.access_expires_at - day,
            )
        )
    simulator.clear_journal()
    assert tokens.keep_alive_due(sessions, config) == 1
    assert tokens.keep_alive_due(sessions, config) == 0
    assert refreshes(simulator) == 1


def test_the_day_on_which_the_sign_in_ends_for_good_is_known(
    sessions: Sessions, config: Config, connection: Connection, simulator: SimulatorHandle
) -> None:
    assert connection.hard_expires_at is not None
    years = connection.hard_expires_at - connection.connected_at
    assert timedelta(days=5 * 365 - 2) < years < timedelta(days=5 * 366)
