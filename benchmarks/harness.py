"""Shared by the benchmarks: a PostgreSQL server, rounds, and reports.

A benchmark compares within one run: contestants take turns, in a different order each round, and
ratios are those of medians. Figures of different runs or machines are not comparable.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from textwrap import fill
from typing import TypeVar

import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from development.database import migrate
from development.postgres import running_postgres

# Like a small server; everything else is PostgreSQL's default, so that a commit is on disk when it
# returns.
SETTINGS = {
    "shared_buffers": "256MB",
    "max_connections": "200",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
}
BLANK = "blank"  # the template database with our schema
WIDTH = 100

Cell = str | int | float | None
Row = Mapping[str, Cell]
Contestant = TypeVar("Contestant")


# --- What was asked -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    quick: bool
    json: bool


def ask(name: str, about: str) -> Asked:
    """Parses the options that all benchmarks have."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--quick", action="store_true", help="small, for breakage and not for speed"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    told = parser.parse_args()
    return Asked(quick=told.quick, json=told.json)


# --- Databases ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Databases:
    """The benchmark's own PostgreSQL. Databases are filled once and copied for each round."""

    server_url: str
    server_pid: int

    def url(self, name: str) -> str:
        return make_url(self.server_url).set(database=name).render_as_string(hide_password=False)

    def create(self, name: str) -> str:
        """A database with our schema; its URL."""
        self._execute(f"CREATE DATABASE {name} TEMPLATE {BLANK}")
        return self.url(name)

    def make_blank(self) -> None:
        self._execute(f"CREATE DATABASE {BLANK}")
        migrate(self.url(BLANK))

    def seal(self, name: str) -> None:
        """After filling, so that all contestants find the same statistics and no pending vacuum."""
        self._execute("VACUUM (ANALYZE)", name)
        self._execute("CHECKPOINT")

    @contextmanager
    def copy(self, name: str) -> Iterator[str]:
        """A copy for one round; its URL."""
        copy = f"{name}_copy"
        self._execute(f"CREATE DATABASE {copy} TEMPLATE {name} STRATEGY file_copy")
        try:
            yield self.url(copy)
        finally:
            self._execute(f"DROP DATABASE {copy} WITH (FORCE)")

    def version(self) -> str:
        engine = create_engine(self.server_url, poolclass=NullPool)
        with engine.connect() as connection:
            version: str = connection.execute(text("SHOW server_version")).scalar_one()
        return version

    def _execute(self, statement: str, database: str = "postgres") -> None:
        engine = create_engine(self.url(database), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))


@contextmanager
def own_postgres(*, quick: bool) -> Iterator[Databases]:
    """A server for this run only. A quick run, which times nothing, doesn't sync to disk."""
    folder = Path(tempfile.mkdtemp(prefix="dunahub-benchmark-"))
    try:
        with running_postgres(folder / "data", throwaway=quick, settings=SETTINGS) as server:
            databases = Databases(server.url(), server.pid)
            databases.make_blank()
            yield databases
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def cpu_seconds(*pids: int) -> float:
    """CPU time of these processes and all their children, including ended ones.

    Other work on the machine disturbs it far less than it disturbs wall time.
    """
    seconds = 0.0
    for pid in pids:
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


# --- Figures ------------------------------------------------------------------------------------


def turns(contestants: Sequence[Contestant], rounds: int) -> Iterator[Contestant]:
    """Each contestant once per round, in a different order, so that none always goes first."""
    for number in range(rounds):
        start = number % len(contestants)
        yield from [*contestants[start:], *contestants[:start]]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not exceeded by `share` (0.95) of all values."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 10_000) // 10_000) - 1)]


@dataclass(frozen=True)
class Target:
    """A required value, and whether it is reached."""

    what: str
    measured: float
    bound: float
    at_least: bool  # otherwise: at most

    @property
    def met(self) -> bool:
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


@dataclass
class Report:
    """A benchmark's results: figures, ratios and targets, and how they were measured."""

    name: str
    method: str
    quick: bool
    tables: dict[str, list[Row]] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)
    raw: dict[str, Sequence[float]] = field(default_factory=dict)  # for plots and for checking

    def at_least(self, what: str, measured: float, bound: float) -> None:
        self.targets.append(Target(what, measured, bound, at_least=True))

    def at_most(self, what: str, measured: float, bound: float) -> None:
        self.targets.append(Target(what, measured, bound, at_least=False))

    def tell(self, asked: Asked, postgresql: str) -> None:
        machine = {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "postgresql": postgresql,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        if asked.json:
            print(json.dumps(self._as_json(machine)))
            return
        told = ", ".join(f"{name} {value}" for name, value in machine.items())
        print(f"{self.name}{' (quick)' if self.quick else ''}: {told}\n")
        for title, rows in self.tables.items():
            _print_table(title, rows)
        for what, ratio in self.ratios.items():
            print(f"{what}: {shown(ratio)}")
        for target in self.targets:
            word = "at least" if target.at_least else "at most"
            verdict = "met" if target.met else "MISSED"
            bound = shown(target.bound)
            print(f"{verdict}: {target.what}, {shown(target.measured)} ({word} {bound})")
        print("\n" + "\n\n".join(fill(each, WIDTH) for each in self.method.strip().split("\n\n")))

    def _as_json(self, machine: Mapping[str, object]) -> dict[str, object]:
        return {
            "benchmark": self.name,
            "quick": self.quick,
            "machine": machine,
            "method": " ".join(self.method.split()),
            "tables": self.tables,
            "ratios": self.ratios,
            "targets": [
                {
                    "what": one.what,
                    "measured": one.measured,
                    "at_least" if one.at_least else "at_most": one.bound,
                    "met": one.met,
                }
                for one in self.targets
            ],
            "raw": self.raw,
        }


def _print_table(title: str, rows: Sequence[Row]) -> None:
    names = list(rows[0])
    cells = [[shown(row.get(name)) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    first, *others = widths
    print(title)
    for line in [names, *cells]:
        values = [value.rjust(width) for value, width in zip(line[1:], others, strict=True)]
        print("  ".join([line[0].ljust(first), *values]).rstrip())
    print()


def shown(value: Cell) -> str:
    """A cell formatted for people."""
    match value:
        case None:
            return "–"
        case float():
            return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
        case int():
            return f"{value:,}"
        case str():
            return value
