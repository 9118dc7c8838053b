"""What commits while a page is read: just before any of its statements."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from flask import Flask
from sqlalchemy import Engine, event, text


@contextmanager
def just_before_statement(
    database: Flask | Engine, which: int | str, happen: Callable[[], object]
) -> Iterator[list[str]]:
    """Lets it happen, all of it, before this statement of what this thread does (the first is 0),
    or before the first that has these words. The statement is in the list if there was one."""
    engine = database if isinstance(database, Engine) else database.extensions["dunahub"].database
    us, statements, came = threading.get_ident(), count(), list[str]()

    def act(_connection: object, _cursor: object, statement: str, *_told: object) -> None:
        if threading.get_ident() != us or came:
            return
        number = next(statements)
        if number == which if isinstance(which, int) else which in statement:
            came.append(" ".join(statement.split()))
            _in_a_thread(happen)

    event.listen(engine, "before_cursor_execute", act)
    try:
        yield came
    finally:
        event.remove(engine, "before_cursor_execute", act)


@contextmanager
def at_once(database: Flask, words: str, happen: Callable[[], object]) -> Iterator[list[str]]:
    """Lets it begin before the first statement with these words. It may wait for a lock of this
    thread, which then goes on; it is over when this block is."""
    engine: Engine = database.extensions["dunahub"].database
    running: list[tuple[threading.Thread, list[BaseException]]] = []

    def begin() -> None:
        running.append(_started(happen))
        while running[0][0].is_alive() and not _somebody_waits(engine):
            time.sleep(0.02)

    with just_before_statement(engine, words, begin) as came:
        yield came
    for thread, problems in running:
        thread.join(60)
        assert not thread.is_alive()
        if problems:
            raise problems[0]


def _somebody_waits(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


def _in_a_thread(happen: Callable[[], object]) -> None:
    thread, problems = _started(happen)
    thread.join(60)
    assert not thread.is_alive(), "it waits for the page: a lock"
    if problems:
        raise problems[0]


def _started(happen: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    problems: list[BaseException] = []

    def run() -> None:
        try:
            happen()
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, problems


def each_moment(most: int = 200) -> Iterator[int]:
    """The numbers of a page's statements; whoever asks breaks off at the first that isn't there."""
    yield from range(most)
    raise AssertionError("the page has no end")
