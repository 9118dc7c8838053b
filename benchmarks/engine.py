"""The engine alone: how fast it drains 20,000 entries if delivery does nothing.

python -m benchmarks.engine [--quick] [--json]
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import text

from benchmarks import ours
from benchmarks.drains import Drained, drained, rates_of, rows_of
from benchmarks.harness import Databases, Report, ask, median, own_postgres, turns
from benchmarks.peers import naive, pgqueuer, procrastinate
from benchmarks.workers import Worker, running_worker
from models.base import Json
from models.sales import Lead
from tests.support.firm import new_firm_with_lane

ENTRIES, QUICK_ENTRIES = 20_000, 600
COMPANIES = 20
ROUNDS = 3
# Of a peer's rate, by our drainers of 20 companies. A peer forgets what it did.
MUST_REACH = {"naive loop": 0.9, "PgQueuer, batches of 50": 0.4}

METHOD = """
Every contestant is a process of its own and drains the same number of jobs from its own tables of
one database, copied afresh for each turn. A job carries the snapshot of one customer and does
nothing. The clock runs from the word to begin, given to a process that has imported and connected,
until the database holds no unfinished job (looked at every 50 ms), or for 15 s at most; the rate is
the jobs finished by then. CPU is the processor time, in ms, that an entry costs the contestant and
PostgreSQL. Three rounds, each in another order; told are the medians.

Ours does all it does for QuickBooks but the call: it claims lanes, composes batches of up to 30,
stores each with its body before it is "sent", settles and links every entry in a transaction fenced
by its lease. It has four drainers. The entries were captured by the ORM for 20 companies, and in
another database for one company alone, which one drainer serves in order.

procrastinate: psycopg connector, ten jobs at once, LISTEN/NOTIFY on, done jobs deleted. PgQueuer:
asyncpg pool, LISTEN/NOTIFY on, claiming 10 and 50 jobs at once. Both on uvloop. Neither keeps what
it sent, nor an order, nor a link. The naive loop: lock one row with SKIP LOCKED, mark it done,
commit, from four threads.
"""


@dataclass(frozen=True)
class Contestant:
    name: str
    database: str
    left: str  # SQL: number of unfinished jobs
    start: Callable[[str], AbstractContextManager[Worker]]  # starts a worker on this database


def _ours(url: str) -> AbstractContextManager[Worker]:
    return running_worker("benchmarks.ours", "nothing", **ours.environment(url, DRAINERS="4"))


def _peer(name: str, *arguments: str) -> Callable[[str], AbstractContextManager[Worker]]:
    return lambda url: running_worker("benchmarks.peers", name, url, *arguments)


OURS = Contestant("ours, 20 companies", "many", ours.LEFT, _ours)
OURS_ALONE = Contestant("ours, one company", "one", ours.LEFT, _ours)
PEERS = (
    Contestant("procrastinate", "many", procrastinate.LEFT, _peer("procrastinate")),
    Contestant("PgQueuer, batches of 10", "many", pgqueuer.LEFT, _peer("pgqueuer", "10")),
    Contestant("PgQueuer, batches of 50", "many", pgqueuer.LEFT, _peer("pgqueuer", "50")),
    Contestant("naive loop", "many", naive.LEFT, _peer("naive")),
)
CONTESTANTS = (OURS, OURS_ALONE, *PEERS)
QUICK_CONTESTANTS = (OURS, OURS_ALONE, PEERS[0], PEERS[1], PEERS[3])  # each program once


def main() -> None:
    asked = ask("engine", __doc__)
    entries = QUICK_ENTRIES if asked.quick else ENTRIES
    rounds = 1 if asked.quick else ROUNDS
    contestants = QUICK_CONTESTANTS if asked.quick else CONTESTANTS
    drains: dict[str, list[Drained]] = {one.name: [] for one in contestants}
    report = Report("engine", METHOD, asked.quick)
    with own_postgres(quick=asked.quick) as databases:
        _fill(databases, entries)
        for one in turns(contestants, rounds):
            drains[one.name].append(_drained(databases, one, entries, quick=asked.quick))
        _judge(report, drains)
        report.tell(asked, databases.version())


def _fill(databases: Databases, entries: int) -> None:
    many = databases.create("many")
    jobs = _capture(many, companies=COMPANIES, entries=entries)
    procrastinate.install(many)
    procrastinate.fill(many, "nothing", jobs)
    pgqueuer.install(many)
    pgqueuer.fill(many, "nothing", jobs)
    naive.install(many)
    naive.fill(many, jobs)
    _capture(databases.create("one"), companies=1, entries=entries)
    databases.seal("many")
    databases.seal("one")


def _capture(url: str, *, companies: int, entries: int) -> list[Json]:
    """Saves customers like the app; returns the snapshots of their entries."""
    with ours.capturing_sessions(url) as sessions, sessions() as session:
        firms = [new_firm_with_lane(session, name=f"Firm {n}")[0] for n in range(companies)]
        for first in range(0, entries, 1000):
            session.add_all(
                Lead(
                    organization_id=firms[number % companies],
                    name=f"Customer {number}",
                    email=f"customer{number}@example.com",
                    phone="555-0142",
                    street=f"{number} Main Street",
                    city="Fresno",
                    state="CA",
                    postal_code="93650",
                )
                for number in range(first, min(first + 1000, entries))
            )
            session.commit()
        payloads = session.execute(text("SELECT payload FROM outbox ORDER BY id")).scalars()
        return list(payloads)


def _drained(databases: Databases, one: Contestant, entries: int, *, quick: bool) -> Drained:
    with databases.copy(one.database) as url, one.start(url) as worker:
        return drained(databases, url, one.left, entries, worker, quick=quick)


def _judge(report: Report, drains: dict[str, list[Drained]]) -> None:
    rates = rates_of(drains)
    middle = {name: median(values) for name, values in rates.items()}
    best = max((one.name for one in PEERS if one.name in middle), key=lambda name: middle[name])
    report.tables["Entries drained by a delivery that does nothing"] = rows_of(drains, best)
    for one in (OURS, OURS_ALONE):
        ratio = middle[one.name] / middle[best]
        report.ratios[f"{one.name} ÷ {best}"] = ratio
    for name, bound in MUST_REACH.items():
        if name in middle:  # a quick run leaves one out
            ratio = middle[OURS.name] / middle[name]
            report.at_least(f"{OURS.name} ÷ {name}", ratio, bound)
    report.raw |= rates


if __name__ == "__main__":
    main()
