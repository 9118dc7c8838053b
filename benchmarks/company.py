"""One company with thousands of waiting records, under QuickBooks' own limits.

python -m benchmarks.company [--quick] [--json]
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import mean

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from benchmarks import ours
from benchmarks.firms import Firm, new_firms, save_chains
from benchmarks.harness import Databases, Report, ask, own_postgres
from benchmarks.workers import Worker, running_worker
from config import Config
from simulator.testing import JournalEntry, SimulatorHandle, running_simulator

CUSTOMERS, INVOICES, PAYMENTS = 1500, 1500, 1500  # whole batches of each kind
BATCH = 30
BATCHES_PER_MINUTE, CALLS_PER_MINUTE = 40, 500
MINUTE = 60.0  # seconds
FIRST_MINUTE = MINUTE  # excluded: even a perfect client uses up a fresh allowance at once
MAX_SECONDS = 210.0  # seconds; after that, the rate is computed from what was sent
THROTTLED_AT_MOST = 0

METHOD = """
One firm saved 1,500 customers, 1,500 invoices of three lines and 1,500 payments through the ORM
while nothing drained. Then the app's engine is started in a process of its own, with one connected
company in the simulator, whose limits are on: 500 requests a minute, 10 a second, 40 batches a
minute, over windows that slide. Each call takes 100 ms and so much for each of its items.

The ceiling is what these limits admit to a perfect client: 1,200 records a minute when a batch
counts once, 500 when its items count one by one. The rate is counted from the simulator's journal:
the mean of all windows of a minute between the end of the first minute and the last whole batch,
one beginning each second. Whole minutes, because that is what the limits count by. What went by
single calls in the same windows is told apart. 429 counts the requests refused for their number. A
scenario ends after 210 seconds, done or not.

