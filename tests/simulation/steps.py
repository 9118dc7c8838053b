"""Between two statements of ours the process may die, or the database be in trouble."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError


class Crash(BaseException):
    """The process dies: nothing is handed back, and no `except Exception` sees it."""


class Steps:
    """Counts the statements and commits of a drain, and ends it before one of them."""

    def __init__(self, engine: Engine) -> None:
        self._left: int | None = None
        self._end: BaseException | None = None
        event.listen(engine, "before_cursor_execute", self._step)
        event.listen(engine, "commit", self._step)

    @contextmanager
    def ending(self, end: BaseException | None, after: int) -> Iterator[None]:
        """Within the block `end` is raised instead of the step number `after`, if there are so
        many."""
        self._left, self._end = after, end
        try:
            yield
        finally:
            self._left = self._end = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within the block nothing is counted: it is somebody else's process."""
        before, self._left = self._left, None
        try:
            yield
        finally:
            self._left = before

    def _step(self, *_: object) -> None:
        if self._left is None or self._end is None:
            return
        if self._left == 0:
            end, self._left = self._end, None
            raise end
        self._left -= 1


@cache
def steps_of(engine: Engine) -> Steps:
    """One pair of listeners for an engine, however many histories are played on it."""
    return Steps(engine)


def lock_timeout() -> OperationalError:
    """What the database says when somebody else holds a lock for too long."""
    return OperationalError("simulated", None, Exception("canceling statement: lock timeout"))
