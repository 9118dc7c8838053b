"""A firm at work in its own pages: saves, connects, decides; QuickBooks is the simulator."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.outbox import Counterpart, Entry, Lane
from models.quickbooks import Connection
from models.sales import Invoice, Lead, Payment
from quickbooks import directory
from simulator.testing import ApiClient, SimulatorHandle
from tests.support.connected import OAK, RIVERA, drain
from tests.support.firm import entries_of, new_firm
from tests.support.visitor import Visitor, new_person

__all__ = ["OAK", "RIVERA", "SETTINGS", "Situation", "begin"]

ANA = "ana@rivera.example"
SETTINGS = "/settings/quickbooks"


@dataclass
class Situation:
    app: Flask
    sessions: Sessions
    config: Config
    session: Session
    simulator: SimulatorHandle
    firm: int
    ana: Visitor
    _clients: dict[str, ApiClient] = field(default_factory=dict)

    # --- Connection -----------------------------------------------------------------------------

    def to_intuit(self, button: str = "Connect QuickBooks") -> str:
        """Presses the button, as far as Intuit's page; its address."""
        form = self.ana.open(SETTINGS)._form({}, button)
        token = form.select_one("[name=csrf_token]")
        assert token
        answer = self.ana.client.post(str(form["action"]), data={"csrf_token": token["value"]})
        assert answer.status_code == 303, answer.status_code
        return answer.headers["Location"]

    def connect(self, realm: str = RIVERA, button: str = "Connect QuickBooks") -> Visitor:
        self.come_back(consent(self.to_intuit(button), realm))
        self.simulator.clear_journal()
        return self.ana

    def come_back(self, address: str) -> None:
        """From Intuit, by this address; and Yes, if asked whose company it is."""
        self.ana.open(address)
        if self.ana.path.endswith("/company"):
            self.ana.submit(press="Yes, start")

    def disconnect(self) -> None:
        page = self.ana.open(f"{SETTINGS}/connection/disconnect").page
        button = "Disconnect now and hold" if "hold" in page.get_text() else "Disconnect"
        pressed = next(b.get_text() for b in page.select("main button") if button in b.get_text())
        self.ana.submit(press=" ".join(pressed.split()))
        assert "is disconnected" in self.ana.text

    # --- Work -----------------------------------------------------------------------------------

    def save_lead(self, name: str = "Green Lawn Co", **fields: str) -> int:
        self.ana.open("/leads/new").submit({"name": name, **fields})
        assert "is saved." in self.ana.text, self.ana.text
        return int(self.ana.path.rpartition("/")[2])

    def save_invoice(self, lead: int, price: str = "100", **fields: str) -> int:
        self.ana.open(f"/invoices/new?lead={lead}")
        line = {"lines-0-description": "Sprinkler repair", "lines-0-quantity": "1"}
        self.ana.submit({**line, "lines-0-unit_price": price, **fields}, press="Save invoice")
        assert "is saved." in self.ana.text, self.ana.text
        return int(self.ana.path.rpartition("/")[2])

    def pay(self, invoice: int, amount: str, method: str = "card") -> int:
        self.ana.open(f"/invoices/{invoice}/payments/new")
        self.ana.submit({"amount": amount, "method": method})
        if "more than is due" in self.ana.text:
            self.ana.submit({"confirms_above": "y"})
        assert "The payment is recorded." in self.ana.text, self.ana.text
        newest = select(Payment.id).order_by(Payment.id.desc()).limit(1)
        self.session.rollback()
        return self.session.scalars(newest).one()

    def drain(self) -> None:
        self.session.rollback()
        for lane in self.session.scalars(select(Lane.id).where(Lane.state == "open")).all():
            self.session.rollback()
            drain(self.sessions, self.config, lane)

    def pass_time(self) -> None:
        """Back-offs, answer deadlines and pauses are over."""
        with self.sessions.begin() as session:
            session.execute(text("UPDATE outbox SET available_at = now() WHERE state = 'pending'"))
            session.execute(text("UPDATE outbox_lanes SET pause_until = NULL, pause_reason = NULL"))
            session.execute(
                text("UPDATE database_server SET changed_at = changed_at - interval '1 hour'")
            )

    # --- What there is --------------------------------------------------------------------------

    def entry(self) -> Entry:
        return entries_of(self.session)[-1]

    def states(self) -> list[str]:
        return [f"{entry.record_type} {entry.state}" for entry in entries_of(self.session)]

    def fault(self, place: int = -1) -> str | None:
        return entries_of(self.session)[place].fault_code

    def link(self, kind: str, key: int) -> Counterpart | None:
        self.session.rollback()
        self.session.expire_all()
        return self.session.scalars(
            select(Counterpart).where(Counterpart.record_type == kind, Counterpart.record_id == key)
        ).one_or_none()

    @property
    def connection(self) -> Connection:
        self.session.rollback()
        self.session.expire_all()
        return self.session.scalars(
            select(Connection).order_by(Connection.status_since.desc())
        ).first()  # type: ignore[return-value]

    def lead(self, key: int) -> Lead:
        self.session.rollback()
        return self.session.get_one(Lead, key, populate_existing=True)

    def invoice(self, key: int) -> Invoice:
        self.session.rollback()
        return self.session.get_one(Invoice, key, populate_existing=True)

    # --- QuickBooks -----------------------------------------------------------------------------

    def bookkeeper(self, realm: str = RIVERA) -> ApiClient:
        """Someone who works in QuickBooks itself."""
        if realm not in self._clients:
            self._clients[realm] = self.simulator.client(realm)
        return self._clients[realm]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def books(self, entity: str, realm: str = RIVERA) -> list[dict[str, Any]]:
        return list(self.simulator.books(realm).get(entity, []))

    def calls(self) -> list[str]:
        """What QuickBooks saw since the last look: "POST invoice"."""
        seen = [
            f"{call['method']} {call['path'].rpartition('/')[2]}"
            for call in self.simulator.journal()
            if "/v3/company/" in call["path"]
        ]
        self.simulator.clear_journal()
        return seen

    def read_directory(self) -> None:
        """As the daily job does."""
        assert directory.refresh(self.sessions, self.config, self.connection.id)
        self.simulator.clear_journal()


@contextmanager
def begin(
    app: Flask, sessions: Sessions, config: Config, session: Session, simulator: SimulatorHandle
) -> Iterator[Situation]:
    firm = new_firm(session)
    new_person(session, firm, ANA)
    ana = Visitor(app).sign_in(ANA)
    situation = Situation(app, sessions, config, session, simulator, firm, ana)
    yield situation
    situation.close()


def consent(address: str, realm: str = RIVERA, action: str = "connect") -> str:
    """Presses a button on Intuit's page; the address of ours that the browser is sent to."""
    asked = urlsplit(address)
    answer = requests.post(
        f"{asked.scheme}://{asked.netloc}{asked.path}",
        data={**dict(parse_qsl(asked.query)), "realm_id": realm, "action": action},
        allow_redirects=False,
        timeout=10,
    )
    back = urlsplit(answer.headers["Location"])
    return f"{back.path}?{back.query}"
