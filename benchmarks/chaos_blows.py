"""What breaks in a run of chaos: processes, the database, connections, and QuickBooks' answers."""

import os
import signal
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, suppress
from decimal import Decimal
from pathlib import Path

import psutil
from sqlalchemy import Row, select, text

from benchmarks import chaos_log
from benchmarks.chaos_log import Phase, Saved
from benchmarks.chaos_owners import disconnect
from benchmarks.chaos_world import CALL_DEADLINE, Database, Firm, Serving, World, stubbornly
from benchmarks.standby import Pair
from models.outbox import Lane
from models.quickbooks import Connection
from models.sales import GoodwillRefund, Invoice, Lead, Payment

FAILOVER_EVERY = 30.0  # seconds
NEWEST_ARE_LOST = 2.0  # seconds that an asynchronous standby is behind when it takes over


Blow = tuple[str, int, Callable[[], None]]  # name, weight, act


def blows_of(world: World, database: Database | Pair, app: Serving, second: Serving) -> list[Blow]:
    def fault(**do: object) -> Callable[[], None]:
        def add() -> None:
            match: dict[str, object] = {"path": "/v3/company", "nth": world.chance.randint(1, 4)}
            match["times"] = 1 if "bump_sync_token" in do else world.chance.randint(1, 3)
            if world.chance.random() < 0.3:
                match["realm"] = world.chance.choice(world.firms).realm
            if "missing_bids" in do or "item_fault" in do:
                match["path"] = "/batch"
            world.simulator.fault(match=match, do=do)

        return add

    throttled = {"index": 0, "code": "3001"}
    return [
        ("kill a worker", 14, app.kill_worker),
        ("kill the second process", 6, second.kill_worker),
        ("kill all of the app", 1, app.kill_all),
        ("kill all of the second", 1, second.kill_all),
        ("restart PostgreSQL", 1, database.restart),
        ("cut database connections", 4, lambda: _cut_connections(world)),
        ("kill a database process", 1, lambda: _kill_backend(world)),
        ("disconnect", 5, lambda: disconnect(world)),
        ("access tokens run out", 1, lambda: world.simulator.advance(3700)),
        ("time-out after commit", 3, fault(timeout="after")),
        ("time-out before commit", 2, fault(timeout="before")),
        ("answer after the deadline", 2, fault(delay=(CALL_DEADLINE + 0.3) * world.patience)),
        ("reset after commit", 3, fault(reset="after")),
        ("reset before commit", 2, fault(reset="before")),
        ("500", 1, fault(status=500)),
        ("502", 1, fault(status=502, format="html")),
        ("503 after commit", 2, fault(status=503, after_commit=True)),
        ("504 after commit", 1, fault(status=504, after_commit=True)),
        ("429", 1, fault(status=429, retry_after=2)),
        ("401", 1, fault(status=401)),
        ("cut answer", 3, fault(truncate=True)),
        ("missing bIds", 2, fault(missing_bids=1)),
        ("throttled item", 1, fault(item_fault=throttled)),
        ("stale version", 3, fault(bump_sync_token=True)),
    ]


def kill_workers(world: World) -> None:
    """Of both servers: the process that holds back is among them."""
    for serving in world.serving:
        with suppress(StopIteration, AssertionError, psutil.Error):
            for worker in serving.master().children():
                worker.send_signal(signal.SIGKILL)
                world.kills += 1


def _cut_connections(world: World) -> None:
    with world.sessions() as session:
        session.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND random() < 0.5"
            )
        )
        session.commit()


def _kill_backend(world: World) -> None:
    """PostgreSQL reacts to the death of one of its processes with a restart and recovery."""
    with world.sessions() as session:
        pids = session.execute(
            text(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid()"
            )
        ).scalars()
        chosen = world.chance.choice(list(pids) or [0])
    if chosen:
        os.kill(chosen, signal.SIGKILL)


