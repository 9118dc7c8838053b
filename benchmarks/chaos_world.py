"""The parts of a run of chaos: firms, a database, and the processes that serve."""

import itertools
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from benchmarks import chaos_money
from benchmarks.chaos_log import FirmLog
from benchmarks.clocks import ahead_of_time
from benchmarks.standby import Pair
from config import Config
from db import Sessions, make_engine
from development import processes
from development.postgres import Server, running_postgres
from development.processes import Tethered
from development.stack import ROOT, free_port
from models.accounts import User
from models.outbox import Entry
from quickbooks import consenting
from quickbooks.oauth import Unavailable
from simulator.testing import SimulatorHandle

CALL_DEADLINE, LEASE, RESEND_AFTER = 2, 3, 6  # seconds
WRITERS = 5
OWNERS_TRY_FOR = 300.0  # seconds, each of which may bring another fault


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
    # What owners did, for the stories: firm (None: each), when, and words.
    acts: list[tuple[int | None, float, str]] = field(default_factory=list)
    kills: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    serving: list["Serving"] = field(default_factory=list)
    till: chaos_money.Till | None = None  # None: clients don't pay online

    def note(self, entries: Sequence[Entry], act: str) -> None:
        """An owner's act on each of these."""
        for entry in entries:
            words = (
                f"owner: {act}: {entry.record_type} {entry.record_id} entry {entry.id}"
                f" {entry.payload.get('title') or ''} {entry.fault_code} {entry.fault_about}"
            )
            self.acts.append((entry.organization_id, time.time(), words))


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
def running_database(folder: Path, standby: str | None) -> Iterator[Database | Pair]:
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
def served(world: World, folder: Path, *options: str, ahead: float = 0) -> Iterator[Serving]:
    serving = Serving(world, folder, options, ahead)
    serving.start()
    try:
        yield serving
    finally:
        serving.stop()


def stubbornly(act: Callable[[], object]) -> None:
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
