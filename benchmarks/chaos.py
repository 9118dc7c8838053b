"""Chaos: everything that can break breaks, and the books must be right nevertheless.

    python -m benchmarks.chaos --seed 7 --minutes 10 [--json] [--quick]
        [--pooler | --standby synchronous | --standby asynchronous] [--clocks-apart 90]

Serving processes under gunicorn, writers for many firms, a PostgreSQL of its own and the
simulator; processes are killed with `kill -9`, the database restarted, connections cut, QuickBooks
answers late, wrongly or not at all, firms disconnect and reconnect. In the end the simulator's
books are compared with the writers' own log. Exits with 1 when anything is lost, doubled, out of
order, wrong or stuck.

With `--standby` a second PostgreSQL follows the first and takes over again and again while records
flow. Asynchronous, it lacks the last seconds each time: what was saved then may be there or not,
which is counted, and must not be doubled, mixed up or stuck; what was saved before is all there.
"""

import argparse
import itertools
import json
import os
import random
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path

import psutil
import requests
import structlog
from cryptography.fernet import Fernet
from sqlalchemy import or_, select, text
from sqlalchemy.exc import IntegrityError, NoResultFound, SQLAlchemyError
from sqlalchemy.orm import Session

from benchmarks import chaos_log, chaos_money
from benchmarks.chaos_log import FirmLog, Phase, Saved, Verdict, judge
from benchmarks.clocks import ahead_of_time
from benchmarks.pooler import running_pooler
from benchmarks.standby import Pair
from config import Config
from db import Sessions, make_engine, make_sessions
from development import processes
from development.database import migrate
from development.postgres import Server, running_postgres
from development.processes import Tethered
from development.stack import ROOT, free_port
from models.accounts import User
from models.outbox import Counterpart, Entry, Lane, LaneState
from models.quickbooks import Connection, Purpose
from models.sales import Invoice, InvoiceLine, Lead, Payment, Product, new_mark
from outbox import actions, lanes
from outbox.capture import attach
from quickbooks import consenting, decisions, disconnecting
from quickbooks.consenting import Connected
from quickbooks.oauth import Unavailable
from simulator.testing import Books, SimulatorHandle, running_simulator
from stripe_simulator.testing import StripeHandle, running_stripe
from tests.support.connected import consent, finish, new_owner
from tests.support.firm import new_firm

CALL_DEADLINE, LEASE, RESEND_AFTER = 2, 3, 6  # seconds
WORKS_ON = 2.5  # a request ends before it is repeated, as at Intuit with 120 s and 125 s
QUIET_WITHIN = 240.0  # seconds for everything to arrive after the last failure
WRITES_PER_SECOND = 20.0
WRITERS = 5
OWNERS_TRY_FOR = 300.0  # seconds, each of which may bring another fault
FAILOVER_EVERY = 30.0  # seconds
NEWEST_ARE_LOST = 2.0  # seconds that an asynchronous standby is behind when it takes over
FOREIGN_KEY = "23503"  # SQLSTATE foreign_key_violation
CALM_EVERY = 25  # failures, after which faults that were not triggered are removed
# another user keeps editing the same object in QuickBooks: a person must decide
STALE_TWICE = "5010"
# The customer was made with an edit that went down with a server: the lead has other values now,
# and the owner is asked whether it is the same.
NAME_TAKEN = "6240"
# Our own edit went down with a server, so that it looks like one of somebody in QuickBooks.
EDITED_THERE = "edited_there"


@dataclass
class Firm:
    id: int
    owner: User
    products: list[int]
    log: FirmLog

    @property
    def realm(self) -> str:
        return self.log.realm


@dataclass
class World:
    """The parts of a run, and what was done to them."""

    chance: random.Random
    environ: dict[str, str]
    config: Config
    sessions: Sessions
    simulator: SimulatorHandle
    patience: float  # how many times longer everything may take, on a busy machine
    firms: list[Firm] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)
    # Each writer's turn and the owners' acts: a failover that loses something waits for their end.
    turns: list[threading.Lock] = field(
        default_factory=lambda: [threading.Lock() for _ in range(WRITERS)]
    )
    owning: threading.RLock = field(default_factory=threading.RLock)
    versions: Iterator[int] = field(default_factory=lambda: itertools.count(2))
    saves_lost: int = 0  # with servers whose standby was behind
    asked: int = 0  # whether a customer is the one that a lost edit described
    kills: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    serving: list["Serving"] = field(default_factory=list)
    till: chaos_money.Till | None = None  # None: clients don't pay online


