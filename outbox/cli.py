"""Commands: `flask --app app outbox …`."""

import signal
import threading

import click
from flask import current_app
from flask.cli import AppGroup

from outbox import scheduler

group = AppGroup("outbox", help="The outbox that feeds QuickBooks.")


@group.command("work")
def work() -> None:
    """Drain in a process of its own, without serving pages, until TERM or Ctrl-C."""
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    current_app.extensions["dunahub"].start_engine()
    click.echo("Draining. Stop with Ctrl-C.")
    while not done.wait(60):  # a wait without end would not let the signal in on every platform
        pass
    if not scheduler.stop():
        click.echo("A call to QuickBooks was still out; it is cleared up at the next start.")
