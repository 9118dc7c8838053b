"""Processes for races: several children of one clean parent, all at the same thing.

    python -m tests.support.crash_workers <role> <children> <json>

A child says on standard output what came of it, as JSON. Drainers and servers work
until the parent's standard input is closed.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from config import Config
from db import Sessions, make_engine, make_sessions
from development.stack import ROOT
from models.base import Json
from models.sales import Lead, Record
from outbox import metrics, scheduler
from outbox.capture import attach
from outbox.company import Answer, Company, Composition, Due, Reading, Remote, Sent
from outbox.looks import due_lanes
from outbox.poller import drain_lane
from quickbooks import tokens
from quickbooks.delivery import QuickBooks
from tests.support.drains import drain as drain_by_hand
from tests.support.drains import make_due
from tests.support.ledger import Ledger

Told = dict[str, Any]

RESULT = "result: "  # among the lines of the log


def drain(sessions: Sessions, config: Config, told: Told) -> object:
    """Drains whatever is due, until TERM."""
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    company = QuickBooks(sessions, config)
    while not ending.is_set():
        with sessions() as session:
            due = due_lanes(session)
        for lane_id in due:
            drain_lane(sessions, company, lane_id, config, ending)
        ending.wait(0.02)
    return metrics.LATE_RESULTS._value.get()


def serve(sessions: Sessions, config: Config, told: Told) -> object:
    """The engine as a serving process runs it, until TERM."""
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    scheduler.start(sessions, QuickBooks(sessions, config), config)
    while not ending.wait(1):
        pass
    return scheduler.stop()


def write(sessions: Sessions, config: Config, told: Told) -> object:
    """Changes the same leads as the other writers, and adds some of its own."""
    for round_ in range(told["rounds"]):
        with sessions() as session:
            for lead_id in told["leads"]:
                session.get_one(Lead, lead_id).phone = f"{os.getpid()}-{round_}"
            for firm in told["firms"]:
                name = f"Customer {secrets.token_hex(6)}"
                session.add(Lead(organization_id=firm, name=name))
            session.commit()
    return told["rounds"]


def refresh(sessions: Sessions, config: Config, told: Told) -> object:
    return tokens.access_token(sessions, config, told["connection"]) != ""


class Deadly(Ledger):
    """Something in this entry ends the process that composes it."""

    def compose(
        self,
        entries: Sequence[Due],
        links: Mapping[Record, Remote],
        settings: Json,
        taken: frozenset[str] = frozenset(),
    ) -> Composition:
        _die_of(entries)
        return super().compose(entries, links, settings)


class DeadlyToRead(QuickBooks):
    """Something in what QuickBooks says of this entry ends the process that reads it."""

    def read(self, sent: Sent, answer: Answer) -> Reading:
        _die_of(sent.due.values())
        return super().read(sent, answer)


def _die_of(entries: Iterable[Due]) -> None:
    if any(due.payload["title"] == "Poison" for due in entries):
        os.kill(os.getpid(), signal.SIGKILL)


def poisoned(sessions: Sessions, config: Config, told: Told) -> object:
    return _take_turns(sessions, config, told, Deadly())


def poisoned_answer(sessions: Sessions, config: Config, told: Told) -> object:
    return _take_turns(sessions, config, told, DeadlyToRead(sessions, config))


def _take_turns(sessions: Sessions, config: Config, told: Told, company: Company) -> object:
    """One after another: each takes its turn when the one before is dead, and its lease is over."""
    with sessions() as turn, sessions() as session:
        turn.execute(text("SELECT pg_advisory_lock(1)"))
        make_due(session)
        drain_by_hand(sessions, company, told["lane"], config)
    return "alive"


ROLES: dict[str, Callable[[Sessions, Config, Told], object]] = {
    "drain": drain,
    "serve": serve,
    "write": write,
    "refresh": refresh,
    "poisoned": poisoned,
    "poisoned_answer": poisoned_answer,
}


def main() -> None:
    role, children, told = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    starting, start = os.pipe()
    pids = []
    for _ in range(children):
        pid = os.fork()
        if pid == 0:
            os.close(start)
            os.read(starting, 1)  # all begin when the parent closes its end
            _work(role, told)
            os._exit(0)
        pids.append(pid)
    sys.stdout.write(json.dumps(pids) + "\n")
    sys.stdout.flush()
    os.close(start)
    if role in ("drain", "serve"):
        sys.stdin.read()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    for pid in pids:
        os.waitpid(pid, 0)


def _work(role: str, told: Told) -> None:
    config = Config.from_environ(told["environ"])
    engine = make_engine(config.database_url, pool_size=3)
    sessions = make_sessions(engine)
    attach(sessions, wake=scheduler.wake)
    result = ROLES[role](sessions, config, told)
    os.write(1, (RESULT + json.dumps(result) + "\n").encode())


@dataclass(frozen=True)
class Workers:
    process: "subprocess.Popen[str]"
    pids: list[int]

    def signal(self, number: signal.Signals) -> None:
        for pid in self.pids:
            os.kill(pid, number)

    def finish(self) -> list[Any]:
        """Lets them end; what each of those that were not killed said."""
        out, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        told = [line.removeprefix(RESULT) for line in out.splitlines() if line.startswith(RESULT)]
        return [json.loads(line) for line in told]


@contextmanager
def working(
    role: str, children: int, environ: Mapping[str, str], **told: object
) -> Iterator[Workers]:
    command = [sys.executable, "-m", "tests.support.crash_workers", role, str(children)]
    process = subprocess.Popen(
        [*command, json.dumps({"environ": dict(environ), **told})],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    workers = Workers(process, json.loads(process.stdout.readline()))
    try:
        yield workers
    finally:
        if process.poll() is None:
            for pid in workers.pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.communicate(timeout=20)


if __name__ == "__main__":
    main()
