"""Our side as a contestant: the engine in a process of its own.

    python -m benchmarks.ours app        the app as it is served, but for the web server
    python -m benchmarks.ours nothing    its engine, with a delivery that does nothing

Configured by the environment, as the app is.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from cryptography.fernet import Fernet
from sqlalchemy.orm import Session

import logs
from app import DunaHub, create_app
from benchmarks.firms import Firm
from benchmarks.workers import say, told
from benchmarks.writing import write
from config import Config
from db import Sessions, make_engine, make_sessions
from models.base import Json
from models.sales import Record
from outbox import scheduler
from outbox.capture import attach
from outbox.company import Answer, Composition, Draft, Due, Item, Reading, Remote, Sent, Synced
from outbox.pace import UNLIMITED

LEFT = "SELECT count(*) FROM outbox WHERE state = 'pending'"


def environment(url: str, **others: str) -> dict[str, str]:
    """The environment that the app needs to run on this database."""
    return {
        "DATABASE_URL": url,
        "SECRET_KEY": "only-for-a-benchmark-on-one-machine",
        "TOKEN_KEYS": Fernet.generate_key().decode(),
        "QUICKBOOKS_ENVIRONMENT": "simulator",
        "OAUTHLIB_INSECURE_TRANSPORT": "1",  # the simulator speaks plain http
        **others,
    }


@contextmanager
def capturing_sessions(url: str) -> Iterator[Sessions]:
    """Sessions with capture, like the app's; leave no connection open."""
    engine = make_engine(url, pool_size=2)
    sessions = make_sessions(engine)
    attach(sessions)
    try:
        yield sessions
    finally:
        engine.dispose()


class Nothing:
    """A company that accepts everything at once, to measure the engine alone."""

    limits = UNLIMITED

    def settings(self, session: Session, lane_id: int, entries: Sequence[Due]) -> Json:
        return {}

    def compose(
        self,
        entries: Sequence[Due],
        links: Mapping[Record, Remote],
        settings: Json,
        taken: frozenset[str] = frozenset(),
    ) -> Composition:
        body = json.dumps([due.payload for due in entries])
        items = [Item(due.entry_id, "create") for due in entries]
        return Composition(Draft("POST", "batch", {}, body, items, is_batch=True))

    def part_of(self, body: str, positions: Sequence[int]) -> str:
        return body

    def send(self, sent: Sent) -> Answer:
        return Answer(200, "[]")

    def read(self, sent: Sent, answer: Answer) -> Reading:
        return Reading(
            {item.entry_id: Synced(Remote(str(item.entry_id), "0")) for item in sent.items}
        )


def drain_to_nothing() -> None:
    config = Config.from_environ()
    logs.configure()
    engine = scheduler.Engine(make_sessions(make_engine(config.database_url)), Nothing(), config)
    for _ in told():
        engine.start()
    engine.stop()


def serve() -> None:
    dunahub: DunaHub = create_app().extensions["dunahub"]
    for words in told():
        match words["do"]:
            case "drain":
                dunahub.start_engine()
            case "write":
                firms = [Firm(**each) for each in words["firms"]]
                say(saved=write(dunahub.sessions, firms, **words["how"]))
    scheduler.stop()


if __name__ == "__main__":
    {"app": serve, "nothing": drain_to_nothing}[sys.argv[1]]()
