"""A firm with a QuickBooks company: its owner, the consent page, and draining by hand."""

import threading
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

import requests
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import Organization, User
from models.outbox import Entry
from models.quickbooks import Connection, Purpose
from outbox.poller import drain_lane
from quickbooks import connecting, consenting
from quickbooks.consenting import Connected, Finished, Unconfirmed
from quickbooks.delivery import QuickBooks
from tests.support.firm import new_firm

RIVERA = "9341450000000001"  # companies that a fresh simulator has
OAK = "9341450000000002"
CANADIAN = "9341450000000004"


def new_owner(session: Session, firm: int | None = None, email: str = "ana@rivera.example") -> User:
    """An owner, of a new firm unless one is named. Commits."""
    firm = firm or new_firm(session)
    owner = User(
        organization_id=firm, email=email, name="Ana Rivera", password_hash="-", role="owner"
    )
    session.add(owner)
    session.commit()
    return owner


def firm_of(owner: User) -> int:
    assert owner.organization_id is not None
    return owner.organization_id


def consent(address: str, realm: str, *, action: str = "connect") -> dict[str, str]:
    """Presses a button on the consent page; what the callback is then told."""
    asked = {key: values[0] for key, values in parse_qs(urlsplit(address).query).items()}
    page = address.partition("?")[0]
    answer = requests.post(
        page, data={**asked, "realm_id": realm, "action": action}, allow_redirects=False, timeout=10
    )
    assert answer.status_code in (302, 303), answer.text
    told = parse_qs(urlsplit(answer.headers["Location"]).query)
    return {key: values[0] for key, values in told.items()}


def go_through(
    sessions: Sessions,
    config: Config,
    owner: User,
    realm: str = RIVERA,
    purpose: Purpose = Purpose.CONNECT,
    allowed_realm_id: str | None = None,
) -> Finished:
    """The whole round trip of a browser, and Yes to "Is this your company?"."""
    address = consenting.begin(sessions, config, owner, purpose, allowed_realm_id=allowed_realm_id)
    return finish(sessions, config, owner, consent(address, realm))


def finish(sessions: Sessions, config: Config, owner: User, told: dict[str, str]) -> Finished:
    """Comes back from Intuit and says Yes, if asked whose company it is."""
    finished = connecting.finish(sessions, config, owner, told)
    if isinstance(finished, Unconfirmed):
        return connecting.confirm(sessions, config, owner, told["realmId"])
    return finished


def connect(sessions: Sessions, config: Config, owner: User, realm: str = RIVERA) -> Connection:
    finished = go_through(sessions, config, owner, realm)
    assert isinstance(finished, Connected), finished
    with sessions() as session:
        return session.get_one(Connection, finished.connection_id)


def drain(sessions: Sessions, config: Config, lane_id: int, turns: int = 60) -> None:
    """Drains a lane until nothing is due, without waiting out QuickBooks' limits."""
    company = QuickBooks(sessions, config)
    for _ in range(turns):
        drain_lane(sessions, company, lane_id, config, threading.Event())
        with sessions.begin() as session:
            session.execute(
                text(
                    "UPDATE outbox_lanes SET next_call_at = NULL, next_batch_at = NULL,"
                    " pause_until = NULL, pause_reason = NULL WHERE id = :lane"
                    " AND (pause_reason IS NULL OR pause_reason IN ('pace', 'refused'))"
                ),
                {"lane": lane_id},
            )
            due = session.scalar(
                select(Entry.id).where(
                    Entry.lane_id == lane_id,
                    Entry.state == "pending",
                    Entry.waits_for_type.is_(None),
                    ~Entry.withheld,
                    Entry.available_at <= text("clock_timestamp()"),
                )
            )
        if due is None:
            return


def states(session: Session) -> Sequence[tuple[str, str]]:
    """Kind and state of every entry, in order."""
    session.rollback()
    rows = session.execute(select(Entry.record_type, Entry.state).order_by(Entry.id))
    return [(row.record_type, row.state) for row in rows]


def organization_of(session: Session, owner: User) -> Organization:
    return session.get_one(Organization, firm_of(owner))
