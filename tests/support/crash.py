"""Killing a drain at every step it takes.

A zygote imports everything once and forks a child for each kill point. The child drains a lane
with the real `quickbooks.delivery`; at its n-th boundary (before a statement, before and after a
commit, before a call, when its bytes are out, after its answer) it kills itself with SIGKILL.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any

import requests
from sqlalchemy import Engine, event, text

from config import Config
from db import make_engine, make_sessions
from development.stack import ROOT
from outbox.capture import attach
from outbox.poller import drain_lane
from quickbooks.delivery import QuickBooks


@dataclass
class Tripwire:
    """Counts boundaries, and kills this process at one of them."""

    at: int  # 0: never
    passed: list[str] = field(default_factory=list)

    def step(self, name: str) -> None:
        self.passed.append(name)
        if len(self.passed) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def lay(self, engine: Engine) -> None:
        @event.listens_for(engine, "before_cursor_execute")
        def before(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
            self.step(" ".join(statement.split())[:60])

        self._around(type(engine.dialect), "do_commit", "before COMMIT", "after COMMIT")
        self._around(requests.Session, "request", "a call begins", "its answer is here")
        self._around(http.client.HTTPConnection, "getresponse", "its bytes are out", None)

    def _around(self, owner: type, name: str, before: str, after: str | None) -> None:
        real: Callable[..., Any] = getattr(owner, name)

        def stepping(*arguments: Any, **named: Any) -> Any:
            self.step(before)
            result = real(*arguments, **named)
            if after:
                self.step(after)
            return result

        setattr(owner, name, stepping)


def drain_and_die(environ: Mapping[str, str], lane_id: int, at: int) -> list[str]:
    """Drains until nothing is due, as far as it gets; the boundaries it passed."""
    config = Config.from_environ(environ)
    engine = make_engine(config.database_url)
    sessions = make_sessions(engine)
    attach(sessions)
    company = QuickBooks(sessions, config)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))  # what the driver asks at its first connect
    tripwire = Tripwire(at)
    tripwire.lay(engine)
    for _ in range(40):
        rest = drain_lane(sessions, company, lane_id, config, threading.Event())
        if rest is None:
            break
        _forget_pace(config.database_url)
    return tripwire.passed


def _forget_pace(database_url: str) -> None:
    engine = make_engine(database_url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE outbox_lanes SET pause_until = NULL, pause_reason = NULL,"
                " next_call_at = NULL, next_batch_at = NULL"
            )
        )
    engine.dispose()


def main() -> None:
    """The zygote: one order a line on standard input, one answer a line on standard output."""
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            passed = drain_and_die(order["environ"], order["lane"], order["at"])
            os.write(writing, json.dumps(passed).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            told = pipe.read()
        _, status = os.waitpid(child, 0)
        died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        failed = not died and os.waitstatus_to_exitcode(status) != 0
        answer = {"died": died, "failed": failed, "passed": json.loads(told or "[]")}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


@dataclass(frozen=True)
class Zygote:
    process: "subprocess.Popen[str]"

    def drain(self, environ: Mapping[str, str], lane_id: int, *, die_at: int = 0) -> list[str]:
        """A child's drain. What it passed; nothing when it died."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        order = {"environ": dict(environ), "lane": lane_id, "at": die_at}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert not answer["failed"]
        assert answer["died"] == (die_at > 0 and not answer["passed"])
        passed: list[str] = answer["passed"]
        return passed


@contextmanager
def running_zygote() -> Iterator[Zygote]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.crash"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        yield Zygote(process)
    finally:
        pipes: list[IO[str] | None] = [process.stdin, process.stdout]
        for pipe in pipes:
            with suppress(OSError):
                assert pipe is not None
                pipe.close()
        process.wait(20)


if __name__ == "__main__":
    main()
