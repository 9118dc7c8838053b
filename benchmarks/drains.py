"""How fast workers empty a database's queue, and how much CPU they use."""

import time
from dataclasses import dataclass

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from benchmarks.harness import Databases, Row, cpu_seconds, median
from benchmarks.workers import Worker

# seconds; after that, the rate is computed from what was done
MAX_SECONDS, QUICK_MAX_SECONDS = 15.0, 5.0
LOOK_EVERY = 0.05  # seconds


@dataclass(frozen=True)
class Drained:
    done: int
    seconds: float
    worker_cpu: float  # CPU seconds
    database_cpu: float

    @property
    def per_second(self) -> float:
        return self.done / self.seconds


def drained(
    databases: Databases, url: str, left: str, records: int, *workers: Worker, quick: bool
) -> Drained:
    """Starts the workers and waits until `left`, a SELECT, counts 0."""
    longest = QUICK_MAX_SECONDS if quick else MAX_SECONDS
    pids = [worker.pid for worker in workers]
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        before, database_before = cpu_seconds(*pids), cpu_seconds(databases.server_pid)
        began = time.monotonic()
        for worker in workers:
            worker.tell(do="drain")
        waiting, seconds = records, 0.0
        while waiting and seconds < longest:
            time.sleep(LOOK_EVERY)
            for worker in workers:
                worker.assert_alive()
            seconds = time.monotonic() - began
            waiting = connection.execute(text(left)).scalar_one()
        return Drained(
            done=records - waiting,
            seconds=seconds,
            worker_cpu=cpu_seconds(*pids) - before,
            database_cpu=cpu_seconds(databases.server_pid) - database_before,
        )


def rows_of(drains: dict[str, list[Drained]], beside: str) -> list[Row]:
    """The table of a race: each contestant's medians, and its rate relative to another's.

    CPU time is in milliseconds per record.
    """
    rates = rates_of(drains)
    return [
        {
            "contestant": name,
            "records/s": median(rates[name]),
            "least": min(rates[name]),
            "most": max(rates[name]),
            "its CPU": median([1000 * one.worker_cpu / max(one.done, 1) for one in each]),
            "PostgreSQL's": median([1000 * one.database_cpu / max(one.done, 1) for one in each]),
            f"÷ {beside}": median(rates[name]) / median(rates[beside]),
        }
        for name, each in drains.items()
    ]


def rates_of(drains: dict[str, list[Drained]]) -> dict[str, list[float]]:
    return {name: [one.per_second for one in each] for name, each in drains.items()}