# --- The run ------------------------------------------------------------------------------------


def run(
    seed: int,
    minutes: float,
    firms: int,
    *,
    pooled: bool = False,
    standby: str | None = None,
    clocks_apart: float = 0,
    patience: float = 1,
    logs: Path | None = None,
) -> dict[str, object]:
    began = time.monotonic()
    with ExitStack() as life:
        folder = Path(life.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        folder.chmod(0o755)  # PostgreSQL's own account has to come through
        database = life.enter_context(_database(folder / "pg", standby))
        migrate(database.url)
        simulator = life.enter_context(running_simulator())
        url = database.url
        if pooled:
            url = life.enter_context(running_pooler(url, folder / "pooler"))
        # Stripe knows what a standby lost, which would be another run.
        stripe = None if standby else life.enter_context(running_stripe())
        world = _world(seed, url, simulator, patience, stripe)
        for number in range(firms):
            world.firms.append(_new_firm(world, number))
        app = life.enter_context(_served(world, folder, "--workers=2"))
        second = life.enter_context(_served(world, folder, "--workers=1", ahead=clocks_apart))
        world.serving += [app, second]
        if stripe:
            chaos_money.send_events_to(stripe, app.port)
        _say(f"{firms} firms are connected after {time.monotonic() - began:.0f} s")
        _storm(world, database, app, second, minutes)
        quiet = _wait_for_quiet(world)
        report = _report(world, seed, minutes, quiet, time.monotonic() - began)
        if logs:
            logs.mkdir(parents=True, exist_ok=True)
            for log in folder.glob("gunicorn-*.log"):
                shutil.copy(log, logs)
        if isinstance(database, Pair):
            report["failovers"] = database.failovers
            report["failovers_noticed"] = _noticed(folder)
            with world.sessions() as session:
                known = text("SELECT server = current_server() FROM database_server")
                report["last_server_is_known"] = session.scalar(known)
        return report


def _world(
    seed: int,
    database_url: str,
    simulator: SimulatorHandle,
    patience: float,
    stripe: StripeHandle | None,
) -> World:
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the simulator speaks plain http
    environ = {
        "DATABASE_URL": database_url,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "TOKEN_KEYS": Fernet.generate_key().decode(),
        "QUICKBOOKS_ENVIRONMENT": "simulator",
        "SIMULATOR_URL": simulator.url,
        "PAYMENTS_WEBHOOK_SECRET": secrets.token_urlsafe(32),
        "CALL_DEADLINE": str(CALL_DEADLINE * patience),
        "LEASE": str(LEASE * patience),
        "RESEND_AFTER": str(RESEND_AFTER * patience),
        "POLL_INTERVAL": "0.5",
        **(chaos_money.environ(stripe) if stripe else {}),
    }
    engine = make_engine(database_url)
    sessions = make_sessions(engine)
    attach(sessions)
    config = Config.from_environ(environ)
    world = World(random.Random(seed), environ, config, sessions, simulator, patience)
    if stripe:
        world.till = chaos_money.till(
            stripe, config, sessions, patience, lambda: _kill_workers(world), world.faults
        )
    return world


def _new_firm(world: World, number: int) -> Firm:
    realm = world.simulator.add_company(f"Company {number}")
    behaviour = world.chance.choice(["wait", "wait", "duplicate", "600"])
    world.simulator.company(
        realm,
        works_on_after_hangup=WORKS_ON * world.patience,
        requestid_while_running=behaviour,
        replay_faults=world.chance.random() < 0.5,
        latency=0.01,
        CustomTxnNumbers=True,
    )
    with world.sessions() as session:
        firm_id = new_firm(session, name=f"Firm {number}")
        owner = new_owner(session, firm_id, f"owner{number}@example.com")
        products = [
            Product(organization_id=firm_id, name=f"Service {index}", unit_price=Decimal(50))
            for index in range(5)
        ]
        session.add_all(products)
        session.commit()
        firm = Firm(firm_id, owner, [one.id for one in products], FirmLog(realm))
    _connect(world, firm)
    with world.sessions.begin() as session:
        chaos_money.choose(session, firm_id, world.simulator.books(realm))
    if world.till:
        world.till.open_account(firm.id)
    return firm


def _storm(
    world: World, database: "Database | Pair", app: "Serving", second: "Serving", minutes: float
) -> None:
    threads = [
        threading.Thread(target=_write, args=(world, number), daemon=True)
        for number in range(WRITERS)
    ]
    threads.append(threading.Thread(target=_own, args=(world,), daemon=True))
    for thread in threads:
        thread.start()
    ends_at = time.monotonic() + minutes * 60
    blows = _blows(world, database, app, second)
    names = [name for name, weight, _ in blows for _ in range(weight)]
    act = {name: do for name, _, do in blows}
    said_at = failed_over_at = time.monotonic()
    while time.monotonic() < ends_at:
        name = world.chance.choice(names)
        try:
            act[name]()
            world.faults[name] += 1
        except (SQLAlchemyError, psutil.Error, OSError) as problem:
            _say(f"{name} did not work: {type(problem).__name__}")
        if isinstance(database, Pair) and time.monotonic() - failed_over_at > FAILOVER_EVERY:
            _fail_over(world, database)
            failed_over_at = time.monotonic()
        app.revive()
        second.revive()
        if sum(world.faults.values()) % CALM_EVERY == 0:
            world.simulator.clear_faults()
        if time.monotonic() - said_at > 60:
            said_at = time.monotonic()
            records = sum(firm.log.records for firm in world.firms)
            _say(f"{records} records, {world.kills} kills, {sum(world.faults.values())} blows")
        time.sleep(world.chance.uniform(0.5, 2.0))
    world.ending.set()
    for thread in threads:
        thread.join(60)
    world.simulator.clear_faults()


# --- Blows --------------------------------------------------------------------------------------


class Database:
    """A PostgreSQL that can be restarted on the same folder and address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._life = ExitStack()
        self._server: Server | None = None

    def start(self) -> None:
        self._server = self._life.enter_context(running_postgres(self.folder, throwaway=True))
        engine = make_engine(self.url, pool_size=1)
        with engine.begin() as connection:
            # Commits must survive the death of any process, though not of the machine.
            connection.execute(text("ALTER DATABASE postgres SET synchronous_commit = on"))
        engine.dispose()

    def stop(self) -> None:
        self._life.close()

    @property
    def url(self) -> str:
        assert self._server is not None
        return self._server.url()

    def restart(self) -> None:
        self.stop()
        self.start()


@contextmanager
def _database(folder: Path, standby: str | None) -> Iterator[Database | Pair]:
    database = Pair(folder, synchronous=standby == "synchronous") if standby else Database(folder)
    database.start()
    try:
        yield database
    finally:
        database.stop()


class Serving:
    """`gunicorn app:app`, restarted whenever it has ended."""

    def __init__(self, world: World, folder: Path, options: tuple[str, ...], ahead: float) -> None:
        self.world = world
        self.clock = ahead_of_time(ahead) if ahead else {}
        self.options = options
        self.port = free_port()
        self.log = folder / f"gunicorn-{self.port}.log"
        self.tethered: Tethered | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.tethered = processes.start(
                "app",
                [sys.executable, "-m", "gunicorn", "app:app", f"--bind=127.0.0.1:{self.port}",
                 *self.options],
                environ={**os.environ, **self.world.environ, **self.clock,
                         "BASE_URL": f"http://127.0.0.1:{self.port}"},
                output=output,
                folder=ROOT,
            )  # fmt: skip

    def stop(self) -> None:
        if self.tethered is not None:
            self.tethered.stop(35)

    def revive(self) -> None:
        if self.tethered is None or self.tethered.ended:
            self.stop()
            self.start()

    def master(self) -> psutil.Process:
        assert self.tethered is not None
        children = psutil.Process(self.tethered.shell.pid).children()
        return next(one for one in children if "gunicorn" in " ".join(one.cmdline()))

    def kill_worker(self) -> None:
        with suppress(StopIteration):
            if workers := self.master().children():
                self.world.chance.choice(workers).send_signal(signal.SIGKILL)
                self.world.kills += 1

    def kill_all(self) -> None:
        with suppress(StopIteration):
            master = self.master()
            for process in [master, *master.children()]:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
                    self.world.kills += 1


@contextmanager
def _served(world: World, folder: Path, *options: str, ahead: float = 0) -> Iterator[Serving]:
    serving = Serving(world, folder, options, ahead)
    serving.start()
    try:
        yield serving
    finally:
        serving.stop()


Blow = tuple[str, int, Callable[[], None]]  # name, weight, act


def _blows(world: World, database: Database | Pair, app: Serving, second: Serving) -> list[Blow]:
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
        ("disconnect", 5, lambda: _disconnect(world)),
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


def _kill_workers(world: World) -> None:
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


# --- A standby takes over -------------------------------------------------------------------------


def _fail_over(world: World, pair: Pair) -> None:
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
            _stubbornly(lambda: _forget_what_is_lost(world))
            for firm in world.firms:
                _stubbornly(lambda firm=firm: _look_at_phase(world, firm))  # type: ignore[misc]


def _forget_what_is_lost(world: World) -> None:
    """Writers don't touch again what the new server does not know."""
    with world.sessions() as session:
        leads = {one.id: one.phone for one in session.execute(select(Lead.id, Lead.phone))}
        names = {one.name: one.id for one in session.execute(select(Lead.id, Lead.name))}
        invoices = {one.mark: one for one in session.execute(
            select(Invoice.mark, Invoice.id, Invoice.memo))}  # fmt: skip
        payments = set(session.scalars(select(Payment.mark)))
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
            lost += sum(1 for one in invoice.payments if one.mark not in payments)
    world.saves_lost += lost


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


def _noticed(folder: Path) -> int:
    """How many of the processes' log lines say that another server took over."""
    logs = (log.read_text(errors="replace") for log in folder.glob("gunicorn-*.log"))
    return sum(log.count("another database server took over") for log in logs)


# --- Owners -------------------------------------------------------------------------------------


def _disconnect(world: World) -> None:
    firm = world.chance.choice(world.firms)
    if firm.log.phases.now is not Phase.ON:
        return

    def end() -> None:
        with world.owning:
            firm.log.phases.change(Phase.MAYBE)
            _stubbornly(
                lambda: disconnecting.disconnect(world.sessions, world.config, firm.id, firm.owner)
            )
            firm.log.phases.change(Phase.OFF)

    threading.Thread(target=end, daemon=True).start()


def _own(world: World) -> None:
    """Owners reconnect after a while, and send what waited."""
    chance = random.Random(world.chance.random())
    while not world.ending.wait(chance.uniform(1.0, 3.0)):
        for firm in world.firms:
            if firm.log.phases.now is Phase.OFF and chance.random() < 0.3:
                with world.owning:
                    _connect(world, firm)
        with world.owning:
            _stubbornly(lambda: _renew_expired(world))


def _connect(world: World, firm: Firm) -> None:
    firm.log.phases.change(Phase.MAYBE)
    _stubbornly(lambda: _go_through(world, firm, Purpose.CONNECT))
    firm.log.phases.change(Phase.ON)
    _stubbornly(lambda: _send_waiting(world, firm))


def _go_through(world: World, firm: Firm, purpose: Purpose) -> None:
    address = consenting.begin(world.sessions, world.config, firm.owner, purpose)
    told = consent(address, firm.realm)
    finished = finish(world.sessions, world.config, firm.owner, told)
    if not isinstance(finished, Connected):
        raise OSError(f"not connected: {finished}")


def _send_waiting(world: World, firm: Firm) -> None:
    with world.sessions() as session:
        for lane in session.scalars(
            select(Lane.id).where(Lane.organization_id == firm.id, Lane.state == LaneState.OPEN)
        ).all():
            lanes.send_waiting(session, lane)
        session.commit()


def _renew_expired(world: World) -> None:
    with world.sessions() as session:
        firms = session.scalars(
            select(Connection.organization_id)
            .join(Lane, Lane.id == Connection.lane_id)
            .where((Connection.status == "expired") | (Lane.state == "held"))
        ).all()
    for firm in world.firms:
        if firm.id in firms:
            world.faults["sign-in renewed by its owner"] += 1
            _go_through(world, firm, Purpose.RECONNECT)


def _stubbornly(act: Callable[[], object]) -> None:
    """Repeats until it works: databases restart, and QuickBooks may not answer."""
    deadline = time.monotonic() + OWNERS_TRY_FOR
    while True:
        try:
            act()
            return
        except (SQLAlchemyError, OSError, requests.RequestException, consenting.BadState):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
        except Unavailable:
            time.sleep(0.3)


# --- Writers ------------------------------------------------------------------------------------


def _write(world: World, number: int) -> None:
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
        try:
            with world.sessions() as session:
                session.execute(_ONE_SAVE_AT_A_TIME, lock)
                if is_there(session):
                    return Saved(0, begin, time.monotonic())
        except NoResultFound as problem:
            raise _Gone from problem
        except SQLAlchemyError:
            time.sleep(0.2)


def _at(saved: Saved, version: int) -> Saved:
    return Saved(version, saved.begin, saved.end)


def _new_lead(world: World, firm: Firm, chance: random.Random) -> None:
    name = f"Customer {secrets.token_hex(5)}"

    def write(session: Session) -> None:
        session.add(Lead(organization_id=firm.id, name=name, phone="555-1"))

    def is_there(session: Session) -> bool:
        return session.scalar(select(Lead.id).where(Lead.name == name)) is not None

    saved = _save(world, write, is_there)
    id_ = _known(world, select(Lead.id).where(Lead.name == name))
    firm.log.leads.append(chaos_log.Lead(id_, name, [_at(saved, 1)]))


def _known(world: World, query: object) -> int:
    found: list[int] = []

    def read() -> None:
        with world.sessions() as session:
            try:
                found.append(session.execute(query).scalar_one())  # type: ignore[call-overload]
            except NoResultFound as problem:  # saved, and lost before we looked
                raise _Gone from problem

    _stubbornly(read)
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


# --- The end ------------------------------------------------------------------------------------


def _wait_for_quiet(world: World) -> float:
    """Owners reconnect, and everything arrives. Returns how long that took."""
    began = time.monotonic()
    for firm in world.firms:
        while firm.log.phases.now is Phase.MAYBE and time.monotonic() - began < 60:
            time.sleep(0.1)
        if firm.log.phases.now is Phase.OFF:
            _connect(world, firm)
        _stubbornly(lambda firm=firm: _send_waiting(world, firm))  # type: ignore[misc]
    _stubbornly(lambda: _renew_expired(world))
    if world.till:
        invoices = [(firm.id, firm.log.invoices) for firm in world.firms]
        chaos_money.settle(world.till, invoices, began + QUIET_WITHIN * world.patience / 2)
    while time.monotonic() - began < QUIET_WITHIN * world.patience:
        with suppress(SQLAlchemyError), world.sessions() as session:
            _ask_a_person(session)
            world.asked += _ask_owners(session) if world.saves_lost else 0
            waiting = session.query(Entry).filter(Entry.state == "pending").count()
            if not waiting:
                break
        with suppress(OSError, SQLAlchemyError):
            _renew_expired(world)
        time.sleep(0.5)
    return time.monotonic() - began


def _ask_a_person(session: Session) -> None:
    """Sends again what failed because another user edited it in QuickBooks, as a person would."""
    stopped = session.scalars(
        select(Entry.id).where(Entry.state == "failed", Entry.fault_code == STALE_TWICE)
    ).all()
    if stopped:
        actions.requeue(session, stopped, organization_id=None)
        session.commit()


def _ask_owners(session: Session) -> int:
    """Answers what is asked after a failover that lost values that were sent, as an owner would:
    uses the customer that has the lead's name, and sends the record as it is here. Returns how
    many questions there were."""
    asked = select(Entry).where(Entry.state == "failed")
    named = session.scalars(asked.where(Entry.fault_code == NAME_TAKEN)).all()
    for entry in named:
        decisions.use(session, entry, str(entry.fault_about["holder_id"]))
    edited = session.scalars(asked.where(Entry.fault_code == EDITED_THERE)).all()
    if edited:
        actions.requeue(session, [entry.id for entry in edited], organization_id=None)
    session.commit()
    return len(named) + len(edited)


def _links_of(session: Session, entry: Entry) -> list[tuple[object, ...]]:
    """What the record is linked to, and who else is linked to what its fault names."""
    holder = str(entry.fault_about.get("holder_id") or entry.fault_about.get("remote_id"))
    return [
        (link.record_id, link.remote_id, link.sent_values, link.updated_at.isoformat())
        for link in session.query(Counterpart)
        .filter_by(lane_id=entry.lane_id, record_type=entry.record_type)
        .filter(or_(Counterpart.remote_id == holder, Counterpart.record_id == entry.record_id))
    ]


def _report(
    world: World, seed: int, minutes: float, quiet: float, seconds: float
) -> dict[str, object]:
    verdict = Verdict()
    mixed_up: list[str] = []
    journal = world.simulator.journal()
    for firm in world.firms:
        books = world.simulator.books(firm.realm)
        mine = [entry for entry in journal if entry["realm"] == firm.realm]
        judge(firm.log, books, mine, verdict)
        mixed_up += _mixed_up(world, firm, books)
    if world.till:
        chaos_money.judge(world.till, verdict)
    with world.sessions() as session:
        left = session.query(Entry).filter(Entry.state.in_(["pending", "failed"])).all()
        stuck = [
            f"stuck: {one.state}{' withheld' * one.withheld} {one.record_type} {one.record_id}"
            f" entry {one.id} due {one.available_at} lane {one.lane_id}"
            f" {one.fault_code or ''} {one.fault_detail or ''} waits for {one.waits_for_type}"
            f" {one.waits_for_id or ''} {one.fault_about or ''}"
            f" {_links_of(session, one)}"
            for one in left
        ]
        lanes_ = [
            f"lane {one.id}: {one.state} {one.hold_reason or ''} pause {one.pause_until}"
            f" {one.pause_reason or ''} lease {one.lease_until}"
            for one in session.query(Lane).filter(Lane.id.in_({entry.lane_id for entry in left}))
        ]
        lanes_ += [
            f"connection {one.id} of lane {one.lane_id}: {one.status} since {one.status_since}"
            f" customers read {one.customers_read_at}"
            for one in session.query(Connection).filter(
                Connection.lane_id.in_({entry.lane_id for entry in left})
            )
        ]
    told: dict[str, object] = {"seed": seed, "minutes": minutes, **asdict(verdict)}
    details = [*lanes_, *stuck, *mixed_up, *verdict.details]
    del told["details"]
    return told | {
        "mixed_up": len(mixed_up),
        "stuck": len(stuck),
        "saves_lost_with_a_server": world.saves_lost,
        "owners_asked": world.asked,
        "kills": world.kills,
        "faults": dict(world.faults),
        "requests": len(journal),
        "seconds_until_quiet": round(quiet, 1),
        "seconds": round(seconds),
        "details": details[:50],
    }


def _mixed_up(world: World, firm: Firm, books: Books) -> list[str]:
    """Records that are known by the number of another one in QuickBooks."""
    there = {
        (kind, str(one["Id"])): str(one.get(field))
        for kind, entity, field in (
            ("lead", "Customer", "DisplayName"),
            ("invoice", "Invoice", "DocNumber"),
            ("payment", "Payment", "PaymentRefNum"),
        )
        for one in books.get(entity, [])
    }
    with world.sessions() as session:
        known = session.execute(
            text(
                """
                SELECT link.aggregate_type AS kind, link.remote_id,
                       coalesce(lead.name, invoice.number, payment.mark) AS name
                FROM outbox_links AS link
                LEFT JOIN leads AS lead
                  ON link.aggregate_type = 'lead' AND lead.id = link.aggregate_id
                LEFT JOIN invoices AS invoice
                  ON link.aggregate_type = 'invoice' AND invoice.id = link.aggregate_id
                LEFT JOIN payments AS payment
                  ON link.aggregate_type = 'payment' AND payment.id = link.aggregate_id
                WHERE link.organization_id = :firm AND link.remote_id IS NOT NULL
                  AND link.aggregate_type IN ('lead', 'invoice', 'payment')
                """
            ),
            {"firm": firm.id},
        ).all()
    return [
        f"mixed up: {one.kind} {one.name} is known as {there.get((one.kind, one.remote_id))}"
        for one in known
        if there.get((one.kind, one.remote_id)) != one.name
    ]


WRONG = ("lost", "duplicates", "out_of_order", "wrong_totals", "unwanted", "mixed_up", "stuck")


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--firms", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    parser.add_argument(
        "--pooler", action="store_true", help="with PgBouncer in transaction mode in between"
    )
    parser.add_argument(
        "--standby",
        choices=("synchronous", "asynchronous"),
        help="with a second PostgreSQL that takes over while records flow",
    )
    parser.add_argument(
        "--clocks-apart",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="how far the second process's clock is ahead (needs faketime)",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=1.0,
        metavar="TIMES",
        help="all times are so many times longer, on a busy machine",
    )
    parser.add_argument(
        "--logs", type=Path, metavar="FOLDER", help="copy the serving processes' logs there"
    )
    parser.add_argument("--quick", action="store_true", help="a round of one minute, as in CI")
    asked = parser.parse_args()
    minutes = 1.0 if asked.quick else asked.minutes
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    _say(f"seed {asked.seed}")
    report = run(
        asked.seed,
        minutes,
        asked.firms,
        pooled=asked.pooler,
        standby=asked.standby,
        clocks_apart=asked.clocks_apart,
        patience=asked.patience,
        logs=asked.logs,
    )
    if asked.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:22} {value}")
    return 1 if any(report[name] for name in WRONG) else 0


if __name__ == "__main__":
    sys.exit(main())
