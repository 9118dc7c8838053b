"""The same game as in test_state_machine, with the real delivery and a simulated company.

Fewer steps, since each is a real call. What was written is remembered beside the outbox, and in
the end the company's books are compared with that, as the chaos benchmark does.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from time import monotonic

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks import chaos_log
from benchmarks.chaos_log import FirmLog, Saved, Verdict, judge
from config import Config
from db import Sessions
from models.outbox import Entry, State
from models.sales import Invoice, Lead, Payment
from outbox import actions, lanes
from quickbooks import disconnecting
from quickbooks.delivery import QuickBooks
from simulator.testing import SimulatorHandle
from tests.support import connected
from tests.support.drains import make_due
from tests.support.firm import new_invoice, new_line, new_product

FAULTS: dict[str, dict[str, object]] = {
    "reset before commit": {"reset": "before"},
    "reset after commit": {"reset": "after"},
    "500": {"status": 500},
    "503 after commit": {"status": 503, "after_commit": True},
    "429": {"status": 429},
    "401": {"status": 401},
    "cut": {"truncate": True},
    "missing bIds": {"missing_bids": 1},
    "throttled item": {"item_fault": {"index": 0, "code": "3001"}},
    "stale version": {"bump_sync_token": True},
}

numbers = st.integers(min_value=0, max_value=10)


class Company(RuleBasedStateMachine):
    sessions: Sessions
    config: Config
    simulator: SimulatorHandle
    firms = count()

    @initialize()
    def connect_a_firm(self) -> None:
        number = next(self.firms)
        self.session = self.sessions()
        self.owner = connected.new_owner(self.session, email=f"owner{number}@example.com")
        self.firm = connected.firm_of(self.owner)
        realm = self.simulator.add_company(f"Company {number}")
        self.simulator.company(realm, CustomTxnNumbers=True)
        self.lane = connected.connect(self.sessions, self.config, self.owner, realm).lane_id
        self.log = FirmLog(realm)
        self.log.phases.change(chaos_log.Phase.ON)
        self.company = QuickBooks(self.sessions, self.config)
        self.versions = count(1)

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self._come_to_rest()
            self.session.close()

    def _save(self, write: Callable[[Session], None], version: int = 0) -> Saved:
        begin = monotonic()
        with self.sessions() as session:
            write(session)
            session.commit()
        return Saved(version, begin, monotonic())

    # --- Writers ------------------------------------------------------------------------------

    @rule()
    def new_lead(self) -> None:
        name = f"Customer {self.firm} {next(self.versions)}"
        lead = Lead(organization_id=self.firm, name=name, phone="555-1")
        saved = self._save(lambda session: session.add(lead), 1)
        self.log.leads.append(chaos_log.Lead(lead.id, name, [saved]))

    @precondition(lambda self: self.log.leads)
    @rule(which=numbers)
    def edit_lead(self, which: int) -> None:
        lead = self.log.leads[which % len(self.log.leads)]
        version = lead.saves[-1].version + 1

        def write(session: Session) -> None:
            session.get_one(Lead, lead.id).phone = f"555-{version}"

        lead.saves.append(self._save(write, version))

    @precondition(lambda self: self.log.leads)
    @rule(which=numbers, price=st.integers(1, 99), has_product=st.booleans())
    def new_invoice(self, which: int, price: int, has_product: bool) -> None:
        lead = self.log.leads[which % len(self.log.leads)]
        version = next(self.versions)
        made: list[Invoice] = []

        def write(session: Session) -> None:
            product = new_product(self.firm, f"Service {version}") if has_product else None
            line = new_line(self.firm, quantity="2", price=str(price), product=product)
            of = session.get_one(Lead, lead.id)
            invoice = new_invoice(self.firm, of, [line], number=f"N{version}")
            invoice.memo = "note 1"
            session.add(invoice)
            made.append(invoice)

        saved = self._save(write, 1)
        [invoice] = made
        self.log.invoices.append(
            chaos_log.Invoice(
                invoice.id, invoice.number, invoice.mark, lead, Decimal(2 * price), [saved]
            )
        )

    @precondition(lambda self: self.log.invoices)
    @rule(which=numbers)
    def edit_invoice(self, which: int) -> None:
        invoice = self.log.invoices[which % len(self.log.invoices)]
        if invoice.voided:
            return
        version = invoice.saves[-1].version + 1

        def write(session: Session) -> None:
            session.get_one(Invoice, invoice.id).memo = f"note {version}"

        invoice.saves.append(self._save(write, version))

    @precondition(lambda self: self.log.invoices)
    @rule(which=numbers)
    def pay(self, which: int) -> None:
        invoice = self.log.invoices[which % len(self.log.invoices)]
        if invoice.voided or len(invoice.payments) == 2:
            return
        payment = Payment(
            organization_id=self.firm,
            invoice_id=invoice.id,
            amount=invoice.total / 2,
            method="card",
            received_on=date(2026, 11, 20),
        )
        saved = self._save(lambda session: session.add(payment))
        invoice.payments.append(
            chaos_log.Payment(payment.id, payment.mark, invoice.total / 2, saved)
        )

    @precondition(lambda self: self.log.invoices)
    @rule(which=numbers)
    def void(self, which: int) -> None:
        invoice = self.log.invoices[which % len(self.log.invoices)]
        if invoice.voided or invoice.payments:
            return

        def write(session: Session) -> None:
            session.get_one(Invoice, invoice.id).voided_at = datetime.now(UTC)

        invoice.voided = self._save(write)

    # --- Everything else ----------------------------------------------------------------------

    @rule(kind=st.sampled_from(sorted(FAULTS)), nth=st.integers(1, 2))
    def fault(self, kind: str, nth: int) -> None:
        path = "/batch" if kind in ("missing bIds", "throttled item") else "/v3/company"
        self.simulator.fault(match={"path": path, "nth": nth, "times": 1}, do=FAULTS[kind])

    @rule()
    def drain(self) -> None:
        connected.drain(self.sessions, self.config, self.lane)

    @rule()
    def time_passes(self) -> None:
        make_due(self.session)

    @rule()
    def disconnect(self) -> None:
        self.log.phases.change(chaos_log.Phase.MAYBE)
        disconnecting.disconnect(self.sessions, self.config, self.firm, self.owner)
        self.log.phases.change(chaos_log.Phase.OFF)

    @rule()
    def reconnect(self) -> None:
        self.simulator.clear_faults()
        self.log.phases.change(chaos_log.Phase.MAYBE)
        connected.connect(self.sessions, self.config, self.owner, self.log.realm)
        self.log.phases.change(chaos_log.Phase.ON)
        self.session.rollback()
        lanes.send_waiting(self.session, self.lane)
        self.session.commit()

    @invariant()
    def nothing_is_there_twice(self) -> None:
        if not hasattr(self, "log"):
            return
        books = self.simulator.books(self.log.realm)
        found = Counter(
            str(row.get(key))
            for entity, key in (
                ("Customer", "DisplayName"),
                ("Item", "Name"),
                ("Invoice", "DocNumber"),
                ("Payment", "PaymentRefNum"),
            )
            for row in books.get(entity, [])
        )
        assert not found or found.most_common(1)[0][1] == 1

    def _come_to_rest(self) -> None:
        self.reconnect()
        for _ in range(8):
            make_due(self.session)
            self.drain()
            stopped = self.session.scalars(
                select(Entry.id).where(
                    Entry.lane_id == self.lane, Entry.state == "failed", Entry.fault_code == "5010"
                )
            ).all()
            actions.requeue(self.session, stopped, organization_id=self.firm)
            self.session.commit()
        left = self.session.scalars(
            select(Entry).where(
                Entry.lane_id == self.lane, Entry.state.in_([State.PENDING, State.FAILED])
            )
        ).all()
        assert not left, [
            (e.state, e.record_type, e.waits_for_type, e.fault_code, e.fault_detail) for e in left
        ]
        verdict = Verdict()
        journal = [one for one in self.simulator.journal() if one["realm"] == self.log.realm]
        judge(self.log, self.simulator.books(self.log.realm), journal, verdict)
        assert not verdict.details


@pytest.mark.timeout(3600)
def test_whatever_a_company_answers_its_books_come_right(
    sessions: Sessions, config: Config, simulator: SimulatorHandle, request: pytest.FixtureRequest
) -> None:
    Company.sessions, Company.config, Company.simulator = sessions, config, simulator
    is_full = request.config.getoption("--full")
    run_state_machine_as_test(
        Company,
        settings=settings(
            max_examples=150 if is_full else 5,
            stateful_step_count=40 if is_full else 20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
            print_blob=True,
        ),
    )
