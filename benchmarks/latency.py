"""How fast saved records reach QuickBooks: until the first request, and until *In QuickBooks*.

python -m benchmarks.latency [--quick] [--json]
"""

import asyncio
import json
import random
import re
import secrets
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from benchmarks import ours
from benchmarks.firms import Firm, new_firms
from benchmarks.harness import Databases, Report, Row, ask, own_postgres, percentile, turns
from benchmarks.peers import pgqueuer, procrastinate
from benchmarks.workers import Worker, running_worker
from config import Config
from simulator.testing import SimulatorHandle, running_simulator

FIRMS = 50
ROUNDS = 3
SAVE_INTERVAL = 0.2  # mean seconds between two saves without load
IDLE_SECONDS = 15.0  # seconds of such saves
LATENCY = 0.15  # seconds per call, under load
PER_MINUTE = 1000  # records saved per minute, under load
LOAD_SECONDS = 60.0  # seconds
QUICK_SECONDS = 2.0  # seconds of either, to check that it runs
PATIENCE = 30.0  # seconds for the last record to arrive
# Of the better peer's time to the request, by percentile.
PEER_AT_MOST = {0.5: 1.25, 0.99: 1.3}
# Seconds under load, beyond the time that QuickBooks takes for its answer.
BEYOND_AT_MOST = {0.5: 0.012, 0.95: 0.06}

METHOD = """
First table: an idle process each, and somebody saves a customer now and then, five a second on
average at chance moments, for one of 50 companies. Told is the time from the return of the commit
to the request's arrival at the simulator, by its journal; both read the same clock. Three turns of
15 s each, interleaved. Ours saves through the ORM in the serving process, as a web thread does,
and the poller runs in that same process. The peers' jobs are enqueued from another process than
their worker's, as their documentation has it, each in a transaction of its own with a document made
beforehand; LISTEN/NOTIFY on, connections kept open, on uvloop.

Second table: 1,000 records a minute, for a minute, in 50 companies: half customers, the rest
invoices of three lines and payments. Each call takes 150 ms and the limits are on. Told is the time
from the return of the commit that saved a record to the moment its entry was settled; and how much
of that is not QuickBooks' own time. Its own time is what passed, by its journal, while it held a
request with the record, or with the customer or invoice that the record needs to be there first.
"""


@dataclass(frozen=True)
class Stage:
    url: str
    environ: dict[str, str]
    firms: Sequence[Firm]
    simulator: SimulatorHandle
    tokens: dict[str, str]


def main() -> None:
    asked = ask("latency", __doc__)
    report = Report("latency", METHOD, asked.quick)
    arrivals: dict[str, list[float]] = {"ours": [], "procrastinate": [], "PgQueuer": []}
    with (
        own_postgres(quick=asked.quick) as databases,
        running_simulator() as simulator,
        tempfile.TemporaryDirectory(prefix="dunahub-benchmark-") as folder,
    ):
        stage = _stage(databases, simulator, Path(folder), 5 if asked.quick else FIRMS)
        for name in turns(list(arrivals), 1 if asked.quick else ROUNDS):
            arrivals[name] += _idle(stage, name, QUICK_SECONDS if asked.quick else IDLE_SECONDS)
        loaded = _under_load(stage, QUICK_SECONDS if asked.quick else LOAD_SECONDS)
        _judge(report, arrivals, loaded)
        report.tell(asked, databases.version())


def _stage(databases: Databases, simulator: SimulatorHandle, folder: Path, count: int) -> Stage:
    url = databases.create("latency")
    tokens = folder / "tokens.json"
    environ = ours.environment(url, SIMULATOR_URL=simulator.url, TOKENS=str(tokens))
    with ours.capturing_sessions(url) as sessions:
        firms = new_firms(sessions, Config.from_environ(environ), simulator, count)
    granted = {firm.realm: simulator.grant(firm.realm)["access_token"] for firm in firms}
    tokens.write_text(json.dumps(granted))
    procrastinate.install(url)
    pgqueuer.install(url)
    return Stage(url, environ, firms, simulator, granted)


# --- Idle ---------------------------------------------------------------------------------------


