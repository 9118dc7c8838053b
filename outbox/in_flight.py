"""Requests of one lane in progress, and their answers as they come back.

One drainer holds the lane, and only it stores and settles. Only the calls run on other threads.
"""

import operator
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass

from outbox.company import Answer, Sent

Run = Callable[[Callable[[], None]], object]  # starts it, now or on another thread


@dataclass(frozen=True)
class Returned:
    """A request that is not in progress any more. Without an answer, it was not sent after all."""

    sent: Sent
    answer: Answer | None
    seconds: float


class InFlight:
    """At most `limit` requests in progress. One at a time unless `run` uses other threads."""

    def __init__(self, run: Run | None = None, limit: int = 1) -> None:
        self._run = run or operator.call
        self._limit = limit if run else 1
        self._out: dict[int, Sent] = {}
        self._is_woken = False
        self._back: queue.SimpleQueue[tuple[Returned, BaseException | None] | None] = (
            queue.SimpleQueue()
        )

    @property
    def count(self) -> int:
        """How many are in progress."""
        return len(self._out)

    @property
    def has_room(self) -> bool:
        """Whether another may be started: a request that must be alone allows no other."""
        return self.count < self._limit and not any(sent.goes_alone for sent in self._out.values())

    @property
    def claims(self) -> frozenset[str]:
        """What the requests in progress may change, in the company's words."""
        return frozenset[str]().union(*(sent.claims for sent in self._out.values()))

    def start(self, sent: Sent, send: Callable[[Sent], Answer | None]) -> None:
        """Sends a stored request. What `send` raises is raised by `take`."""
        self._out[sent.id] = sent

        def call() -> None:
            began, problem, answer = time.monotonic(), None, None
            try:
                answer = send(sent)
            except BaseException as raised:  # raised again by `take`
                problem = raised
            self._back.put((Returned(sent, answer, time.monotonic() - began), problem))

        self._run(call)

    def take(self, timeout: float) -> Returned | None:
        """The next request that came back; None after `timeout` seconds, or if woken."""
        try:
            back = self._back.get(timeout=timeout)
        except queue.Empty:
            return None
        if back is None:
            self._is_woken = False
            return None
        returned, problem = back
        del self._out[returned.sent.id]
        if problem:
            raise problem
        return returned

    def wake(self) -> None:
        """Ends a wait in `take`, because there is something new to send. Any thread may call it."""
        if not self._is_woken:  # many wakes are one
            self._is_woken = True
            self._back.put(None)

    def abandon(self, seconds: float) -> None:
        """Waits until nothing is in progress, and ignores the answers."""
        ends_at = time.monotonic() + seconds
        while self._out and (left := ends_at - time.monotonic()) > 0:
            try:
                back = self._back.get(timeout=left)
            except queue.Empty:
                return
            if back is not None:
                del self._out[back[0].sent.id]