The reading that items count one by one is told to the app, too, by its switch. The three scenarios
run at the same time, each with a simulator, a database and a process of its own; together they need
less than a tenth of a core.
"""


@dataclass(frozen=True)
class Scenario:
    name: str
    per_item: float  # seconds
    counts_items: bool  # the limiter counts every item of a batch
    ceiling: int  # records a minute
    must_reach: float  # of the ceiling

    @property
    def switches(self) -> dict[str, object]:
        return {
            "limits": True,
            "latency": 0.1,
            "latency_per_item": self.per_item,
            "batch_counts_items": self.counts_items,
        }


SCENARIOS = (
    Scenario("40 ms an item", 0.04, False, BATCHES_PER_MINUTE * BATCH, 0.95),
    Scenario("400 ms an item", 0.4, False, BATCHES_PER_MINUTE * BATCH, 0.90),
    Scenario("40 ms an item, items count one by one", 0.04, True, CALLS_PER_MINUTE, 0.95),
)


@dataclass(frozen=True)
class Seen:
    """What the simulator recorded in one scenario."""

    sent: int
    seconds: float
    by_batch: float  # records a minute
    by_single: float
    throttled: int
    arrivals: list[float]  # seconds since the first, one per record, for the plot


def main() -> None:
    asked = ask("company", __doc__)
    report = Report("company", METHOD, asked.quick)
    with own_postgres(quick=asked.quick) as databases:
        scenarios = SCENARIOS[:1] if asked.quick else SCENARIOS
        with ThreadPoolExecutor(len(scenarios)) as pool:
            runs = pool.map(
                lambda numbered: _run(databases, *numbered, quick=asked.quick),
                enumerate(scenarios),
            )
            seen = dict(zip(scenarios, runs, strict=True))
        _judge(report, seen)
        report.tell(asked, databases.version())


def _run(databases: Databases, number: int, scenario: Scenario, *, quick: bool) -> Seen:
    url = databases.create(f"company{number}")
    with running_simulator() as simulator:
        environ = ours.environment(
            url,
            SIMULATOR_URL=simulator.url,
            QUICKBOOKS_COUNTS_BATCH_ITEMS="yes" if scenario.counts_items else "no",
        )
        firm = _waiting(url, environ, simulator, scale=30 if quick else 1)
        fast = {"latency": 0.01, "latency_per_item": 0.001} if quick else {}
        simulator.company(firm.realm, **{**scenario.switches, **fast})
        simulator.clear_journal()
        with running_worker("benchmarks.ours", "app", **environ) as worker:
            worker.tell(do="drain")
            _wait(url, worker)
        journal = [entry for entry in simulator.journal() if entry["realm"] == firm.realm]
    return seen_in(journal, first_minute=0.0 if quick else FIRST_MINUTE)


def _waiting(url: str, environ: dict[str, str], simulator: SimulatorHandle, *, scale: int) -> Firm:
    """A connected firm with waiting records, which are not drained yet."""
    with ours.capturing_sessions(url) as sessions:
        [firm] = new_firms(sessions, Config.from_environ(environ), simulator, 1)
        with sessions() as session:
            save_chains(session, firm, CUSTOMERS // scale, INVOICES // scale, PAYMENTS // scale)
    return firm


def _wait(url: str, worker: Worker) -> None:
    """Until nothing waits, or for long enough."""
    ends_at = time.monotonic() + MAX_SECONDS
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        while time.monotonic() < ends_at:
            worker.assert_alive()
            if not connection.execute(text(ours.LEFT)).scalar_one():
                return
            time.sleep(0.5)


def seen_in(journal: Sequence[JournalEntry], *, first_minute: float) -> Seen:
    """Counts arrivals; rates exclude the first minute."""
    writes = [entry for entry in journal if records_in(entry)]
    began = writes[0]["arrived_at"]
    sizes = [(entry["arrived_at"] - began, records_in(entry)) for entry in writes]
    last = max((at for at, records in sizes if records == BATCH), default=sizes[-1][0])
    return Seen(
        sent=sum(records for _, records in sizes),
        seconds=sizes[-1][0],
        by_batch=_per_minute([one for one in sizes if one[1] > 1], first_minute, last),
        by_single=_per_minute([one for one in sizes if one[1] == 1], first_minute, last),
        throttled=sum(entry["status"] == 429 for entry in journal),
        arrivals=[round(at, 2) for at, records in sizes for _ in range(records)],
    )


def _per_minute(sizes: Sequence[tuple[float, int]], begin: float, end: float) -> float:
    """Mean over all minutes that begin a whole second after `begin` and end by `end`."""
    minutes = [
        sum(records for at, records in sizes if start <= at < start + MINUTE)
        for start in range(int(begin), int(end - MINUTE) + 1)
    ]
    return mean(minutes) if minutes else sum(records for _, records in sizes) * MINUTE / end


def records_in(entry: JournalEntry) -> int:
    """Number of records in a logged request that QuickBooks accepted."""
    if entry["method"] != "POST" or entry["status"] != 200:
        return 0
    return entry["body"].count('"bId"') if entry["path"].endswith("/batch") else 1


def _judge(report: Report, seen: dict[Scenario, Seen]) -> None:
    report.tables["One company"] = [
        {
            "scenario": scenario.name,
            "ceiling/min": scenario.ceiling,
            "by batch/min": one.by_batch,
            "of ceiling": one.by_batch / scenario.ceiling,
            "singles/min": one.by_single,
            "429": one.throttled,
            "records": one.sent,
            "seconds": one.seconds,
        }
        for scenario, one in seen.items()
    ]
    for scenario, one in seen.items():
        reached = one.by_batch / scenario.ceiling
        report.ratios[f"of the ceiling, {scenario.name}"] = reached
        report.raw[scenario.name] = one.arrivals
        report.at_least(f"of the ceiling, {scenario.name}", reached, scenario.must_reach)
        report.at_most(f"429, {scenario.name}", one.throttled, THROTTLED_AT_MOST)


if __name__ == "__main__":
    main()
