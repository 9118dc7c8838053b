"""An office at work: connects through Intuit's consent page, drains as the poller would."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import requests
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import Role, User
from models.passwords import CHEAP_HASHER, hash_password
from models.quickbooks import Connection, Purpose
from outbox.looks import due_lanes
from outbox.poller import drain_lane
from quickbooks import connecting, consenting, disconnecting
from quickbooks.consenting import Finished, Unconfirmed
from quickbooks.delivery import QuickBooks
from tests.support.firm import new_firm

if TYPE_CHECKING:
    from simulator.testing import SimulatorHandle

RIVERA = "9341450000000001"
OAK = "9341450000000002"


@dataclass
class Office:
    """A firm with an owner, its QuickBooks company, and the means to move time."""

    sessions: Sessions
    config: Config
    simulator: "SimulatorHandle"
    session: Session
    firm: int
    owner: User
    realm: str = RIVERA

    def connect(
        self, realm: str | None = None, purpose: Purpose = Purpose.CONNECT, **begin: Any
    ) -> Finished:
        """The whole round trip: to Intuit's page, Connect, back, and Yes, it is ours."""
        address = consenting.begin(self.sessions, self.config, self.owner, purpose, **begin)
        told = self.consent(address, realm or self.realm)
        self.session.rollback()
        finished = connecting.finish(self.sessions, self.config, self.owner, told)
        if isinstance(finished, Unconfirmed):
            return connecting.confirm(self.sessions, self.config, self.owner, realm or self.realm)
        return finished

    def consent(self, address: str, realm: str, action: str = "connect") -> Mapping[str, str]:
        """What Intuit's page tells the browser to bring back to us."""
        asked = urlsplit(address)
        form = {**dict(parse_qsl(asked.query)), "realm_id": realm, "action": action}
        page = f"{asked.scheme}://{asked.netloc}{asked.path}"
        answer = requests.post(page, data=form, allow_redirects=False, timeout=10)
        assert answer.status_code in (302, 303), answer.text
        return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))

    def disconnect(self) -> None:
        self.session.rollback()
        assert disconnecting.disconnect(self.sessions, self.config, self.firm, self.owner)

    @property
    def connection(self) -> Connection:
        self.session.rollback()
        self.session.expire_all()
        return self.session.scalars(
            select(Connection)
            .where(Connection.organization_id == self.firm)
            .order_by(Connection.status_since.desc())
            .limit(1)
        ).one()

    def save(self, *records: object) -> None:
        self.session.add_all(records)
        self.session.commit()

    def drain(self, rounds: int = 40) -> None:
        """As the poller would, until nothing is due. Rests for the rate limit are skipped."""
        company = QuickBooks(self.sessions, self.config)
        self.session.rollback()
        for _ in range(rounds):
            self._end_rests()
            due = due_lanes(self.session)
            self.session.rollback()
            if not due:
                return
            for lane in due:
                drain_lane(self.sessions, company, lane, self.config, threading.Event())

    def _end_rests(self) -> None:
        self.session.execute(
            text(
                "UPDATE outbox_lanes SET pause_until = NULL, pause_reason = NULL,"
                " next_call_at = NULL, next_batch_at = NULL WHERE pause_reason = 'pace'"
            )
        )
        self.session.commit()

    def pass_time(self) -> None:
        """Back-offs, answer deadlines, leases and pauses are over."""
        self.session.rollback()
        self.session.execute(text("UPDATE outbox SET available_at = clock_timestamp()"))
        self.session.execute(
            text(
                "UPDATE outbox_lanes"
                " SET pause_until = NULL, pause_reason = NULL, lease_until = NULL"
            )
        )
        self.session.commit()

    def states(self) -> list[tuple[str, str]]:
        self.session.rollback()
        rows = self.session.execute(text("SELECT aggregate_type, state FROM outbox ORDER BY id"))
        return [(row.aggregate_type, row.state) for row in rows]

    def books(self, entity: str, realm: str | None = None) -> list[dict[str, Any]]:
        return list(self.simulator.books(realm or self.realm).get(entity, []))

    def calls(self, method: str | None = None) -> list[str]:
        """What QuickBooks saw since the journal was cleared: "POST invoice"."""
        seen = []
        for call in self.simulator.journal():
            if "/v3/company/" in call["path"] and method in (None, call["method"]):
                seen.append(f"{call['method']} {call['path'].rpartition('/')[2]}")
        return seen


def open_office(
    sessions: Sessions, config: Config, simulator: "SimulatorHandle", session: Session
) -> Office:
    firm = new_firm(session)
    owner = User(
        organization_id=firm,
        email="ana@rivera.example",
        name="Ana Rivera",
        password_hash=hash_password("dunahub-demo", CHEAP_HASHER),
        role=Role.OWNER,
    )
    session.add(owner)
    session.commit()
    return Office(sessions, config, simulator, session, firm, owner)


def money(value: object) -> Decimal:
    return Decimal(str(value)).quantize(Decimal("0.01"))
