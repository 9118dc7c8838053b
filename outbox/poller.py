"""The poller: finds lanes with due work and drains each with one drainer at a time.

    capture → claim → deliver → settle

`drain_lane` is the engine's sentence. `Poller` runs it on a few threads, lanes in turns, woken by
the writers of this process and, as a net, once a second by the scheduler.
"""

import heapq
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

import db
from config import Config
from db import Sessions, single_statements
from outbox import metrics
from outbox.company import Answer, Company, Fault, Reading, Rejected, Sent
from outbox.dispatches import Rest, next_dispatch
from outbox.in_flight import InFlight, Returned
from outbox.lanes import Claim, hand_back, lease_lane, postpone, release, renew, slow_down
from outbox.looks import Looks
from outbox.settle import settle, take_back

REQUESTS_PER_TURN = 10  # requests that a lane may send before other lanes get their turn
# Requests of one lane in progress at once. Intuit admits ten; two are left for reads next to the
# sending. A batch every 1.56 s that takes 12 s needs eight.
IN_FLIGHT = 8
SETTLING = timedelta(seconds=2)  # after the last answer, when the process is stopping
LOOK_AGAIN = timedelta(seconds=1)  # for entries that become due while requests are in progress
MAX_SEND_DELAY = timedelta(milliseconds=400)  # for a call in the budget: the pace can absorb this

log = structlog.get_logger()
calls = logging.getLogger("dunahub.calls")  # one line per call; silent unless logging is configured


def drain_lane(
    sessions: Sessions,
    company: Company,
    lane_id: int,
    config: Config,
    stopping: threading.Event,
    under_way: InFlight | None = None,
    others_wait: Callable[[], bool] = lambda: True,
) -> timedelta | None:
    """Sends what is due in one lane. Returns when to call again, or None.

    The turn ends after a quantum of requests if `others_wait` for one. The lease is released at the
    end, unless it was lost. After an exception it is handed back, or expires; the next claim
    continues from the state in the database.
    """
    claim = lease_lane(sessions, lane_id, config.lease)
    if claim is None:
        return None
    lane = _Drained(sessions, company, claim, config, stopping, under_way or InFlight())
    try:
        return lane.drain(others_wait)
    except Exception as problem:
        lane.settle_rest()
        hand_back(sessions, claim, counts=not isinstance(problem, db.DATABASE_ERRORS))
        raise


@dataclass(frozen=True)
class _Drained:
    """A lane that this thread holds."""

    sessions: Sessions
    company: Company
    claim: Claim
    config: Config
    stopping: threading.Event
    under_way: InFlight

    def drain(self, others_wait: Callable[[], bool]) -> timedelta | None:
        stored, leaves_more = 0, True
        while True:
            is_over = self.stopping.is_set() or (stored >= REQUESTS_PER_TURN and others_wait())
            rest: Rest | None = None
            if not is_over and leaves_more and self.under_way.has_room:
                next_ = self._start_next()
                if isinstance(next_, Sent):
                    stored, leaves_more = stored + 1, next_.leaves_more
                    continue
                rest = next_
                if not self.under_way.count:
                    return rest.for_ if rest else None
            elif not self.under_way.count:
                with self.sessions.begin() as session:
                    release(session, self.claim)
                return timedelta(0)
            if not self._settle_next(rest):
                return None
            leaves_more = True  # after an answer, a wake or a while

    def settle_rest(self) -> None:
        """After an exception: settles the requests still in progress as far as that is possible.

        The next claim of the lane must find none of ours in progress.
        """
        ends_at = time.monotonic() + self.config.call_deadline.total_seconds()
        while self.under_way.count:
            left = max(0.0, ends_at - time.monotonic())
            try:
                returned = self.under_way.take(left)
                if returned is None and not left:
                    break
                if returned and not self._settle(returned):
                    break
            except db.DATABASE_ERRORS:
                log.exception("the answers of a lane could not be settled", lane=self.claim.lane_id)
                break
            except Exception:
                log.exception("another request of a lane failed", lane=self.claim.lane_id)
        self.under_way.abandon(max(0.0, ends_at - time.monotonic()))

    def _start_next(self) -> Sent | Rest | None:
        """Starts a request, if one may be sent now."""
        leased_at = time.monotonic()
        next_ = next_dispatch(self.sessions, self.claim, self.company, self.config, self.under_way)
        if isinstance(next_, Sent):
            metrics.DISPATCHES.inc()
            self.under_way.start(next_, lambda sent: self._send(sent, leased_at))
        return next_

    def _send(self, sent: Sent, leased_at: float) -> Answer | None:
        """Sends it; None if it was too late. May run on any thread."""
        spare = self.config.lease - self.config.call_deadline
        patience = min(MAX_SEND_DELAY, spare)
        while time.monotonic() - leased_at > patience.total_seconds():
            # This process was stopped for a while: the call might outlive the lease, or follow the
            # previous one too soon. The latter is only counted once: if the database takes longer
            # than `MAX_SEND_DELAY`, nothing would ever be sent.
            leased_at, patience = time.monotonic(), spare
            if not _is_still_ours(self.sessions, self.claim, self.company, self.config, sent):
                log.warning("not sent: the lane was lost or stopped", dispatch=sent.id)
                return None
        return self.company.send(sent)  # no transaction is open here

    def _settle_next(self, rest: Rest | None) -> bool:
        """Waits for an answer, and settles it if one comes. False if the lease was lost."""
        wait = min(LOOK_AGAIN, rest.for_) if rest else LOOK_AGAIN
        returned = self.under_way.take(wait.total_seconds())
        return returned is None or self._settle(returned)

    def _settle(self, returned: Returned) -> bool:
        """False if the lease was lost."""
        sent, answer = returned.sent, returned.answer
        if answer is None:
            return take_back(self.sessions, self.claim, sent)
        _note_answer(sent, answer, returned.seconds)
        reading = _read(self.company, sent, answer)
        if settle(self.sessions, self.claim, sent, answer, reading) is None:
            return False
        if reading.trouble and reading.trouble.reason == "throttled":
            limits, is_batch = self.company.limits, sent.path == "batch"
            slow_down(self.sessions, self.claim, limits, is_batch=is_batch)
        return True


