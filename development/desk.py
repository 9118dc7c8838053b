"""A firm's owner at work: writes records, connects, and has them delivered by the real code."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from urllib.parse import parse_qsl, urlsplit

import requests
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import Organization, User
from models.outbox import Entry
from models.quickbooks import Connection, Purpose
from models.sales import (
    Invoice,
    InvoiceLine,
    Lead,
    Payment,
    Product,
    RecordType,
)
from outbox.looks import due_lanes
from outbox.poller import drain_lane
from quickbooks import connecting, consenting
from quickbooks.consenting import Connected
from quickbooks.delivery import QuickBooks
from simulator.testing import ApiClient, SimulatorHandle


@dataclass
class Desk:
    """Acts as a firm's owner: writes records, connects, drains."""

    sessions: Sessions
    config: Config
    simulator: SimulatorHandle
    session: Session
    owner: User
    realm: str = ""

    @property
    def firm(self) -> Organization:
        assert self.owner.organization
        return self.owner.organization

    # --- Records ------------------------------------------------------------------------------

    def product(self, name: str, price: str, *, taxable: bool = False) -> Product:
        found = self.session.scalars(
            select(Product).where(Product.organization_id == self.firm.id, Product.name == name)
        ).first()
        made = found or Product(
            organization_id=self.firm.id, name=name, unit_price=Decimal(price), taxable=taxable
        )
        self.session.add(made)
        return made

    def lead(self, name: str, **fields: str) -> Lead:
        made = Lead(organization_id=self.firm.id, name=name, **fields)
        self.session.add(made)
        return made

    def invoice(
        self,
        lead: Lead,
        *lines: tuple[Product | str, str, str],
        memo: str = "",
        discount: str = "0",
    ) -> Invoice:
        """`lines`: product or text, quantity, price. `discount` is a percentage."""
        self.firm.last_invoice_number += 1
        today = self.session.scalars(select(func.current_date())).one()
        made = Invoice(
            organization_id=self.firm.id,
            lead=lead,
            number=str(self.firm.last_invoice_number),
            issued_on=today,
            due_on=today + timedelta(days=30),
            memo=memo,
            tax_rate=self.firm.tax_rate,
            discount_value=Decimal(discount),
            lines=[
                InvoiceLine(
                    organization_id=self.firm.id,
                    position=position,
                    product=None if isinstance(what, str) else what,
                    description=what if isinstance(what, str) else what.name,
                    quantity=Decimal(quantity),
                    unit_price=Decimal(price),
                    taxable=not isinstance(what, str) and what.taxable,
                )
                for position, (what, quantity, price) in enumerate(lines, 1)
            ],
        )
        self.session.add(made)
        return made

    def pay(self, invoice: Invoice, amount: Decimal | str, method: str = "card") -> Payment:
        made = Payment(
            organization_id=self.firm.id,
            invoice=invoice,
            amount=Decimal(amount),
            method=method,
            received_on=invoice.issued_on,
        )
        self.session.add(made)
        return made

    def commit(self) -> None:
        self.session.commit()

    def entry_of(self, kind: RecordType, key: int) -> Entry:
        return self.session.scalars(
            select(Entry)
            .where(Entry.record_type == kind, Entry.record_id == key)
            .order_by(Entry.id.desc())
            .limit(1)
        ).one()

    # --- QuickBooks ---------------------------------------------------------------------------

    def connect(self, realm: str = "") -> Connection:
        """Connects through Intuit's page to a company with the firm's name."""
        self.realm = realm or self.simulator.add_company(self.firm.name)
        self.session.commit()
        address = urlsplit(
            consenting.begin(self.sessions, self.config, self.owner, Purpose.CONNECT)
        )
        asked = {**dict(parse_qsl(address.query)), "realm_id": self.realm, "action": "connect"}
        page = f"{address.scheme}://{address.netloc}{address.path}"
        answer = requests.post(page, data=asked, allow_redirects=False, timeout=30)
        told = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
        connecting.finish(self.sessions, self.config, self.owner, told)
        finished = connecting.confirm(self.sessions, self.config, self.owner, self.realm)
        assert isinstance(finished, Connected), finished
        return self.connection

    @property
    def connection(self) -> Connection:
        self.session.rollback()
        return self.session.scalars(
            select(Connection).where(Connection.organization_id == self.firm.id)
        ).one()

    @contextmanager
    def bookkeeper(self) -> Iterator[ApiClient]:
        """A person working inside QuickBooks."""
        client = self.simulator.client(self.realm)
        yield client
        client.close()

    def drain(self) -> None:
        """Like the poller, but without waiting for QuickBooks' limits."""
        self.session.commit()
        company = QuickBooks(self.sessions, self.config)
        while due := due_lanes(self.session):
            for lane_id in due:
                drain_lane(self.sessions, company, lane_id, self.config, threading.Event())
            self.session.execute(
                text(
                    "UPDATE outbox_lanes SET pause_until = NULL, pause_reason = NULL,"
                    " next_call_at = NULL, next_batch_at = NULL WHERE pause_reason = 'pace'"
                )
            )
            self.session.commit()
