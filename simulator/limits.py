"""Intuit's rate limits: requests per minute and second, batches per
minute. Uses the simulator's clock."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field

PER_MINUTE = 500  # requests per company
PER_SECOND = 10  # requests per company and app
BATCHES_PER_MINUTE = 40  # per company and app
BATCHES_PER_MINUTE_OF_ALL_APPS = 120  # per company
MINUTE = 60.0


@dataclass(slots=True)
class Window:
    """Counts events within the last seconds."""

    seconds: float
    taken: deque[tuple[float, int]] = field(default_factory=deque)
    total: int = 0

    def has_room(self, now: float, limit: int) -> bool:
        while self.taken and self.taken[0][0] <= now - self.seconds:
            self.total -= self.taken.popleft()[1]
        return self.total < limit

    def take(self, now: float, weight: int) -> None:
        self.taken.append((now, weight))
        self.total += weight


class Throttle:
    def __init__(self) -> None:
        self._minute = defaultdict[str, Window](lambda: Window(MINUTE))
        self._second = defaultdict[tuple[str, str], Window](lambda: Window(1.0))
        self._batches = defaultdict[tuple[str, str], Window](lambda: Window(MINUTE))

    def admits(self, now: float, realm: str, app: str, batch_items: int, weight: int) -> bool:
        """Counts and admits the request, unless a limit is used up."""
        wanted = [
            (self._minute[realm], PER_MINUTE, weight),
            (self._second[realm, app], PER_SECOND, 1),
        ]
        if batch_items:
            wanted.append((self._batches[realm, app], BATCHES_PER_MINUTE, 1))
            wanted.append((self._batches[realm, ""], BATCHES_PER_MINUTE_OF_ALL_APPS, 1))
        if not all(window.has_room(now, limit) for window, limit, _ in wanted):
            return False
        for window, _, each in wanted:
            window.take(now, each)
        return True

    def forget(self) -> None:
        for windows in (self._minute, self._second, self._batches):
            windows.clear()
