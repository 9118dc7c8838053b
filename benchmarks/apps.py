"""The whole app inside a benchmark's own process."""

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from flask import Flask

from app import create_app
from config import Config


class Nowhere(io.TextIOBase):
    """Where log lines go: they are made, as in production, and are not among the figures."""

    def write(self, text: str, /) -> int:
        return len(text)


@contextmanager
def quiet_app(config: Config) -> Iterator[Flask]:
    """The app, serving nobody but this process."""
    logging.getLogger().handlers.clear()  # of an app made before: one line, one handler
    with redirect_stdout(Nowhere()):
        app = create_app(config)
    sys.excepthook = sys.__excepthook__  # a benchmark that breaks says so
    app.testing = True  # … and so does a page
    try:
        yield app
    finally:
        app.extensions["dunahub"].database.dispose()