def _idle(stage: Stage, name: str, seconds: float) -> list[float]:
    """Seconds from the commit's return to the request's arrival, per saved customer."""
    stage.simulator.clear_journal()
    match name:
        case "ours":
            with running_worker("benchmarks.ours", "app", **stage.environ) as worker:
                worker.tell(do="drain")
                saved = _written(stage, worker, every=SAVE_INTERVAL, seconds=seconds, mixed=False)
                return _delays(stage, name, {called: at for _, _, called, at in saved})
        case "procrastinate":
            arguments = ["procrastinate", stage.url]
        case _:
            arguments = ["pgqueuer", stage.url, "10"]
    with running_worker("benchmarks.peers", *arguments, **stage.environ) as worker:
        worker.tell(do="drain")
        return _delays(stage, name, asyncio.run(_enqueued(stage, name, seconds)))


def _written(stage: Stage, worker: Worker, **how: object) -> list[tuple[str, int, str, float]]:
    worker.tell(do="write", firms=[asdict(firm) for firm in stage.firms], how=how)
    return [(kind, id_, name, at) for kind, id_, name, at in worker.hear()["saved"]]


async def _enqueued(stage: Stage, name: str, seconds: float) -> dict[str, float]:
    """A peer's writer: customers' names, and when each commit returned."""
    chance = random.Random(7)
    saved: dict[str, float] = {}
    peer = procrastinate if name == "procrastinate" else pgqueuer
    async with peer.deferring(stage.url) as defer:
        await asyncio.sleep(1.0)  # its worker is starting to listen
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            customer = f"Customer {secrets.token_hex(6)}"
            realm = chance.choice(stage.firms).realm
            document = {"DisplayName": customer, "GivenName": "Ana", "FamilyName": "Rivera"}
            await defer({"realm": realm, "path": "customer", "document": document})
            saved[customer] = time.time()
            await asyncio.sleep(chance.expovariate(1 / SAVE_INTERVAL))
    return saved


def _delays(stage: Stage, name: str, saved: Mapping[str, float]) -> list[float]:
    """Matches saved and arrived customers; waits for the last one."""
    ends_at = time.monotonic() + PATIENCE
    while True:
        arrived = {
            customer: entry["arrived_at"]
            for entry in stage.simulator.journal()
            for customer in customers_in(entry["body"])
        }
        if saved.keys() <= arrived.keys():
            return [arrived[customer] - at for customer, at in saved.items()]
        if time.monotonic() > ends_at:
            raise SystemExit(
                f"{name}: {len(saved.keys() - arrived.keys())} customers never arrived"
            )
        time.sleep(0.2)


def customers_in(body: str) -> list[str]:
    """The customers' names in a request's body, single or batch."""
    return re.findall(r'"DisplayName": ?"(Customer \w+)"', body)


# --- Under load ---------------------------------------------------------------------------------

_SETTLED = """
    SELECT aggregate_type, aggregate_id, extract(epoch FROM settled_at) AS at FROM outbox
    WHERE state = 'synced'
"""


# Each record's requests, and those of what must be there first.
_CALLS = """
    WITH needs (type, id, needed_type, needed_id) AS (
        SELECT 'lead', id, 'lead', id FROM leads
        UNION ALL SELECT 'invoice', id, 'invoice', id FROM invoices
        UNION ALL SELECT 'invoice', id, 'lead', lead_id FROM invoices
        UNION ALL SELECT 'payment', id, 'payment', id FROM payments
        UNION ALL SELECT 'payment', id, 'invoice', invoice_id FROM payments
        UNION ALL SELECT 'payment', payment.id, 'lead', lead_id
        FROM payments payment JOIN invoices invoice ON invoice.id = invoice_id)
    SELECT needs.type, needs.id, dispatch.trace_id
    FROM needs
    JOIN outbox entry ON (entry.aggregate_type, entry.aggregate_id) = (needed_type, needed_id)
    JOIN outbox_dispatch_items item ON item.entry_id = entry.id
    JOIN outbox_dispatches dispatch ON dispatch.id = item.dispatch_id
"""

Key = tuple[str, int]  # of a record


@dataclass(frozen=True)
class Loaded:
    """Seconds from the commit's return to *In QuickBooks*, by record type."""

    delays: dict[str, list[float]]
    beyond: dict[str, list[float]]  # without QuickBooks' own time


