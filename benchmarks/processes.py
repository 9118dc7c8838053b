"""One, two and four serving processes on one PostgreSQL, 200 companies with 50 records each.

python -m benchmarks.processes [--quick] [--json]
"""

from contextlib import ExitStack

from benchmarks import ours
from benchmarks.companies import (
    FIRMS,
    LATENCY,
    QUICK_FIRMS,
    Stage,
    assert_arrived,
    prepared,
    restored,
)
from benchmarks.drains import Drained, drained, rates_of, rows_of
from benchmarks.harness import Report, ask, median, own_postgres, turns
from benchmarks.workers import running_worker

PROCESSES, QUICK_PROCESSES = (1, 2, 4), (1, 2)
DRAINERS = 4  # threads per process: few, so that processes are compared
ROUNDS = 3

METHOD = """
200 firms saved 50 customers each, while nothing drained. Then so many processes of the app, with
four drainers each, are told to begin at the same moment, on the same PostgreSQL and the same
simulator, 50 ms a call. They know nothing of each other: leases decide who serves which company.
The rate is that of all together. Three rounds, each in another order, with database and books
copied afresh; told are the medians, and the processor time, in ms, that a record costs the
processes and PostgreSQL.

All of it, the simulator too, runs on the cores of this machine: once they are busy, another process
cannot add to the rate, and shows only what it costs.
"""


def main() -> None:
    asked = ask("processes", __doc__)
    report = Report("processes", METHOD, asked.quick)
    counts = QUICK_PROCESSES if asked.quick else PROCESSES
    drains: dict[str, list[Drained]] = {_named(count): [] for count in counts}
    firms = QUICK_FIRMS if asked.quick else FIRMS
    with own_postgres(quick=asked.quick) as databases, prepared(databases, firms) as stage:
        for count in turns(counts, 1 if asked.quick else ROUNDS):
            drains[_named(count)].append(_turn(stage, count, quick=asked.quick))
        _judge(report, drains)
        report.tell(asked, databases.version())


def _named(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def _turn(stage: Stage, count: int, *, quick: bool) -> Drained:
    with restored(stage, "singles") as (url, simulator), ExitStack() as life:
        own = {"DATABASE_URL": url, "SIMULATOR_URL": simulator.url, "DRAINERS": str(DRAINERS)}
        workers = [
            life.enter_context(running_worker("benchmarks.ours", "app", **{**stage.environ, **own}))
            for _ in range(count)
        ]
        seen = drained(stage.databases, url, ours.LEFT, stage.records, *workers, quick=quick)
        assert_arrived(simulator, seen)
        return seen


def _judge(report: Report, drains: dict[str, list[Drained]]) -> None:
    rates = rates_of(drains)
    alone = _named(1)
    title = f"Records sent, {LATENCY * 1000:.0f} ms a call, {DRAINERS} drainers a process"
    report.tables[title] = rows_of(drains, alone)
    for name in drains:
        if name != alone:
            report.ratios[f"{name} ÷ {alone}"] = median(rates[name]) / median(rates[alone])
    report.raw |= rates


if __name__ == "__main__":
    main()
