"""python -m tests.simulation --seed N --histories M: plays them, and prints what went wrong."""

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from cryptography.fernet import Fernet
from sqlalchemy import Engine, text

from config import Config
from db import make_engine, make_sessions
from development.database import migrate
from development.postgres import throwaway_postgres
from outbox.capture import attach
from tests.simulation.coverage import counted_cells
from tests.simulation.coverage import told as told_of
from tests.simulation.history import LENGTH, play, shrink

FORGOTTEN_AFTER = 50  # histories


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--histories", type=int, default=100)
    parser.add_argument("--length", type=int, default=LENGTH)
    parser.add_argument("--money", action="store_true", help="some of it goes back")
    parser.add_argument("--stop", action="store_true", help="at the first violation")
    parser.add_argument("--shrink", action="store_true", help="what fails, to fewer acts")
    parser.add_argument("--seconds", type=float, help="by the wall clock; then no more histories")
    parser.add_argument("--database", help="address of a migrated one; else one is made")
    parser.add_argument("--processor", type=float, help="seconds of it; then no more histories")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with _database(options.database) as url, counted_cells() as cells:
        engine = make_engine(url)
        sessions = make_sessions(engine)
        attach(sessions)
        config = _config(url)
        failed, done, visits = 0, 0, Counter[str]()
        began = time.monotonic()
        for seed in range(options.seed, options.seed + options.histories):
            if options.processor and time.process_time() > options.processor:
                break
            if options.seconds and time.monotonic() - began > options.seconds:
                break
            if (seed - options.seed) % FORGOTTEN_AFTER == FORGOTTEN_AFTER - 1:
                _forget(engine)
            told = play(sessions, config, seed, options.length, money=options.money)
            if told.violation and options.shrink:
                told = shrink(sessions, config, told)
            done += told.acts
            visits += told.visits
            if told.violation:
                failed += 1
                print(told.script, end="\n\n", flush=True)
                if options.stop:
                    break
        seconds = time.monotonic() - began
        print(f"{done} acts, {done / seconds:.0f} a second; {failed} histories with a violation")
        print(", ".join(f"{name} {count}" for name, count in visits.most_common()))
        print(told_of(cells))
        engine.dispose()
    sys.exit(bool(failed))


def _forget(engine: Engine) -> None:
    """The histories that were played: a table that grows makes the next ones slower."""
    with engine.begin() as connection:
        # also the tables that are only ever added to
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("TRUNCATE organizations CASCADE"))


@contextmanager
def _database(url: str | None) -> Iterator[str]:
    if url:
        yield url
        return
    with throwaway_postgres() as server:
        migrate(server.url())
        yield server.url()


def _config(url: str) -> Config:
    return Config.from_environ(
        {
            "DATABASE_URL": url,
            "QUICKBOOKS_ENVIRONMENT": "simulator",
            "SIMULATOR_URL": "http://127.0.0.1:9",
            "BASE_URL": "http://localhost",
            "SECRET_KEY": "simulated" * 4,
            "TOKEN_KEYS": Fernet.generate_key().decode(),
        }
    )


if __name__ == "__main__":
    main()
