"""Simulates people saving records, in the serving process's threads, and records when each was
saved.

Runs inside the worker `benchmarks.ours app`.
"""

import random
import secrets
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy.orm import Session

from benchmarks.firms import Firm, new_customer, new_invoice, new_payment
from db import Sessions
from models.sales import Invoice, Lead, Payment, RecordType

WEB_THREADS = 4
RECENT_CUSTOMERS = 20  # invoices are for one of the firm's newest customers

Saved = tuple[str, int, str, float]  # type, id, customer's name, Unix time when the commit returned


class Desk:
    """The people of one firm."""

    def __init__(self, firm: Firm) -> None:
        self.firm = firm
        self.customers: deque[int] = deque(maxlen=RECENT_CUSTOMERS)
        self.invoices: deque[int] = deque(maxlen=RECENT_CUSTOMERS)

    def save(self, sessions: Sessions, chance: random.Random, *, mixed: bool) -> Saved:
        with sessions() as session:
            record = self._new_record(session, chance.random() if mixed else 0.0, chance)
            session.add(record)
            session.commit()
            at = time.time()
            match record:
                case Lead():
                    self.customers.append(record.id)
                    return RecordType.LEAD, record.id, record.name, at
                case Invoice():
                    self.invoices.append(record.id)
                    return RecordType.INVOICE, record.id, "", at
                case Payment():
                    return RecordType.PAYMENT, record.id, "", at

    def _new_record(
        self, session: Session, roll: float, chance: random.Random
    ) -> Lead | Invoice | Payment:
        """Half of the records are customers, three in ten invoices, two in ten payments."""
        if roll < 0.5 or not self.customers:
            return new_customer(self.firm, f"Customer {secrets.token_hex(6)}")
        if roll < 0.8 or not self.invoices:
            customer = session.get_one(Lead, chance.choice(self.customers))
            return new_invoice(self.firm, customer, secrets.token_hex(4))
        return new_payment(self.firm, session.get_one(Invoice, self.invoices.popleft()))


def write(
    sessions: Sessions, firms: Sequence[Firm], *, every: float, seconds: float, mixed: bool
) -> list[Saved]:
    """Saves for `seconds`, once every `every` seconds on average, at random moments."""
    chance = random.Random(7)
    desks = [Desk(firm) for firm in firms]
    next_at = time.monotonic()
    ends_at = next_at + seconds
    with ThreadPoolExecutor(WEB_THREADS) as pool:
        saving = []
        while next_at < ends_at:
            time.sleep(max(0.0, next_at - time.monotonic()))
            saving.append(pool.submit(chance.choice(desks).save, sessions, chance, mixed=mixed))
            next_at += chance.expovariate(1 / every)
        return [each.result() for each in saving]
