"""The cost of finding and claiming work as the tables grow: `python -m benchmarks.claim`."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from benchmarks import filled
from benchmarks.harness import (
    Asked,
    Databases,
    Report,
    Row,
    ask,
    median,
    own_postgres,
    percentile,
    turns,
)
from benchmarks.ours import Nothing, environment
from config import Config
from db import Sessions, make_engine, make_sessions
from outbox.company import Sent
from outbox.dispatches import next_dispatch
from outbox.lanes import lease_lane, release
from outbox.looks import Looks
from outbox.settle import settle

FIRMS = 1_000
WORKING = range(11, 31)  # lanes that have something to send
WAVE = 30

METHOD = f"""
A CLAIM is what a drainer does until it may call QuickBooks: it leases a lane and takes up to {WAVE}
entries of it, which are chosen, composed and stored as one request. Which lane, it learns from the
process that saved something there, or from the LOOK that each process takes once a second and that
finds all lanes with due work at once. Both are the engine's own functions with a delivery that does
nothing; what follows (settling, giving the lane back) is done too, and not counted.
{len(WORKING)} lanes have work in each database, and {FIRMS:,} firms exist. The databases stand side
by side on one server; claims take turns among them.

HELD: a lane whose sign-in expired stands in front of the others, with 100,000 entries behind it.
IDLE: 100,000 more firms are connected and have nothing to send. SNAPSHOT: somebody holds a snapshot
open (a backup, a report) while 100,000 entries come and go in the working lanes over 83 minutes, as
fast as QuickBooks takes them; none of what they leave behind can be cleaned up.
"""


@dataclass
class Place:
    """A database, and the times of its claims."""

    name: str
    database: str
    sessions: Sessions
    config: Config
    turn: int = 0
    looks: Looks = field(default_factory=Looks)  # a process that keeps on looking
    took: dict[str, list[float]] = field(
        default_factory=lambda: {"look": [], "lease": [], "take": [], "claim": []}
    )

    @property
    def url(self) -> str:
        return self.config.database_url

    def claim(self) -> None:
        began = time.perf_counter()
        with self.sessions() as session:
            lanes = self.looks.due_lanes(session)
        looked = time.perf_counter()
        lane = sorted(lanes)[self.turn % len(lanes)]
        self.turn += 1
        claim = lease_lane(self.sessions, lane, self.config.lease)
        leased = time.perf_counter()
        assert claim is not None
        sent = next_dispatch(self.sessions, claim, Nothing(), self.config)
        taken = time.perf_counter()
        assert isinstance(sent, Sent)
        assert len(sent.items) == WAVE
        company = Nothing()
        answer = company.send(sent)
        settle(self.sessions, claim, sent, answer, company.read(sent, answer))
        with self.sessions.begin() as session:
            release(session, claim)
        for name, seconds in {
            "look": looked - began,
            "lease": leased - looked,
            "take": taken - leased,
            "claim": taken - looked,
        }.items():
            self.took[name].append(seconds * 1000)


def main() -> None:
    asked = ask("claim", __doc__ or "")
    rounds = 6 if asked.quick else 120
    with ExitStack() as life:
        databases = life.enter_context(own_postgres(quick=asked.quick))
        places = _places(life, databases, asked, rounds)
        for place in turns(places, 2):
            place.claim()  # warms all caches
        for place in places:
            place.took = {name: [] for name in place.took}
        for place in turns(places, rounds):
            place.claim()
        report = _report(places, quick=asked.quick)
        report.tell(asked, databases.version())


def _report(places: list[Place], *, quick: bool) -> Report:
    report = Report("claim", METHOD, quick)
    first = {name: median(times) for name, times in places[0].took.items()}
    rows: list[Row] = []
    for place in places:
        took = {name: median(times) for name, times in place.took.items()}
        ratios = {name: took[name] / first[name] for name in ("claim", "look")}
        rows.append(
            {
                "p50 ms": place.name,
                "lease": took["lease"],
                "take": took["take"],
                "claim": took["claim"],
                "p95": percentile(place.took["claim"], 0.95),
                "to the first": ratios["claim"],
                "look": took["look"],
                "to the first ": ratios["look"],
            }
        )
        report.raw[f"claim, {place.name}"] = place.took["claim"]
        report.raw[f"look, {place.name}"] = place.took["look"]
        if place is not places[0]:
            for name, ratio in ratios.items():
                report.at_most(f"{name}, {place.name}", ratio, _bound(name, place.name))
    report.tables["What a claim takes, and a look for lanes"] = rows
    return report


def _bound(what: str, place: str) -> float:
    if place.endswith("stored"):
        return 1.5
    # what settled entries leave in the index cannot be removed
    return 3.0 if what == "look" and place.startswith("old snapshot") else 2.0


# --- The databases ------------------------------------------------------------------------------


def _places(life: ExitStack, databases: Databases, asked: Asked, rounds: int) -> list[Place]:
    small, many, sizes = 10_000, 100_000, [10_000, 1_000_000, 10_000_000]
    if asked.quick:
        small, many, sizes = 1_000, 2_000, [1_000, 10_000]
    places = [
        _place(life, databases, f"{rows:,} rows stored", f"stored_{rows}", rows) for rows in sizes
    ]
    held = _place(life, databases, f"behind {many:,} of a held lane", "held", small)
    with filled.filling(held.url) as cursor:
        filled.pending(cursor, [1], many)
        cursor.execute("UPDATE outbox_lanes SET state = 'held' WHERE id = 1")
    idle = _place(life, databases, f"with {many:,} idle lanes", "idle", small, FIRMS + many)
    old = _place(life, databases, f"old snapshot, {many:,} churned", "old", small)
    onlooker = create_engine(old.url, poolclass=NullPool, isolation_level="REPEATABLE READ")
    life.enter_context(onlooker.connect()).execute(text("SELECT count(*) FROM organizations"))
    filled.churned(old.url, WORKING, many // len(WORKING))
    places += [held, idle, old]
    each = (rounds // len(WORKING) + 3) * WAVE  # so that no lane runs empty
    for place in places:
        with filled.filling(place.url) as cursor:
            filled.pending(cursor, WORKING, each)
        databases.seal(place.database)
    return places


def _place(
    life: ExitStack, databases: Databases, name: str, database: str, rows: int, firms: int = FIRMS
) -> Place:
    url = databases.create(database)
    with filled.filling(url) as cursor:
        filled.firms(cursor, firms)
        filled.settled(cursor, rows, FIRMS)
    engine = make_engine(url, pool_size=2)
    life.callback(engine.dispose)
    return Place(name, database, make_sessions(engine), Config.from_environ(environment(url)))


if __name__ == "__main__":
    main()