def fail_over(world: World, pair: Pair) -> None:
    if pair.synchronous and pair.failovers % 2:
        pair.switch_over()
        world.faults["the primary turned read-only, the standby took over"] += 1
    elif pair.synchronous:
        pair.fail_over()
        world.faults["the primary died, the standby took over"] += 1
    else:
        _lose_the_newest(world, pair)
        world.faults["the primary died, the standby was behind"] += 1
    pair.follow()


def _lose_the_newest(world: World, pair: Pair) -> None:
    """What is saved from the cut on may go either way, as while a connect is under way."""
    with world.owning:
        for firm in world.firms:
            firm.log.phases.change(Phase.MAYBE)
        pair.catch_up()  # what was saved before is on the standby
        pair.cut()
        time.sleep(NEWEST_ARE_LOST)
        pair.fail_over()
        with ExitStack() as turns:
            for turn in world.turns:
                turns.enter_context(turn)
            stubbornly(lambda: _forget_what_is_lost(world))
            for firm in world.firms:
                stubbornly(lambda firm=firm: _look_at_phase(world, firm))  # type: ignore[misc]


def _forget_what_is_lost(world: World) -> None:
    """Writers don't touch again what the new server does not know."""
    with world.sessions() as session:
        leads = {one.id: one.phone for one in session.execute(select(Lead.id, Lead.phone))}
        names = {one.name: one.id for one in session.execute(select(Lead.id, Lead.name))}
        invoices = {one.mark: one for one in session.execute(
            select(Invoice.mark, Invoice.id, Invoice.memo))}  # fmt: skip
        payments = {one.mark: one for one in session.execute(
            select(Payment.mark, Payment.id, Payment.refunded_amount))}  # fmt: skip
        refunds = set(session.scalars(select(GoodwillRefund.mark)))
    lost = 0
    for firm in world.firms:
        for lead in firm.log.leads:
            if lead.gone:
                continue
            lead.gone = names.get(lead.name) != lead.id
            kept = None if lead.gone else leads[lead.id]
            lost += _forget_edits(firm, kept, lead.saves)
        for invoice in firm.log.invoices:
            if invoice.gone:
                continue
            known = invoices.get(invoice.mark)
            invoice.gone = known is None or known.id != invoice.id
            kept = None if invoice.gone or known is None else known.memo
            lost += _forget_edits(firm, kept, invoice.saves)
            lost += _forget_money(invoice, payments, refunds)
    world.saves_lost += lost


def _forget_money(
    invoice: chaos_log.Invoice,
    payments: Mapping[str, Row[str, int, Decimal]],
    refunds: Collection[str],
) -> int:
    """How many payments, refunds and payments taken back were lost. Another payment may have the
    number of one that is gone, perhaps of another firm."""
    lost = 0
    for payment in invoice.payments:
        known = payments.get(payment.mark)
        gone = known is None or known.id != payment.id
        given_back = payment.taken_back and known is not None and not known.refunded_amount
        if (gone and not payment.gone) or given_back:
            payment.gone, invoice.lost_money = gone, True
            payment.taken_back = None
            lost += 1
        for refund in payment.refunds:
            lost += refund.mark not in refunds and not refund.gone
            refund.gone = refund.mark not in refunds
    return lost


def _forget_edits(firm: Firm, kept: str | None, saves: list[Saved]) -> int:
    """How many were lost, if this is what the new server has."""
    version = chaos_log.version_of(kept or "") or 0
    lost = {one.version for one in saves if one.version > version}
    firm.log.lost_versions |= lost - {1}  # all records have a first version
    return len(lost)


def _look_at_phase(world: World, firm: Firm) -> None:
    """Whether the new server has the firm connected, which it may have been for seconds only."""
    with world.sessions() as session:
        is_open = session.scalar(
            select(Lane.id)
            .join(Connection, Connection.lane_id == Lane.id)
            .where(Connection.organization_id == firm.id, Connection.is_live)
        )
    firm.log.phases.change(Phase.ON if is_open else Phase.OFF)


def takeovers_noticed(folder: Path) -> int:
    """How many of the processes' log lines say that another server took over."""
    logs = (log.read_text(errors="replace") for log in folder.glob("gunicorn-*.log"))
    return sum(log.count("another database server took over") for log in logs)
