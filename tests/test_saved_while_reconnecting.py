"""What is saved in the moment when a company is connected again is captured or withheld."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import count

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import Organization, Region, User
from models.outbox import Entry
from models.sales import GoodwillRefund, Invoice, Lead, Payment, RecordType
from outbox import lanes
from quickbooks import disconnecting
from quickbooks.consenting import Connected
from simulator.testing import SimulatorHandle
from tests.support.connected import OAK, RIVERA, connect, drain, firm_of, go_through, new_owner
from tests.support.firm import entries_of, new_invoice, new_lead, new_payment
from tests.support.serving import eventually

WAITING = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE wait_event_type = 'Lock' AND datname = current_database()"
)
# How the first statement begins that opens or closes a lane.
REOPENS, CLOSES = "SELECT state, line", "SELECT FROM outbox_lanes"


@dataclass
class Firm:
    """Its records are in QuickBooks, but for a payment recorded while it was disconnected."""

    sessions: Sessions
    config: Config
    owner: User
    lane: int
    lead: int
    edited: int
    paid: int
    refunded: int  # the invoice of the payment that is recorded while disconnected

    @property
    def id(self) -> int:
        return firm_of(self.owner)

    def disconnect(self) -> None:
        disconnecting.disconnect(self.sessions, self.config, self.id, self.owner)

    def connect(self, realm: str = RIVERA) -> None:
        done = go_through(self.sessions, self.config, self.owner, realm, allowed_realm_id=realm)
        assert isinstance(done, Connected), done

    def pay_meanwhile(self) -> int:
        with self.sessions.begin() as session:
            payment = new_payment(self.id, session.get_one(Invoice, self.refunded), "5")
            session.add(payment)
            session.flush()
            return payment.id

    def saves(self, value: str, payment: int) -> Sequence[Callable[[Session], None]]:
        """Four people's saves, of records that have nothing to do with each other."""

        def edits_lead(session: Session) -> None:
            session.get_one(Lead, self.lead).phone = value

        def edits_invoice(session: Session) -> None:
            session.get_one(Invoice, self.edited).memo = value

        def records_payment(session: Session) -> None:
            paid = new_payment(self.id, session.get_one(Invoice, self.paid), "1")
            paid.note = value
            session.add(paid)

        def refunds(session: Session) -> None:
            session.get_one(Payment, payment).goodwill_amount += Decimal(1)
            session.add(
                GoodwillRefund(
                    organization_id=self.id,
                    payment_id=payment,
                    amount=Decimal(1),
                    refunded_on=date(2026, 11, 21),
                    note=value,
                )
            )

        return edits_lead, edits_invoice, records_payment, refunds

    def kept(self, session: Session, value: str) -> list[RecordType]:
        """The types of records whose newest entry for the company has this value."""
        found = dict[tuple[RecordType, int], Entry]()
        for entry in entries_of(session):
            if entry.lane_id == self.lane:
                found[entry.record_type, entry.record_id] = entry
        types = {type_ for (type_, _), entry in found.items() if value in str(entry.payload)}
        return sorted(types, key=lambda type_: type_.rank)


ALL_FOUR = [RecordType.LEAD, RecordType.INVOICE, RecordType.PAYMENT, RecordType.REFUND]


@pytest.fixture
def firm(session: Session, sessions: Sessions, config: Config, simulator: SimulatorHandle) -> Firm:
    owner = new_owner(session)
    lane = connect(sessions, config, owner).lane_id
    firm = firm_of(owner)
    lead = new_lead(firm)
    invoices = [
        new_invoice(firm, new_lead(firm, f"Client {number}"), number=number)
        for number in ("1001", "1002", "1003")
    ]
    session.add_all([lead, *invoices])
    session.commit()
    drain(sessions, config, lane)
    return Firm(sessions, config, owner, lane, lead.id, *(invoice.id for invoice in invoices))


