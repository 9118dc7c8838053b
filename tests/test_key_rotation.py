"""TOKEN_KEYS are rotated while everything runs: nothing is lost, and no firm has to reconnect."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest
from cryptography.fernet import Fernet
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.outbox import Entry, State
from models.quickbooks import Connection, ConnectionStatus, Revocation, Tokens
from outbox.poller import drain_lane
from quickbooks import disconnecting, tokens
from quickbooks.consenting import Connected
from quickbooks.delivery import QuickBooks
from simulator.testing import SimulatorHandle
from tests.support.firm import new_lead
from tests.support.office import RIVERA, Office, open_office


@pytest.fixture
def office(
    sessions: Sessions, config: Config, simulator: SimulatorHandle, session: Session
) -> Office:
    office = open_office(sessions, config, simulator, session)
    assert isinstance(office.connect(), Connected)
    return office


def test_keys_are_changed_under_traffic_and_nothing_is_lost(office: Office) -> None:
    """As docs/runbook.md says it: known to all, then first, then everything anew, then alone.

    Between two steps processes of both run, as in every rolling restart.
    """
    new, old = Fernet.generate_key().decode(), office.config.token_keys
    known = replace(office.config, token_keys=(*old, new))
    first = replace(office.config, token_keys=(new, *old))
    alone = replace(office.config, token_keys=(new,))
    steps = [(office.config, known), (known, first), (first, first), (first, alone)]
    for number, running in enumerate(steps):
        with ThreadPoolExecutor(3) as processes:
            work: list[Future[object]] = [
                processes.submit(_work, office, config, f"{number}.{process}")
                for process, config in enumerate(running)
            ]
            if running == (first, first):
                work += [processes.submit(tokens.rotate, office.sessions, first) for _ in range(5)]
        for one in work:
            one.result()
    office.config = alone
    for _ in range(3):
        office.pass_time()
        office.drain()

    with office.sessions() as session:
        states = session.scalars(select(Entry.state)).all()
    assert states == [State.SYNCED] * (4 * 2 * LEADS)
    names = [customer["DisplayName"] for customer in office.books("Customer", RIVERA)]
    written = [name for name in names if name.startswith("Step ")]
    assert len(written) == len(set(written)) == 4 * 2 * LEADS
    assert office.connection.status == ConnectionStatus.CONNECTED
    with office.sessions() as session:
        stored = session.scalars(select(Tokens)).one()
        assert tokens.decrypt(alone, stored.refresh_token).startswith("RT1-")
        with pytest.raises(tokens.TokensUnavailable):
            tokens.decrypt(replace(office.config, token_keys=old), stored.refresh_token)


LEADS = 5  # a process writes in each step


def _work(office: Office, config: Config, name: str) -> None:
    """What a process does: people save, the poller drains, a token runs out every time."""
    company = QuickBooks(office.sessions, config)
    with office.sessions() as session:
        lane_id = session.scalars(select(Connection.lane_id)).one()
    for number in range(LEADS):
        with office.sessions.begin() as session:
            session.add(new_lead(office.firm, f"Step {name}, lead {number}"))
        with office.sessions.begin() as session:
            session.execute(update(Tokens).values(access_expires_at=func.clock_timestamp()))
        drain_lane(office.sessions, company, lane_id, config, threading.Event())


def test_a_grant_still_to_be_ended_survives_the_old_keys_end(office: Office) -> None:
    office.simulator.fault(match={"path": "revoke", "times": 1}, do={"status": 503})
    office.disconnect()
    new = Fernet.generate_key().decode()
    both = replace(office.config, token_keys=(new, *office.config.token_keys))
    assert tokens.rotate(office.sessions, both) == 1
    with office.sessions.begin() as session:
        session.execute(update(Revocation).values(available_at=func.clock_timestamp()))
    assert disconnecting.revoke_due(office.sessions, replace(both, token_keys=(new,))) == 1


def test_lost_keys_lose_no_entry_and_reconnecting_mends_it(office: Office) -> None:
    """Key loss: the tokens are gone for good, what waits is not."""
    lost = replace(office.config, token_keys=(Fernet.generate_key().decode(),))
    office.config = lost
    office.save(new_lead(office.firm, "Written without a key"))
    office.drain()
    assert office.states() == [("lead", "pending")]
    assert tokens.forget_unreadable(office.sessions, lost) == 1  # as the runbook says
    assert office.connection.status == ConnectionStatus.EXPIRED
    assert isinstance(office.connect(), Connected)
    office.pass_time()
    office.drain()
    assert office.states() == [("lead", "synced")]


def test_the_commands_make_a_key_and_use_it(app: Flask) -> None:
    run = app.test_cli_runner()
    key = run.invoke(args=["tokens", "new-key"]).output.strip()
    Fernet(key)
    assert "0 tokens" in run.invoke(args=["tokens", "rotate"]).output
    assert "0 sign-ins" in run.invoke(args=["tokens", "forget-unreadable"]).output
