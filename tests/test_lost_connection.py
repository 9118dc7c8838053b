"""A database that says a last word and closes the connection, as it does in a crash."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError

import db
from db import make_engine

LAST_WORD = b"SWARNING\0C57P02\0Mterminating connection because of a crash\0\0"
PORT = 5432


class _Between:
    """Passes one connection on to the database, and closes it when told."""

    def __init__(self, folder: Path, database: str) -> None:
        self._database = database
        self._listens = socket.socket(socket.AF_UNIX)
        self._listens.bind(str(folder / f".s.PGSQL.{PORT}"))
        self._listens.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        self.client, _ = self._listens.accept()
        self.server = socket.socket(socket.AF_UNIX)
        self.server.connect(self._database)
        for source, target in ((self.client, self.server), (self.server, self.client)):
            threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()

    def close(self, last_word: bytes) -> None:
        if last_word:
            self.client.sendall(b"N" + (len(last_word) + 4).to_bytes(4, "big") + last_word)
        self.client.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        for one in (self.client, self.server, self._listens):
            one.close()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while said := source.recv(65_536):
            target.sendall(said)


@contextmanager
def _between(folder: Path, url: str) -> Iterator[tuple[_Between, str]]:
    address = make_url(url)
    host, port = str(address.query.get("host") or address.host), address.port or PORT
    between = _Between(folder, f"{host}/.s.PGSQL.{port}")
    led = address.set(host=None, port=PORT, query={"host": str(folder)})
    try:
        yield between, led.render_as_string(hide_password=False)
    finally:
        between.end()


@pytest.mark.parametrize("last_word", [b"", LAST_WORD])
def test_a_connection_closed_with_or_without_a_last_word_is_the_databases_trouble(
    last_word: bytes, open_folder: Path, database_url: str
) -> None:
    with _between(open_folder, database_url) as (between, url):
        engine = make_engine(url)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            between.close(last_word)
            with pytest.raises(db.DATABASE_ERRORS):
                connection.execute(text("SELECT 2"))
            assert connection.invalidated
        engine.dispose()


def test_a_statement_that_is_wrong_is_not_the_databases_trouble(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(ProgrammingError):
        connection.execute(text("SELECT FROM nowhere"))