def _note_answer(sent: Sent, answer: Answer, seconds: float) -> None:
    """Logs the last step of the trace: web request → entries
    ("captured") → this call → intuit_tid."""
    class_ = metrics.class_of(answer)
    metrics.ANSWERS.labels(class_).inc()
    calls.info(
        "answered",
        extra={
            "dispatch": sent.id,
            "lane": sent.lane_id,
            "entries": [item.entry_id for item in sent.items],
            "call": f"{sent.method} {sent.path}",
            "requestid": sent.request_id,
            "answer": class_,
            "status": answer.status,
            "intuit_tid": answer.trace_id,
            "ms": round(seconds * 1000),
        },
    )


def _is_still_ours(
    sessions: Sessions, claim: Claim, company: Company, config: Config, sent: Sent
) -> bool:
    """Renews the lease, and counts the call from now on. False also when a person has disconnected
    and signed in again since: what the request holds may be withheld now."""
    with sessions.begin() as session:
        lane = renew(session, claim, config.lease)
        if lane is None or lane.sign_in != sent.sign_in:
            return False
        postpone(session, claim, lane, company.limits, is_batch=sent.path == "batch")
    return True


def _read(company: Company, sent: Sent, answer: Answer) -> Reading:
    try:
        return company.read(sent, answer)
    except Exception:
        log.exception("reading an answer failed", dispatch=sent.id)
    return _read_apart(company, sent, answer)


def _read_apart(company: Company, sent: Sent, answer: Answer) -> Reading:
    """Reads each entry's part of the answer separately, after reading the whole failed.

    Of a write nothing is known then: it stays open, and is finally looked up. A read would be
    repeated forever, so a person must look at it.
    """
    whole = Reading()
    for entry_id, due in sent.due.items():
        try:
            part = company.read(replace(sent, due={entry_id: due}), answer)
            outcomes = {**whole.outcomes, **part.outcomes}
            whole = replace(part, outcomes=outcomes, trouble=whole.trouble or part.trouble)
        except Exception:
            log.exception("an answer cannot be read", dispatch=sent.id, entry=entry_id)
            if sent.method == "GET":
                internal = Rejected(Fault("internal"))
                whole = replace(whole, outcomes={**whole.outcomes, entry_id: internal})
    return whole


