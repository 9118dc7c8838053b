"""create_app(): wires config, database, sign-in, views, the engine and commands; nothing else.

`gunicorn app:app` creates the app on first use; importing this module creates nothing.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from typing import Any

import structlog
from flask import Flask
from sqlalchemy import Engine as Database
from sqlalchemy import inspect, select, text
from sqlalchemy.orm import Session

import clients.post
import logs
import outbox.cli
import quickbooks.cli
import views.commands
from config import INSECURE_TRANSPORT, BadConfig, Config
from db import Sessions, make_engine, make_sessions, snapshots
from models.accounts import User
from models.passwords import DEMO_EMAILS
from notices import post
from outbox import scheduler
from outbox.capture import attach
from outbox.scheduler import Job
from processors import refunding, tending
from processors.processor import Processor
from processors.stripe import Stripe
from quickbooks import (
    checking,
    connecting,
    directory,
    disconnecting,
    facts,
    months,
    standing,
    tokens,
)
from quickbooks.delivery import QuickBooks

log = structlog.get_logger()


@dataclass(frozen=True)
class DunaHub:
    """The parts of the app, at `app.extensions["dunahub"]`."""

    config: Config
    database: Database
    sessions: Sessions
    company: QuickBooks
    processor: Processor | None  # None: clients can't pay online

    @cached_property
    def snapshots(self) -> Sessions:
        """For pages that only read."""
        return snapshots(self.sessions)

    def start_engine(self) -> scheduler.Engine:
        """Starts draining in this process. Only for serving processes, after the fork."""
        return scheduler.start(self.sessions, self.company, self.config, self._jobs())

    def _jobs(self) -> list[Job]:
        sessions, config = self.sessions, self.config
        return [
            *self._jobs_that_ask_intuit(),
            *self._jobs_that_ask_the_processor(),
            Job("notices", timedelta(minutes=1), lambda: post.look_and_tell(sessions, config)),
            Job(
                "letters",
                timedelta(seconds=2),
                lambda: clients.post.send_due(sessions, config),
                asks_others=True,
            ),
            Job("months", timedelta(hours=1), lambda: months.ask_due(sessions, config)),
            Job(
                "unconfirmed",
                timedelta(minutes=5),
                lambda: connecting.drop_unconfirmed(sessions),
            ),
            Job("probe", timedelta(hours=4), lambda: standing.probe_due(sessions, config)),
        ]

    def _jobs_that_ask_the_processor(self) -> list[Job]:
        if self.processor is None:
            return []
        jobs: dict[str, tuple[timedelta, Callable[[Sessions, Processor], int]]] = {
            "fees": (timedelta(seconds=15), tending.read_fees),
            "refunds": (timedelta(seconds=10), refunding.finish_due),
            "refunds there": (timedelta(seconds=10), tending.read_refunds),
            "checkouts": (timedelta(seconds=10), tending.tend_checkouts),
            "standings": (timedelta(seconds=10), tending.read_standings),
            "compare payments": (timedelta(minutes=10), tending.compare),
        }
        return [
            Job("events", timedelta(hours=6), lambda: tending.forget_events(self.sessions)),
            *(
                Job(name, every, partial(run, self.sessions, self.processor), asks_others=True)
                for name, (every, run) in jobs.items()
            ),
        ]

    def _jobs_that_ask_intuit(self) -> list[Job]:
        jobs: dict[str, tuple[timedelta, Callable[[Sessions, Config], int]]] = {
            "revoke": (timedelta(minutes=1), disconnecting.revoke_due),
            "disconnect": (timedelta(seconds=2), disconnecting.disconnect_due),
            "keep-alive": (timedelta(hours=1), tokens.keep_alive_due),
            "facts": (timedelta(hours=1), facts.refresh_due),
            "customers": (timedelta(hours=1), directory.refresh_due),
            "directory": (timedelta(minutes=1), directory.read_missing),
            "contradictions": (timedelta(minutes=1), checking.check_contradicted),
            "compare": (timedelta(seconds=3), months.compare_due),
        }
        return [
            Job(name, every, partial(run, self.sessions, self.config), asks_others=True)
            for name, (every, run) in jobs.items()
        ]


def create_app(config: Config | None = None) -> Flask:
    """Creates the application; starts no thread. Raises BadConfig if it must not start."""
    config = config or Config.from_environ()
    logs.configure()
    logs.hide(config.secrets)
    if config.environment == "simulator":
        # the simulator speaks plain http, on this machine only
        os.environ[INSECURE_TRANSPORT] = "1"
    app = Flask(__name__)
    database = make_engine(config.database_url)
    sessions = make_sessions(database)
    attach(sessions, wake=scheduler.wake)
    _refuse_unfit_database(config, sessions)
    processor = Stripe(config) if config.stripe_secret_key else None
    app.extensions["dunahub"] = DunaHub(
        config, database, sessions, QuickBooks(sessions, config), processor
    )
    app.config["SECRET_KEY"] = config.secret_key
    views.register(app)
    app.cli.add_command(outbox.cli.group)
    app.cli.add_command(quickbooks.cli.group)
    app.cli.add_command(views.commands.group)
    app.cli.add_command(views.commands.people)
    return app


def _refuse_unfit_database(config: Config, sessions: Sessions) -> None:
    if config.environment == "simulator":
        return
    with sessions() as session:
        # We know what was sent from what was committed. A commit lost in a crash would be sent
        # twice.
        keeps = session.scalar(text("SELECT current_setting('synchronous_commit') <> 'off'"))
        if config.environment == "production" and not keeps:
            raise BadConfig(
                "The database of DATABASE_URL runs with synchronous_commit = off: after a crash it"
                " would forget what was sent to QuickBooks. Set it to on."
            )
        if _has_users(session) and session.scalar(
            select(User.id).where(User.email.in_(DEMO_EMAILS))
        ):
            raise BadConfig(
                "This database has demo accounts with a password that everybody knows."
                " Use another DATABASE_URL, or delete them."
            )


def _has_users(session: Session) -> bool:
    return inspect(session.connection()).has_table(User.__tablename__)  # not yet migrated: no users


def __getattr__(name: str) -> Any:
    if name == "app":  # requested by `gunicorn app:app`
        return create_app()
    raise AttributeError(name)
