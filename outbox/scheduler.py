"""The engine's lifecycle in a serving process.

APScheduler runs the jobs; it does not deliver wakes, because it drops one that arrives during a
run. Started only by serving processes: once per gunicorn worker after the fork, never on import, in
`create_app`, for commands or in a reloader's parent.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers import SchedulerNotRunningError
from apscheduler.schedulers.background import BackgroundScheduler

import db
from config import Config
from db import Sessions
from outbox import bulk
from outbox.company import Company
from outbox.poller import Poller
from outbox.prune import prune
from outbox.watchdog import mend_times, release_forgotten_waiters

log = structlog.get_logger()

DEAD_AFTER = 15  # seconds without polling: the scheduler is stuck, whatever it reports
# seconds by which the wall clock moved against the monotonic one: someone set it
MIN_CLOCK_JUMP = 2.0
MAX_REVIVALS = 3  # schedulers in a row that never polled: only a new process helps
AT_A_STRETCH = 300.0  # seconds within which a job may start another item; other jobs wait that long


@dataclass(frozen=True)
class Job:
    """A periodic task besides draining, e.g. keeping sign-ins alive."""

    name: str
    every: timedelta
    run: Callable[[], object]
    asks_others: bool = False  # runs on the I/O pool, because it waits for answers of others


def for_a_while(due: Iterable[int], do: Callable[[int], bool]) -> int:
    """Processes items until the time budget is spent; returns how many succeeded.

    One that fails doesn't stop the others. The rest is done in the job's next run.
    """
    done, ends_at = 0, time.monotonic() + AT_A_STRETCH
    for one in due:
        try:
            done += do(one)
        except Exception:
            log.exception("job failed for one of many", key=one)
        if time.monotonic() >= ends_at:
            break
    return done


class Engine:
    """Poller, scheduler and watchdog of one process."""

    def __init__(
        self, sessions: Sessions, company: Company, config: Config, jobs: Sequence[Job] = ()
    ) -> None:
        self._config = config
        self._sessions = sessions
        self._poller = Poller(sessions, company, config)
        times = {"lease": config.lease, "resend_after": config.resend_after}
        self._jobs = (
            *jobs,
            Job("prune", timedelta(hours=6), lambda: prune(sessions)),
            Job("bulk", timedelta(seconds=2), lambda: bulk.carry_out(sessions)),
            Job("waiters", timedelta(minutes=5), lambda: release_forgotten_waiters(sessions)),
            Job("times", timedelta(minutes=5), lambda: mend_times(sessions, **times)),
        )
        self._scheduler = self._new_scheduler()
        self._clock = _wall_clock_offset()
        self._revivals = 0
        self._revived_at = time.monotonic()
        self._stopping = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Starts drainers, polling and jobs. After a fork, never before it."""
        self._poller.start()
        self._scheduler.start()
        self._watchdog.start()
        self._poller.look()

    def wake(self, lane_id: int) -> None:
        """Announces that the lane got entries. Never blocks."""
        self._poller.wake(lane_id)

    def stop(self) -> bool:
        """Stops once the calls in progress have their answers. False if one had none."""
        self._stopping.set()
        # Without waiting: a wait holds the job store's lock, and a job that needs it would never
        # end.
        self._scheduler.shutdown(wait=False)
        return self._poller.stop()

    @property
    def seconds_since_look(self) -> float:
        """Seconds since due lanes were last queried without an error."""
        return time.monotonic() - self._poller.last_look_at

    @property
    def drainers_alive(self) -> int:
        """Running drainer threads, out of DRAINERS. Dead ones are replaced within seconds."""
        return self._poller.drainers_alive

    @property
    def cannot_heal(self) -> bool:
        """Whether only a new process helps: several schedulers in a row did not poll although the
        database answers, or no thread is left that would notice."""
        return self._revivals >= MAX_REVIVALS or not self._watchdog.is_alive()

    def _new_scheduler(self) -> BackgroundScheduler:
        scheduler = BackgroundScheduler(
            executors={
                "default": ThreadPoolExecutor(1),
                "jobs": ThreadPoolExecutor(2),
                "asking": ThreadPoolExecutor(2),  # Intuit may block these for minutes
            },
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
        )
        poll = self._config.poll_interval.total_seconds()
        scheduler.add_job(self._poller.look, "interval", seconds=poll, jitter=poll / 4, id="drain")
        for job in self._jobs:
            seconds = job.every.total_seconds()
            scheduler.add_job(
                _logged(job),
                "interval",
                seconds=seconds,
                jitter=seconds / 10,
                id=job.name,
                executor="asking" if job.asks_others else "jobs",
            )
        return scheduler

    def _watch(self) -> None:
        while not self._stopping.wait(DEAD_AFTER / 3):
            try:
                self._poller.replace_dead()
                self._follow_the_clock()
                self._replace_stuck_scheduler()
            except Exception:
                log.exception("replacing a dead thread failed")  # perhaps no memory for one

    def _follow_the_clock(self) -> None:
        """APScheduler uses the wall clock: set back by an hour, its
        jobs would pause for an hour."""
        offset = _wall_clock_offset()
        if abs(offset - self._clock) > MIN_CLOCK_JUMP:
            log.warning("the clock was set; jobs begin anew", seconds=round(offset - self._clock))
            self._clock = offset
            self._replace_scheduler()

    def _replace_stuck_scheduler(self) -> None:
        """Replaces a scheduler that does not poll although the database answers: its thread died,
        or a query hangs. If the database is down it recovers by itself."""
        patience = DEAD_AFTER + self._config.poll_interval.total_seconds()
        if self.seconds_since_look < patience:
            self._revivals = 0
            return
        if time.monotonic() - self._revived_at < patience or not db.answers(self._sessions):
            return
        self._revivals += 1
        log.error("no look for work while the database answers; starting another scheduler")
        self._replace_scheduler()

    def _replace_scheduler(self) -> None:
        old, self._scheduler = self._scheduler, self._new_scheduler()
        self._revived_at = time.monotonic()
        self._scheduler.start()
        with suppress(SchedulerNotRunningError):
            old.shutdown(wait=False)


def _wall_clock_offset() -> float:
    """Changes when someone sets the clock, but not as time passes."""
    return time.time() - time.monotonic()


def _logged(job: Job) -> Callable[[], None]:
    def run() -> None:
        try:
            job.run()
        except Exception:
            log.exception("job failed", job=job.name)

    return run


# --- One engine a process -----------------------------------------------------------------------

_engine: Engine | None = None
_owner: int | None = None  # the pid that started it: a forked child inherits no threads


def start(sessions: Sessions, company: Company, config: Config, jobs: Sequence[Job] = ()) -> Engine:
    """Starts this process's engine, once."""
    global _engine, _owner
    if _engine is None or _owner != os.getpid():
        _engine, _owner = Engine(sessions, company, config, jobs), os.getpid()
        _engine.start()
        log.info("engine started", pid=_owner)
    return _engine


def wake(lane_id: int) -> None:
    """Tells this process's engine, if it has one, that the lane got entries. Never blocks."""
    if _engine is not None and _owner == os.getpid():
        _engine.wake(lane_id)


def current() -> Engine | None:
    """This process's engine, if it runs one."""
    return _engine if _owner == os.getpid() else None


def stop() -> bool:
    """Stops this process's engine. False if a call to QuickBooks was still in progress."""
    global _engine
    engine, _engine = current(), None
    return engine.stop() if engine else True
