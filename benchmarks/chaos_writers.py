"""What people save in a run of chaos, each save certain before the next."""

import random
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from decimal import Decimal
from functools import partial

from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, NoResultFound, SQLAlchemyError
from sqlalchemy.orm import Session

from benchmarks import chaos_log, chaos_money
from benchmarks.chaos_log import Saved
from benchmarks.chaos_world import WRITERS, Firm, World, stubbornly
from models.sales import Invoice, InvoiceLine, Lead, Payment, new_mark

WRITES_PER_SECOND = 20.0
FOREIGN_KEY = "23503"  # SQLSTATE foreign_key_violation


def write_records(world: World, number: int) -> None:
    """One person of several firms, who saves one record after another."""
    chance = random.Random(f"{world.chance.random()} {number}")
    firms = world.firms[number::WRITERS]
    while not world.ending.is_set():
        firm = chance.choice(firms)
        kind = chance.choices(
            [
                _new_lead, _new_invoice, _new_payment, _edit_lead, _edit_invoice, _void_invoice,
                *MONEY,
            ],
            [28, 26, 18, 12, 14, 2, 3, 3, 6, 6],
        )[0]  # fmt: skip
        with world.turns[number], suppress(_Gone):
            kind(world, firm, chance)
        time.sleep(chance.expovariate(WRITES_PER_SECOND / WRITERS))


class _Gone(Exception):
    """What was to be changed went down with a server."""


_ONE_SAVE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(:key)")


def _save(
    world: World, write: Callable[[Session], None], is_there: Callable[[Session], bool]
) -> Saved:
    """Saves until the record is certainly stored; after a commit
    without an answer, looks for it.

    A commit that waits for a synchronous standby is not seen yet, even when the connection is gone;
    the lock waits for its end, so that the record is not saved twice.
    """
    begin, lock = time.monotonic(), {"key": secrets.randbits(62)}
    while True:
        try:
            with world.sessions() as session:
                session.execute(_ONE_SAVE_AT_A_TIME, lock)
                write(session)
                session.commit()
            return Saved(0, begin, time.monotonic())
        except NoResultFound as problem:
            raise _Gone from problem
        except IntegrityError as problem:
            if getattr(problem.orig, "pgcode", None) == FOREIGN_KEY:
                raise _Gone from problem
            time.sleep(0.2)
        except SQLAlchemyError:
            time.sleep(0.2)
        if _is_stored(world, lock, is_there):
            return Saved(0, begin, time.monotonic())


def _is_stored(world: World, lock: dict[str, int], is_there: Callable[[Session], bool]) -> bool:
    """Asks until there is an answer: after a look that failed, saving again could save it twice."""
    while True:
        try:
            with world.sessions() as session:
                session.execute(_ONE_SAVE_AT_A_TIME, lock)
                return is_there(session)
        except NoResultFound as problem:
            raise _Gone from problem
        except SQLAlchemyError:
            time.sleep(0.2)


def _at(saved: Saved, version: int) -> Saved:
    return Saved(version, saved.begin, saved.end)


def _new_lead(world: World, firm: Firm, chance: random.Random) -> None:
    name = f"Customer {secrets.token_hex(5)}"
    version = next(world.versions)  # no two leads have one number: their owners would be asked

    def write(session: Session) -> None:
        session.add(Lead(organization_id=firm.id, name=name, phone=f"555-{version}"))

    def is_there(session: Session) -> bool:
        return session.scalar(select(Lead.id).where(Lead.name == name)) is not None

    saved = _save(world, write, is_there)
    id_ = _known(world, select(Lead.id).where(Lead.name == name))
    firm.log.leads.append(chaos_log.Lead(id_, name, [_at(saved, version)]))


def _known(world: World, query: object) -> int:
    found: list[int] = []

    def read() -> None:
        with world.sessions() as session:
            try:
                found.append(session.execute(query).scalar_one())  # type: ignore[call-overload]
            except NoResultFound as problem:  # saved, and lost before we looked
                raise _Gone from problem

    stubbornly(read)
    return found[0]


def _known_lead(firm: Firm, chance: random.Random) -> chaos_log.Lead | None:
    known = [one for one in firm.log.leads[-12:] if not one.gone]
    return chance.choice(known) if known else None


