"""Runs the whole app inside a benchmark's process."""

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from flask import Flask

from app import create_app
from config import Config


class Nowhere(io.TextIOBase):
    """Discards log lines: they are rendered, as in production, but not written."""

    def write(self, text: str, /) -> int:
        return len(text)


@contextmanager
def quiet_app(config: Config) -> Iterator[Flask]:
    """The app, for use by this process only."""
    logging.getLogger().handlers.clear()  # from an app created before: each line is handled once
    with redirect_stdout(Nowhere()):
        app = create_app(config)
    sys.excepthook = sys.__excepthook__  # a failing benchmark prints its traceback
    app.testing = True  # … and so does a failing page
    try:
        yield app
    finally:
        app.extensions["dunahub"].database.dispose()