class Turns:
    """Lanes that want a drainer, first come, first served, each at most once at a time.

    A wake while the lane is being drained is remembered (the dirty flag): its entries may have been
    committed after the drainer's last query.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[int] = deque()
        self._later: list[tuple[float, int]] = []  # a heap: (monotonic time, lane)
        self._queued: set[int] = set()
        self._running: dict[int, Callable[[], None]] = {}  # what ends a drainer's wait
        self._dirty: set[int] = set()

    def want(self, lane_id: int) -> None:
        """Queues a lane; while it is being drained, marks it for another turn."""
        with self._changed:
            self._want(lane_id)

    def _want(self, lane_id: int) -> None:
        if lane_id in self._running:
            self._dirty.add(lane_id)
            self._running[lane_id]()
        elif lane_id not in self._queued:
            self._queued.add(lane_id)
            self._queue.append(lane_id)
            self._changed.notify()

    @property
    def others_wait(self) -> bool:
        """Whether a lane waits for a drainer."""
        return bool(self._queue)

    def take(self, timeout: float, wake: Callable[[], None] = lambda: None) -> int | None:
        """The next lane; None if there was none within `timeout` seconds.

        `wake` is called whenever the lane is wanted during its turn.
        """
        with self._changed:
            self._bring_up_later()
            if not self._queue:
                if self._later:
                    timeout = min(timeout, max(0.0, self._later[0][0] - time.monotonic()))
                self._changed.wait(timeout)
                self._bring_up_later()
            if not self._queue:
                return None
            lane_id = self._queue.popleft()
            self._queued.discard(lane_id)
            self._running[lane_id] = wake
            return lane_id

    def done(self, lane_id: int, again_in: timedelta | None) -> None:
        """Ends a turn. The lane gets another after `again_in`, or at once if it was woken."""
        with self._changed:
            self._running.pop(lane_id, None)
            if again_in:
                # The lane pauses: a wake meanwhile could not be served either.
                heapq.heappush(self._later, (time.monotonic() + again_in.total_seconds(), lane_id))
                self._changed.notify()
            elif again_in is not None or lane_id in self._dirty:
                self._want(lane_id)
            self._dirty.discard(lane_id)

    def _bring_up_later(self) -> None:
        while self._later and self._later[0][0] <= time.monotonic():
            self._want(heapq.heappop(self._later)[1])

    def interrupt(self) -> None:
        """Wakes all threads that wait for a turn, so that they can stop."""
        with self._changed:
            self._changed.notify_all()


class Poller:
    """The drainer threads of one process. Correct with any number of
    processes, because of leases."""

    def __init__(self, sessions: Sessions, company: Company, config: Config) -> None:
        self._sessions = sessions
        self._company = company
        self._config = config
        self._turns = Turns()
        self._looks = Looks()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._calls = ThreadPoolExecutor(config.drainers * IN_FLIGHT, "call")
        self.last_look_at = time.monotonic()

    def start(self) -> None:
        """Starts the drainer threads of this process."""
        self._threads = [self._new_thread(number) for number in range(self._config.drainers)]

    def _new_thread(self, number: int) -> threading.Thread:
        thread = threading.Thread(target=self._drain, name=f"drainer-{number}", daemon=True)
        thread.start()
        return thread

    @property
    def drainers_alive(self) -> int:
        """How many of the threads are running."""
        return sum(thread.is_alive() for thread in self._threads)

    def replace_dead(self) -> int:
        """Starts another thread for each drainer that ended without being stopped."""
        replaced = 0
        for number, thread in enumerate(self._threads):
            if not thread.is_alive() and not self._stopping.is_set():
                log.error("a drainer thread died; starting another", drainer=number)
                self._threads[number] = self._new_thread(number)
                replaced += 1
        metrics.DRAINERS_REPLACED.inc(replaced)
        return replaced

    def wake(self, lane_id: int) -> None:
        """Drains this lane as soon as a drainer is free. Never blocks."""
        self._turns.want(lane_id)

    def look(self) -> None:
        """Finds everything due, also what no wake announced. Runs every second."""
        try:
            with single_statements(self._sessions) as session:
                due = self._looks.due_lanes(session)
        except Exception:
            log.exception("looking for due lanes failed")  # the database may be restarting
            return
        random.shuffle(due)  # so that several processes start with different lanes
        for lane_id in due:
            self._turns.want(lane_id)
        self.last_look_at = time.monotonic()
        metrics.LAST_LOOK.set_to_current_time()

    def stop(self) -> bool:
        """Starts no new call and waits for calls in progress. False if
        one did not finish in time."""
        self._stopping.set()
        self._turns.interrupt()
        deadline = time.monotonic() + (self._config.call_deadline + SETTLING).total_seconds()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._calls.shutdown(wait=False, cancel_futures=True)
        return not any(thread.is_alive() for thread in self._threads)

    def _drain(self) -> None:
        while not self._stopping.is_set():
            under_way = InFlight(self._calls.submit, IN_FLIGHT)
            lane_id = self._turns.take(timeout=1.0, wake=under_way.wake)
            if lane_id is None:
                continue
            again_in: timedelta | None = None
            try:
                again_in = drain_lane(
                    self._sessions,
                    self._company,
                    lane_id,
                    self._config,
                    self._stopping,
                    under_way,
                    lambda: self._turns.others_wait,
                )
            except Exception:
                log.exception("draining failed", lane=lane_id)
            finally:
                self._turns.done(lane_id, again_in)