@contextmanager
def meanwhile(
    engine: Engine,
    firm: Firm,
    since: str,
    which: int,
    saves: Sequence[Callable[[Session], None]],
) -> Iterator[list[bool]]:
    """Others save before our statement of this number, counted from one with these words, as far
    as they get without waiting for us. True is in the list if it came to that."""
    us, statements, came = threading.get_ident(), count(), list[bool]()
    begun = list[bool]()
    people = [threading.Thread(target=_save, args=(firm.sessions, save)) for save in saves]

    def act(*told: object) -> None:
        if threading.get_ident() != us:
            return
        begun.extend([True] if since in str(told[2]) else [])
        if begun and next(statements) == which:
            came.append(True)
            for person in people:
                person.start()
            eventually(lambda: _all_done_or_waiting(engine, people))

    event.listen(engine, "before_cursor_execute", act)
    try:
        yield came
    finally:
        event.remove(engine, "before_cursor_execute", act)
        for person in people if came else ():
            person.join()


def _save(sessions: Sessions, save: Callable[[Session], None]) -> None:
    with sessions.begin() as session:
        save(session)


def _all_done_or_waiting(engine: Engine, people: Sequence[threading.Thread]) -> bool:
    alive = sum(person.is_alive() for person in people)
    if not alive:
        return True
    with engine.connect() as looking:
        return bool(looking.scalar(WAITING) >= alive)


def test_what_is_saved_while_a_company_is_connected_again_is_not_lost(
    firm: Firm, engine: Engine, session: Session
) -> None:
    moment, was_there = 0, True
    while was_there:
        value = f"Saved at {moment}"
        firm.disconnect()
        saves = firm.saves(value, firm.pay_meanwhile())
        with meanwhile(engine, firm, REOPENS, moment, saves) as came:
            firm.connect()
        was_there = bool(came)
        if was_there:
            assert firm.kept(session, value) == ALL_FOUR, moment
        lanes.skip_waiting(session, firm.lane)
        session.commit()
        moment += 1
    assert moment > 10


@pytest.mark.parametrize("which", range(len(ALL_FOUR)))
def test_what_is_being_saved_when_a_company_is_connected_again_is_not_lost(
    firm: Firm, engine: Engine, session: Session, which: int
) -> None:
    firm.disconnect()
    save = firm.saves("Began before", firm.pay_meanwhile())[which]
    with firm.sessions() as saving:
        save(saving)
        saving.flush()
        connecting = threading.Thread(target=firm.connect)
        connecting.start()
        eventually(lambda: _all_done_or_waiting(engine, [connecting]))
        saving.commit()
    connecting.join()
    assert firm.kept(session, "Began before") == [ALL_FOUR[which]]


def test_what_is_saved_while_companies_are_changed_is_not_lost(
    firm: Firm, engine: Engine, session: Session
) -> None:
    moment, was_there = 0, True
    while was_there:
        value = f"Saved at {moment}"
        firm.connect(OAK)
        saves = firm.saves(value, firm.pay_meanwhile())
        with meanwhile(engine, firm, CLOSES, moment, saves) as came:
            firm.connect(RIVERA)
        was_there = bool(came)
        if was_there:
            assert firm.kept(session, value) == ALL_FOUR, moment
        lanes.skip_waiting(session, firm.lane)
        session.commit()
        moment += 3  # much happens in between that names no record
    assert moment > 10


def test_what_began_while_a_firm_was_outside_the_us_is_not_lost(
    firm: Firm, engine: Engine, session: Session
) -> None:
    """Its region came back, and it connected again, before that was saved."""
    organization = session.get_one(Organization, firm.id)
    disconnecting.close_for_region(session, organization)
    organization.region = Region.BR
    session.commit()
    with firm.sessions() as saving:
        saving.get_one(Lead, firm.lead).phone = "Began in BR"
        saving.flush()
        organization.region = Region.US
        session.commit()
        connecting = threading.Thread(target=firm.connect)
        connecting.start()
        eventually(lambda: _all_done_or_waiting(engine, [connecting]))
        saving.commit()
    connecting.join()
    assert firm.kept(session, "Began in BR") == [RecordType.LEAD]
