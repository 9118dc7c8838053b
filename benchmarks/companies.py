"""200 companies with 50 waiting records each, one serving process, against other queues.

python -m benchmarks.companies [--quick] [--json]
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from benchmarks import ours
from benchmarks.company import records_in
from benchmarks.drains import Drained, drained, rates_of, rows_of
from benchmarks.firms import Firm, new_firms, save_customers
from benchmarks.harness import Databases, Report, ask, median, own_postgres, turns
from benchmarks.peers import WORKERS, calls, pgqueuer, procrastinate
from benchmarks.workers import running_worker
from config import Config
from db import Sessions
from models.base import Json
from models.outbox import Entry, Operation
from models.sales import Record, RecordType
from outbox.company import Due
from quickbooks.delivery import QuickBooks
from simulator.testing import SimulatorHandle, running_simulator

FIRMS, RECORDS = 200, 50
QUICK_FIRMS = 6
LATENCY = 0.05  # seconds per call
ROUNDS = 3
MUST_BE_AHEAD = 10.0  # times the faster peer without batches

METHOD = """
200 firms saved 50 customers each. Every contestant is one process that sends these 10,000 customers
to the same simulator, 50 ms a call, with ten calls at once at most, from its own tables of one
database. Database and simulator's books are copied afresh for each turn. The clock runs from the
word to begin, given to a process that has imported and connected, until nothing waits in the
database (looked at every 50 ms), or for 15 s at most; the rate is what was done by then. CPU is the
processor time, in ms, that a record costs the contestant and PostgreSQL. Three rounds, each in
another order; told are the medians. Customers alone, because nothing among them must come before
anything else: neither peer keeps an order.

Ours is the app as it is served, ten drainers, with its own pace under QuickBooks' limits: it
composes from the entry's snapshot, stores each request before it is sent, settles and links.