def _edit_lead(world: World, firm: Firm, chance: random.Random) -> None:
    lead = _known_lead(firm, chance)
    if lead is None:
        return
    version = next(world.versions)
    phone = f"555-{version}"

    def write(session: Session) -> None:
        session.get_one(Lead, lead.id).phone = phone

    def is_there(session: Session) -> bool:
        return session.get_one(Lead, lead.id).phone == phone

    lead.saves.append(_at(_save(world, write, is_there), version))


def _new_invoice(world: World, firm: Firm, chance: random.Random) -> None:
    lead = _known_lead(firm, chance)
    if lead is None:
        return
    number, mark = secrets.token_hex(5), new_mark()
    lines = [
        (
            chance.choice(firm.products),
            chance.randint(1, 9),
            Decimal(chance.randint(100, 30000)) / 100,
        )
        for _ in range(chance.randint(1, 3))
    ]

    def write(session: Session) -> None:
        session.add(
            Invoice(
                organization_id=firm.id, lead_id=lead.id, number=number, mark=mark, memo="note 1",
                issued_on=date(2026, 11, 18), due_on=date(2026, 12, 18), tax_rate=Decimal(0),
                lines=[
                    InvoiceLine(organization_id=firm.id, position=index, product_id=product,
                                description="Work", quantity=Decimal(quantity), unit_price=price)
                    for index, (product, quantity, price) in enumerate(lines)
                ],
            )
        )  # fmt: skip

    def is_there(session: Session) -> bool:
        return session.scalar(select(Invoice.id).where(Invoice.mark == mark)) is not None

    saved = _save(world, write, is_there)
    id_ = _known(world, select(Invoice.id).where(Invoice.mark == mark))
    total = sum((quantity * price for _, quantity, price in lines), Decimal(0))
    firm.log.invoices.append(chaos_log.Invoice(id_, number, mark, lead, total, [_at(saved, 1)]))


def _open_invoice(firm: Firm, chance: random.Random) -> chaos_log.Invoice | None:
    open_ = [
        one for one in firm.log.invoices[-12:] if not (one.voided or one.gone or one.awaits_payment)
    ]
    return chance.choice(open_) if open_ else None


def _new_payment(world: World, firm: Firm, chance: random.Random) -> None:
    invoice = _open_invoice(firm, chance)
    if invoice is None:
        return
    left = invoice.total - chaos_money.paid(invoice)
    if left <= 0:
        return
    mark = new_mark()
    amount = left if chance.random() < 0.4 else max(Decimal("0.01"), round(left / 2, 2))

    def write(session: Session) -> None:
        session.add(
            Payment(organization_id=firm.id, invoice_id=invoice.id, amount=amount, method="card",
                    received_on=date(2026, 11, 20), mark=mark)
        )  # fmt: skip

    def is_there(session: Session) -> bool:
        return session.scalar(select(Payment.id).where(Payment.mark == mark)) is not None

    saved = _save(world, write, is_there)
    id_ = _known(world, select(Payment.id).where(Payment.mark == mark))
    invoice.payments.append(chaos_log.Payment(id_, mark, amount, saved))


def _with_money(
    act: Callable[[chaos_money.Desk], None],
) -> Callable[[World, Firm, random.Random], None]:
    """What `chaos_money` does, as an act of a writer."""

    def play(world: World, firm: Firm, chance: random.Random) -> None:
        invoice = _open_invoice(firm, chance)
        save = partial(_save, world)
        act(chaos_money.Desk(firm.id, firm.log, invoice, save, world.till, chance))

    return play


MONEY = [_with_money(act) for act in chaos_money.ACTS]


def _edit_invoice(world: World, firm: Firm, chance: random.Random) -> None:
    invoice = _open_invoice(firm, chance)
    if invoice is None:
        return
    version = next(world.versions)
    memo = f"note {version}"

    def write(session: Session) -> None:
        session.get_one(Invoice, invoice.id).memo = memo

    def is_there(session: Session) -> bool:
        return session.get_one(Invoice, invoice.id).memo == memo

    invoice.saves.append(_at(_save(world, write, is_there), version))


def _void_invoice(world: World, firm: Firm, chance: random.Random) -> None:
    invoice = _open_invoice(firm, chance)
    if invoice is None or invoice.payments:
        return

    def write(session: Session) -> None:
        now = session.execute(text("SELECT clock_timestamp()")).scalar_one()
        session.get_one(Invoice, invoice.id).voided_at = now

    def is_there(session: Session) -> bool:
        return session.get_one(Invoice, invoice.id).voided_at is not None

    invoice.voided = _save(world, write, is_there)
