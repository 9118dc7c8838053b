"""Whether a serving process's memory grows: `python -m benchmarks.memory [--quick] [--json]`."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from benchmarks import filled
from benchmarks.firms import Firm, new_firms
from benchmarks.harness import Report, ask, median, own_postgres
from benchmarks.ours import LEFT, capturing_sessions, environment
from benchmarks.workers import Worker, running_worker
from config import Config
from simulator.testing import SimulatorHandle, running_simulator

FIRMS, QUICK_FIRMS = 100, 2
RECORDS, QUICK_RECORDS = 100_000, 400
WARM_UP = 5_000  # entries; memory may not grow after these
MAX_GROWTH = 1.1
LOOK_EVERY = 0.5  # seconds
MAX_SECONDS = 1800.0  # seconds; a longer drain is stuck
MB = 1 << 20

METHOD = f"""
One process of the app, as it serves, with {FIRMS} connected companies and {RECORDS:,} customers
that wait to be sent: it composes, stores, sends, settles and links them, to the simulator, within
QuickBooks' limits, with four drainers. Its resident memory is read from outside twice a second,
together with how many entries are still to go. "After the first {WARM_UP:,}" is the median of the
readings while entries {WARM_UP:,} to {2 * WARM_UP:,} went out; "at the end" that of the last
{WARM_UP:,}; "highest" is the highest of all after the first {WARM_UP:,}.
"""


@dataclass(frozen=True)
class Reading:
    done: int
    mb: float
    seconds: float


def main() -> None:
    asked = ask("memory", __doc__ or "")
    count, records = (QUICK_FIRMS, QUICK_RECORDS) if asked.quick else (FIRMS, RECORDS)
    with own_postgres(quick=asked.quick) as databases, running_simulator() as simulator:
        url = databases.create("memory")
        environ = environment(url, SIMULATOR_URL=simulator.url, DRAINERS="4")
        with capturing_sessions(url) as sessions:
            firms = new_firms(sessions, Config.from_environ(environ), simulator, count)
        with filled.filling(url) as cursor:
            filled.customers(cursor, [firm.id for firm in firms], records // count)
        databases.seal("memory")
        with running_worker("benchmarks.ours", "app", **environ) as worker:
            readings = _drain(worker, url, records)
        _assert_arrived(simulator, firms, records)
        _report(readings, records, quick=asked.quick).tell(asked, databases.version())


def _drain(worker: Worker, url: str, records: int) -> list[Reading]:
    process = psutil.Process(worker.pid)
    readings: list[Reading] = []
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        worker.tell(do="drain")
        began = time.monotonic()
        while not readings or readings[-1].done < records:
            worker.assert_alive()
            left = connection.execute(text(LEFT)).scalar_one()
            seconds = time.monotonic() - began
            readings.append(Reading(records - left, process.memory_info().rss / MB, seconds))
            if seconds > MAX_SECONDS:
                raise SystemExit(f"{left:,} entries were left after {MAX_SECONDS:.0f} seconds.")
            time.sleep(LOOK_EVERY)
    return readings


def _assert_arrived(simulator: SimulatorHandle, firms: Sequence[Firm], records: int) -> None:
    booked = [one for firm in firms for one in simulator.books(firm.realm)["Customer"]]
    arrived = {one["DisplayName"] for one in booked if str(one["DisplayName"]).count("-") == 1}
    assert len(arrived) == records, f"{len(arrived):,} of {records:,} customers are there"


def _report(readings: Sequence[Reading], records: int, *, quick: bool) -> Report:
    report = Report("memory", METHOD, quick)
    warm_up = min(WARM_UP, records // 4)
    warm = [one.mb for one in readings if warm_up < one.done <= 2 * warm_up]
    last = [one.mb for one in readings if one.done > records - warm_up]
    after = [one.mb for one in readings if one.done > warm_up]
    first = median(warm or after)
    report.tables["Resident memory"] = [
        {
            "MB": f"{records:,} entries in {readings[-1].seconds:,.0f} s",
            "at the start": readings[0].mb,
            f"after the first {warm_up:,}": first,
            "at the end": median(last),
            "highest": max(after),
        }
    ]
    report.at_most("at the end, to after the first", median(last) / first, MAX_GROWTH)
    report.at_most("highest, to after the first", max(after) / first, MAX_GROWTH)
    report.raw["ours"] = [one.mb for one in readings]
    return report


if __name__ == "__main__":
    main()