One by one: a job for each customer, the document made beforehand by our own composer, the jobs of
all companies in turn. By hand in batches: the job one would write when that is too slow, one for
each company, which takes up to thirty of its documents at a time from a table and marks them as
sent. procrastinate: psycopg, concurrency ten, LISTEN/NOTIFY, done jobs deleted. PgQueuer: asyncpg
pool, LISTEN/NOTIFY, ten jobs a claim and twenty claimed ahead. Both on uvloop, with aiohttp and ten
connections kept open; neither stores what it sends, nor what came back.
"""


@dataclass(frozen=True)
class Contestant:
    name: str
    database: str
    left: str  # SQL: number of unfinished records or jobs
    command: tuple[str, ...]


def _peer(peer: str, database: str, left: str, *arguments: str) -> Contestant:
    how = "by hand in batches" if database == "batches" else "one by one"
    return Contestant(f"{peer}, {how}", database, left, (peer.lower(), *arguments))


OURS = Contestant("ours", "singles", ours.LEFT, ())
ONE_BY_ONE = (
    _peer("procrastinate", "singles", procrastinate.LEFT),
    _peer("PgQueuer", "singles", pgqueuer.LEFT, "10"),
)
IN_BATCHES = (
    _peer("procrastinate", "batches", calls.LEFT),
    _peer("PgQueuer", "batches", calls.LEFT, "10"),
)
CONTESTANTS = (OURS, *ONE_BY_ONE, *IN_BATCHES)
QUICK_CONTESTANTS = (OURS, ONE_BY_ONE[0], IN_BATCHES[1])  # each program once


@dataclass(frozen=True)
class Stage:
    """What is prepared once and copied for each turn."""

    databases: Databases
    folder: Path
    environ: dict[str, str]
    records: int

    @property
    def books(self) -> Path:
        return self.folder / "books"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens.json"


def main() -> None:
    asked = ask("companies", __doc__)
    firms = QUICK_FIRMS if asked.quick else FIRMS
    report = Report("companies", METHOD, asked.quick)
    contestants = QUICK_CONTESTANTS if asked.quick else CONTESTANTS
    drains: dict[str, list[Drained]] = {one.name: [] for one in contestants}
    with own_postgres(quick=asked.quick) as databases, prepared(databases, firms) as stage:
        for one in turns(contestants, 1 if asked.quick else ROUNDS):
            drains[one.name].append(_turn(stage, one, quick=asked.quick))
        _judge(report, drains)
        report.tell(asked, databases.version())


# --- The stage ----------------------------------------------------------------------------------


@contextmanager
def prepared(databases: Databases, count: int) -> Iterator[Stage]:
    """Firms with waiting customers, the same documents as jobs of the peers, and empty books."""
    folder = Path(tempfile.mkdtemp(prefix="dunahub-benchmark-"))
    try:
        url = databases.create("singles")
        stage = Stage(
            databases, folder, ours.environment(url, DRAINERS=str(WORKERS)), count * RECORDS
        )
        with running_simulator(stage.books) as simulator, ours.capturing_sessions(url) as sessions:
            config = Config.from_environ({**stage.environ, "SIMULATOR_URL": simulator.url})
            firms = new_firms(sessions, config, simulator, count)
            with sessions() as session:
                for firm in firms:
                    save_customers(session, firm, RECORDS)
            documents = [_documents(sessions, config, firm) for firm in firms]
            _prepare(simulator, firms, stage.tokens)
        _fill_peers(databases, firms, documents)
        yield stage
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prepare(simulator: SimulatorHandle, firms: Sequence[Firm], tokens: Path) -> None:
    """Sets the latency of calls, and gives the peers access to the same companies."""
    granted = {firm.realm: simulator.grant(firm.realm)["access_token"] for firm in firms}
    tokens.write_text(json.dumps(granted))
    for firm in firms:
        simulator.company(firm.realm, latency=LATENCY)


def _documents(sessions: Sessions, config: Config, firm: Firm) -> list[Json]:
    """The document for each record, made by our own composer."""
    company = QuickBooks(sessions, config)
    with sessions() as session:
        entries = session.scalars(
            select(Entry).where(Entry.lane_id == firm.lane_id).order_by(Entry.id)
        ).all()
        due = [
            Due(entry.id, Record(RecordType.LEAD, entry.record_id), Operation.SAVE, entry.payload)
            for entry in entries
        ]
        settings = company.settings(session, firm.lane_id, due)
        drafts = [company.compose([one], {}, settings).draft for one in due]
    return [json.loads(draft.body or "") for draft in drafts if draft]


def _fill_peers(
    databases: Databases, firms: Sequence[Firm], documents: Sequence[Sequence[Json]]
) -> None:
    singles = databases.url("singles")
    in_turn = [
        {"realm": firm.realm, "path": "customer", "document": own[number]}
        for number in range(RECORDS)
        for firm, own in zip(firms, documents, strict=True)
    ]
    batches = databases.create("batches")
    of_companies = [{"realm": firm.realm} for firm in firms]
    for url, task, jobs in ((singles, "call", in_turn), (batches, "batches", of_companies)):
        for peer in (procrastinate, pgqueuer):
            peer.install(url)
            peer.fill(url, task, jobs)
    calls.fill(batches, "Customer", in_turn)
    databases.seal("singles")
    databases.seal("batches")


# --- A turn -------------------------------------------------------------------------------------


@contextmanager
def restored(stage: Stage, database: str) -> Iterator[tuple[str, SimulatorHandle]]:
    """A fresh copy of a database (its URL) and of the books, with a simulator."""
    books = stage.folder / "copy"
    shutil.copytree(stage.books, books)
    try:
        with stage.databases.copy(database) as url, running_simulator(books) as simulator:
            yield url, simulator
    finally:
        shutil.rmtree(books)


def _turn(stage: Stage, one: Contestant, *, quick: bool) -> Drained:
    with restored(stage, one.database) as (url, simulator):
        called = {"SIMULATOR_URL": simulator.url, "TOKENS": str(stage.tokens)}
        if one is OURS:
            environ = {**stage.environ, **called, "DATABASE_URL": url}
            contestant = running_worker("benchmarks.ours", "app", **environ)
        else:
            name, *arguments = one.command
            contestant = running_worker("benchmarks.peers", name, url, *arguments, **called)
        with contestant as worker:
            seen = drained(stage.databases, url, one.left, stage.records, worker, quick=quick)
        assert_arrived(simulator, seen)
        return seen


def assert_arrived(simulator: SimulatorHandle, seen: Drained) -> None:
    """What a contestant counts as done must be in the books."""
    arrived = sum(records_in(entry) for entry in simulator.journal())
    assert arrived >= seen.done, f"{seen.done} done, {arrived} arrived"


def _judge(report: Report, drains: dict[str, list[Drained]]) -> None:
    rates = rates_of(drains)
    middle = {name: median(values) for name, values in rates.items()}
    single = _best(ONE_BY_ONE, middle)
    batch = _best(IN_BATCHES, middle)
    title = f"Records sent, {LATENCY * 1000:.0f} ms a call, ten calls at once"
    report.tables[title] = rows_of(drains, single)
    ahead = middle[OURS.name] / middle[single]
    report.ratios[f"ours ÷ {single}"] = ahead
    report.ratios[f"ours ÷ {batch}"] = middle[OURS.name] / middle[batch]
    report.at_least(f"ours ÷ {single}", ahead, MUST_BE_AHEAD)
    report.raw |= rates


def _best(among: Sequence[Contestant], rates: Mapping[str, float]) -> str:
    return max((one.name for one in among if one.name in rates), key=lambda name: rates[name])


if __name__ == "__main__":
    main()