def _under_load(stage: Stage, seconds: float) -> Loaded:
    for firm in stage.firms:
        stage.simulator.company(firm.realm, latency=LATENCY, limits=True)
    with running_worker("benchmarks.ours", "app", **stage.environ) as worker:
        worker.tell(do="drain")
        every = 60 / PER_MINUTE
        saved = _written(stage, worker, every=every, seconds=seconds, mixed=True)
        settled = _settled(stage, {(kind, id_) for kind, id_, _, _ in saved})
        calls = _calls(stage)
    delays: dict[str, list[float]] = {"all records": []}
    beyond: dict[str, list[float]] = {"all records": []}
    for kind, id_, _, at in saved:
        delay = settled[kind, id_] - at
        own = overlap(calls[kind, id_], at, settled[kind, id_])
        for name in ("all records", f"{kind}s"):
            delays.setdefault(name, []).append(delay)
            beyond.setdefault(name, []).append(delay - own)
    return Loaded(delays, beyond)


def _calls(stage: Stage) -> dict[Key, list[tuple[float, float]]]:
    """When QuickBooks held a request that the record needed: from, to."""
    held = {
        str(entry["tid"]): (float(entry["arrived_at"]), float(entry["answered_at"]))
        for entry in stage.simulator.journal()
        if entry["answered_at"]
    }
    engine = create_engine(stage.url, poolclass=NullPool)
    calls: dict[Key, list[tuple[float, float]]] = {}
    with engine.connect() as connection:
        for kind, id_, trace_id in connection.execute(text(_CALLS)):
            if trace_id in held:
                calls.setdefault((kind, id_), []).append(held[trace_id])
    return calls


def overlap(spans: Sequence[tuple[float, float]], since: float, until: float) -> float:
    """How much of the time from `since` to `until` these spans cover."""
    covered, at = 0.0, since
    for begins, ends in sorted(spans):
        begins, ends = max(begins, at), min(ends, until)
        if ends > begins:
            covered += ends - begins
            at = ends
    return covered


def _settled(stage: Stage, wanted: set[Key]) -> dict[Key, float]:
    """When each of these was settled; waits for the last one."""
    ends_at = time.monotonic() + PATIENCE
    engine = create_engine(stage.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        while True:
            rows = connection.execute(text(_SETTLED))
            settled = {(row.aggregate_type, row.aggregate_id): float(row.at) for row in rows}
            if wanted <= settled.keys():
                return settled
            if time.monotonic() > ends_at:
                raise SystemExit(f"{len(wanted - settled.keys())} records were never settled")
            time.sleep(0.5)


# --- Figures ------------------------------------------------------------------------------------


def _judge(report: Report, arrivals: dict[str, list[float]], loaded: Loaded) -> None:
    report.tables["Commit → request at QuickBooks, ms, idle"] = [
        _row(name, [1000 * delay for delay in delays]) for name, delays in arrivals.items()
    ]
    report.tables[f"Saved → In QuickBooks, s, at {PER_MINUTE:,} records a minute"] = [
        _row(name, delays) for name, delays in loaded.delays.items()
    ]
    report.tables["… without QuickBooks' own time, s"] = [
        _row(name, delays) for name, delays in loaded.beyond.items()
    ]
    for share, at_most in PEER_AT_MOST.items():
        best = min(percentile(arrivals[name], share) for name in ("procrastinate", "PgQueuer"))
        ratio = percentile(arrivals["ours"], share) / best
        what = f"commit → request, p{share * 100:.0f}, ours ÷ the better peer"
        report.ratios[what] = ratio
        report.at_most(what, ratio, at_most)
    for share, at_most in BEYOND_AT_MOST.items():
        what = f"saved → In QuickBooks beyond its own time, p{share * 100:.0f}, s"
        report.at_most(what, percentile(loaded.beyond["all records"], share), at_most)
    for name, delays in (*arrivals.items(), *loaded.delays.items()):
        report.raw[name] = sorted(round(delay, 5) for delay in delays)


def _row(name: str, delays: Sequence[float]) -> Row:
    shares = {f"p{share * 100:.0f}": percentile(delays, share) for share in (0.5, 0.95, 0.99)}
    return {"": name, "records": len(delays), **shares, "longest": max(delays)}


if __name__ == "__main__":
    main()
