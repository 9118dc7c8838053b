"""The engine's life in a serving process.

APScheduler runs the jobs; it never is the wake path, because it drops a wake that comes during a
run. Started by the serving process only: once per gunicorn worker after the fork, never on import,
in `create_app`, for commands or in a reloader's parent.
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

DEAD_AFTER = 15  # seconds without a look: the scheduler is stuck, whatever it says itself
JUMP = 2.0  # seconds by which the wall clock moved against the steady one: somebody set it
MAX_REVIVALS = 3  # schedulers in a row that never looked: only a new process helps
AT_A_STRETCH = 300.0  # seconds within which a job begins with another: so long others may wait


@dataclass(frozen=True)
class Job:
    """Something to run now and then beside draining, e.g. keeping sign-ins alive."""

    name: str
    every: timedelta
    run: Callable[[], object]
    asks_others: bool = False  # waits for somebody else's answer: on threads apart


def for_a_while(due: Iterable[int], do: Callable[[int], bool]) -> int:
    """Does it for one after another, until a while is over; says for how many it could be done.

    One that fails keeps nobody else. The rest comes with the job's next run.
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
        """Starts drainers, looks and jobs. After a fork, never before it."""
        self._poller.start()
        self._scheduler.start()
        self._watchdog.start()
        self._poller.look()

    def wake(self, lane_id: int) -> None:
        """Says that the lane got entries. Never blocks."""
        self._poller.wake(lane_id)

    def stop(self) -> bool:
        """Ends cleanly, once the calls under way have their answers. False when one had none."""
        self._stopping.set()
        # Not waiting: a wait holds the job store's lock, and a job that wants it would never end.
        self._scheduler.shutdown(wait=False)
        return self._poller.stop()

    @property
    def seconds_since_look(self) -> float:
        """Seconds since lanes with due work were last looked for without an error."""
        return time.monotonic() - self._poller.last_look_at

    @property
    def drainers_alive(self) -> int:
        """Threads that send, of as many as DRAINERS says. Dead ones are replaced within seconds."""
        return self._poller.drainers_alive

    @property
    def cannot_heal(self) -> bool:
        """Whether only a new process helps: schedulers in a row found no work to look for although
        the database answers, or nobody is left who would notice."""
        return self._revivals >= MAX_REVIVALS or not self._watchdog.is_alive()

    def _new_scheduler(self) -> BackgroundScheduler:
        scheduler = BackgroundScheduler(
            executors={
                "default": ThreadPoolExecutor(1),
                "jobs": ThreadPoolExecutor(2),
                "asking": ThreadPoolExecutor(2),  # Intuit may keep these for minutes
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
                log.exception("replacing a dead thread failed")  # no memory for one, perhaps

    def _follow_the_clock(self) -> None:
        """APScheduler reckons by the wall clock: set back an hour, its jobs would rest an hour."""
        offset = _wall_clock_offset()
        if abs(offset - self._clock) > JUMP:
            log.warning("the clock was set; jobs begin anew", seconds=round(offset - self._clock))
            self._clock = offset
            self._replace_scheduler()

    def _replace_stuck_scheduler(self) -> None:
        """One that does not look for work although the database answers: its thread died, or a look
        hangs. Without a database it heals by itself."""
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
    """Changes when somebody sets the clock, and not by the passing of time."""
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
    """Stops this process's engine. False when a call to QuickBooks was still out."""
    global _engine
    engine, _engine = current(), None
    return engine.stop() if engine else True
